"""Compressed text is text; damaged files and archives are recognized."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from nmt.errors import DataError
from nmt.text.parallel import decode_lines, read_lines
from tests.disks import write_file

Compress = Callable[[bytes], bytes]

LINES = [f"line {n * n % 1009} été" for n in range(30_000)]
CONTENT = "".join(f"{line}\n" for line in LINES).encode()
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def zstd_like(content: bytes) -> bytes:
    """Imitate zstd: its magic number, then data with an end marker."""
    return ZSTD_MAGIC + zlib.compress(content)


class FakeError(Exception):
    pass


class FakeDecompressor:
    """Decompresses `zstd_like` like the libraries of zstd."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj()
        self._magic = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes) -> bytes:
        wanted = len(ZSTD_MAGIC) - len(self._magic)
        self._magic += data[:wanted]
        if not ZSTD_MAGIC.startswith(self._magic):
            raise FakeError("Unknown frame descriptor")
        try:
            return self._zlib.decompress(data[wanted:])
        except zlib.error as error:
            raise FakeError(str(error)) from None


def install_zstd(monkeypatch: pytest.MonkeyPatch, library: str | None) -> None:
    """Install one of the two libraries, or none."""
    modules: dict[str, ModuleType | None] = dict.fromkeys(("compression", "compression.zstd", "zstandard"))
    if library is not None:
        module = ModuleType(library)
        decompressor: object = FakeDecompressor
        if library == "zstandard":
            decompressor = lambda: SimpleNamespace(decompressobj=FakeDecompressor)  # noqa: E731
        vars(module).update(ZstdDecompressor=decompressor, ZstdError=FakeError)
        modules[library] = module
        if library == "compression.zstd":
            modules["compression"] = ModuleType("compression")
    for name, module_or_none in modules.items():
        monkeypatch.setitem(sys.modules, name, module_or_none)


KINDS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstandard": zstd_like,
    "compression.zstd": zstd_like,
}


@pytest.fixture(params=KINDS)
def compress(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Compress:
    name: str = request.param
    install_zstd(monkeypatch, name if "zst" in name else None)
    return KINDS[name]


def test_compressed_text_is_text_from_files_and_pipes(tmp_path: Path, compress: Compress) -> None:
    content = compress(CONTENT)
    assert list(read_lines(write_file(tmp_path / "text", content))) == LINES
    assert list(decode_lines(io.BytesIO(content), name="stdin")) == LINES
    assert list(read_lines(write_file(tmp_path / "text", compress(b"")))) == []


def test_concatenated_streams_are_read_to_the_end(tmp_path: Path, compress: Compress) -> None:
    content = compress(b"one\nt") + compress(b"") + compress(b"wo\n") + b"\0" * 8  # padding, as on a tape
    assert list(read_lines(write_file(tmp_path / "text", content))) == ["one", "two"]


def test_truncated_or_damaged_compressed_text_is_one_line(tmp_path: Path, compress: Compress) -> None:
    whole = compress(CONTENT)
    middle = len(whole) // 2
    cases = {
        "cut": whole[:-20],
        "begun": whole[:12],
        "second_cut": whole + whole[:-20],
        "followed": whole + b"something else",
        "changed": whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 50]) + whole[middle + 50 :],
    }
    for name, content in cases.items():
        message = rf"{name} is damaged or truncated( after line [1-9]\d*)? \(.+\): copy or download it again"
        with pytest.raises(DataError, match=message):
            list(read_lines(write_file(tmp_path / name, content)))


def test_the_position_of_invalid_utf8_in_compressed_text_is_named(tmp_path: Path, compress: Compress) -> None:
    with pytest.raises(DataError, match="text, line 2, byte 4: must be UTF-8, but is 0xe9"):
        list(read_lines(write_file(tmp_path / "text", compress(b"un\ncaf\xe9\n"))))


def test_an_archive_is_refused_with_advice(tmp_path: Path) -> None:
    for name, members in (("a.zip", ["text"]), ("empty.zip", [])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "one\n")
    write_file(tmp_path / "a.7z", b"7z\xbc\xaf\x27\x1c\0\4")
    for name, message in (
        ("a.zip", r"a\.zip must be text, but is a zip archive: unpack it first \(unzip -p ARCHIVE NAME > TEXT\)"),
        ("empty.zip", r"empty\.zip must be text, but is an empty zip archive"),
        ("a.7z", r"a\.7z must be text, but is a 7z archive: unpack it first \(7z e -so ARCHIVE NAME > TEXT\)"),
    ):
        with pytest.raises(DataError, match=message):
            list(read_lines(tmp_path / name))


def test_without_a_library_for_zstd_one_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_zstd(monkeypatch, None)
    message = (
        r"text is compressed by zstd, which this Python does not read: pip install zstandard, "
        r"or unpack it first \(zstd -d\)"
    )
    with pytest.raises(DataError, match=message):
        list(read_lines(write_file(tmp_path / "text", zstd_like(b"one\n"))))


def test_zstd_is_read_by_the_library_that_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    # what `zstd` makes of "one\ntwo\n"
    frame = bytes.fromhex("28b52ffd04584100006f6e650a74776f0ae6a60e40")
    assert list(read_lines(write_file(tmp_path / "text", frame + frame))) == ["one", "two"] * 2
    with pytest.raises(DataError, match="is damaged or truncated after line 2"):
        list(read_lines(write_file(tmp_path / "text", frame[:-1])))
