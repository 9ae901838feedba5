"""The synchronous grammar of the built-in corpus: each function builds a phrase in English and in French at once.

French is built in full words ("de le", "je ai") and takes its spoken shape at the end, in `sentence`. Every phrase
carries the phenomena seen in its French as a set of bits, so that joining phrases joins their sets.
"""

from typing import Literal, NamedTuple

from nmt.text.phrasebook_lexicon import (
    FIRST,
    FIRST_PLURAL,
    SECOND,
    THIRD,
    THIRD_PLURAL,
    Adjective,
    Agreement,
    Noun,
    begins_with_vowel,
)
from nmt.text.phrasebook_numerals import en_number, fr_number

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
AGREEMENT, OBJECT_PRONOUN, NEGATION = BIT["agreement"], BIT["object_pronoun"], BIT["negation"]

Determiner = Literal[
    "",
    "the",
    "a",
    "some",
    "this",
    "my",
    "his",
    "her",
    "our",
    "your",
    "their",
    "which",
]


class Phrase(NamedTuple):
    """The same words in both languages, and the bits of what they show."""

    en: str
    fr: str
    bits: int = 0


NOTHING = Phrase("", "")


class NounPhrase(NamedTuple):
    """A phrase that can be subject or object; `en_any` and `fr_de` are its forms where "some" turns to "any", "de"."""

    en: str
    fr: str
    column: int = THIRD
    agreement: Agreement = "m"
    bits: int = 0
    en_any: str = ""
    fr_de: str = ""


class Pronoun(NamedTuple):
    """A pronoun as subject and as object; `direct` and `indirect` stand before the French verb."""

    subject: NounPhrase
    en_object: str
    direct: str
    indirect: str
    agreement: Agreement


def _pronoun(english: str, french: str, column: int, agreement: Agreement) -> Pronoun:
    (en, en_object), (fr, direct, indirect) = english.split(), french.split()
    return Pronoun(NounPhrase(en, fr, column, agreement), en_object, direct, indirect, agreement)


