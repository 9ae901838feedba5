"""Who and what the built-in corpus talks about, where and when: phrases drawn at random from its grammar.

Third persons need care, since the English must tell the French gender. "They" and "them" are masculine unless they
take up a noun of the sentence, and "it" always takes up one; so only the first clause uses "they" and "them" freely.
"""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

from nmt.text.phrasebook_grammar import (
    BIT,
    PRONOUNS,
    Determiner,
    NounPhrase,
    Phrase,
    Pronoun,
    counted,
    name,
    noun_phrase,
    owned,
    paired,
)
from nmt.text.phrasebook_lexicon import (
    ADJECTIVES,
    CITIES,
    DAY_PARTS,
    FIRST,
    FIRST_PLURAL,
    MEN,
    MONTHS,
    NOUNS,
    SECOND,
    TENSE_TIMES,
    THIRD_PLURAL,
    VERBS,
    WEEKDAYS,
    WOMEN,
    Adjective,
    Noun,
    Verb,
)
from nmt.text.phrasebook_numerals import MINUTES, date, time_of_day

T = TypeVar("T")
Kind = Literal["person", "animal", "thing"]
TimeFrame = Literal["past", "present", "habit", "future"]


class Actor(NamedTuple):
    """A subject: groups of adjectives that suit it, the determiner of what it owns, the pronoun that takes it up."""

    np: NounPhrase
    kind: Kind
    adjectives: str
    own: Determiner
    pronoun: Pronoun | None


def weighted(**weights: int) -> tuple[str, ...]:
    """List words as often as they weigh; an underscore stands for a space."""
    return tuple(word.replace("_", " ") for word, weight in weights.items() for _ in range(weight))


def nouns_with(*traits: str) -> tuple[Noun, ...]:
    """List the nouns that have one of these traits."""
    return tuple(noun for noun in NOUNS.values() if any(trait in noun.traits for trait in traits))


def _adjectives_beside(noun: Noun, *, before: bool) -> tuple[Adjective, ...]:
    return tuple(
        adjective
        for adjective in ADJECTIVES.values()
        if adjective.before == before and any(group in noun.adjectives for group in adjective.attributive)
    )


OBJECTS = {verb: nouns_with(*verb.objects) for verb in VERBS.values() if verb.objects}
PEOPLE, KIN, ANIMALS = nouns_with("person"), nouns_with("kin"), nouns_with("animal")
_BEFORE = {noun.en: _adjectives_beside(noun, before=True) for noun in NOUNS.values()}
_AFTER = {noun.en: _adjectives_beside(noun, before=False) for noun in NOUNS.values()}
_AT, _IN = nouns_with("at"), nouns_with("in")
_MONTH_NAMES, _WEEKDAY_NAMES, _DAY_PART_NAMES = tuple(MONTHS), tuple(WEEKDAYS), tuple(DAY_PARTS)
_CITIES = tuple(CITIES.items())
_TIMES = {frame: tuple(times.items()) for frame, times in TENSE_TIMES.items()}
_PERSONAL = "oyk"  # the adjectives of people who are only named

_ACTORS = weighted(pronoun=54, name=24, person=11, kin=9, pair=2)
_PLAIN_ACTORS = weighted(pronoun=70, name=18, person=6, kin=6)
_PERSON_DETERMINERS = weighted(the=66, the_plural=22, a=8, this=4)
_THING_DETERMINERS = weighted(the=38, a=30, own=18, this=6, some=8)
_SINGLE_DETERMINERS = weighted(the=36, a=36, own=22, this=6)
_MASS_DETERMINERS = weighted(some=80, the=20)
_CLOCKS = weighted(noon=5, midnight=3, full=50, quarters=34, minutes=8)
_QUARTERS = (15, 30, 45)
_TIME_KINDS = weighted(day=82, date=8, table=10)
_HABIT_KINDS = weighted(table=54, weekday=16, clock=30)
_SPOTS = weighted(at=54, within=30, city=16)

_OWN: dict[int, Determiner] = {FIRST: "my", FIRST_PLURAL: "our", SECOND: "your", THIRD_PLURAL: "their"}
ANY_OWN: tuple[Determiner, ...] = ("my", "his", "her", "our", "your", "their")
_FREE_SUBJECTS = ("I", "he", "she", "we", "you", "they")
_BACK_PRONOUNS = {"m": "he", "f": "she", "mp": "they", "fp": "they (f)"}
_IT_PRONOUNS = {"m": "it (m)", "f": "it (f)", "mp": "they", "fp": "they (f)"}


def own_of(np: NounPhrase) -> Determiner:
    """Name the determiner of what a subject owns."""
    return _OWN.get(np.column, "her" if np.agreement == "f" else "his")


