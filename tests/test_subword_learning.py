"""Learning of subword models: vocabularies, their sizes, and texts that are too small or too large for them."""

import logging
import random
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

import nmt.text.subword_learning as learning_module
from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.errors import ConfigError, DataError
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.subword_learning import learn_joint_subwords, learn_subword
from tests.models import pieces
from tests.test_subword import KINDS, SPEC, TEXT, VOCAB_SIZE, _learn

pytestmark = pytest.mark.no_tensors


def test_words_are_the_most_frequent_ones() -> None:
    text = ["one two two three three three", "four four four four"]
    model = learn_subword(text, replace(SPEC, kind=SubwordKind.word, vocab_size=6), lang="en")
    assert model.vocab_size == 6
    assert pieces(model, range(4, 6)) == ["▁four", "▁three"]
    # every unknown word is its own <unk>, even around spaces other than " "
    assert model.encode("four one two three one") == [4, UNK_ID, UNK_ID, 5, UNK_ID]
    assert model.encode("one\u00a0two three\u2028one") == [UNK_ID, UNK_ID, 5, UNK_ID]
    assert model.encode("  four   four ▁four") == [4, 4, 4]


def test_words_are_counted_in_the_whole_text() -> None:
    rng = random.Random(3)
    words = [f"w{n}" for n in range(500)]
    text = [" ".join(rng.choices(words, weights=range(500, 0, -1), k=12)) for _ in range(800)]
    counts = Counter(word for line in text for word in line.split())
    model = learn_subword(text, replace(SPEC, kind=SubwordKind.word, vocab_size=204), lang="en")
    kept = [piece.removeprefix("▁") for piece in pieces(model, range(4, 204))]
    assert sorted((counts[word] for word in kept), reverse=True) == sorted(counts.values(), reverse=True)[:200]


def test_words_preserve_no_spaces_even_with_identity() -> None:
    model = _learn(kind=SubwordKind.word, vocab_size=30, normalization=Normalization.identity)
    assert model.encode("  the   village ") == model.encode("the village")
    assert model.normalize("  the   village ") == "the village"


def test_char_treats_the_vocabulary_size_as_a_limit() -> None:
    text = ["abc abc ab a"]
    few = learn_subword(text, replace(SPEC, kind=SubwordKind.char, vocab_size=6), lang="en")
    all_ = learn_subword(text, replace(SPEC, kind=SubwordKind.char, vocab_size=1000), lang="en")
    assert (few.vocab_size, all_.vocab_size) == (6, 8)  # specials and: space, a, b, c
    assert pieces(few, few.encode("a")) == ["▁", "a"]


@pytest.mark.parametrize("kind", [SubwordKind.bpe, SubwordKind.unigram, SubwordKind.word])
def test_a_vocabulary_larger_than_the_text_allows_is_explained(kind: SubwordKind) -> None:
    message = r"subword.vocab_size=5000 is more than the en text allows: set it to at most (\d+), or give more text"
    with pytest.raises(DataError, match=message) as raised:
        _learn(kind=kind, vocab_size=5000)
    largest = int(re.findall(r"at most (\d+)", str(raised.value))[0])
    assert _learn(kind=kind, vocab_size=largest).vocab_size == largest
    with pytest.raises(
        DataError, match=f"={largest + 1} is more than the en text allows: set it to at most {largest},"
    ):
        _learn(kind=kind, vocab_size=largest + 1)


