from __future__ import annotations

import gzip
import itertools
import os
import random
from typing import TYPE_CHECKING

import pytest

from nmt.errors import ConfigError, DataError
from nmt.text.parallel import read_lines
from nmt.text.shard import Shard, parse_shard, read_shard
from tests.disks import write_file

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    b"",
    b"\n",
    b"one",
    b"one\n",
    b"one\ntwo\nthree",
    b"\n\n\nsix\n\nx\n",
    b"a line that is longer than all the others together, so that many shards begin in it\nb\n\nc\r\nd",
    b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n",
    "œuf\u2028œuf\n🥚🥚\n".encode(),
    b"x\nBZh looks compressed\nPK\x03\x04 looks like an archive\n",
]


def random_text(seed: int) -> bytes:
    numbers = random.Random(seed)
    return b"".join(b"x" * numbers.choice([0, 1, 5, 40]) + b"\n" for _ in range(30))


@pytest.mark.parametrize("text", [*TEXTS, *map(random_text, range(5))])
def test_shards_have_each_line_once_and_in_order(tmp_path: Path, text: bytes) -> None:
    plain, zipped = write_file(tmp_path / "plain", text), write_file(tmp_path / "zipped", gzip.compress(text))
    for path in (plain, zipped):
        whole = list(read_lines(path, keep_cr=True))
        for count in (1, 2, 3, 7, 50):
            shards = [read_shard(path, Shard(number, count), keep_cr=True) for number in range(1, count + 1)]
            parts = [list(part.lines) for part in shards]
            assert list(itertools.chain(*parts)) == whole
            before = [part.lines_before() for part in shards]
            assert all(before[k] == sum(map(len, parts[:k])) for k in range(count) if parts[k]), (
                "lines before a shard that is not empty"
            )


def test_a_line_belongs_to_the_shard_in_which_it_begins(tmp_path: Path) -> None:
    path = write_file(tmp_path / "text", b"abc\ndefgh\nij\n")  # 13 bytes; the lines begin at 0, 4 and 10
    shards = [list(read_shard(path, Shard(number, 13)).lines) for number in range(1, 14)]
    assert {begin: lines for begin, lines in enumerate(shards) if lines} == {0: ["abc"], 4: ["defgh"], 10: ["ij"]}


def test_shards_of_a_shard_are_its_lines(tmp_path: Path) -> None:
    path = write_file(tmp_path / "text", random_text(1))
    for shard in (Shard(1, 3), Shard(2, 3), Shard(3, 3)):
        parts = [list(read_shard(path, shard.part(number, 4)).lines) for number in (1, 2, 3, 4)]
        assert list(itertools.chain(*parts)) == list(read_shard(path, shard).lines)


def test_only_the_lines_of_the_shard_are_read(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with path.open("wb") as file:  # almost all of it is a hole
        file.truncate(1 << 36)
        file.seek(0, os.SEEK_END)
        file.write(b"\none\ntwo\n")
    assert list(read_shard(path, Shard(1 << 33, 1 << 33)).lines) == ["one", "two"]


def test_errors_give_the_line_of_the_whole_file(tmp_path: Path) -> None:
    for content in (b"one\n" * 10 + b"\xff\n", gzip.compress(b"one\n" * 10 + b"\xff\n")):
        path = write_file(tmp_path / "text", content)
        with pytest.raises(DataError, match=rf"^{path}, line 11, byte 1: must be UTF-8, but is 0xff"):
            list(read_shard(path, Shard(3, 3)).lines)


def test_every_shard_of_another_encoding_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path / "text", "one\ntwo\n".encode("utf-16"))
    with pytest.raises(DataError, match="must be UTF-8, but its byte order mark says UTF-16"):
        read_shard(path, Shard(2, 2))


def test_a_pipe_is_not_divided(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    with pytest.raises(DataError, match=rf"^{pipe} must be a file to be divided \(shard=1/2\), but is a pipe"):
        read_shard(pipe, Shard(1, 2))
    os.close(descriptor)


def test_shards_are_written_as_numbers() -> None:
    assert parse_shard("2/8") == Shard(2, 8)
    assert str(Shard(2, 8)) == "2/8"


@pytest.mark.parametrize("text", ["", "2", "0/8", "9/8", "1/0", "-1/8", "1/2/3", "1 / 2", "²/3", "1/9999999999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^shard must be I/N with I from 1 to N, such as 2/8, but is '"):
        parse_shard(text)
