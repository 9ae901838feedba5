"""Files are written here byte by byte, as word2vec and GloVe write them."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest

from nmt.choices import VectorFormat
from nmt.errors import DataError
from nmt.text import word_vector_file
from nmt.text.word_vector_file import read_dim, read_vectors, write_vectors
from nmt.text.word_vectors import WordVectors

WORDS = ["the", "▁Straße", "12"]
VALUES = np.array([[0.5, -1.25, 3], [1e-7, 0.1, 2], [0, 1, -1]], np.float32)

TEXT = "3 3\nthe 0.5 -1.25 3\n▁Straße 1e-07 0.1 2.0\n12 0 1 -1\n".encode()
GLOVE = TEXT.partition(b"\n")[2]
ROWS = [word.encode() + b" " + struct.pack("<3f", *row) for word, row in zip(WORDS, VALUES.tolist(), strict=True)]
FORMS = {
    "word2vec, text": TEXT,
    "word2vec, text of fastText, with spaces before line ends": TEXT.replace(b"\n", b" \n").replace(b"3 3 ", b"3 3", 1),
    "word2vec, binary": b"3 3\n" + b"".join(ROWS),
    "word2vec, binary of the original tool": b"3 3\n" + b"".join(row + b"\n" for row in ROWS),
    "GloVe": GLOVE,
    "GloVe without the last line end": GLOVE.rstrip(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_every_form_is_recognized_and_read(form: str, *, is_compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("vectors.gz" if is_compressed else "vectors")
    path.write_bytes(gzip.compress(FORMS[form]) if is_compressed else FORMS[form])
    vectors = read_vectors(path)
    assert vectors.words == WORDS
    assert vectors.values.dtype == np.float32
    assert np.array_equal(vectors.values, VALUES)
    assert read_dim(path) == 3


@pytest.mark.parametrize("form", VectorFormat)
def test_what_is_written_is_read_again_exactly(form: VectorFormat, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32) ** 9  # of very different sizes
    words = [f"▁wört{number}" for number in range(50)]
    with (tmp_path / "a").open("wb") as stream:
        write_vectors(WordVectors(words, values, "a"), stream, form)
    read = read_vectors(tmp_path / "a")
    assert read.words == words
    assert np.array_equal(read.values, values)


def test_the_forms_that_are_written_are_word2vecs() -> None:
    def written(form: VectorFormat) -> bytes:
        stream = io.BytesIO()
        write_vectors(WordVectors(WORDS, VALUES, "a"), stream, form)
        return stream.getvalue()

    assert written(VectorFormat.binary) == FORMS["word2vec, binary of the original tool"]
    assert written(VectorFormat.text) == ("3 3\nthe 0.5 -1.25 3.0\n▁Straße 1e-07 0.1 2.0\n12 0.0 1.0 -1.0\n".encode())


def test_the_first_vector_of_a_word_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a 1 2\nb 3 4\na 5 6\n")
    vectors = read_vectors(tmp_path / "a")
    assert (vectors.words, vectors.values.tolist()) == (["a", "b"], [[1, 2], [3, 4]])


def test_a_word_that_was_cut_between_two_bytes_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"2 1\na\xc3 1\nb 2\n")
    assert read_vectors(tmp_path / "a").words == ["a�", "b"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its first two lines are something else"),
        (b"0 3\n", "its first two lines are something else"),
        (b"two words\nof prose\n", "its first two lines are something else"),
        (b"2 3\na 1 2\nb 1 2\n", "its first two lines are something else"),
        (b"3 2\na 1 2\nb 1 2\n", "it must hold 3 vectors, but ends after 2"),
        (b"a 1 2 3\nc 1 2 3\nb 1 2\n", "the vector of 'b' must be 3 finite numbers"),
        (b"a 1 2 3\nc 1 2 3\nb 1\n", "the vector of 'b' must be 3 finite numbers"),
        (b"a 1 2\nc 1 2\nb d 1\n", "could not convert"),
        (b"2 1\na 1\nb nan\n", "the vector of 'b' must be 1 finite numbers"),
        (FORMS["word2vec, binary"][:-1], "it must hold 3 vectors, but ends after 2"),
        (gzip.compress(TEXT, mtime=0)[:-12], "ended before the end-of-stream"),
    ],
)
def test_other_and_damaged_files_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.gz" if content.startswith(b"\x1f\x8b") else "a")
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path} must be a file of word vectors \(.* as one \(.*({reason})"):
        read_vectors(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for read in (read_dim, read_vectors):
        with pytest.raises(DataError, match=r"nothing must be .* \(No such file or directory\): check the path"):
            read(tmp_path / "nothing")
        with pytest.raises(DataError, match=r"must be a file of word vectors .*\(Is a directory\)"):
            read(tmp_path)


def test_only_the_wanted_words_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a 1 2\n. 3 4\n. . not parsed\nb 5 6\n")
    vectors = read_vectors(tmp_path / "a", only={"b", ".", "c"})
    assert (vectors.words, vectors.values.tolist()) == ([".", "b"], [[3, 4], [5, 6]])
    assert read_vectors(tmp_path / "a", only={"c"}).values.shape == (0, 2)


def test_what_follows_the_last_word_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"2 1\na 1\nb 2\nc 3\n")
    assert read_vectors(tmp_path / "a").words == ["a", "b"]


def test_vectors_may_be_longer_than_what_is_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vector_file, "_CHUNK_BYTES", 5)
    (tmp_path / "a").write_bytes(FORMS["word2vec, binary"])
    vectors = read_vectors(tmp_path / "a")
    assert (vectors.words, vectors.values.tolist()) == (WORDS, VALUES.tolist())


# gensim does not close a file of GloVe, which is an error in these tests
@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith("word2vec")])
def test_gensim_reads_the_same(form: str, tmp_path: Path) -> None:
    from gensim.models import KeyedVectors

    (tmp_path / "a").write_bytes(FORMS[form])
    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "a"), binary="binary" in form)
    ours = read_vectors(tmp_path / "a")
    assert ours.words == theirs.index_to_key
    assert np.array_equal(ours.values, theirs.vectors)
