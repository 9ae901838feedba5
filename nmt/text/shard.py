"""Shards: contiguous parts of a file, for processes that divide its lines among them.

Of a file of s bytes, shard I/N has the lines that begin at bytes s (I - 1) / N to s I / N. So each line is in one
shard, shards may be empty, and a process reads only its own part. A compressed file is divided by its number of lines
instead, for which each process has to read all of it.
"""

import io
import itertools
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nmt.errors import ConfigError, DataError
from nmt.text.compression import NUM_MAGIC_BYTES, decompressed
from nmt.text.decoding import check_encoding, decoded, open_file
from nmt.text.parallel import read_lines

_BUFFER_BYTES = 1 << 20


class Shard(NamedTuple):
    """One part of several, numbered from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def part(self, number: int, total: int) -> "Shard":
        """Return a part of this part: together, they have exactly its lines."""
        return Shard((self.number - 1) * total + number, self.total * total)

    def bounds(self, size: int) -> tuple[int, int]:
        """Divide `size` items; return the first item of this shard, and the first one after it."""
        return size * (self.number - 1) // self.total, size * self.number // self.total


WHOLE = Shard(1, 1)


class ShardLines(NamedTuple):
    """The lines of a shard, and a function that counts those before them in the file."""

    lines: Generator[str]
    lines_before: Callable[[], int]


def parse_shard(text: str) -> Shard:
    """Read `I/N`.

    Raises:
        ConfigError: if it is something else.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, flags=re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard must be I/N with I from 1 to N, such as 2/8, but is {text!r}")
    return Shard(int(match[1]), int(match[2]))


def read_shard(path: Path, shard: Shard, *, keep_cr: bool = False) -> ShardLines:
    """Read the lines of a shard as `read_lines` reads a file.

    Raises:
        DataError: as for `read_lines`; also if `path` is a pipe or a device.
    """
    if shard == WHOLE:
        return ShardLines(read_lines(path, keep_cr=keep_cr), lambda: 0)
    with open_file(path) as file:
        if not path.is_file():
            raise DataError(f"{path} must be a file to be divided (shard={shard}), but is a pipe or a device")
        check_encoding(file.peek(NUM_MAGIC_BYTES), str(path))
        is_compressed = decompressed(file, file.peek(NUM_MAGIC_BYTES), name=str(path)) is not file
        size = os.fstat(file.fileno()).st_size
    if is_compressed:
        begin, end = shard.bounds(sum(1 for _ in read_lines(path)))
        return ShardLines(_slice(read_lines(path, keep_cr=keep_cr), begin, end), lambda: begin)
    begin, end = shard.bounds(size)
    count_before = partial(_count_lines_before, path, begin)
    lines = decoded(
        lambda: _raw_lines(path, begin, end),
        name=str(path),
        keep_cr=keep_cr,
        has_start=begin == 0,
        lines_before=count_before,
    )
    return ShardLines(lines, count_before)


def _slice(lines: Generator[str], begin: int, end: int) -> Generator[str]:
    with closing(lines):
        yield from itertools.islice(lines, begin, end)


def _raw_lines(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """Yield the lines that begin at bytes `begin` to `end` of a file."""
    with open_file(path) as file:
        position = _seek_line(file, begin)
        while position < end and (line := file.readline()):
            yield line
            position += len(line)


def _seek_line(file: io.BufferedReader, begin: int) -> int:
    """Go to the first line that begins at byte `begin` or later, and return where it begins."""
    if begin == 0:
        return 0
    file.seek(begin - 1)  # a line may begin exactly at `begin`
    file.readline()
    return file.tell()


def _count_lines_before(path: Path, begin: int) -> int:
    """Count the lines that begin before byte `begin`; they are read, so this is only for messages."""
    with open_file(path) as file:
        remaining, num_lines = _seek_line(file, begin), 0
        file.seek(0)
        while remaining and (chunk := file.read(min(remaining, _BUFFER_BYTES))):
            num_lines += chunk.count(b"\n")
            remaining -= len(chunk)
    return num_lines