@pytest.mark.parametrize("kind", [SubwordKind.bpe, SubwordKind.unigram])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_a_vocabulary_smaller_than_the_text_needs_is_explained(kind: SubwordKind, byte_fallback: bool) -> None:
    too_small = 262 if byte_fallback else 10
    message = (
        rf"subword.vocab_size={too_small} is less than the characters of the en text need: "
        r"set it to at least (\d+), or lower subword.character_coverage"
    )
    with pytest.raises(DataError, match=message) as raised:
        _learn(kind=kind, vocab_size=too_small, byte_fallback=byte_fallback)
    smallest = int(re.findall(r"at least (\d+)", str(raised.value))[0])
    assert _learn(kind=kind, vocab_size=smallest, byte_fallback=byte_fallback).vocab_size == smallest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 4}, "subword.vocab_size must be at least 5 and at most 10,000,000, but is 4"),
        (
            {"vocab_size": 260, "byte_fallback": True},
            "subword.vocab_size must be at least 261 and at most .*, but is 260",
        ),
        ({"vocab_size": 10_000_001}, "subword.vocab_size must be at least 5 and at most 10,000,000, but is 10000001"),
        ({"kind": SubwordKind.word, "byte_fallback": True}, "subword.byte_fallback must be false for subword=word"),
        ({"kind": SubwordKind.token, "byte_fallback": True}, "subword.byte_fallback must be false for subword=token"),
        ({"character_coverage": 0.97}, "subword.character_coverage must be from 0.98 to 1, but is 0.97"),
        ({"character_coverage": 1.5}, "subword.character_coverage must be from 0.98 to 1, but is 1.5"),
        ({"character_coverage": float("nan")}, "subword.character_coverage must be from 0.98 to 1, but is nan"),
        ({"max_sentences": 0}, "subword.max_sentences must be at least 1, but is 0"),
        (
            {"vocab_size": 0, "max_sentences": 0},
            "vocab_size must be at least 5 and at most .*, but is 0; subword.max_sentences must",
        ),
    ],
)
def test_invalid_specs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _learn(**changes)


@pytest.mark.parametrize("text", [[], [""], [" ", "\t", "\u2028"], ["\u200b"]])
@pytest.mark.parametrize("kind", KINDS)
def test_text_without_words_is_refused(kind: SubwordKind, text: list[str]) -> None:
    with pytest.raises(DataError, match="the fr text to learn subwords from has no words: give training text"):
        learn_subword(text, replace(SPEC, kind=kind), lang="fr")


def test_other_errors_of_sentencepiece_become_one_line() -> None:
    explained = learning_module._explained(RuntimeError("Something\n  else."), SPEC, lang="en")
    assert str(explained) == "subword.vocab_size=90 cannot be learned from the en text: Something else."


@pytest.mark.parametrize("kind", KINDS)
def test_learning_is_deterministic(kind: SubwordKind) -> None:
    first, second = (_learn(kind=kind, vocab_size=VOCAB_SIZE[kind]) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)
    assert (
        first.fingerprint
        != _learn(kind=kind, vocab_size=VOCAB_SIZE[kind], normalization=Normalization.identity).fingerprint
    )


def test_learning_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        _learn(kind=kind, vocab_size=VOCAB_SIZE[kind])
    assert capfd.readouterr() == ("", "")


def test_learning_samples_lines_of_the_whole_text() -> None:
    lines = [(0, f"line {n}") for n in range(10_000)]
    sample = learning_module._sample(iter(lines), 100, seed=5)
    assert len(set(sample)) == 100
    assert set(sample) <= set(lines)
    assert sample == learning_module._sample(iter(lines), 100, seed=5)
    assert sample != learning_module._sample(iter(lines), 100, seed=6)
    places = [int(line.split()[1]) for _, line in sample]
    assert 3500 < sum(places) / 100 < 6500  # from the whole text: 5000 ± 5 standard errors of 289


PHONES = ["b ɔ̃ ʒ u ʁ", "d͡z a\u00a0b ﬁ", "² ² <x> e\u0301 é ⁇"]


def _learn_tokens(**changes: Any) -> SubwordModel:
    spec = replace(SPEC, kind=SubwordKind.token, normalization=Normalization.identity, vocab_size=1000)
    return learn_subword(PHONES, replace(spec, **changes), lang="ipa")


def test_tokens_are_all_words_between_spaces_as_they_are_written() -> None:
    model = _learn_tokens()
    words = {word for line in PHONES for word in line.split(" ")}
    assert {piece.removeprefix("▁") for piece in pieces(model, range(4, model.vocab_size))} == words
    for line in PHONES:
        assert len(model.encode(line)) == len(line.split(" "))
        assert model.decode(model.encode(line)) == model.normalize(line) == line
    assert model.encode("b x u") == [*model.encode("b"), UNK_ID, *model.encode("u")]
    assert model.decode(model.encode("b x u")) == "b ⁇ u"


def test_of_tokens_the_most_frequent_ones_are_kept() -> None:
    model = _learn_tokens(vocab_size=5)
    assert pieces(model, [4]) == ["▁²"]
    assert model.vocab_size == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", Normalization)
