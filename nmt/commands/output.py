"""Where results go: stdout, a device or pipe, or a file that is there only when it is complete.

`check_output` runs before anything heavy starts: what a command reads, a checkpoint, a run, a prepared corpus or a
run's own text is never overwritten by accident. Other files that exist are replaced, as by `>` in a shell.
"""

import bz2
import gzip
import io
import logging
import lzma
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from nmt.commands.streams import STDOUT_IS_CLOSED, is_closed
from nmt.errors import CheckpointError, ConfigError
from nmt.files import atomic_write, naming, remove_abandoned

logger = logging.getLogger(__name__)


_OF_A_RUN = {"config.yaml", "train.log", "metrics.jsonl", ".lock", "tensorboard", "checkpoints"}
_NEVER_WRITTEN = {".7z", ".lz4", ".lzma", ".z", ".zip", ".zst"}  # names of compressions that nothing here writes
_READ_BY = {"translate": ("input",), "evaluate": ("source", "groups", "reference", "hypothesis")}


class Source(NamedTuple):
    """What a command reads: `input=test.en`, say, and its path, or an open descriptor."""

    label: str
    file: Path | int


def check_output(output: str | None, *, read: Sequence[Source], checkpoints: Sequence[str]) -> None:
    """Refuse an output that cannot be written, or that would overwrite what is still needed.

    Args:
        output: None is stdout.
        checkpoints: those that it loads; the text of their runs is protected as well.

    Raises:
        ConfigError: saying what is in the way.
    """
    if output is None:
        _check_stdout()
        if (descriptor := _descriptor(sys.stdout)) is not None:
            for source in read:
                if _same_file(source.file, descriptor):
                    raise ConfigError(f"{source.label} is the file that stdout goes to: let stdout go to another file")
        return
    if problem := _unwritable(output) or _needed(Path(output), read=read, checkpoints=checkpoints):
        raise ConfigError(f"output={output} {problem}")


def read_files(**files: str | Sequence[str] | None) -> list[Source]:
    """List the files that settings name, which have a name, several or none."""
    return [
        Source(f"{setting}={name}", Path(name))
        for setting, names in files.items()
        for name in ([names] if isinstance(names, str) else names or ())
    ]


def read_stdin() -> Source:
    """Return stdin as a source.

    Raises:
        ConfigError: stdin is closed.
    """
    if is_closed(sys.stdin):
        raise ConfigError("stdin is closed: name the text to read (input=FILE)")
    descriptor = _descriptor(sys.stdin)
    return Source("stdin", -1 if descriptor is None else descriptor)


def check_sweep_outputs(command: str, jobs: Sequence[Any]) -> None:
    """Refuse a sweep of `translate` or `evaluate` whose jobs would get into each other's way.

    Raises:
        ConfigError: two jobs write one file, one writes what another reads, or two read stdin.
    """
    outputs = Counter(os.path.realpath(job.output) for job in jobs if job.output and not _is_stream(Path(job.output)))
    for output, count in outputs.items():
        if count > 1:
            raise ConfigError(
                f"{count} jobs of this sweep would write {output}: "
                "give each its own, as in 'output=out.beam${search.beam_size}'"
            )
    for job in jobs:
        for setting in _READ_BY[command]:
            for source in read_files(**{setting: job[setting]}):
                if os.path.realpath(str(source.file)) in outputs:
                    raise ConfigError(f"{source.label} is the output of a job of this sweep: name another output")
    if command == "translate" and sum(job.input is None for job in jobs) > 1:
        raise ConfigError(
            f"{len(jobs)} jobs of this sweep would read stdin, which can be read but once: give input=FILE"
        )


