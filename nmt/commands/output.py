"""The output of a command: stdout, a device or pipe, or a file that exists only when it is complete."""

import bz2
import gzip
import logging
import lzma
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

from nmt.commands.streams import binary_stdout, check_stdout, is_closed
from nmt.errors import ConfigError
from nmt.files import atomic_folder, atomic_write, is_stream, naming, remove_abandoned
from nmt.protected_files import Source, same_file, why_protected, why_unwritable
from nmt.text.shard import parse_shard

log = logging.getLogger(__name__)

_COMPRESSIONS = (".gz", ".bz2", ".xz")


def check_output(output: str | None, *, read: Sequence[Source], checkpoints: Sequence[str]) -> None:
    """Refuse an output that cannot be written, or that would overwrite a file that is still needed.

    Args:
        output: None is stdout.
        checkpoints: those that the command loads; the text files of their runs are protected, too.

    Raises:
        ConfigError: if it is refused; the message says why.
    """
    if output is None:
        check_stdout()
        if (descriptor := _descriptor(sys.stdout)) is not None:
            for source in read:
                if same_file(source.file, descriptor):
                    raise ConfigError(
                        f"{source.label} is the file that stdout goes to: redirect stdout to another file"
                    )
        return
    if problem := why_unwritable(output) or why_protected(Path(output), read=read, checkpoints=checkpoints):
        raise ConfigError(f"output={output} {problem}")


def check_folder(folder: str | None, *, setting: str, checkpoints: Sequence[str]) -> None:
    """Refuse a folder for output that has content, or lies in a run, a checkpoint or a prepared corpus.

    Raises:
        ConfigError: if it is refused; the message says why.
    """
    if folder is None:
        return
    path = Path(folder)
    if not folder or path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise ConfigError(f"{setting}={folder} must be a new or an empty folder: name another one, or remove it")
    if problem := why_unwritable(f"{path}.x") or why_protected(path / "x", read=(), checkpoints=checkpoints):
        raise ConfigError(f"{setting}={folder} {problem}")


def read_files(**files: str | Sequence[str] | None) -> list[Source]:
    """List the input files of settings with one name, several or none."""
    return [
        Source(f"{setting}={name}", Path(name))
        for setting, names in files.items()
        for name in ([names] if isinstance(names, str) else names or ())
    ]


def read_stdin() -> Source:
    """Return stdin as a source.

    Raises:
        ConfigError: if stdin is closed.
    """
    if is_closed(sys.stdin):
        raise ConfigError("stdin is closed: name the text to read (input=FILE)")
    descriptor = _descriptor(sys.stdin)
    return Source("stdin", -1 if descriptor is None else descriptor)


def output_of_shard(output: str | None, shard: str | None) -> str | None:
    """Name the output of a shard, so that `OUTPUT.*-of-N` lists all in order; stdout and streams are as they are.

    Raises:
        ConfigError: if the shard is invalid.
    """
    if shard is None:
        return output
    number, total = parse_shard(shard)
    if not output or is_stream(Path(output)):
        return output
    suffix = Path(output).suffix
    compression = suffix if suffix.lower() in _COMPRESSIONS else ""
    return f"{output.removesuffix(compression)}.{number:0{len(str(total))}}-of-{total}{compression}"


@contextmanager
def open_output(output: str | None) -> Iterator[BinaryIO]:
    """Open stdout (None), a device or pipe, or a file that gets its name only when it is complete.

    A name that ends in .gz, .bz2 or .xz selects that compression; equal text gives equal bytes.

    Raises:
        OSError: if it cannot be written; the error names it.
    """
    if output is None:
        with binary_stdout() as stream:
            yield stream
        return
    path = Path(output)
    with _open(path) as raw, _compressed(raw, suffix=path.suffix.lower()) as stream:
        yield stream


@contextmanager
def open_folder(folder: str | None) -> Iterator[Path | None]:
    """Yield a folder that gets its name only when it is complete; None without one.

    Raises:
        OSError: if it cannot be written; the error names it.
    """
    if folder is None:
        yield None
        return
    with atomic_folder(Path(folder)) as temporary:
        yield temporary


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if is_stream(path):
        with naming(path), path.open("ab") as stream:  # "wb" would empty a file that the shell has opened for >>
            yield stream
        return
    for left in remove_abandoned(path):
        log.info("removed %s, left by a command that was killed", left)
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


def _descriptor(stream: Any) -> int | None:
    """Return the file descriptor of a stream; None if it has none, as in a notebook."""
    try:
        descriptor: int = stream.fileno()
    except (OSError, AttributeError):
        return None
    return descriptor