def test_symbols_are_one_subword_each(kind: SubwordKind, rule: Normalization) -> None:
    symbols = ("<V>", "<PST>", "<rare>", "<²>")  # one of them is changed by nmt_nfkc
    text = [f"<V> <PST> <²> {line}" for line in TEXT]
    spec = replace(SPEC, kind=kind, vocab_size=VOCAB_SIZE[kind], normalization=rule, symbols=symbols)
    model = learn_subword(text, spec, lang="en")
    plain = model.encode("the village")
    for symbol in symbols:
        [first, *rest] = model.encode(f"{symbol} the village")
        assert (first == UNK_ID, rest) == (False, plain)
        assert model.decode([first, *rest]) == model.normalize(f"{symbol} the village")
    assert len({tuple(model.encode(symbol)) for symbol in symbols}) == len(symbols)
    # letters are letters, also between angle brackets elsewhere
    assert not set(model.encode("the village V")) & {i for symbol in symbols for i in model.encode(symbol)}


def test_symbols_share_no_characters_with_the_text(caplog: pytest.LogCaptureFixture) -> None:
    text = ["<V> <XY> aba", "<V> ab"]
    with caplog.at_level(logging.WARNING):
        model = learn_subword(text, replace(SPEC, kind=SubwordKind.char, symbols=("<V>", "<XY>")), lang="en")
    assert sorted(pieces(model, range(4, model.vocab_size))) == ["a", "b", "▁", "▁<V>", "▁<XY>"]
    assert caplog.messages == []  # of unknown characters
    assert model.vocab_size == 9


def test_joint_subwords_may_have_symbols_and_a_rule_for_each_side() -> None:
    spec = replace(SPEC, kind=SubwordKind.char, vocab_size=200, symbols=("<ﬁ>",))
    rules = [Normalization.nmt_nfkc, Normalization.nfc]
    src, tgt = learn_joint_subwords([("en", ["<ﬁ> ab"]), ("fr", ["ﬁ"])], spec, normalizations=rules)
    assert pieces(src, src.encode("<ﬁ> ab")) == ["▁<fi>", "▁", "a", "b"]
    assert pieces(tgt, tgt.encode("ﬁ")) == ["▁", "ﬁ"]


def test_symbols_are_counted_in_the_size_of_the_vocabulary() -> None:
    with pytest.raises(ConfigError, match=r"subword\.vocab_size must be at least 7 and at most .*, but is 6"):
        _learn(kind=SubwordKind.char, vocab_size=6, symbols=("<a>", "<b>"))


def test_a_very_long_line_is_harmless() -> None:
    model = learn_subword([*TEXT, "x" * 100_000, "y " * 100_000], SPEC, lang="en")
    assert model.fingerprint == _learn().fingerprint
    assert len(model.encode("the " * 50_000)) == 50_000


def test_joint_subwords_follow_the_rules_of_each_language() -> None:
    english, french = ["It's late."] * 3, ["L'homme n'a pas d'eau."] * 3
    spec = replace(SPEC, kind=SubwordKind.word, vocab_size=15, tokenizer=Tokenizer.moses)
    src, tgt = learn_joint_subwords([("en", iter(english)), ("fr", iter(french))], spec)
    assert pieces(src, range(15)) == pieces(tgt, range(15))
    english_words = ["▁It", "▁'s", "▁late", "▁."]
    french_words = ["▁L'", "▁homme", "▁n'", "▁a", "▁pas", "▁d'", "▁eau", "▁."]
    assert pieces(src, src.encode(english[0])) == english_words
    assert pieces(tgt, tgt.encode(french[0])) == french_words
    assert set(pieces(src, range(4, 15))) == {*english_words, *french_words}
    alone = learn_subword([*english, *french], replace(spec, tokenizer=Tokenizer.none, vocab_size=10), lang="en")
    both = learn_joint_subwords(
        [("en", english), ("fr", french)], replace(spec, tokenizer=Tokenizer.none, vocab_size=10)
    )
    assert both[0].fingerprint == alone.fingerprint


def test_the_vocabularies_of_sutskever_et_al_can_be_learned() -> None:
    # 160,000 and 80,000 words, specials included (§3.1): word n of 170,000 is more frequent than word n + 10,000
    lines = [" ".join(f"w{n}" for n in range(start, start + 100)) for start in range(0, 170_000, 100)]
    text = lines[: len(lines) * 16 // 17] * 2 + lines[len(lines) * 16 // 17 :]
    model = learn_subword(text, replace(SPEC, kind=SubwordKind.word, vocab_size=160_000), lang="en")
    assert model.vocab_size == 160_000
    assert model.encode(lines[-1]) == [UNK_ID] * 100
