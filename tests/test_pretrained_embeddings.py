from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nmt.choices import FrozenEmbeddings, Side
from nmt.config import TrainingConfig
from nmt.errors import ConfigError, DataError
from nmt.text.subword import SPECIALS
from nmt.text.word_vectors import WordVectors
from nmt.training import pretrained_embeddings
from nmt.training.pretrained_embeddings import (
    Coverage,
    check_vector_files,
    embedding_of,
    freeze_embeddings,
    load_embeddings,
    match_subwords,
    measure_coverage,
)
from tests.models import MODEL, corpus_of, tiny_model, tiny_subword
from tests.test_trainer import TRAINING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUBWORD = tiny_subword()  # the specials, "▁" and the ten digits
SUBWORDS = {Side.src: SUBWORD, Side.tgt: SUBWORD}
PIECES = [*SPECIALS, "▁the", "▁house", "s", "▁", "▁s"]


def vectors_of(words: Sequence[str]) -> WordVectors:
    return WordVectors(words, np.arange(len(words), dtype=np.float32)[:, None], "a.vec")


def found(words: Sequence[str], pieces: Sequence[str] = PIECES) -> list[str | None]:
    """The word that each subword takes its vector from."""
    return [None if row < 0 else words[row] for row in match_subwords(pieces, vectors_of(words)).tolist()]


# Which subword takes which vector


def test_a_file_of_subwords_has_them_as_they_are_written() -> None:
    words = ["s", "▁the", "▁s", "</s>", "house", "▁"]
    assert found(words) == [None, None, None, "</s>", "▁the", None, "s", "▁", "▁s"]


def test_in_a_file_of_words_a_subword_that_begins_a_word_has_its_vector() -> None:
    words = ["the", "house", "s", "unrelated", "</s>"]
    assert found(words) == [None, None, None, None, "the", "house", None, None, "s"]


def test_a_few_marks_do_not_make_a_file_of_words_one_of_subwords() -> None:
    assert found(["the", "house", "▁the", "▁"])[4:6] == ["the", "house"]


def test_single_characters_are_found_as_they_are_written() -> None:
    pieces = [*SPECIALS, "▁", "a", "é"]
    assert found(["é", "a", "b"], pieces)[4:] == [None, "a", "é"]


def test_an_empty_word_is_no_subword() -> None:
    assert found(["", "the"])[3:] == [None, "the", None, None, None, None]


# Coverage


def test_coverage_counts_subwords_and_tokens() -> None:
    rows = np.array([-1, -1, -1, 0, 2, -1, 1])
    ids = np.array([4, 5, 4, 6, 5, 5, 4, 1], np.uint16)  # 3 × 4 and 1 × 6 of eight
    assert measure_coverage(rows, ids) == Coverage(num_found=3, num_subwords=7, token_share=0.5)


def test_coverage_is_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained_embeddings, "_TOKENS_AT_ONCE", 3)
    assert measure_coverage(np.array([-1, 0]), np.array([1, 1, 1, 0, 0, 1, 1, 1], np.uint32)).token_share == 0.75


# Embeddings of a model


def settings(src: Path | None = None, *, tgt: Path | None = None) -> TrainingConfig:
    src_name, tgt_name = (None if path is None else str(path) for path in (src, tgt))
    return replace(TRAINING, src_embeddings=src_name, tgt_embeddings=tgt_name)


@pytest.fixture
def digit_file(tmp_path: Path) -> Path:
    """Vectors of the subwords 1 and 7, and of one that is not in the vocabulary."""
    (tmp_path / "digits.vec").write_text("3 5\n7 1 2 3 4 5\nx 0 0 0 0 0\n1 -1 0 1 0 0.5\n")
    return tmp_path / "digits.vec"


def test_vectors_replace_the_values_of_their_subwords_alone(digit_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, seven, two = (SUBWORD.pieces.index(digit) for digit in "172")
    with caplog.at_level(logging.INFO, "nmt"):
        load_embeddings(
            model,
            settings(digit_file),
            subwords=SUBWORDS,
            corpus=corpus_of([([one, seven, one], [two]), ([two, two, two, two, two], [one])]),
        )
    weight = embedding_of(model, Side.src)
    assert weight[seven].tolist() == [1, 2, 3, 4, 5]
    assert weight[one].tolist() == [-1, 0, 1, 0, 0.5]
    before["encoder.embedding.weight"][[one, seven]] = weight[[one, seven]].detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [record.message for record in caplog.records if record.name.startswith("nmt")] == [
        f"src embeddings: 2 of 15 subwords (37.5% of the training tokens) have a vector in {digit_file}"
    ]
    assert weight.requires_grad


def test_both_sides_may_share_a_file(digit_file: Path) -> None:
    model = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    load_embeddings(model, settings(digit_file, tgt=digit_file), subwords=SUBWORDS, corpus=corpus_of([([4], [5])]))
    for side in Side:
        assert embedding_of(model, side)[SUBWORD.pieces.index("7")].tolist() == [1, 2, 3, 4, 5]


def test_without_files_nothing_changes() -> None:
    model, same = tiny_model(), tiny_model()
    load_embeddings(model, settings(), subwords=SUBWORDS, corpus=corpus_of([([4], [5])]))
    assert all(map(torch.equal, model.parameters(), same.parameters()))


def test_a_file_without_any_subword_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("2 5\ndog 1 2 3 4 5\ncat 1 2 3 4 5\n")
    with pytest.raises(ConfigError, match=r"^training\.tgt_embeddings=.*/a must have vectors of the tgt subwords, but"):
        load_embeddings(tiny_model(), settings(tgt=tmp_path / "a"), subwords=SUBWORDS, corpus=corpus_of([([4], [5])]))


def test_vectors_of_another_size_are_refused(digit_file: Path) -> None:
    check_vector_files(settings(digit_file), MODEL)
    message = (
        rf"^model\.embedding_dim must be 5, as in training\.tgt_embeddings={digit_file}, but is 300: "
        "set model.embedding_dim=5, or name another file$"
    )
    with pytest.raises(ConfigError, match=message):
        check_vector_files(settings(tgt=digit_file), replace(MODEL, embedding_dim=300))
    with pytest.raises(DataError, match="No such file"):
        check_vector_files(settings(digit_file.with_name("nothing")), MODEL)


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        (FrozenEmbeddings.none, set[str]()),
        (FrozenEmbeddings.src, {"encoder.embedding.weight"}),
        (FrozenEmbeddings.tgt, {"decoder.embedding.weight"}),
        (FrozenEmbeddings.both, {"encoder.embedding.weight", "decoder.embedding.weight"}),
    ],
)
def test_only_frozen_embeddings_are_without_gradients(frozen: FrozenEmbeddings, expected: set[str]) -> None:
    model = tiny_model()
    freeze_embeddings(model, frozen)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == expected
