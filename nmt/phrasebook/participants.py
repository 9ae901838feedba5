"""Who and what: people, animals and things, chosen at random.

The English must determine the gender of French third persons. "They" and "them" are therefore masculine unless they
refer to a noun of the sentence, and "it" always refers to one; only a first clause uses "they" and "them" freely.
"""

from typing import Literal, NamedTuple

from nmt.phrasebook.chooser import Chooser, weighted
from nmt.phrasebook.lexicon import (
    ADJECTIVES,
    FIRST,
    FIRST_PLURAL,
    MEN,
    NOUNS,
    SECOND,
    THIRD_PLURAL,
    WOMEN,
    Adjective,
    Noun,
    nouns_with,
)
from nmt.phrasebook.noun_phrases import (
    PRONOUNS,
    Determiner,
    NounPhrase,
    Pronoun,
    counted,
    name,
    noun_phrase,
    owned,
    paired,
)

Kind = Literal["person", "animal", "thing"]


class Actor(NamedTuple):
    """Somebody or something that can be the subject of a clause.

    Attributes:
        adjectives: groups of adjectives that suit it.
        possessive: the determiner of what it owns.
        pronoun: the one that refers to it in a later clause; None for "who".
    """

    np: NounPhrase
    kind: Kind
    adjectives: str
    possessive: Determiner
    pronoun: Pronoun | None


def _adjectives_beside(noun: Noun, *, before: bool) -> tuple[Adjective, ...]:
    return tuple(
        adjective
        for adjective in ADJECTIVES.values()
        if adjective.before == before and any(group in noun.adjectives for group in adjective.attributive)
    )


_PEOPLE, _KIN, _ANIMALS = nouns_with("person"), nouns_with("kin"), nouns_with("animal")
_BEFORE = {noun.en: _adjectives_beside(noun, before=True) for noun in NOUNS.values()}
_AFTER = {noun.en: _adjectives_beside(noun, before=False) for noun in NOUNS.values()}
_PERSONAL = "oyk"  # groups of adjectives for pronouns and names

_ACTORS = weighted(pronoun=54, name=24, person=11, kin=9, pair=2)
_PLAIN_ACTORS = weighted(pronoun=70, name=18, person=6, kin=6)
_PERSON_DETERMINERS = weighted(the=66, the_plural=22, a=8, this=4)
_THING_DETERMINERS = weighted(the=38, a=30, possessive=18, this=6, some=8)
_SINGLE_DETERMINERS = weighted(the=36, a=36, possessive=22, this=6)
_MASS_DETERMINERS = weighted(some=80, the=20)

POSSESSIVES: tuple[Determiner, ...] = ("my", "his", "her", "our", "your", "their")
_POSSESSIVE_OF: dict[int, Determiner] = {FIRST: "my", FIRST_PLURAL: "our", SECOND: "your", THIRD_PLURAL: "their"}
_SUBJECTS = ("I", "he", "she", "we", "you")
_FREE_SUBJECTS = (*_SUBJECTS, "they")
_PRONOUN_OF_PEOPLE = {"m": "he", "f": "she", "mp": "they", "fp": "they (f)"}
_PRONOUN_OF_OTHERS = {"m": "it (m)", "f": "it (f)", "mp": "they", "fp": "they (f)"}


def possessive_of(np: NounPhrase) -> Determiner:
    """Return the determiner of what a subject owns."""
    return _POSSESSIVE_OF.get(np.person, "her" if np.agreement == "f" else "his")


def pronoun_for(np: NounPhrase, kind: Kind) -> Pronoun:
    """Return the pronoun that refers to a noun phrase of the sentence."""
    return PRONOUNS[(_PRONOUN_OF_PEOPLE if kind == "person" else _PRONOUN_OF_OTHERS)[np.agreement]]


