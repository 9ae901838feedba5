"""Noun phrases, names and pronouns: each function builds a phrase in English and in French at once."""

from typing import Literal, NamedTuple, TypeAlias

from nmt.phrasebook.lexicon import (
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
from nmt.phrasebook.numerals import en_number, fr_number
from nmt.phrasebook.phrases import BIT, Phrase

Determiner = Literal["", "the", "a", "some", "this", "my", "his", "her", "our", "your", "their", "which"]


class NounPhrase(NamedTuple):
    """A phrase that can be a subject or an object.

    Attributes:
        person: grammatical person and number, such as THIRD_PLURAL.
        en_any: the English in negations and questions: "any bread" for "some bread".
        fr_de: the French in negations: "de pain" for "du pain".
    """

    en: str
    fr: str
    person: int = THIRD
    agreement: Agreement = "m"
    bits: int = 0
    en_any: str = ""
    fr_de: str = ""


class Pronoun(NamedTuple):
    """A pronoun as subject and as object; `direct` ("le") and `indirect` ("lui") precede the French verb."""

    subject: NounPhrase
    en_object: str
    direct: str
    indirect: str
    agreement: Agreement


Nominal: TypeAlias = NounPhrase | Pronoun  # what can be an object


def _pronoun(english: str, french: str, person: int, agreement: Agreement) -> Pronoun:
    (en, en_object), (fr, direct, indirect) = english.split(), french.split()
    return Pronoun(NounPhrase(en, fr, person, agreement), en_object, direct, indirect, agreement)


PRONOUNS = {
    "I": _pronoun("I me", "je me me", FIRST, "m"),
    "he": _pronoun("he him", "il le lui", THIRD, "m"),
    "she": _pronoun("she her", "elle la lui", THIRD, "f"),
    "we": _pronoun("we us", "nous nous nous", FIRST_PLURAL, "mp"),
    "you": _pronoun("you you", "vous vous vous", SECOND, "m"),
    "they": _pronoun("they them", "ils les leur", THIRD_PLURAL, "mp"),
    # these need an antecedent in the sentence
    "it (m)": _pronoun("it it", "il le lui", THIRD, "m"),
    "it (f)": _pronoun("it it", "elle la lui", THIRD, "f"),
    "they (f)": _pronoun("they them", "elles les leur", THIRD_PLURAL, "fp"),
}
_POSSESSIVES = {  # masculine, feminine, plural
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

    In the singular, "some" makes a partitive: "some bread", "du pain". Without a determiner, the noun means its kind:
    "likes apples", "aime les pommes".
    """
    agreement = agreement_of(feminine=noun.feminine, plural=plural)
    en, fr, bits = _with_adjectives(noun, agreement, before, after)
    person = THIRD_PLURAL if plural else THIRD
    if determiner == "a":
        fr_de = "de " + fr
        return NounPhrase(_an(en), ("une " if noun.feminine else "un ") + fr, person, agreement, bits, _an(en), fr_de)
    if determiner == "some":
        fr_de = "de " + fr
        article = "" if plural else ("de la " if noun.feminine else "de le ")
        # "des pommes", but "de belles pommes": before an adjective, "des" becomes "de"
        fr_some = article + fr if article else (fr_de if before else "des " + fr)
        return NounPhrase("some " + en, fr_some, person, agreement, bits, "any " + en, fr_de)
    en, fr = _determined(en, fr, determiner, agreement)
    return NounPhrase(en, fr, person, agreement, bits, en, fr)


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
    """Return the bit of agreement if the form of the adjective differs from the masculine singular."""
    return BIT["agreement"] if adjective.forms[agreement] != adjective.forms["m"] else 0


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
    # "mon école": before a vowel the masculine form is used for the feminine
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
    owner_is_s_plural = owner.person == THIRD_PLURAL and owner.en.endswith("s")
    apostrophe = "'" if owner_is_s_plural else "'s"
    en = f"{owner.en}{apostrophe} {noun.en_plural if plural else noun.en}"
    thing = noun_phrase(noun, plural=plural)
    fr = f"{thing.fr} de {owner.fr}"
    return NounPhrase(en, fr, thing.person, thing.agreement, owner.bits, en, fr)


def name(en: str, *, feminine: bool) -> NounPhrase:
    """Build a person's name, which is the same in both languages."""
    return NounPhrase(en, en, THIRD, "f" if feminine else "m", 0, en, en)


def paired(first: NounPhrase, second: NounPhrase) -> NounPhrase:
    """Join two noun phrases with "and"; the pair is feminine only if both are."""
    feminine = first.agreement in ("f", "fp") and second.agreement in ("f", "fp")
    en, fr = f"{first.en} and {second.en}", f"{first.fr} et {second.fr}"
    bits = first.bits | second.bits | BIT["coordination"]
    return NounPhrase(en, fr, THIRD_PLURAL, "fp" if feminine else "mp", bits, en, fr)


def omitted(np: NounPhrase) -> NounPhrase:
    """Omit the words of a subject, but not its person and gender: "Paul sings and dances"."""
    return NounPhrase("", "", np.person, np.agreement)


def with_relative_clause(head: NounPhrase, relative: Phrase) -> NounPhrase:
    """Add a relative clause to a noun phrase: "the letter that I wrote"."""
    return NounPhrase(
        f"{head.en} {relative.en}",
        f"{head.fr} {relative.fr}",
        head.person,
        head.agreement,
        head.bits | relative.bits | BIT["relative_clause"],
        f"{head.en_any} {relative.en}",
        f"{head.fr_de} {relative.fr}",
    )
