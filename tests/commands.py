"""Runs the command line inside the process of the tests; writes text to run it on."""

from __future__ import annotations

import io
import logging
import random
import signal
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

from hydra._internal.hydra import Hydra

from nmt.commands.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CHIFFRES = ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line on stderr, which has the error."""
        return self.err.splitlines()[-1]


def nmt(*arguments: str, stdin: bytes = b"") -> Done:
    """Run `nmt ARGUMENTS`; leave logging, signals and torch as they were."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n", errors="backslashreplace")  # as Python's own
    status = 0
    with (
        mock.patch.object(sys, "argv", ["nmt", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
        # Hydra composes all settings once more only to read hydra.mode, which we do not use: half of a test's time
        mock.patch.object(Hydra, "get_mode", return_value=None),
        _as_before(),
    ):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    texts = []
    for stream in (out, err):
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        texts.append(stream.buffer.getvalue().decode("utf-8", "surrogateescape"))
    return Done(status, texts[0], texts[1])


def error(*arguments: str, stdin: bytes = b"") -> str:
    """Run `nmt ARGUMENTS`, which must fail with one line on stderr and nothing on stdout; return that line."""
    done = nmt(*arguments, stdin=stdin)
    assert done.status == 1, done
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    return done.err.rstrip("\n")


@contextmanager
def _as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("nmt")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    handler = signal.getsignal(signal.SIGTERM)
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    format_warning = warnings.formatwarning
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        ours.setLevel(our_level)
        signal.signal(signal.SIGTERM, handler)
        warnings.formatwarning = format_warning
        if torch:
            torch.set_num_threads(threads)


def write_digits(folder: Path, *, num_train: int = 200, seed: int = 1) -> Path:
    """Write train, dev and test: English digits, and French ones in the reverse order."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(seed)
    for split, num_pairs in (("train", num_train), ("dev", 10), ("test", 8)):
        rows = [[numbers.randrange(10) for _ in range(numbers.randint(1, 6))] for _ in range(num_pairs)]
        for lang, words, step in (("en", DIGITS, 1), ("fr", CHIFFRES, -1)):
            lines = [" ".join(words[digit] for digit in row[::step]) for row in rows]
            (folder / f"{split}.{lang}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def data_settings(folder: Path) -> list[str]:
    """Name the text of `write_digits`, in words of 14 subwords a side."""
    return [
        "data=files",
        "data.src_lang=en",
        "data.tgt_lang=fr",
        f"data.dir={folder}",
        "data.train.src=train.en",
        "data.train.tgt=train.fr",
        "data.dev.src=dev.en",
        "data.dev.tgt=dev.fr",
        f"data.prepared_dir={folder / 'prepared'}",
        "subword=word",
        "subword.vocab_size=14",
    ]


def train_settings(folder: Path) -> list[str]:
    """Settings of a run of six updates, with a checkpoint every other one, in well under a second."""
    return [
        *data_settings(folder),
        "model=lstm_tiny",
        "model.hidden_dim=8",
        "model.embedding_dim=8",
        "model.dropout=0.1",
        "batching=sentences",
        "batching.size=8",
        "batching.min_sentences=4",
        "device=cpu",
        "threads=1",
        "training.precision=fp32",
        "training.max_epochs=null",
        "training.max_updates=6",
        "training.log_every=2",
        "training.checkpoint_every=2",
        "training.validate_every=4",
        "training.bleu_every=null",
    ]
