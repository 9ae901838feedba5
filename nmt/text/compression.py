"""Decompression of streams, recognized by their first bytes.

Python's standard library reads gzip, bzip2 and xz, and zstd from Python 3.14 on; before, the package `zstandard` does.
"""

import bz2
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from nmt.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

NUM_MAGIC_BYTES = 6
_BUFFER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 14
_ARCHIVES = {
    b"PK\x03\x04": ("a zip archive", "unzip -p ARCHIVE NAME > TEXT"),
    b"PK\x05\x06": ("an empty zip archive", "unzip -p ARCHIVE NAME > TEXT"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z e -so ARCHIVE NAME > TEXT"),
}


class _Decompressor(Protocol):
    """Decompresses one stream of a file, chunk by chunk."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class DamagedError(Exception):
    """Compressed data is invalid."""


# Errors of damaged data; an OSError without an errno is another.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, DamagedError)


def decompressed(stream: io.BufferedReader, magic: bytes, *, name: str) -> BinaryIO:
    """Return a stream of the decompressed contents of `stream`; `stream` itself if it is not compressed.

    Args:
        magic: the first bytes, which must still be in the stream.
        name: for messages.

    Raises:
        DataError: if it is an archive of several files, or zstd without an installed library that reads it.
    """
    for archive, (kind, command) in _ARCHIVES.items():
        if magic.startswith(archive):
            raise DataError(f"{name} must be text, but is {kind}: unpack it first ({command})")
    if magic.startswith(b"\x1f\x8b"):
        # the line iterator of GzipFile is slow: read large blocks
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER_BYTES)
    new_decompressor: Callable[[], _Decompressor]
    if magic.startswith(b"BZh"):
        new_decompressor = bz2.BZ2Decompressor
    elif magic.startswith(b"\xfd7zXZ\0"):
        new_decompressor = lzma.LZMADecompressor
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        new_decompressor = _zstd_decompressor(name)
    else:
        return stream
    return io.BufferedReader(_Decompressed(stream, new_decompressor), _BUFFER_BYTES)


def _zstd_decompressor(name: str) -> Callable[[], _Decompressor]:
    for module_name in ("compression.zstd", "zstandard"):
        try:
            module: Any = importlib.import_module(module_name)
        except ImportError:
            continue
        if module_name == "zstandard":
            return lambda: _Zstd(module.ZstdDecompressor().decompressobj(), module.ZstdError)
        return lambda: _Zstd(module.ZstdDecompressor(), module.ZstdError)
    raise DataError(
        f"{name} is compressed by zstd, which this Python does not read: pip install zstandard, "
        "or unpack it first (zstd -d)"
    )


class _Zstd:
    """A decompressor of either library, which raises our error."""

    def __init__(self, inner: _Decompressor, error: type[Exception]) -> None:
        self._inner = inner
        self._error = error

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, /) -> bytes:
        try:
            return self._inner.decompress(data)
        except self._error as error:
            raise DamagedError(str(error)) from None


class _Decompressed(io.RawIOBase):
    """The contents of a compressed file: any number of streams, one after the other, and zero padding between them.

    The readers of `bz2` and `lzma` treat anything after the first stream as padding, and that of `zstandard` does not
    notice a truncated file.
    """

    def __init__(self, file: BinaryIO, new_decompressor: Callable[[], _Decompressor]) -> None:
        self._chunks = _plain_chunks(file, new_decompressor)
        self._plain = memoryview(b"")  # decompressed, but not returned yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        while not self._plain and (chunk := next(self._chunks, None)) is not None:
            self._plain = memoryview(chunk)
        target = memoryview(buffer).cast("B")
        num_bytes = min(len(target), len(self._plain))
        target[:num_bytes] = self._plain[:num_bytes]
        self._plain = self._plain[num_bytes:]
        return num_bytes


def _plain_chunks(file: BinaryIO, new_decompressor: Callable[[], _Decompressor]) -> Iterator[bytes]:
    decompressor: _Decompressor | None = None
    data = b""
    while data or (data := file.read(_CHUNK_BYTES)):
        if decompressor is None:
            data = data.lstrip(b"\0")
            if not data:
                continue
            decompressor = new_decompressor()
        yield decompressor.decompress(data)
        data = b""
        if decompressor.eof:
            data, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise EOFError("compressed data ends too early")