PRONOUNS = {
    "I": _pronoun("I me", "je me me", FIRST, "m"),
    "he": _pronoun("he him", "il le lui", THIRD, "m"),
    "she": _pronoun("she her", "elle la lui", THIRD, "f"),
    "we": _pronoun("we us", "nous nous nous", FIRST_PLURAL, "mp"),
    "you": _pronoun("you you", "vous vous vous", SECOND, "m"),
    "they": _pronoun("they them", "ils les leur", THIRD_PLURAL, "mp"),
    # These three need an antecedent in the sentence.
    "it (m)": _pronoun("it it", "il le lui", THIRD, "m"),
    "it (f)": _pronoun("it it", "elle la lui", THIRD, "f"),
    "they (f)": _pronoun("they them", "elles les leur", THIRD_PLURAL, "fp"),
}
_POSSESSIVES = {  # masculine and feminine singular, plural
    "my": ("mon", "ma", "mes"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
    "our": ("notre", "notre", "nos"),
    "your": ("votre", "votre", "vos"),
    "their": ("leur", "leur", "leurs"),
}


def agreement_of(*, feminine: bool, plural: bool) -> Agreement:
    """Name the form of an adjective."""
    if plural:
        return "fp" if feminine else "mp"
    return "f" if feminine else "m"


def _an(en: str) -> str:
    return "an " + en if en[0] in "aeiouAEIOU" else "a " + en


# --- Noun phrases -----------------------------------------------------------------------------------------------------


def noun_phrase(
    noun: Noun,
    determiner: Determiner = "the",
    *,
    plural: bool = False,
    before: Adjective | None = None,
    after: Adjective | None = None,
) -> NounPhrase:
    """Build a determiner, a noun and at most one adjective on either side of it.

    A singular noun with "some" is a mass ("some bread", "du pain"); a noun without determiner is meant as a whole kind
    ("likes apples", "aime les pommes").
    """
    agreement = agreement_of(feminine=noun.feminine, plural=plural)
    en, fr, bits = _with_adjectives(noun, agreement, before, after)
    column = THIRD_PLURAL if plural else THIRD
    if determiner == "a":
        fr_de = "de " + fr
        return NounPhrase(_an(en), ("une " if noun.feminine else "un ") + fr, column, agreement, bits, _an(en), fr_de)
    if determiner == "some":
        fr_de = "de " + fr
        article = "" if plural else ("de la " if noun.feminine else "de le ")
        # "des pommes", but "de belles pommes": an adjective before the noun takes the plural article's place.
        fr_some = article + fr if article else (fr_de if before else "des " + fr)
        return NounPhrase("some " + en, fr_some, column, agreement, bits, "any " + en, fr_de)
    en, fr = _determined(en, fr, determiner, agreement)
    return NounPhrase(en, fr, column, agreement, bits, en, fr)


def _with_adjectives(
    noun: Noun, agreement: Agreement, before: Adjective | None, after: Adjective | None
) -> tuple[str, str, int]:
    plural = agreement in ("mp", "fp")
    en, fr, bits = noun.en_plural if plural else noun.en, noun.fr_plural if plural else noun.fr, 0
    if after:
        en, fr = f"{after.en} {en}", f"{fr} {after.forms[agreement]}"
        bits |= BIT["adjective_after"] | agreement_bit(after, agreement)
    if before:
        assert before.before
        form = before.before_vowel if agreement == "m" and begins_with_vowel(fr) else before.forms[agreement]
        en, fr = f"{before.en} {en}", f"{form} {fr}"
        bits |= BIT["adjective_before"] | agreement_bit(before, agreement)
    return en, fr, bits


def agreement_bit(adjective: Adjective, agreement: Agreement) -> int:
    """Mark an adjective whose form differs from that of the dictionary."""
    return AGREEMENT if adjective.forms[agreement] != adjective.forms["m"] else 0


def _determined(en: str, fr: str, determiner: Determiner, agreement: Agreement) -> tuple[str, str]:
    feminine, plural = agreement in ("f", "fp"), agreement in ("mp", "fp")
    match determiner:
        case "the" | "":
            article = "les" if plural else "la" if feminine else "le"
            return f"{determiner} {en}".lstrip(), f"{article} {fr}"
        case "this":
            ce = "ces" if plural else "cette" if feminine else "cet" if begins_with_vowel(fr) else "ce"
            return ("these " if plural else "this ") + en, f"{ce} {fr}"
        case "which":
            quel = {"m": "quel", "f": "quelle", "mp": "quels", "fp": "quelles"}[agreement]
            return "which " + en, f"{quel} {fr}"
    masculine, feminine_form, plural_form = _POSSESSIVES[determiner]
    # "mon école": the masculine form spares the ear two vowels.
    singular = feminine_form if feminine and not begins_with_vowel(fr) else masculine
    return f"{determiner} {en}", f"{plural_form if plural else singular} {fr}"


def counted(noun: Noun, number: int, *, after: Adjective | None = None) -> NounPhrase:
    """Build a number above one and its noun: "eighty-one books", "quatre-vingt-un livres"."""
    agreement = agreement_of(feminine=noun.feminine, plural=True)
    en, fr, bits = _with_adjectives(noun, agreement, None, after)
    en = f"{en_number(number)} {en}"
    fr = f"{fr_number(number, feminine=noun.feminine)} {fr}"
    return NounPhrase(en, fr, THIRD_PLURAL, agreement, bits | BIT["number"], en, fr)


def owned(noun: Noun, owner: NounPhrase, *, plural: bool = False) -> NounPhrase:
    """Build a thing and its owner: "the girls' dog", "le chien des filles"."""
    owner_is_s_plural = owner.column == THIRD_PLURAL and owner.en.endswith("s")
    en = f"{owner.en}{chr(39) if owner_is_s_plural else chr(39) + 's'} {noun.en_plural if plural else noun.en}"
    thing = noun_phrase(noun, plural=plural)
    fr = f"{thing.fr} de {owner.fr}"
    return NounPhrase(en, fr, thing.column, thing.agreement, owner.bits, en, fr)


def name(en: str, *, feminine: bool) -> NounPhrase:
    """Build a person's name, which is the same in both languages."""
    return NounPhrase(en, en, THIRD, "f" if feminine else "m", 0, en, en)


def paired(first: NounPhrase, second: NounPhrase) -> NounPhrase:
    """Join two noun phrases with "and"; the pair is feminine only if both are."""
    feminine = first.agreement in ("f", "fp") and second.agreement in ("f", "fp")
    en, fr = f"{first.en} and {second.en}", f"{first.fr} et {second.fr}"
    bits = first.bits | second.bits | BIT["coordination"]
    return NounPhrase(en, fr, THIRD_PLURAL, "fp" if feminine else "mp", bits, en, fr)


def described(head: NounPhrase, relative: Phrase) -> NounPhrase:
    """Add a relative clause to a noun phrase."""
    return NounPhrase(
        f"{head.en} {relative.en}",
        f"{head.fr} {relative.fr}",
        head.column,
        head.agreement,
        head.bits | relative.bits | BIT["relative_clause"],
        f"{head.en_any} {relative.en}",
        f"{head.fr_de} {relative.fr}",
    )


# --- Sentences --------------------------------------------------------------------------------------------------------

_ELIDED = frozenset(("le", "la", "je", "me", "se", "ne", "de", "que"))
_JOINED = _ELIDED | {"si", "à"}  # words that the next one may change
_CONTRACTED = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}


def spoken(fr: str) -> Phrase:
    """Elide and contract: "parce que il parle de le homme à le roi" is "parce qu'il parle de l'homme au roi"."""
    bits = 0
    words: list[str] = []
    for word in reversed(fr.split(" ")):  # from the end: "de le homme" must find "l'homme", not contract
        if word not in _JOINED or not words:
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
    _, fr, bits = spoken(phrase.fr)
    fr_end = end if end == "." else " " + end  # French sets a space before the question mark
    return Phrase(phrase.en[0].upper() + phrase.en[1:] + end, fr[0].upper() + fr[1:] + fr_end, phrase.bits | bits)
