"""From aligned text files, or files of tab-separated columns, to sentence pairs, with checks.

Line n of a source file and line n of its target file are translations of each other; of a file of columns, both sides
are read from one file. Only "\\n" or "\\r\\n" ends a line: U+2028, vertical tabs and other carriage returns are part
of a line, so that lines are counted as by `wc -l`.
"""

import hashlib
import io
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from xxhash import xxh3_128

from nmt.errors import DataError, UnequalFilesError
from nmt.text.columns import Columns
from nmt.text.compression import NUM_MAGIC_BYTES, decompressed
from nmt.text.decoding import decoded, does_not_exist, open_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

_BUFFER_BYTES = 1 << 20


class SentencePair(NamedTuple):
    """One line of source text and its translation."""

    src: str
    tgt: str


@dataclass(frozen=True)
class TextFiles:
    """The files of one side; `columns` says which of tab-separated columns they are, and is None for plain text."""

    paths: tuple[Path, ...]
    columns: Columns | None = None

    def lines(self, checksums: Mapping[Path, str]) -> Iterator[str]:
        """Yield the lines of all files, in order, as `read_lines` does for each.

        Raises:
            DataError: if a file cannot be read or has changed, or a line has too few fields.
        """
        for path in self.paths:
            yield from self.lines_of(path, checksum=checksums.get(path))

    def lines_of(self, path: Path, *, checksum: str | None) -> Generator[str]:
        """Yield the lines of one of the files."""
        # closing: after an error, the file must not stay open
        with closing(read_lines(path, checksum=checksum)) as lines:
            yield from lines if self.columns is None else self.columns.texts(lines, name=str(path))

    def symbols(self, checksums: Mapping[Path, str]) -> list[str]:
        """Return the symbols of the features of all lines, sorted.

        Raises:
            DataError: as for `lines`.
        """
        found: set[str] = set()
        if self.columns is None or not self.columns.features:
            return []
        for path in self.paths:
            with closing(read_lines(path, checksum=checksums.get(path))) as lines:
                found |= self.columns.symbols(lines, name=str(path))
        return sorted(found)


@dataclass(frozen=True)
class ParallelFiles:
    """Source and target files; file k of `src` is aligned to file k of `tgt`, or the same file of columns."""

    src: TextFiles
    tgt: TextFiles


class TextFingerprint(NamedTuple):
    """The hashes of some files.

    Attributes:
        sha256: hex, of the contents of all files in order, independent of their names.
        checksums: xxh3_128 (hex) of each file, by which `read_lines` notices later changes.
    """

    sha256: str
    checksums: dict[Path, str]


def read_lines(path: Path, *, keep_cr: bool = False, checksum: str | None = None) -> Generator[str]:
    """Yield the lines of a plain or compressed file, without their line ends ("\\n" or "\\r\\n").

    Compression is recognized by the first bytes, not by the name. A last line without "\\n" counts; a byte order mark
    at the beginning is dropped.

    Args:
        keep_cr: keep the "\\r" of a line end.
        checksum: of the file, as in `TextFingerprint`; compared at the end.

    Raises:
        DataError: if the file is missing, a directory, unreadable, damaged, not UTF-8, or has changed.
    """
    if checksum is None:
        with open_file(path) as file:
            yield from decode_lines(file, name=str(path), keep_cr=keep_cr)
        return
    with open_file(path) as plain, _HashedFile(plain.fileno(), closefd=False) as hashed:
        file = io.BufferedReader(hashed, _BUFFER_BYTES)
        yield from decode_lines(file, name=str(path), keep_cr=keep_cr)
        if hashed.xxh3.hexdigest() != checksum:
            raise has_changed(path)


