"""Noun phrases: agreement, determiners, owners."""

import pytest

from nmt.phrasebook.lexicon import ADJECTIVES, COUNTED_NOUNS, NOUNS
from nmt.phrasebook.noun_phrases import NounPhrase, counted, name, noun_phrase, owned, paired
from nmt.phrasebook.phrases import elide_and_contract


def noun_phrase_of(text: str) -> NounPhrase:
    """Read "determiner before noun after", with "-" for nothing; the noun ends in "+" if plural."""
    determiner, before, noun, after = text.split()
    return noun_phrase(
        NOUNS[noun.rstrip("+")],
        "" if determiner == "-" else determiner,  # type: ignore[arg-type]
        plural=noun.endswith("+"),
        before=None if before == "-" else ADJECTIVES[before],
        after=None if after == "-" else ADJECTIVES[after],
    )


@pytest.mark.parametrize(
    ("text", "en", "fr"),
    [
        ("the - man -", "the man", "l'homme"),
        ("the - hotel+ -", "the hotels", "les hôtels"),
        ("a small car red", "a small red car", "une petite voiture rouge"),
        ("an_old - hotel -", "an old hotel", "un vieil hôtel"),
        ("the beautiful hotel -", "the beautiful hotel", "le bel hôtel"),
        ("the beautiful hotel+ -", "the beautiful hotels", "les beaux hôtels"),
        ("this new hotel -", "this new hotel", "ce nouvel hôtel"),
        ("this - hotel white", "this white hotel", "cet hôtel blanc"),
        ("this - flower -", "this flower", "cette fleur"),
        ("this old house+ -", "these old houses", "ces vieilles maisons"),
        ("the - dress white", "the white dress", "la robe blanche"),
        ("the - dress+ black", "the black dresses", "les robes noires"),
        ("the - child tired", "the tired child", "l'enfant fatigué"),
        ("the - girl+ happy", "the happy girls", "les filles heureuses"),
        ("the - boy+ happy", "the happy boys", "les garçons heureux"),
        ("my - school -", "my school", "mon école"),
        ("her - dog -", "her dog", "son chien"),
        ("his - car -", "his car", "sa voiture"),
        ("their - key+ -", "their keys", "leurs clés"),
        ("some - water -", "some water", "de l'eau"),
        ("some - bread -", "some bread", "du pain"),
        ("some - meat -", "some meat", "de la viande"),
        ("some - apple+ -", "some apples", "des pommes"),
        ("some good apple+ -", "some good apples", "de bonnes pommes"),
        ("some - dog+ black", "some black dogs", "des chiens noirs"),
        ("the - horse+ -", "the horses", "les chevaux"),
        ("our - coat+ -", "our coats", "nos manteaux"),
        ("his - newspaper+ -", "his newspapers", "ses journaux"),
        ("which - flower+ -", "which flowers", "quelles fleurs"),
        ("- - coffee -", "coffee", "le café"),
    ],
)
def test_noun_phrases_agree(text: str, en: str, fr: str) -> None:
    np = noun_phrase_of("a old hotel -" if text.startswith("an_old") else text)
    assert (np.en, elide_and_contract(np.fr).fr) == (en, fr)


def test_owners_and_pairs() -> None:
    girls, doctor, sister = noun_phrase_of("the - girl+ -"), noun_phrase_of("the - doctor -"), NOUNS["sister"]
    phrases = [
        (owned(NOUNS["dog"], girls), "the girls' dog", "le chien des filles"),
        (owned(NOUNS["house"], doctor), "the doctor's house", "la maison du médecin"),
        (owned(sister, name("Alice", feminine=True), plural=True), "Alice's sisters", "les sœurs d'Alice"),
        (paired(name("Paul", feminine=False), name("Marie", feminine=True)), "Paul and Marie", "Paul et Marie"),
        (counted(NOUNS["letter"], 21), "twenty-one letters", "vingt et une lettres"),
        (counted(COUNTED_NOUNS["inhabitant"], 80), "eighty inhabitants", "quatre-vingts habitants"),
    ]
    for np, en, fr in phrases:
        assert (np.en, elide_and_contract(np.fr).fr) == (en, fr)
