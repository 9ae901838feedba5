"""Random segmentations: the distributions of the papers, and without randomness SentencePiece's own segmentation."""

import io
import math
import random
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceTrainer

from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import learn_subword
from nmt.text.subword_sampling import BpeDropout, Symbols, UnigramSampling
from nmt.text.word_table import EncodedTexts
from tests.models import CHARACTERS, pieces
from tests.test_subword import DIFFICULT_TEXTS, TEXT

pytestmark = pytest.mark.no_tensors

SPEC = replace(CHARACTERS, kind=SubwordKind.bpe, vocab_size=90)
SYMBOLS = ("<V>", "<PST>", "V;PST")
# as large as TEXT allows, or less
VOCAB_SIZE = {SubwordKind.bpe: 90, SubwordKind.unigram: 55}
NUM_SAMPLES = 40_000


def _models(kind: SubwordKind) -> dict[str, SubwordModel]:
    spec = replace(SPEC, kind=kind, vocab_size=VOCAB_SIZE[kind])
    with_bytes = replace(spec, vocab_size=spec.vocab_size + 256, byte_fallback=True)
    specs = {
        "plain": spec,
        "symbols": replace(spec, symbols=SYMBOLS),
        "bytes": with_bytes,
        "bytes+identity": replace(with_bytes, normalization=Normalization.identity),
    }
    learned = {f"{kind}, {name}": learn_subword(TEXT, spec, lang="en") for name, spec in specs.items()}
    user_defined = _elsewhere(kind, user_defined_symbols=["it", "bak", "e", "<sep>"], control_symbols=["<ctrl>"])
    learned[f"{kind}, elsewhere, user-defined"] = user_defined
    learned[f"{kind}, elsewhere, coverage"] = _elsewhere(kind, character_coverage=0.98)
    return learned


def _elsewhere(kind: SubwordKind, **options: Any) -> SubwordModel:
    """Learn a model by SentencePiece alone."""
    file = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=file,
        model_type=str(kind),
        vocab_size=VOCAB_SIZE[kind],
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return SubwordModel.from_bytes(file.getvalue(), name="elsewhere")


@cache
def models() -> dict[str, SubwordModel]:
    return _models(SubwordKind.bpe) | _models(SubwordKind.unigram)


@cache
def texts() -> list[str]:
    """Sentences with words of which some are known, some consist of known parts, and some of arbitrary characters."""
    rng = random.Random(5)
    words = [word for text in TEXT[:20] for word in text.split()]
    alphabet = "".join(sorted(set("".join(TEXT)))) + "☃é"
    made: list[str] = []
    for _ in range(1500):
        parts = rng.choices(words, k=2)
        part = parts[0][: rng.randrange(6)] + parts[1][rng.randrange(6) :]
        arbitrary = "".join(rng.choices(alphabet, k=rng.randrange(1, 9)))
        made.append(" ".join([part, parts[0], arbitrary, rng.choice([*SYMBOLS, "it", "xV;PSTx"])]))
    return [*made, *TEXT, *DIFFICULT_TEXTS, "a☃ ☃", "\ue000"]


def resegment(model: SubwordModel, rows: list[list[int]], *, alpha: float, seed: int = 1) -> list[list[int]]:
    lens = np.array([len(row) for row in rows], np.int32)
    ids = np.array([i for row in rows for i in row], np.int32)
    sampled = model.resegmenter(alpha=alpha)(EncodedTexts(ids, lens), np.random.default_rng(seed))
    assert sampled.ids.dtype == sampled.lens.dtype == np.int32
    assert len(sampled.ids) == sampled.lens.sum()
    return [row.tolist() for row in np.split(sampled.ids, np.cumsum(sampled.lens)[:-1])]


BPE = [f"bpe, {name}" for name in ("plain", "symbols", "bytes", "bytes+identity")]
BPE += ["bpe, elsewhere, user-defined", "bpe, elsewhere, coverage"]
ALL = [*BPE, *(name.replace("bpe", "unigram") for name in BPE)]