def decode_lines(stream: BinaryIO, *, name: str, keep_cr: bool = False) -> Generator[str]:
    """Yield the lines of an open binary stream (such as stdin) as `read_lines` does; `name` is for messages.

    Raises:
        DataError: as for `read_lines`.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    try:
        # lines of a binary stream end only at b"\n"
        yield from decoded(
            lambda: decompressed(buffered, buffered.peek(NUM_MAGIC_BYTES), name=name), name=name, keep_cr=keep_cr
        )
    finally:
        if buffered is not stream:
            buffered.detach()  # otherwise closing it would close the stream


def read_pairs(files: ParallelFiles, *, checksums: Mapping[Path, str] | None = None) -> Iterator[SentencePair]:
    """Yield the sentence pairs of all files, in order; arguments and errors are those of `read_pairs_by_file`."""
    for pairs in read_pairs_by_file(files, checksums=checksums):
        yield from pairs


def read_pairs_by_file(
    files: ParallelFiles, *, checksums: Mapping[Path, str] | None = None
) -> Iterator[Iterator[SentencePair]]:
    """Yield the sentence pairs of each file, in order.

    Args:
        checksums: of the files; if given, NUL bytes and columns are warned of, too.

    Raises:
        DataError: if the numbers of files or of lines differ, or a file cannot be read or has changed.
    """
    src_paths, tgt_paths = files.src.paths, files.tgt.paths
    if len(src_paths) != len(tgt_paths):
        raise DataError(
            "source and target must have the same number of files, but have "
            f"{len(src_paths)} ({_names(src_paths)}) and {len(tgt_paths)} ({_names(tgt_paths)}): "
            "name for each source file the file that translates it"
        )
    for src_path, tgt_path in zip(src_paths, tgt_paths, strict=True):
        yield _read_file_pair(files, src_path, tgt_path, checksums or {})


def check_files_exist(splits: Iterable[ParallelFiles]) -> None:
    """Refuse all missing files at once, before any is read.

    Raises:
        DataError: if a file does not exist.
    """
    paths = dict.fromkeys(path for files in splits for path in (*files.src.paths, *files.tgt.paths))
    missing = [path for path in paths if _is_missing(path)]
    if len(missing) == 1:
        raise does_not_exist(missing[0])
    if missing:
        raise DataError(f"{_names(tuple(missing))} do not exist: check the paths")


def fingerprint_files(files: ParallelFiles) -> TextFingerprint:
    """Hash the bytes of all files, and which columns are read.

    Raises:
        DataError: if a file cannot be read, or cannot be read twice.
    """
    whole = hashlib.sha256()
    checksums: dict[Path, str] = {}
    for side in (files.src, files.tgt):
        whole.update(len(side.paths).to_bytes(8, "little"))
        if side.columns is not None:
            whole.update(repr((side.columns.text, side.columns.features)).encode())
        for path in side.paths:
            sha256, checksum = _hash(path)
            if checksums.setdefault(path, checksum) != checksum:  # a file may be named twice
                raise has_changed(path)
            whole.update(sha256)
    return TextFingerprint(whole.hexdigest(), checksums)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:  # explained when the file is opened
        return False
    return False


def has_changed(path: Path) -> DataError:
    return DataError(f"{path} changed while it was being read: start again when nothing writes to it any more")


def _hash(path: Path) -> tuple[bytes, str]:
    """Return the sha256 of a file and its xxh3_128 in hex."""
    sha256, xxh3 = hashlib.sha256(), xxh3_128()
    with open_file(path) as file:
        if not path.is_file():
            raise DataError(f"{path} must be a file, since it is read more than once, but is a pipe or a device")
        try:
            while chunk := file.read(_BUFFER_BYTES):
                sha256.update(chunk)
                xxh3.update(chunk)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return sha256.digest(), xxh3.hexdigest()


class _HashedFile(io.FileIO):
    """A file that hashes the bytes that are read."""

    def __init__(self, descriptor: int, *, closefd: bool) -> None:
        super().__init__(descriptor, "rb", closefd)
        self.xxh3 = xxh3_128()

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        num_bytes = super().readinto(buffer)
        self.xxh3.update(memoryview(buffer)[: num_bytes or 0])
        return num_bytes


class _LineCounter:
    """Counts lines that suggest another format: with NUL bytes, or with tabs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_lines = 0
        self.num_with_nul = 0
        self.first_with_nul = 0
        self.num_with_tab = 0

    def count(self, line: str) -> None:
        self.num_lines += 1
        self.num_with_tab += "\t" in line
        if "\0" in line:
            self.num_with_nul += 1
            self.first_with_nul = self.first_with_nul or self.num_lines

    def warn(self) -> None:
        if self.num_with_nul:
            log.warning(
                "%s: %s line%s of text with NUL bytes, the first is line %s: is it damaged, or in another encoding?",
                self.path,
                f"{self.num_with_nul:,}",
                "" if self.num_with_nul == 1 else "s",
                f"{self.first_with_nul:,}",
            )
        if 2 * self.num_with_tab > self.num_lines:
            log.warning(
                "%s: %s of %s lines contain tabs, which are read as text: if these are columns, use data=tsv",
                self.path,
                f"{self.num_with_tab:,}",
                f"{self.num_lines:,}",
            )


def _read_file_pair(
    files: ParallelFiles, src_path: Path, tgt_path: Path, checksums: Mapping[Path, str]
) -> Iterator[SentencePair]:
    src_counter, tgt_counter = _LineCounter(src_path), _LineCounter(tgt_path)
    # closing: after an error on one side, the file of the other side must not stay open
    with (
        closing(files.src.lines_of(src_path, checksum=checksums.get(src_path))) as src_lines,
        closing(files.tgt.lines_of(tgt_path, checksum=checksums.get(tgt_path))) as tgt_lines,
    ):
        for src in src_lines:
            tgt = next(tgt_lines, None)
            if tgt is None:
                raise _unequal(short=tgt_path, long=src_path, num_lines=tgt_counter.num_lines)
            src_counter.count(src)
            tgt_counter.count(tgt)
            yield SentencePair(src, tgt)
        if next(tgt_lines, None) is not None:
            raise _unequal(short=src_path, long=tgt_path, num_lines=src_counter.num_lines)
    if checksums:
        src_counter.warn()
        tgt_counter.warn()


def _unequal(*, short: Path, long: Path, num_lines: int) -> UnequalFilesError:
    return UnequalFilesError(
        f"{short} ends at line {num_lines}, {long} continues: align them so that line n translates line n"
        if num_lines
        else f"{short} is empty, {long} is not: align them so that line n translates line n"
    )


def _names(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths)) or "none"
