"""A phrase in both languages, what it exhibits, and the spelling of a finished sentence.

French phrases are built from full words ("de le", "je ai"), so that they can be joined freely; elision and contraction
come last, in `sentence`.
"""

from typing import Literal, NamedTuple

from nmt.phrasebook.lexicon import begins_with_vowel

PHENOMENA: tuple[str, ...] = (
    "agreement",  # an adjective or participle in the feminine or plural
    "adjective_before",
    "adjective_after",
    "elision",
    "contraction",  # au, aux, du, des from à or de and an article
    "negation",
    "question",
    "object_pronoun",
    "reflexive",
    "infinitive",  # after pouvoir, devoir or vouloir
    "present",
    "passe_compose_avoir",
    "passe_compose_etre",
    "future",
    "number",
    "date",
    "time_of_day",
    "relative_clause",
    "subordinate_clause",  # parce que, quand, si, que, où
    "coordination",
)
BIT = {name: 1 << index for index, name in enumerate(PHENOMENA)}


class Phrase(NamedTuple):
    """The same words in both languages, and the phenomena that the French exhibits, as a set of bits (`BIT`)."""

    en: str
    fr: str
    bits: int = 0


NOTHING = Phrase("", "")


def side_by_side(*phrases: Phrase) -> Phrase:
    """Join phrases with spaces."""
    words = [phrase for phrase in phrases if phrase.en]
    if len(words) < 2:
        return words[0] if words else NOTHING
    bits = 0
    for phrase in words:
        bits |= phrase.bits
    return Phrase(" ".join([phrase.en for phrase in words]), " ".join([phrase.fr for phrase in words]), bits)


def after(en: str, fr: str, phrase: Phrase) -> Phrase:
    """Put a preposition or conjunction in front of a phrase."""
    return Phrase(f"{en} {phrase.en}", f"{fr} {phrase.fr}", phrase.bits)


def linked(first: Phrase, en: str, fr: str, second: Phrase, kind: str) -> Phrase:
    """Join two clauses by a comma or a conjunction, which names the phenomenon `kind`."""
    return Phrase(f"{first.en}{en} {second.en}", f"{first.fr}{fr} {second.fr}", first.bits | second.bits | BIT[kind])


_ELIDED = frozenset(("le", "la", "je", "me", "se", "ne", "de", "que"))
_CHANGED_BY_NEXT = _ELIDED | {"si", "à"}
_CONTRACTED = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}


def elide_and_contract(fr: str) -> Phrase:
    """Spell full French words: "parce que il parle de le homme à le roi" is "parce qu'il parle de l'homme au roi".

    Returns:
        The French only, with the bits of elision and contraction.
    """
    bits = 0
    words: list[str] = []
    for word in reversed(fr.split(" ")):  # from the end, so that "de le homme" becomes "de l'homme", not "du homme"
        if word not in _CHANGED_BY_NEXT or not words:
            words.append(word)
            continue
        following = words[-1]
        if word in _ELIDED and begins_with_vowel(following):
            words[-1] = f"{word[:-1]}'{following}"
            bits |= BIT["elision"]
        elif word == "si" and following in ("il", "ils"):
            words[-1] = f"s'{following}"
            bits |= BIT["elision"]
        elif (word, following) in _CONTRACTED:
            words[-1] = _CONTRACTED[word, following]
            bits |= BIT["contraction"]
        else:
            words.append(word)
    return Phrase("", " ".join(words[::-1]), bits)


def sentence(phrase: Phrase, end: Literal[".", "?"] = ".") -> Phrase:
    """Finish a sentence: elide and contract, begin with a capital letter, end with the mark."""
    _, fr, bits = elide_and_contract(phrase.fr)
    fr_end = end if end == "." else " " + end  # French has a space before the question mark
    return Phrase(phrase.en[0].upper() + phrase.en[1:] + end, fr[0].upper() + fr[1:] + fr_end, phrase.bits | bits)
