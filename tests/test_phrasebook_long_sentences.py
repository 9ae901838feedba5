"""Long sentences: their words move over a distance."""

from __future__ import annotations

import random
import re

import pytest

from nmt.phrasebook.long_sentences import LongSentences
from nmt.phrasebook.phrases import Phrase


@pytest.fixture(scope="module")
def sentences() -> list[Phrase]:
    source = LongSentences(random.Random("long sentences"))
    return [source.sentence() for _ in range(20_000)]


def matching(sentences: list[Phrase], en: str) -> list[Phrase]:
    found = [phrase for phrase in sentences if re.search(en, phrase.en)]
    assert len(found) >= 5
    return found


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("On Monday evening, ", r"lundi soir\b"),
        ("Last month, ", r"le mois dernier\b"),
        ("Because ", r"(parce que|parce qu'|si |quand |s'il)"),
        ("When ", "quand "),
        ("If it is raining, ", r"s'il pleut\.$"),
    ],
)
def test_what_comes_first_in_english_ends_the_french(sentences: list[Phrase], first: str, last: str) -> None:
    found = [phrase for phrase in sentences if phrase.en.startswith(first)]
    assert len(found) >= 3
    for phrase in found:
        assert not re.match(last, phrase.fr, re.IGNORECASE), phrase
        assert re.search(last, phrase.fr.lower()), phrase
        assert not re.match(r"[^,]*\bparce qu[e'][^,]*, ", phrase.fr), phrase


def test_owners_are_in_the_opposite_order(sentences: list[Phrase]) -> None:
    for phrase in matching(sentences, r"\bmy brother's sister\b(?!')"):
        assert re.search(r"\bsœur de mon frère\b", phrase.fr), phrase
    for phrase in matching(sentences, r"\b(Alice|Antoine)'s father's mother\b(?!')"):
        assert re.search(r"\bmère du père d'A(lice|ntoine)\b", phrase.fr), phrase


def test_what_belongs_to_whose_follows_the_french_verb(sentences: list[Phrase]) -> None:
    for phrase in matching(sentences, r"\bwhose car \w+ (sold|washed)\b"):
        assert re.search(r"\bdont \w+ a (vendu|lavé) la voiture\b", phrase.fr), phrase
    for phrase in matching(sentences, r"\bwhose mother (danced|slept)\b"):
        assert re.search(r"\bdont la mère a (dansé|dormi)\b", phrase.fr), phrase


def test_a_list_has_no_event_twice(sentences: list[Phrase]) -> None:
    for phrase in matching(sentences, r"^She ((?!but|because|when|who|that).)*,((?!but|because|when|who|that).)* and "):
        verbs = re.findall(r"(?:^She|,|and) (?:often |always )?([a-vx-z]\w*)", phrase.en)  # not "went to bed"
        assert len(set(verbs)) == len(verbs), phrase


def test_a_third_person_is_named_once_in_a_list_and_others_again(sentences: list[Phrase]) -> None:
    is_list = r"(?!.*\b(but|because|when|if|that|who|whom|whose)\b)"
    for phrase in matching(sentences, rf"^We {is_list}[a-z]+ed\b.* and "):
        assert re.search(r" and we \w+|,? and (Paul|Marie|Julie|Alice|Martin|Antoine)", phrase.en), phrase
        assert re.search(r" et nous | et (Paul|Marie|Julie|Alice|Martin|Antoine)", phrase.fr), phrase
    for phrase in matching(sentences, rf"^She {is_list}[a-z]+ed\b.* and [a-z]+ed\b"):
        assert not re.search(r" et elle", phrase.fr), phrase
