"""Two aligned text files -> sentence pairs, checked.

Line n of a source file and line n of the target file beside it are translations of each other. Only "\\n" ends a line:
U+2028, vertical tabs and carriage returns stand inside lines, or two files that agree for `wc -l` would disagree here.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nmt.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_BYTES = 1 << 20
_BOM = "\ufeff"


class SentencePair(NamedTuple):
    """One line of source text and the line that translates it."""

    src: str
    tgt: str


@dataclass(frozen=True)
class ParallelFiles:
    """Source and target files; file k of `src` is aligned to file k of `tgt`."""

    src: tuple[Path, ...]
    tgt: tuple[Path, ...]


def read_lines(path: Path) -> Generator[str]:
    """Yield the lines of a plain or gzipped file, without their "\\n".

    Gzip is known by its first two bytes, not by the name. A last line without "\\n" counts; a byte order mark at the
    beginning is dropped.

    Raises:
        DataError: the file is missing, a directory, not readable, damaged gzip, or not UTF-8.
    """
    with _open(path) as file:
        if file.peek(2)[:2] == _GZIP_MAGIC:
            # GzipFile's own line iterator is slow: read it in large blocks
            with io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER_BYTES) as unzipped:
                yield from decode_lines(unzipped, name=str(path))
        else:
            yield from decode_lines(file, name=str(path))


def decode_lines(stream: BinaryIO, *, name: str) -> Iterator[str]:
    """Yield the lines of an open binary stream (such as stdin) as text, without their "\\n"; `name` stands in messages.

    Raises:
        DataError: as for `read_lines`.
    """
    line_number = 0
    try:
        for line_number, raw in enumerate(stream, start=1):  # a binary stream ends its lines at b"\n" alone
            line = raw.decode("utf-8")
            if line_number == 1:
                line = line.removeprefix(_BOM)
            yield line.removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}, line {line_number}, byte {error.start + 1}: must be UTF-8, but is "
            f"0x{error.object[error.start]:02x}: convert the file first (for example with iconv -f LATIN1 -t UTF-8)"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name} is damaged or cut short after line {line_number} ({error}): copy or download it again"
        ) from None
    except OSError as error:
        raise DataError(f"{name} cannot be read after line {line_number}: {error.strerror or error}") from None


def read_pairs(files: ParallelFiles) -> Iterator[SentencePair]:
    """Yield the sentence pairs of all files, in order.

    Raises:
        DataError: the numbers of files or of lines differ, or a file cannot be read.
    """
    if len(files.src) != len(files.tgt):
        raise DataError(
            "source and target must have the same number of files, but have "
            f"{len(files.src)} ({_names(files.src)}) and {len(files.tgt)} ({_names(files.tgt)}): "
            "name for each source file the file that translates it"
        )
    for src_path, tgt_path in zip(files.src, files.tgt, strict=True):
        yield from _read_file_pair(src_path, tgt_path)


def fingerprint_files(files: ParallelFiles) -> str:
    """Return a sha256 (hex) of the bytes of all files, in order and told apart, whatever their names."""
    whole = hashlib.sha256()
    for side in (files.src, files.tgt):
        whole.update(len(side).to_bytes(8, "little"))
        for path in side:
            with _open(path) as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _read_file_pair(src_path: Path, tgt_path: Path) -> Iterator[SentencePair]:
    num_pairs = 0
    # closing: an error on one side must not leave the file of the other side open
    with closing(read_lines(src_path)) as src_lines, closing(read_lines(tgt_path)) as tgt_lines:
        for src in src_lines:
            tgt = next(tgt_lines, None)
            if tgt is None:
                raise _unequal(short=tgt_path, long=src_path, num_lines=num_pairs)
            num_pairs += 1
            yield SentencePair(src, tgt)
        if next(tgt_lines, None) is not None:
            raise _unequal(short=src_path, long=tgt_path, num_lines=num_pairs)


def _unequal(*, short: Path, long: Path, num_lines: int) -> DataError:
    return DataError(
        f"{short} ends at line {num_lines}, {long} goes on: align them so that line n translates line n"
        if num_lines
        else f"{short} is empty, {long} is not: align them so that line n translates line n"
    )


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} must be a text file, but is a directory: name a file in it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _names(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths)) or "none"
