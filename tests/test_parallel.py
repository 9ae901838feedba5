import bz2
import gzip
import io
import logging
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.errors import DataError
from nmt.text.columns import Columns
from nmt.text.parallel import (
    ParallelFiles,
    SentencePair,
    TextFiles,
    check_files_exist,
    decode_lines,
    fingerprint_files,
    read_lines,
    read_pairs,
)
from tests.disks import write_file
from tests.models import aligned


def _read(path: Path) -> list[str]:
    return list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\n\ntwo\n\n", ["one", "", "", "two", ""]),
        (b" a \n\tb\n", [" a ", "\tb"]),
        ("a\u2028b\u2029c\u0085d\n".encode(), ["a\u2028b\u2029c\u0085d"]),
        (b"a\x0bb\x0cc\x1cd\n", ["a\x0bb\x0cc\x1cd"]),
        (b"one\r\ntwo\rthree\r\n", ["one", "two\rthree"]),  # a line end is "\n", or "\r\n"
        (b"\r\n\r\r\n\r", ["", "\r", ""]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", ["one", "\ufefftwo"]),
        ("Où est l'œuf ? 🥚\n".encode(), ["Où est l'œuf ? 🥚"]),
    ],
)
def test_only_a_line_feed_ends_a_line(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    assert _read(write_file(tmp_path / "plain", content)) == lines
    assert _read(write_file(tmp_path / "zipped", gzip.compress(content))) == lines
    assert list(decode_lines(io.BytesIO(content), name="stdin")) == lines


def test_the_cr_of_a_line_end_is_kept_on_request(tmp_path: Path) -> None:
    content, lines = b"one\r\ntwo\rthree\nfour\r", ["one\r", "two\rthree", "four\r"]
    assert list(read_lines(write_file(tmp_path / "a", content), keep_cr=True)) == lines
    assert list(decode_lines(io.BytesIO(content), name="stdin", keep_cr=True)) == lines


def test_gzip_is_recognized_by_content_not_by_name(tmp_path: Path) -> None:
    assert _read(write_file(tmp_path / "a.txt", gzip.compress(b"zipped\n"))) == ["zipped"]
    assert _read(write_file(tmp_path / "a.gz", b"plain\n")) == ["plain"]


def test_gzip_with_several_members_is_read_to_the_end(tmp_path: Path) -> None:
    assert _read(write_file(tmp_path / "a.gz", gzip.compress(b"one\nt") + gzip.compress(b"wo\n"))) == ["one", "two"]


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    lines = read_lines(write_file(tmp_path / "a", b"good\nbad \xff\n"))
    assert next(lines) == "good"
    lines.close()


def test_the_position_of_invalid_utf8_is_named(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.fr", "premier\ndeuxième\n".encode() + b"caf\xe9 noir\n")
    message = f"{path}, line 3, byte 4: must be UTF-8, but is 0xe9: convert the file first .*iconv"
    with pytest.raises(DataError, match=message):
        _read(path)
    with pytest.raises(DataError, match="stdin, line 1, byte 1: must be UTF-8, but is 0xff"):
        list(decode_lines(io.BytesIO(b"\xffa\n"), name="stdin"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_another_encoding_is_named_by_its_byte_order_mark(tmp_path: Path, encoding: str, compress: Any) -> None:
    name = encoding[:6].upper()
    message = rf"must be UTF-8, but its byte order mark says {name}: convert it first \(iconv -f {name} -t UTF-8\)"
    content = compress("\ufeffdeuxième\nligne\n".encode(encoding))
    with pytest.raises(DataError, match=message):
        _read(write_file(tmp_path / "a", content))
    with pytest.raises(DataError, match=f"stdin {message}"):
        list(decode_lines(io.BytesIO(content), name="stdin"))


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.en does not exist: check the path"):
        _read(tmp_path / "gone.en")
    with pytest.raises(DataError, match="must be a text file, but is a directory: name a file in it"):
        _read(tmp_path)
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        _read(write_file(tmp_path / "a", b"") / "b")


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"line %d\n" % n for n in range(1000)), mtime=0)
    with pytest.raises(DataError, match=r"cut\.gz is damaged or truncated \(.*\): copy or download"):
        _read(write_file(tmp_path / "cut.gz", whole[:-20]))
    with pytest.raises(DataError, match=r"bad\.gz is damaged or truncated \(.*\): copy or download"):
        _read(write_file(tmp_path / "bad.gz", whole[:10] + b"\xff" * 20))
    with pytest.raises(DataError, match=r"check\.gz is damaged or truncated"):
        _read(write_file(tmp_path / "check.gz", whole[:-8] + b"\0" * 8))


def test_a_stream_that_fails_is_an_error_of_one_line() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match="stdin cannot be read after line 0: Input/output error"):
        list(decode_lines(io.BufferedReader(Broken()), name="stdin"))


def test_pairs_come_from_all_files_in_order(tmp_path: Path) -> None:
    files = aligned(
        src=(write_file(tmp_path / "0.en", b"one\ntwo\n"), write_file(tmp_path / "1.en", gzip.compress(b"three"))),
        tgt=(write_file(tmp_path / "0.fr", b"un\n\n"), write_file(tmp_path / "1.fr", b"trois\n")),
    )
    assert list(read_pairs(files)) == [
        SentencePair("one", "un"),
        SentencePair("two", ""),
        SentencePair("three", "trois"),
    ]


def test_no_files_give_no_pairs() -> None:
    assert list(read_pairs(aligned((), ()))) == []


@pytest.mark.parametrize(
    ("english", "german", "message"),
    [
        (
            b"a\nb\n",
            b"a\nb\nc\n",
            "a.en ends at line 2, DIR/a.de continues: align them so that line n translates line n",
        ),
        (b"a\nb\n", b"a\n", "a.de ends at line 1, DIR/a.en continues: align them so that line n translates line n"),
        (b"a\n", b"", "a.de is empty, DIR/a.en is not: align them so that line n translates line n"),
        (b"", b"\n", "a.en is empty, DIR/a.de is not: align them so that line n translates line n"),
    ],
)
def test_files_of_unequal_length_are_refused(tmp_path: Path, english: bytes, german: bytes, message: str) -> None:
    files = aligned((write_file(tmp_path / "a.en", english),), (write_file(tmp_path / "a.de", german),))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/{message}".replace("DIR", str(tmp_path)))):
        list(read_pairs(files))


def test_every_file_needs_its_translation(tmp_path: Path) -> None:
    files = aligned((tmp_path / "a.en", tmp_path / "b.en"), ())
    with pytest.raises(
        DataError, match=r"same number of files, but have 2 \(.*a\.en, .*b\.en\) and 0 \(none\): name for"
    ):
        list(read_pairs(files))


def test_an_error_on_one_side_closes_both_files(tmp_path: Path) -> None:
    # an open file would be a ResourceWarning, and warnings are errors here
    files = aligned((write_file(tmp_path / "a", b"\xff\n"),), (write_file(tmp_path / "b", b"b\nb\n"),))
    with pytest.raises(DataError, match="must be UTF-8"):
        list(read_pairs(files))


def test_the_fingerprint_is_of_the_contents_and_their_boundaries(tmp_path: Path) -> None:
    ab, cd, abcd = (write_file(tmp_path / name, name.encode()) for name in ("ab", "cd", "abcd"))
    empty, twin = write_file(tmp_path / "empty", b""), write_file(tmp_path / "twin", b"ab")
    different = [
        aligned((ab,), (cd,)),
        aligned((cd,), (ab,)),
        aligned((ab, cd), ()),
        aligned((), (ab, cd)),
        aligned((abcd,), ()),
        aligned((abcd,), (empty,)),
        aligned((), ()),
    ]
    fingerprints = [fingerprint_files(files).sha256 for files in different]
    assert len(set(fingerprints)) == len(different)
    assert all(re.fullmatch("[0-9a-f]{64}", fingerprint) for fingerprint in fingerprints)
    assert fingerprint_files(aligned((twin,), (cd,))).sha256 == fingerprints[0]
    with pytest.raises(DataError, match="gone does not exist"):
        fingerprint_files(aligned((tmp_path / "gone",), ()))


def test_a_fingerprint_needs_files_that_can_be_read_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/dev/null must be a file, since it is read more than once, but is a pipe or"):
        fingerprint_files(aligned((Path("/dev/null"),), ()))
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # opening it for reading would wait for a writer
    with pytest.raises(DataError, match="pipe must be a file, since it is read more than once"):
        fingerprint_files(aligned((tmp_path / "pipe",), ()))
    os.close(writer)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a line more": lambda content: content + b"more\n",
    "another byte": lambda content: content.replace(b"9", b"8"),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("change", ["a line more", "another byte", "padding"])
def test_text_that_has_changed_since_its_fingerprint_is_noticed(tmp_path: Path, compress: Any, change: str) -> None:
    lines = b"".join(b"%d\n" % n for n in range(1000))
    src, tgt = write_file(tmp_path / "src", compress(lines)), write_file(tmp_path / "tgt", compress(lines))
    files = aligned((src,), (tgt,))
    checksums = fingerprint_files(files).checksums
    assert len(list(read_pairs(files, checksums=checksums))) == 1000
    for path in (src, tgt):
        before = path.read_bytes()
        # bytes that decompressors ignore are part of the file, too
        path.write_bytes(before + b"\0" if change == "padding" else compress(CHANGES[change](lines)))
        message = (
            rf"{path.name} changed while it was being read: start again when nothing writes to it|continues: align"
        )
        with pytest.raises(DataError, match=message):
            list(read_pairs(files, checksums=checksums))
        with pytest.raises(DataError, match=f"{path.name} changed while it was being read"):
            list(read_lines(path, checksum=checksums[path]))
        path.write_bytes(before)


@pytest.mark.parametrize("checked", [True, False])
def test_a_file_of_columns_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, checked: bool) -> None:
    src = write_file(tmp_path / "src", b"1\ta\tA\n2\tb\n\n")
    tgt = write_file(tmp_path / "tgt", b"a\tb\nc\td\ne\nf\n")  # tabs in half of the lines: may be text
    short = write_file(tmp_path / "short", b"a\nb\nc\n")
    for files in (aligned((src,), (short,)), aligned((tgt,), (tgt,))):
        with caplog.at_level(logging.WARNING):
            list(read_pairs(files, checksums=fingerprint_files(files).checksums if checked else None))
    assert caplog.messages == (
        [f"{src}: 2 of 3 lines contain tabs, which are read as text: if these are columns, use data=tsv"]
        if checked
        else []
    )


