"""The pairs of the phrasebook: what the splits guarantee, and that the labels are true."""

import itertools
import re
import zlib
from collections import Counter
from typing import get_args

import pytest

from nmt.choices import Generator
from nmt.errors import DataError
from nmt.phrasebook.lexicon import ADJECTIVES, MONTHS
from nmt.phrasebook.pairs import GENERATOR_VERSION, PhrasePair, Split, generate, split_of
from nmt.phrasebook.phrases import PHENOMENA, Phrase
from nmt.phrasebook.sentences import Sentences

pytestmark = pytest.mark.no_tensors


@pytest.fixture(scope="module")
def test_pairs() -> list[PhrasePair]:
    return list(generate("test", 2000, seed=1))


@pytest.fixture(scope="module")
def train_pairs() -> list[PhrasePair]:
    return list(generate("train", 8000, seed=2))


@pytest.fixture(scope="module")
def long_pairs() -> list[PhrasePair]:
    return list(generate("train", 3000, seed=2, generator=Generator.phrasebook_long))


def test_a_seed_repeats_and_more_pairs_start_with_the_same_ones() -> None:
    first = list(generate("train", 30, seed=4))
    assert list(generate("train", 60, seed=4))[:30] == first
    assert list(generate("train", 30, seed=5)) != first


@pytest.mark.parametrize(
    ("generator", "checksum"), [(Generator.phrasebook, 1483794936), (Generator.phrasebook_long, 759135622)]
)
def test_a_seed_gives_the_same_corpus_everywhere(generator: Generator, checksum: int) -> None:
    # if this has to change, raise GENERATOR_VERSION
    assert GENERATOR_VERSION == 1
    text = "".join(f"{src}{tgt}" for src, tgt, _ in generate("dev", 40, seed=0, generator=generator))
    assert zlib.crc32(text.encode()) == checksum


def test_no_english_sentence_repeats(train_pairs: list[PhrasePair]) -> None:
    assert len({pair.src for pair in train_pairs}) == len(train_pairs)


def test_only_its_text_decides_the_split_of_a_sentence(
    train_pairs: list[PhrasePair], test_pairs: list[PhrasePair]
) -> None:
    assert {split_of(pair.src) for pair in train_pairs} == {"train"}
    assert {split_of(pair.src) for pair in test_pairs} == {"test"}
    assert {split_of(pair.src) for pair in generate("dev", 50, seed=1)} == {"dev"}
    assert {split_of(str(number)) for number in range(99)} == set(get_args(Split))


def _assert_source_determines_target(pairs: itertools.chain[PhrasePair]) -> None:
    translations: dict[str, str] = {}
    for pair in pairs:
        assert translations.setdefault(pair.src.lower(), pair.tgt) == pair.tgt, pair.src


def test_the_english_determines_the_french(train_pairs: list[PhrasePair]) -> None:
    _assert_source_determines_target(itertools.chain(train_pairs, generate("train", 4000, seed=3)))


@pytest.mark.slow
@pytest.mark.parametrize("generator", Generator)
def test_the_english_determines_the_french_of_many_sentences(generator: Generator) -> None:
    corpora = (generate("train", 100_000, seed=seed, generator=generator) for seed in (1, 2))
    _assert_source_determines_target(itertools.chain.from_iterable(corpora))


def test_sentences_are_short_and_long(train_pairs: list[PhrasePair]) -> None:
    for pair in train_pairs:
        for text in (pair.src, pair.tgt):
            assert 3 <= len(text.split()) <= 30
            assert text[0].isupper()
            assert text[-1] in ".?"
            assert "  " not in text
    lengths = Counter(len(pair.src.split()) for pair in train_pairs)
    assert min(lengths) == 3
    assert max(lengths) >= 28


def test_long_sentences_have_8_to_40_words(long_pairs: list[PhrasePair]) -> None:
    lengths = Counter(len(text.split()) for pair in long_pairs for text in (pair.src, pair.tgt))
    assert (min(lengths), max(lengths)) == (8, 40)
    assert sum(len(pair.src.split()) for pair in long_pairs) / len(long_pairs) >= 18
    for pair in long_pairs:
        assert pair.src[0].isupper()
        assert pair.tgt[0].isupper()
        assert not re.search(r"  | ,|,,|[^.?]$", pair.src + "\n" + pair.tgt)
    assert {name for pair in long_pairs for name in pair.phenomena} == set(PHENOMENA)