def taking_up(np: NounPhrase, kind: Kind) -> Pronoun:
    """Return the pronoun that stands for a noun of the sentence."""
    return PRONOUNS[(_BACK_PRONOUNS if kind == "person" else _IT_PRONOUNS)[np.agreement]]


class Cast:
    """Draws people, animals, things, places and times.

    It asks its generator for `random()` only, whose sequence Python promises to keep for a given seed.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random

    def chance(self, probability: float) -> bool:
        """Say yes with this probability."""
        return self._random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of a sequence, all of its places alike."""
        return choices[int(self._random() * len(choices))]

    def number(self, low: int, high: int) -> int:
        """Draw a number whose logarithm is even between these two: small ones are frequent."""
        return min(high, int(low * ((high + 1) / low) ** self._random()))

    # --- People and animals -------------------------------------------------------------------------------------------

    def person(self, *, free: bool = False, plain: bool = False) -> Actor:
        """Draw a person or several, mostly by pronoun or name if `plain`; `free` if "they" may mean anyone."""
        kind = self.pick(_PLAIN_ACTORS if plain else _ACTORS)
        if kind == "pronoun":
            pronoun = PRONOUNS[self.pick(_FREE_SUBJECTS if free else _FREE_SUBJECTS[:5])]
            return Actor(pronoun.subject, "person", _PERSONAL, own_of(pronoun.subject), pronoun)
        if kind == "name":
            return self._actor(self.named(), _PERSONAL)
        if kind == "pair":
            first, second = self.named(), self.named()
            return self._actor(paired(first, second) if second != first else first, _PERSONAL)
        noun = self.pick(KIN if kind == "kin" else PEOPLE)
        return self._actor(self.relation(noun) if kind == "kin" else self.someone(noun), noun.adjectives)

    def _actor(self, np: NounPhrase, adjectives: str) -> Actor:
        return Actor(np, "person", adjectives, own_of(np), taking_up(np, "person"))

    def named(self) -> NounPhrase:
        """Draw a person by name."""
        feminine = self.chance(0.5)
        return name(self.pick(WOMEN if feminine else MEN), feminine=feminine)

    def someone(self, noun: Noun) -> NounPhrase:
        """Draw a determiner, a number and adjectives for a person."""
        kind = self.pick(_PERSON_DETERMINERS)
        before, after = self.adjectives(noun, 0.12)
        match kind:
            case "the plural":
                return noun_phrase(noun, plural=True, before=before, after=after)
            case "the" | "a" | "this":
                return noun_phrase(noun, kind, before=before, after=after)
        raise AssertionError(kind)

    def relation(self, noun: Noun, own: Determiner | None = None) -> NounPhrase:
        """Draw a relative of somebody: "my sisters", "Paul's sister"."""
        if self.chance(0.15):
            return owned(noun, self.owner())
        determiner = own if own and self.chance(0.7) else self.pick(ANY_OWN)
        return noun_phrase(noun, determiner, plural="several" in noun.traits and self.chance(0.2))

    def owner(self) -> NounPhrase:
        """Draw a person who owns something: "Paul", "the doctor", "the girls"."""
        if self.chance(0.6):
            return self.named()
        return noun_phrase(self.pick(PEOPLE), plural=self.chance(0.2))

    def animal(self) -> Actor:
        """Draw an animal or several."""
        noun = self.pick(ANIMALS)
        np = owned(noun, self.owner()) if self.chance(0.15) else self.thing(noun, "the", single=False)
        return Actor(np, "animal", noun.adjectives, "the", taking_up(np, "animal"))

    def other_person(self, own: Determiner) -> NounPhrase:
        """Draw a person as an object, often a relative of the subject that owns with `own`."""
        draw = self._random()
        if draw < 0.4:
            return self.named()
        if draw < 0.7:
            return self.relation(self.pick(KIN), own)
        return self.someone(self.pick(PEOPLE))

    # --- Things -------------------------------------------------------------------------------------------------------

    def adjectives(self, noun: Noun, probability: float) -> tuple[Adjective | None, Adjective | None]:
        """Draw the adjectives before and after a noun in French; both only if English says them in that order too."""
        if not self.chance(probability):
            return None, None
        befores, afters = _BEFORE[noun.en], _AFTER[noun.en]
        draw = self._random()
        before = self.pick(befores) if befores and (draw < 0.6 or not afters) else None
        after = self.pick(afters) if afters and draw > 0.48 else None
        if before and after and after.attributive not in ("c", "ca"):
            return before, None
        return before, after

    def thing(self, noun: Noun, own: Determiner, *, single: bool, plain: bool = False) -> NounPhrase:
        """Draw a determiner, a number and, unless `plain`, adjectives for a thing; perhaps several unless `single`."""
        before, after = self.adjectives(noun, 0.0 if plain else 0.3)
        mass = "mass-food" in noun.traits or "mass-drink" in noun.traits
        kind = self.pick(_MASS_DETERMINERS if mass else _SINGLE_DETERMINERS if single else _THING_DETERMINERS)
        plural = not mass and not single and self.chance(0.18)
        match kind:
            case "own":
                kind = own if own != "the" and self.chance(0.75) else self.pick(ANY_OWN)
                return noun_phrase(noun, kind, before=before, after=after, plural=plural)
            case "some":
                return noun_phrase(noun, "some", plural=not mass, before=before, after=after)
            case "a":
                if not single and self.chance(0.06):
                    return counted(noun, self.number(2, 30), after=after)
                return noun_phrase(noun, "a", before=before, after=after)
            case "the" | "this":
                return noun_phrase(noun, kind, plural=plural, before=before, after=after)
        raise AssertionError(kind)

    # --- Places -------------------------------------------------------------------------------------------------------

    def spot(self) -> Phrase:
        """Draw where something happens: "at the market", "in the park", "in Paris"."""
        kind = self.pick(_SPOTS)
        if kind == "city":
            return self.town("in", "à")
        return self._place("at", "à", _AT) if kind == "at" else self._place("in", "dans", _IN)

    def towards(self, en: str, fr: str) -> Phrase:
        """Draw where somebody goes to, arrives at or comes back from."""
        if self.chance(0.25):
            return self.town("in" if en == "at" else en, fr)
        return self._place(en, fr, _AT)

    def town(self, en: str, fr: str) -> Phrase:
        """Draw a city after a preposition."""
        city, ville = self.pick(_CITIES)
        return Phrase(f"{en} {city}", f"{fr} {ville}")

    def _place(self, en: str, fr: str, nouns: Sequence[Noun]) -> Phrase:
        place = noun_phrase(self.pick(nouns))
        return Phrase(f"{en} {place.en}", f"{fr} {place.fr}")

    # --- Times --------------------------------------------------------------------------------------------------------

    def time(self, frame: TimeFrame) -> Phrase:
        """Draw when something happens."""
        kind = "table" if frame == "present" else self.pick(_HABIT_KINDS if frame == "habit" else _TIME_KINDS)
        if kind == "table":
            day, timed = Phrase(*self.pick(_TIMES[frame])), frame == "habit" and self.chance(0.5)
            return self._timed(day) if timed else day
        if kind == "clock":
            return self.clock()
        if kind == "weekday":
            weekday = self.pick(_WEEKDAY_NAMES)
            return Phrase(f"on {weekday}s", f"le {WEEKDAYS[weekday]}")
        if kind == "date":
            day = Phrase(*date(1 + int(self._random() * 28), self.pick(_MONTH_NAMES)), BIT["date"])
            timed = self.chance(0.25)
        else:
            day, timed = self._day(frame)
            timed = timed and self.chance(0.92)
        return self._timed(day) if timed else day

    def _timed(self, day: Phrase) -> Phrase:
        clock = self.clock()
        return Phrase(f"{day.en} {clock.en}", f"{day.fr} {clock.fr}", day.bits | clock.bits)

    def _day(self, frame: TimeFrame) -> tuple[Phrase, bool]:
        """Draw a day or a part of it; say whether a time of day may follow."""
        if self.chance(0.4):
            en, fr = ("yesterday", "hier") if frame == "past" else ("tomorrow", "demain")
        else:
            weekday = self.pick(_WEEKDAY_NAMES)
            en, fr = f"on {weekday}", WEEKDAYS[weekday]
            if self.chance(0.25):
                en, fr = ("last", f"{fr} dernier") if frame == "past" else ("next", f"{fr} prochain")
                return Phrase(f"{en} {weekday}", fr), True
        if self.chance(0.25):
            part = self.pick(_DAY_PART_NAMES)
            return Phrase(f"{en} {part}", f"{fr} {DAY_PARTS[part]}"), False
        return Phrase(en, fr), True

    def clock(self) -> Phrase:
        """Draw a time of day."""
        bit, kind = BIT["time_of_day"], self.pick(_CLOCKS)
        if kind == "noon":
            return Phrase(*time_of_day(12, 0), bit)
        if kind == "midnight":
            return Phrase(*time_of_day(0, 0), bit)
        minutes = 0 if kind == "full" else self.pick(_QUARTERS if kind == "quarters" else MINUTES[1:])
        hour = 1 + int(self._random() * (10 if minutes > 30 else 11))
        if self.chance(0.15):
            return Phrase(*time_of_day(hour, minutes), bit)
        part = "afternoon" if hour < 6 else "morning" if self.chance(0.5) else "evening"
        return Phrase(*time_of_day(hour, minutes, part), bit)


def verbs_for(noun: Noun) -> tuple[Verb, ...]:
    """List the verbs whose object a noun may be."""
    return tuple(verb for verb, nouns in OBJECTS.items() if noun in nouns)