class Participants:
    """Chooses people, animals and things."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser

    # --- People and animals -------------------------------------------------------------------------------------------

    def person(self, *, free: bool = False, plain: bool = False) -> Actor:
        """Choose one person or several, mostly by pronoun or name if `plain`; `free` allows "they" for anyone."""
        chooser = self._chooser
        kind = chooser.pick(_PLAIN_ACTORS if plain else _ACTORS)
        if kind == "pronoun":
            pronoun = PRONOUNS[chooser.pick(_FREE_SUBJECTS if free else _SUBJECTS)]
            return Actor(pronoun.subject, "person", _PERSONAL, possessive_of(pronoun.subject), pronoun)
        if kind == "name":
            return self._actor(self.named(), _PERSONAL)
        if kind == "pair":
            first, second = self.named(), self.named()
            return self._actor(paired(first, second) if second != first else first, _PERSONAL)
        noun = chooser.pick(_KIN if kind == "kin" else _PEOPLE)
        return self._actor(self._relative(noun) if kind == "kin" else self._someone(noun), noun.adjectives)

    def someone(self) -> Actor:
        """Choose one person or several by a noun: "the old doctor", "the girls"."""
        noun = self._chooser.pick(_PEOPLE)
        return self._actor(self._someone(noun), noun.adjectives)

    def kin_of_kin(self) -> Actor:
        """Choose a relative's relative, whose words are in the opposite order in French: "my brother's sister"."""
        chooser = self._chooser
        owner = self._relative(chooser.pick(_KIN))
        if chooser.chance(0.4):
            owner = owned(chooser.pick(_KIN), owner)
        return self._actor(owned(chooser.pick(_KIN), owner), _PERSONAL)

    def _actor(self, np: NounPhrase, adjectives: str) -> Actor:
        return Actor(np, "person", adjectives, possessive_of(np), pronoun_for(np, "person"))

    def named(self) -> NounPhrase:
        """Choose a person by name."""
        feminine = self._chooser.chance(0.5)
        return name(self._chooser.pick(WOMEN if feminine else MEN), feminine=feminine)

    def other_person(self, possessive: Determiner) -> NounPhrase:
        """Choose a person as an object, often a relative of the subject with this possessive."""
        fraction = self._chooser.fraction()
        if fraction < 0.4:
            return self.named()
        if fraction < 0.7:
            return self._relative(self._chooser.pick(_KIN), possessive)
        return self._someone(self._chooser.pick(_PEOPLE))

    def animal(self) -> Actor:
        """Choose one animal or several."""
        noun = self._chooser.pick(_ANIMALS)
        np = owned(noun, self._owner()) if self._chooser.chance(0.15) else self.thing(noun, "the", single=False)
        return Actor(np, "animal", noun.adjectives, "the", pronoun_for(np, "animal"))

    def _someone(self, noun: Noun) -> NounPhrase:
        """Choose determiner, number and adjectives for a person."""
        kind = self._chooser.pick(_PERSON_DETERMINERS)
        before, after = self._adjectives(noun, 0.12)
        match kind:
            case "the plural":
                return noun_phrase(noun, plural=True, before=before, after=after)
            case "the" | "a" | "this":
                return noun_phrase(noun, kind, before=before, after=after)
        raise AssertionError(kind)

    def _relative(self, noun: Noun, possessive: Determiner | None = None) -> NounPhrase:
        """Choose whose relative it is: "my sisters", "Paul's sister"."""
        chooser = self._chooser
        if chooser.chance(0.15):
            return owned(noun, self._owner())
        determiner = possessive if possessive and chooser.chance(0.7) else chooser.pick(POSSESSIVES)
        return noun_phrase(noun, determiner, plural="several" in noun.traits and chooser.chance(0.2))

    def _owner(self) -> NounPhrase:
        """Choose a person who owns something: "Paul", "the doctor", "the girls"."""
        if self._chooser.chance(0.6):
            return self.named()
        return noun_phrase(self._chooser.pick(_PEOPLE), plural=self._chooser.chance(0.2))

    # --- Things -------------------------------------------------------------------------------------------------------

    def thing(self, noun: Noun, possessive: Determiner, *, single: bool, plain: bool = False) -> NounPhrase:
        """Choose determiner, number and adjectives for a thing: no adjectives if `plain`, the singular if `single`."""
        chooser = self._chooser
        before, after = self._adjectives(noun, 0.0 if plain else 0.3)
        mass = "mass-food" in noun.traits or "mass-drink" in noun.traits
        kind = chooser.pick(_MASS_DETERMINERS if mass else _SINGLE_DETERMINERS if single else _THING_DETERMINERS)
        plural = not mass and not single and chooser.chance(0.18)
        match kind:
            case "possessive":
                use_given = possessive != "the" and chooser.chance(0.75)
                determiner = possessive if use_given else chooser.pick(POSSESSIVES)
                return noun_phrase(noun, determiner, before=before, after=after, plural=plural)
            case "some":
                return noun_phrase(noun, "some", plural=not mass, before=before, after=after)
            case "a":
                if not single and chooser.chance(0.06):
                    return counted(noun, chooser.number(2, 30), after=after)
                return noun_phrase(noun, "a", before=before, after=after)
            case "the" | "this":
                return noun_phrase(noun, kind, plural=plural, before=before, after=after)
        raise AssertionError(kind)

    def _adjectives(self, noun: Noun, probability: float) -> tuple[Adjective | None, Adjective | None]:
        """Choose the adjectives before and after a noun in French; both only if that is their order in English too."""
        chooser = self._chooser
        if not chooser.chance(probability):
            return None, None
        befores, afters = _BEFORE[noun.en], _AFTER[noun.en]
        fraction = chooser.fraction()
        before = chooser.pick(befores) if befores and (fraction < 0.6 or not afters) else None
        after = chooser.pick(afters) if afters and fraction > 0.48 else None
        if before and after and after.attributive not in ("c", "ca"):
            return before, None
        return before, after