@contextmanager
def open_output(output: str | None) -> Iterator[BinaryIO]:
    """Open stdout (None), a device or pipe, or a file that takes its name only when all is written.

    A name that ends in .gz, .bz2 or .xz is compressed so; equal text gives equal bytes.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    if output is None:
        with _stdout() as stream:
            yield stream
        return
    path = Path(output)
    with _open(path) as raw, _compressed(raw, suffix=path.suffix.lower()) as stream:
        yield stream


# --- what must not be overwritten ---


def _unwritable(output: str) -> str | None:
    """Say why a file cannot be written, and what to do."""
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
    if _is_stream(path):
        return None
    if path.suffix.lower() in _NEVER_WRITTEN:
        return f"must end in .gz, .bz2 or .xz to be compressed, but ends in {path.suffix}: give it another name"
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"is in a folder that does not exist: make it first (mkdir -p {folder})"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"is in a folder that is write-protected: name another file, or permit writing in {folder}"
    return None


def _needed(output: Path, *, read: Sequence[Source], checkpoints: Sequence[str]) -> str | None:
    """Say what would be lost if a file were overwritten."""
    for source in read:
        if _same_file(source.file, output):
            return f"is {source.label}, which this command reads and would overwrite: name another file"
    if owner := _owner(output.resolve()):
        return f"belongs to {owner}, which it would damage: name another file"
    for needed in (*_files_of(checkpoints), *_texts_of_runs(checkpoints)):
        if _same_file(needed.file, output):
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
    # imported here since scoring files needs no torch
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
                for side in ("src", "tgt"):
                    for name in (data.get(split) or {}).get(side) or ():
                        label = f"data.{split}.{side} of the run of {checkpoint}"
                        yield Source(label, Path(data["dir"], name))


def _same_file(first: Path | int, second: Path | int) -> bool:
    """Compare two paths or open descriptors; devices and pipes may be read and written at once."""
    try:
        stats = [file.stat() if isinstance(file, Path) else os.fstat(file) for file in (first, second)]
    except OSError:
        return False
    return stat.S_ISREG(stats[0].st_mode) and os.path.samestat(*stats)


# --- writing ---


def _is_stream(path: Path) -> bool:
    """Tell what nothing can take the place of: devices, pipes, and files that the shell has opened."""
    opened_by_shell = os.fspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    return path.exists() and (opened_by_shell or not path.is_file())


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if _is_stream(path):
        with naming(path), path.open("ab") as stream:  # "wb" would empty a file that the shell has opened for >>
            yield stream
        return
    for left in remove_abandoned(path):
        logger.info("%s, left by a command that was killed, is removed", left)
    with atomic_write(path) as stream:
        yield stream


def _compressed(stream: BinaryIO, *, suffix: str) -> AbstractContextManager[BinaryIO]:
    match suffix:
        case ".gz":  # without name and time
            packed: Any = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0)
        case ".bz2":
            packed = bz2.BZ2File(stream, "wb")
        case ".xz":
            packed = lzma.LZMAFile(stream, "wb")  # noqa: SIM115
        case _:
            return nullcontext(stream)
    return cast("BinaryIO", packed)


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    """Give stdout as bytes, whatever encoding the terminal has, and flush it, so that a full disk is noticed here."""
    _check_stdout()
    sys.stdout.flush()
    stream, buffer = sys.stdout.buffer, None
    if isinstance(stream, io.RawIOBase):  # PYTHONUNBUFFERED: a write may take only a part, and nobody notices
        stream = buffer = io.BufferedWriter(stream)
    try:
        with naming(Path("stdout")):
            yield stream
            stream.flush()
    except OSError:
        _give_up(stream)
        raise
    finally:
        if buffer is not None:
            buffer.detach()


def _give_up(stream: BinaryIO) -> None:
    """Let what stdout does not take go nowhere: Python would try once more at its end, with a traceback."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _check_stdout() -> None:
    if is_closed(sys.stdout):
        raise ConfigError(STDOUT_IS_CLOSED)


def _descriptor(stream: Any) -> int | None:
    """Return the file descriptor of a stream; None where it has none, as in a notebook."""
    try:
        descriptor: int = stream.fileno()
    except (OSError, AttributeError):
        return None
    return descriptor