@pytest.mark.parametrize("checked", [True, False])
def test_lines_with_nul_bytes_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, checked: bool) -> None:
    src = write_file(tmp_path / "src", b"a\nb\0c\nd\0\n\n\0\n")
    tgt = write_file(tmp_path / "tgt", gzip.compress(b"a\n\n\n\n\0\n"))
    files = aligned((src,), (tgt,))
    with caplog.at_level(logging.WARNING):
        list(read_pairs(files, checksums=fingerprint_files(files).checksums if checked else None))
    of_text = "of text with NUL bytes, the first is line"
    end = ": is it damaged, or in another encoding?"
    assert caplog.messages == (
        [f"{src}: 3 lines {of_text} 2{end}", f"{tgt}: 1 line {of_text} 5{end}"] if checked else []
    )


def _columns(*paths: Path, features: tuple[int, ...] = (), src: int = 1, tgt: int = 2) -> ParallelFiles:
    return ParallelFiles(TextFiles(paths, Columns(src, features)), TextFiles(paths, Columns(tgt)))


def test_both_sides_may_be_columns_of_the_same_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = write_file(tmp_path / "a.tsv", b"run\tran\tV;PST\r\nhouse\thouses\tN;PL\r\n")
    files = _columns(plain, write_file(tmp_path / "b.tsv", gzip.compress(b"ox\toxen\t\n")), features=(3,))
    with caplog.at_level(logging.WARNING):
        pairs = list(read_pairs(files, checksums=fingerprint_files(files).checksums))
    assert pairs == [
        SentencePair("<V> <PST> run", "ran"),
        SentencePair("<N> <PL> house", "houses"),
        SentencePair("ox", "oxen"),
    ]
    assert files.src.symbols({}) == ["<N>", "<PL>", "<PST>", "<V>"]
    assert files.tgt.symbols({}) == []
    assert list(files.tgt.lines({})) == ["ran", "houses", "oxen"]
    assert caplog.messages == []  # of tabs