@pytest.mark.parametrize("name", BPE)
def test_without_dropout_bpe_is_that_of_sentencepiece(name: str) -> None:
    usual = models()[name].encode_batch(texts())
    assert len(usual) > 1500
    assert resegment(models()[name], usual, alpha=0) == usual
    shuffled = resegment(models()[name], usual, alpha=0.5)
    assert shuffled != usual
    assert resegment(models()[name], shuffled, alpha=0) == usual  # so no part of the usual segmentation was kept


def _never_divided(name: str) -> set[str]:
    return {"<unk>", *(f"▁{symbol}" for symbol in SYMBOLS), *(["it", "bak", "e"] if "user-defined" in name else [])}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_a_random_segmentation_spells_the_same_text(name: str, alpha: float) -> None:
    model = models()[name]
    usual = model.encode_batch(texts())
    sampled = resegment(model, usual, alpha=alpha)
    assert model.decode_batch(sampled) == model.decode_batch(usual)
    for whole in _never_divided(name) & set(model.pieces):
        i = model.pieces.index(whole)
        assert [ids.count(i) for ids in sampled] == [ids.count(i) for ids in usual], whole
    assert sum(map(len, sampled)) > sum(map(len, usual))


@pytest.mark.parametrize("name", BPE)
def test_if_all_merges_are_left_out_only_symbols_are_left(name: str) -> None:
    model = models()[name]
    for ids in resegment(model, model.encode_batch(texts()), alpha=1):
        for piece in pieces(model, ids):
            assert len(piece) == 1 or piece in _never_divided(name) or piece.startswith("<0x"), piece


def test_text_of_any_rule_and_tokenizer_may_be_segmented_at_random() -> None:
    text = ['"The  baker\'s ½ \ufb01lm," said Mr. Hill, "is late."', "It's a baker & a hill [½]."] * 5
    for rule in Normalization:
        for tokenizer in Tokenizer:
            spec = replace(SPEC, vocab_size=60, normalization=rule, tokenizer=tokenizer)
            model = learn_subword(text, spec, lang="en")
            sampled = resegment(model, model.encode_batch(text), alpha=0.5)
            assert model.decode_batch(sampled) == [model.normalize(line) for line in text], (rule, tokenizer)


@pytest.mark.parametrize("name", ["bpe, plain", "unigram, plain"])
def test_a_random_segmentation_depends_on_text_and_generator(name: str) -> None:
    model = models()[name]
    rows = model.encode_batch(TEXT[:40])
    first = resegment(model, rows, alpha=0.3)
    assert resegment(model, rows, alpha=0.3) == first
    copy = SubwordModel.from_bytes(model.to_bytes(), name="copy")
    assert resegment(copy, rows, alpha=0.3) == first
    assert sum(a != b for a, b in zip(first, resegment(model, rows, alpha=0.3, seed=2), strict=True)) > 20


def test_texts_may_be_empty() -> None:
    for name in ("bpe, plain", "unigram, plain"):
        model = models()[name]
        a = model.encode("a")
        sampled = resegment(model, [[], a, [], [], a, []], alpha=0.2)
        assert [model.decode(ids) for ids in sampled] == ["", "a", "", "", "a", ""]
        assert resegment(model, [[], []], alpha=0.2) == [[], []]


def test_a_text_is_a_word_even_if_its_first_piece_does_not_begin_one() -> None:
    model = models()["bpe, plain"]
    village = [model.pieces.index(character) for character in "village"]
    first, second = resegment(model, [village, village], alpha=0)
    assert first == second
    assert len(first) < len(village)


def test_only_bpe_and_unigram_models_within_words_segment_at_random() -> None:
    assert all(model.can_resegment for model in models().values())
    for kind in (SubwordKind.char, SubwordKind.word, SubwordKind.token):
        assert not learn_subword(TEXT, replace(SPEC, kind=kind, vocab_size=30), lang="en").can_resegment
    for kind in (SubwordKind.bpe, SubwordKind.unigram):
        assert not _elsewhere(kind, split_by_whitespace=False).can_resegment


# Distributions, by hand


