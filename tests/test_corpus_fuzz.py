"""A prepared corpus that was truncated, edited or hit by a flipped bit is refused in one line, or reads the same."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nmt.choices import Normalization
from nmt.corpus.binarizer import PairLimits, write_split
from nmt.corpus.manifest import write_manifest
from nmt.corpus.prepare import PreparedCorpus
from nmt.errors import DataError
from nmt.text.parallel import SentencePair
from nmt.text.subword_learning import learn_subword
from tests.models import CHARACTERS, as_format_1

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS = [SentencePair(" ".join("abc"[: n % 4]), "de f"[: 1 + n % 4]) for n in range(20)]
UNEXPECTED_VALUES = [None, True, -1, 0, 3, 2**31, 10**30, 1.5, float("nan"), "", "x", "\ud800", [], [1], {}, {"x": 1}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "corpus"
    spec = replace(CHARACTERS, vocab_size=50, normalization=Normalization.nfc)
    src, tgt = learn_subword(["abc"], spec, lang="en"), learn_subword(["def"], spec, lang="fr")
    limits = PairLimits(max_len_subwords=10, max_len_ratio=3)
    reports = {
        split: write_split([pairs], folder, split, src_subword=src, tgt_subword=tgt, limits=limits)
        for split, pairs in (("train", PAIRS), ("dev", PAIRS[:7]))
    }
    write_manifest(folder, fingerprint="f" * 64, src_subword=src, tgt_subword=tgt, reports=reports)
    return folder


def contents(folder: Path) -> list[Any]:
    """Read all that training reads."""
    corpus = PreparedCorpus(folder, "f" * 64)
    read: list[Any] = []
    for split in ("train", "dev"):
        opened = corpus.open(split)
        read.append((opened.report.num_read, opened.report.num_kept, opened.report.dropped, opened.report.src_unknown))
        read += [(opened.src(index).tolist(), opened.tgt(index).tolist()) for index in range(opened.num_pairs)]
    return [*read, *(model.fingerprint for model in corpus.subwords())]


def flip_a_bit(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def overwrite(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    begin = rng.randrange(len(content))
    new = rng.randbytes(rng.randint(1, 16))
    path.write_bytes((content[:begin] + new + content[begin + len(new) :])[: len(content)])


def append(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 16)))


def remove(path: Path, _rng: random.Random) -> None:
    path.unlink()


def replace_by_a_folder(path: Path, _rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def exchange(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice(sorted(other for other in path.parent.iterdir() if other.is_file())).read_bytes())


def edit_the_manifest(path: Path, rng: random.Random) -> None:
    """Change a value at any depth, remove it, or add one."""
    manifest = path.parent / "manifest.json"
    content = json.loads(manifest.read_text())
    holder = content
    while True:
        key = rng.choice(sorted(holder))
        if not isinstance(holder[key], dict) or not holder[key] or rng.random() < 0.2:
            break
        holder = holder[key]
    change = rng.randrange(4)
    if change == 0:
        del holder[key]
    else:
        holder[key if change > 1 else "another"] = rng.choice(UNEXPECTED_VALUES)
    manifest.write_text(json.dumps(content))


DAMAGES: list[Callable[[Path, random.Random], None]] = [
    *(flip_a_bit, flip_a_bit, truncate, overwrite, append, remove, replace_by_a_folder, exchange, edit_the_manifest)
]


def restore(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        if path.is_dir():
            path.rmdir()
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def damage_and_read(folder: Path, seed: int) -> list[Any] | None:
    """Return the contents of a damaged corpus, or None if it is refused; anything else fails the test."""
    rng = random.Random(seed)
    path = rng.choice(sorted(folder.iterdir()))
    damage = rng.choice(DAMAGES)
    damage(path, rng)
    refusal = ""
    try:
        return contents(folder)
    except DataError as error:
        refusal = str(error)
    except BaseException as error:
        error.add_note(f"seed {seed}: {damage.__name__}({path.name})")
        raise
    assert str(folder) in refusal
    assert "\n" not in refusal
    return None


def check(whole: Path, folder: Path, seeds: range) -> None:
    expected = contents(whole)
    shutil.copytree(whole, folder)
    for format_1 in (False, True):
        if format_1:
            as_format_1(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        outcomes = []
        for seed in seeds:
            outcomes.append(damage_and_read(folder, seed))
            restore(folder, files)
        if not format_1:  # without checksums contents may differ, but errors are one line
            changed = [seed for seed, outcome in zip(seeds, outcomes, strict=True) if outcome not in (None, expected)]
            assert changed == []
            assert outcomes.count(None) > 0.8 * len(outcomes)  # and nearly all damage was found


def test_a_damaged_corpus_is_refused_or_unchanged(whole: Path, tmp_path: Path) -> None:
    check(whole, tmp_path / "copy", range(150))


@pytest.mark.slow
def test_a_damaged_corpus_is_refused_or_unchanged_thousands_of_times(whole: Path, tmp_path: Path) -> None:
    check(whole, tmp_path / "copy", range(1000, 3000))