def test_the_test_set_is_long_enough_and_shows_every_phenomenon(test_pairs: list[PhrasePair]) -> None:
    assert sum(len(pair.src.split()) for pair in test_pairs) / len(test_pairs) >= 11
    shares = Counter(itertools.chain.from_iterable(pair.phenomena for pair in test_pairs))
    assert {name: shares[name] / len(test_pairs) for name in PHENOMENA if shares[name] < 0.03 * len(test_pairs)} == {}
    assert set(shares) == set(PHENOMENA)


def _forms(*, before: bool) -> str:
    adjectives = [adjective for adjective in ADJECTIVES.values() if adjective.before == before]
    forms = [form for adjective in adjectives for form in (*adjective.forms.values(), adjective.before_vowel)]
    return rf"\b({'|'.join(forms)})\b"


# What the French of a sentence with a label must match, and whether no sentence without the label may match it.
_SIGNS = {
    "elision": (r"\b([ljmnsd]|qu)'", True),
    "contraction": (r"\b(au|aux|du|des)\b", False),
    "negation": (r"\b(ne |n').*\b(pas|jamais|plus|rien)\b", True),
    "question": (r" \?$", True),
    "date": (r"\b(" + "|".join(MONTHS.values()) + r")\b", True),
    "time_of_day": (r"\bheures?\b|à midi|à minuit", True),
    "infinitive": (r"\b([pv]eu(x|t|vent|lent)|(pouv|dev|voul)(ons|ez)|doi(s|t|vent))\b", True),
    "coordination": (r"\b(et|mais|ou)\b", False),
    "relative_clause": (r"\b(qui|que|qu'|dont\b)", False),
    "subordinate_clause": (r"\b(parce que|parce qu'|que|qu'|quand|si|s'ils?|où|pourquoi)", False),
    "future": (r"r(ai|a|ons|ez|ont)\b", False),
    "passe_compose_avoir": (r"\b(ai|a|avons|avez|ont)\b", False),
    "passe_compose_etre": (r"\b(suis|est|sommes|êtes|sont)\b", False),
    "reflexive": (r"\b(me |m'|se |s'|nous |vous )", False),
    "object_pronoun": (r"\b(me |m'|le |la |l'|les |lui |leur |nous |vous )", False),
    "number": (r"\b(deux|trois|quatre|cinq|six|sept|huit|neuf|dix|\w+ze|vingts?|\w+nte|cents?|mille)\b", False),
    "adjective_before": (_forms(before=True), False),
    "adjective_after": (
        "|".join(form for a in ADJECTIVES.values() if not a.before for form in a.forms.values()),
        False,
    ),
}


@pytest.mark.parametrize("phenomenon", _SIGNS)
def test_labels_are_true(phenomenon: str, train_pairs: list[PhrasePair], long_pairs: list[PhrasePair]) -> None:
    pattern, is_exact = _SIGNS[phenomenon]
    sign = re.compile(pattern)
    for pair in train_pairs + long_pairs:
        shows = bool(sign.search(pair.tgt[0].lower() + pair.tgt[1:]))
        assert shows or phenomenon not in pair.phenomena, pair
        assert not (is_exact and shows and phenomenon not in pair.phenomena), pair


def test_more_pairs_than_exist_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sentences, "sentence", lambda _: Phrase("I eat bread.", "Je mange du pain."))
    with pytest.raises(DataError, match="must yield 2 different train pairs, but found no new one after 1: ask"):
        list(generate(split_of("I eat bread."), 2, seed=1))


def test_there_are_ten_million_sentences(train_pairs: list[PhrasePair]) -> None:
    # Two samples of n from N equally likely sentences share about n²/N, and more if some sentences are likelier: c
    # shared sentences show that N is at least about n²/c.
    other = {pair.src for pair in generate("train", len(train_pairs), seed=9) if len(pair.src.split()) > 8}
    mine = {pair.src for pair in train_pairs if len(pair.src.split()) > 8}
    assert len(mine) * len(other) / max(1, len(mine & other)) >= 10_000_000