def _frequencies(segment: BpeDropout | UnigramSampling, word: Symbols) -> dict[Symbols, float]:
    words = np.array([word] * NUM_SAMPLES, np.int32)
    rows = segment(words, np.random.default_rng(3))
    counts = Counter(tuple(i for i in row if i >= 0) for row in rows.tolist())
    return {row: count / NUM_SAMPLES for row, count in counts.items()}


A, B, C, D, AB, BC, CD, ABC = range(8)
PARTS: dict[Symbols, int] = {(A,): A, (B,): B, (C,): C, (D,): D}


def test_a_merge_is_left_out_with_probability_p() -> None:
    subwords = PARTS | {(A, B): AB, (B, C): BC, (A, B, C): ABC}
    p = 0.3
    found = _frequencies(BpeDropout(subwords, {BC: -1, AB: -2, ABC: -3}, p=p), (A, B, C))
    assert found == pytest.approx(
        {
            # b + c and then a + bc, or without b + c: a + b and then ab + c
            (ABC,): (1 - p) ** 2 + p * (1 - p) ** 2,
            (A, BC): (1 - p) * p,
            (AB, C): p * (1 - p) * p,
            (A, B, C): p**2,
        },
        abs=0.01,
    )


def test_a_merge_left_out_is_tried_again() -> None:
    subwords = PARTS | {(A, B): AB, (C, D): CD}
    p = 0.3
    found = _frequencies(BpeDropout(subwords, {AB: -1, CD: -2}, p=p), (A, B, C, D))
    assert found == pytest.approx(
        {
            (AB, CD): (1 - p) * (1 - p) + p * (1 - p) * (1 - p),
            (AB, C, D): (1 - p) * p,
            (A, B, CD): p * (1 - p) * p,
            (A, B, C, D): p**2,
        },
        abs=0.01,
    )


def test_of_equal_merges_the_leftmost_is_first() -> None:
    subwords = PARTS | {(A, A): AB}
    assert _frequencies(BpeDropout(subwords, {AB: -1}, p=0), (A, A, A)) == {(AB, A): 1}


def test_alpha_is_the_exponent_of_the_probabilities() -> None:
    subwords = PARTS | {(A, B): AB, (B, C): BC, (A, B, C): ABC}
    log = {A: -1.0, B: -2.0, C: -1.5, D: -3.0, AB: -2.5, BC: -1.2, ABC: -4.0}
    for alpha in (0.0, 0.3, 1.0):
        weights = {
            row: math.exp(alpha * sum(log[i] for i in row)) for row in [(A, B, C, D), (AB, C, D), (A, BC, D), (ABC, D)]
        }
        found = _frequencies(UnigramSampling(subwords, log, alpha=alpha), (A, B, C, D))
        assert found == pytest.approx(
            {row: weight / sum(weights.values()) for row, weight in weights.items()}, abs=0.01
        )


def test_all_segmentations_of_a_word_may_be_sampled() -> None:
    model = models()["unigram, plain"]
    # SentencePiece's own list of all segmentations; its ids are ours
    everything = model._sp.nbest_encode("the baker", nbest_size=500)
    assert 10 < len(everything) < 500
    weights = {tuple(row): math.exp(0.1 * sum(map(model._sp.get_score, row))) for row in everything}
    rows = resegment(model, [model.encode("the baker")] * NUM_SAMPLES, alpha=0.1)
    found = {row: count / NUM_SAMPLES for row, count in Counter(map(tuple, rows)).items()}
    assert found == pytest.approx({row: weight / sum(weights.values()) for row, weight in weights.items()}, abs=0.01)


def test_words_without_spaces_may_be_long() -> None:
    word = tuple(random.Random(1).choices([A, B, C, D], k=1000))
    subwords = PARTS | {(A, B): AB, (B, C): BC, (A, B, C): ABC}
    log = dict.fromkeys(range(8), -10.0)  # of all: below the smallest number
    found = UnigramSampling(subwords, log, alpha=1.0)(np.array([word], np.int32), np.random.default_rng(3))
    spelled = {i: row for row, i in subwords.items()}
    assert [symbol for i in found[0].tolist() if i >= 0 for symbol in spelled[i]] == list(word)
