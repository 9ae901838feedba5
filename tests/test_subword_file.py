"""The file of a subword model."""

from pathlib import Path

import pytest

from nmt.errors import DataError
from nmt.text.subword import SubwordModel
from tests.test_subword import SPEC, _learn


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(b"old")
    _learn().save(path)
    assert SubwordModel.load(path).vocab_size == SPEC.vocab_size


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Just a line of text.\n",
        b"\x1f\x8b\x08\x00 not a model",
        b'{"format": "nmt-subword"',
        b'{"format": "nmt-subword", "version": 1}\n',
        b'{"format": "nmt-subword", "version": 1, "kind": "bpe", "tokenizer": "none", "lang": "en"}\n',
        b'{"format": "nmt-subword", "version": 1, "kind": "bpe", "tokenizer": "none", "lang": "en"}\nabc',
    ],
)
def test_anything_but_a_subword_model_is_refused(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(content)
    message = r"a\.subword must be a subword model \(of nmt or of SentencePiece\), but is damaged or something else$"
    with pytest.raises(DataError, match=message):
        SubwordModel.load(path)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    _learn().save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="but is damaged or something else"):
        SubwordModel.load(path)


def test_a_model_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(b'{"format": "nmt-subword", "version": 9}\n')
    message = r"a\.subword is a subword model of format 9, but this nmt reads up to format 3: prepare the data again"
    with pytest.raises(DataError, match=message):
        SubwordModel.load(path)
