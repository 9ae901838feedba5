"""Files that an output must never overwrite: input, checkpoints, runs, prepared corpora and the text of runs.

Other files that exist are replaced, as by `>` in a shell.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nmt.errors import CheckpointError
from nmt.files import is_stream

_OF_A_RUN = {"config.yaml", "train.log", "metrics.jsonl", ".lock", "tensorboard", "checkpoints"}
_NEVER_WRITTEN = {".7z", ".lz4", ".lzma", ".z", ".zip", ".zst"}  # suffixes of compressions that nmt does not write


class Source(NamedTuple):
    """An input: its label, such as `input=test.en`, and its path, or an open descriptor."""

    label: str
    file: Path | int


def why_unwritable(output: str) -> str | None:
    """Return why a file cannot be written, and what to do; None if it can."""
    if not output:
        return "is empty: name a file"
    path = Path(output)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "must be a file, but is a directory: name a file in it"
    if mode and not os.access(path, os.W_OK):
        return "is write-protected: name another file, or permit writing (chmod u+w)"
    if is_stream(path):
        return None
    if path.suffix.lower() in _NEVER_WRITTEN:
        return f"must end in .gz, .bz2 or .xz to be compressed, but ends in {path.suffix}: give it another name"
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"is in a folder that does not exist: make it first (mkdir -p {folder})"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"is in a folder that is write-protected: name another file, or permit writing in {folder}"
    return None


def why_protected(output: Path, *, read: Sequence[Source], checkpoints: Sequence[str]) -> str | None:
    """Return what overwriting a file would destroy; None if nothing.

    Args:
        read: the inputs of the command.
        checkpoints: those that it loads; the text files of their runs are protected, too.
    """
    for source in read:
        if same_file(source.file, output):
            return f"is {source.label}, which this command reads and would overwrite: name another file"
    if owner := _owner(output.resolve()):
        return f"belongs to {owner}, which it would damage: name another file"
    for needed in (*_files_of(checkpoints), *_texts_of_runs(checkpoints)):
        if same_file(needed.file, output):
            return f"is {needed.label}, which it would overwrite: name another file"
    return None


def _owner(path: Path) -> str | None:
    """Find the checkpoint, run or prepared corpus that a file belongs to."""
    for folder in path.parents:
        if (folder / "checkpoint.json").is_file():
            return f"the checkpoint {folder}"
        if (folder / "manifest.json").is_file() and (folder / "src.subword").is_file():
            return f"the prepared corpus {folder}"
        if path.relative_to(folder).parts[0] in _OF_A_RUN and _is_run(folder):
            return f"the run {folder}"
    return None


def _is_run(folder: Path) -> bool:
    written = ("train.log", "metrics.jsonl", "checkpoints")
    return (folder / "config.yaml").is_file() and any((folder / name).exists() for name in written)


def _files_of(checkpoints: Sequence[str]) -> Iterator[Source]:
    """Yield the files of checkpoints, which may have a second name elsewhere (a hard link)."""
    if not checkpoints:
        return
    # imported here because scoring files needs no torch
    from nmt.training.checkpoint_links import resolve_checkpoint

    for checkpoint in map(Path, checkpoints):
        with suppress(CheckpointError):  # loading it says what is wrong
            folder = resolve_checkpoint(checkpoint)
            if not (folder / "checkpoint.json").is_file():  # it may be any folder, with any number of files
                continue
            for file in folder.rglob("*"):
                yield Source(f"{file.relative_to(folder)} of the checkpoint {checkpoint}", file)


def _texts_of_runs(checkpoints: Sequence[str]) -> Iterator[Source]:
    """Yield the text files of the runs that wrote the checkpoints."""
    if not checkpoints:
        return
    from nmt.training.checkpoint import read_config
    from nmt.training.checkpoint_links import read_checkpoint

    for checkpoint in checkpoints:
        with suppress(CheckpointError, AttributeError, KeyError, TypeError):  # loading it says what is wrong
            data = read_checkpoint(Path(checkpoint), read_config)["data"]
            for split in ("train", "dev", "test"):
                for files in ("src", "tgt", "tsv"):
                    for name in (data.get(split) or {}).get(files) or ():
                        label = f"data.{split}.{files} of the run of {checkpoint}"
                        yield Source(label, Path(data["dir"], name))


def same_file(first: Path | int, second: Path | int) -> bool:
    """Compare two paths or open descriptors; devices and pipes may be read and written at once."""
    try:
        stats = [file.stat() if isinstance(file, Path) else os.fstat(file) for file in (first, second)]
    except OSError:
        return False
    return stat.S_ISREG(stats[0].st_mode) and os.path.samestat(*stats)