def test_the_fingerprint_is_of_the_columns_too(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.tsv", b"a\tb\tc\n")
    different = [
        _columns(path),
        _columns(path, src=2, tgt=1),
        _columns(path, tgt=3),
        _columns(path, features=(3,)),
        _columns(path, path),
        aligned((path,), (path,)),
    ]
    assert len({fingerprint_files(files).sha256 for files in different}) == len(different)
    twin = write_file(tmp_path / "twin.tsv", b"a\tb\tc\n")
    assert fingerprint_files(_columns(twin)).sha256 == fingerprint_files(_columns(path)).sha256


def test_columns_that_have_changed_since_their_fingerprint_are_noticed(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.tsv", b"a\tb\tV\n")
    files = _columns(path, features=(3,))
    checksums = fingerprint_files(files).checksums
    path.write_bytes(b"a\tb\tN\n")
    for read in (
        lambda: list(read_pairs(files, checksums=checksums)),
        lambda: list(files.src.lines(checksums)),
        lambda: files.src.symbols(checksums),
    ):
        with pytest.raises(DataError, match=r"a\.tsv changed while it was being read"):
            read()


def test_a_line_without_the_target_column_is_named(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.tsv", b"a\tb\n\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2: must have at least 2 fields separated by tabs, but has 1"):
        list(read_pairs(_columns(path)))
    with pytest.raises(DataError, match=r"gone\.tsv does not exist"):
        check_files_exist([_columns(tmp_path / "gone.tsv")])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="a list of the open files")
def test_a_file_with_too_few_fields_is_closed_at_once(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.tsv", b"a\n")
    files = _columns(path, features=(3,))
    reads: list[Callable[[], object]] = [lambda: list(files.src.lines({})), lambda: files.src.symbols({})]
    for read in reads:
        with pytest.raises(DataError) as raised:  # whose traceback keeps the frames that read
            read()
        assert path not in [link.resolve() for link in Path("/proc/self/fd").iterdir()], raised
