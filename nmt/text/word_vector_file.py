"""Files of word vectors: word2vec's text and binary form, and GloVe's text.

    word2vec, text      a line with the numbers of words and dimensions, then a line per word: the word and its values
    word2vec, binary    the same first line, then per word its text, a space and the values as float32
    GloVe, text         word2vec's text without the first line

The form is recognized by the first two lines. Files may be compressed.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.choices import VectorFormat
from nmt.errors import DataError
from nmt.text.compression import DAMAGED, NUM_MAGIC_BYTES, decompressed
from nmt.text.word_vectors import WordVectors

_LONGEST_LINE = 1 << 20
_CHUNK_BYTES = 1 << 20
_FLOAT = np.dtype("<f4")


def read_dim(path: Path) -> int:
    """Return the size of the vectors of a file from its first two lines.

    Raises:
        DataError: if the file cannot be read, or holds no word vectors.
    """
    with _opened(path) as stream:
        return _recognize(stream.readline(_LONGEST_LINE), stream.readline(_LONGEST_LINE)).dim


def read_vectors(path: Path, *, only: Collection[str] | None = None) -> WordVectors:
    """Read a file of word vectors; of a word that occurs twice, the first vector counts.

    Args:
        only: the words to read, None for all. Other vectors take neither time nor memory.

    Raises:
        DataError: if the file cannot be read, or is damaged.
    """
    with _opened(path) as stream:
        form = _recognize(stream.readline(_LONGEST_LINE), stream.readline(_LONGEST_LINE))
    found: dict[str, NDArray[np.float32]] = {}
    with _opened(path) as stream:
        for word_bytes, content in _rows(stream, form):
            # "replace", since word2vec's own tool cuts long words between two bytes of a character
            word = word_bytes.decode("utf-8", "replace")
            if word not in found and (only is None or word in only):
                values = np.frombuffer(content, _FLOAT) if form.is_binary else np.array(content.split(), _FLOAT)
                if len(values) != form.dim or not np.isfinite(values).all():
                    raise ValueError(f"the vector of {word!r} must be {form.dim} finite numbers")
                found[word] = values
    return WordVectors(list(found), np.array(list(found.values()), np.float32).reshape(-1, form.dim), str(path))


def write_vectors(vectors: WordVectors, stream: BinaryIO, form: VectorFormat) -> None:
    """Write vectors in one of word2vec's forms; both hold the exact values."""
    num_words, dim = vectors.values.shape
    stream.write(f"{num_words} {dim}\n".encode())
    for word, values in zip(vectors.words, vectors.values, strict=True):
        if form == VectorFormat.binary:
            stream.write(f"{word} ".encode() + values.astype(_FLOAT).tobytes() + b"\n")
        else:
            stream.write(f"{word} {' '.join(values.astype(str))}\n".encode())


class _Form(NamedTuple):
    """The form of a file; `num_words` is None if no first line says it."""

    num_words: int | None
    dim: int
    is_binary: bool


def _recognize(first: bytes, second: bytes) -> _Form:
    """Recognize the form of a file by its first two lines.

    Raises:
        ValueError: if it has none.
    """
    header = re.fullmatch(rb"(\d{1,10}) (\d{1,6})\s*", first)
    form = _Form(None, _num_values(first), is_binary=False)
    if header is not None:
        form = _Form(int(header[1]), int(header[2]), is_binary=_num_values(second) == 0)
    if form.dim == 0 or not second or not (form.is_binary or _num_values(second) == form.dim):
        raise ValueError("its first two lines are something else")
    return form


def _num_values(line: bytes) -> int:
    """Count the numbers after a word; 0 if the line is something else."""
    _, *values = line.decode("utf-8", "replace").rstrip().split(" ")
    try:
        return len([float(value) for value in values])
    except ValueError:
        return 0


def _rows(stream: BinaryIO, form: _Form) -> Iterator[tuple[bytes, bytes]]:
    """Yield each word and its values, text or float32.

    Raises:
        ValueError: if the file ends before the last word.
    """
    if form.num_words is not None:
        stream.readline(_LONGEST_LINE)
    number = 0
    for row in _binary_rows(stream, form.dim) if form.is_binary else _text_rows(stream):
        if number == form.num_words:
            return
        yield row
        number += 1
    if form.num_words is not None and number < form.num_words:
        raise ValueError(f"it must hold {form.num_words:,} vectors, but ends after {number:,}")


def _text_rows(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for line in stream:
        word, _, values = line.partition(b" ")
        yield word, values


def _binary_rows(stream: BinaryIO, dim: int) -> Iterator[tuple[bytes, bytes]]:
    num_bytes = dim * _FLOAT.itemsize
    buffer, begin = b"", 0
    while True:
        space = buffer.find(b" ", begin)
        end = space + 1 + num_bytes
        if space >= 0 and end <= len(buffer):
            yield buffer[begin:space].lstrip(b"\n"), buffer[space + 1 : end]  # some tools end a vector with a line end
            begin = end
        elif chunk := stream.read(_CHUNK_BYTES):
            buffer, begin = buffer[begin:] + chunk, 0
        else:
            return


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and explain errors in reading it.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield decompressed(file, file.peek(NUM_MAGIC_BYTES)[:NUM_MAGIC_BYTES], name=str(path))
    except (OSError, ValueError, *DAMAGED) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(
            f"{path} must be a file of word vectors (word2vec's text or binary form, or GloVe's text), but cannot be "
            f"read as one ({' '.join(str(reason).split())}): check the path, or download it again"
        ) from error
