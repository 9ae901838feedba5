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
    joined,
    name,
    noun_phrase,
    owned,
)
from nmt.text.phrasebook_lexicon import (
    ADJECTIVES,
    CITIES,
    COUNTRIES,
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
from nmt.text.phrasebook_numerals import DAY_PARTS, MINUTES, date, time_of_day

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
_AT, _IN, _PLACES = nouns_with("at"), nouns_with("in"), nouns_with("place")
_OWNABLE_PLACES = (NOUNS["house"], NOUNS["garden"], NOUNS["kitchen"])
_MONTH_NAMES, _WEEKDAY_NAMES, _DAY_PART_NAMES = tuple(MONTHS), tuple(WEEKDAYS), tuple(DAY_PARTS)
_CITY_NAMES, _COUNTRY_NAMES = tuple(CITIES), tuple(COUNTRIES)
_TIMES = {frame: tuple(times.items()) for frame, times in TENSE_TIMES.items()}
_PERSONAL = "okypeft"  # the adjectives of people who are only named

_ACTORS = weighted(pronoun=34, name=24, person=26, kin=12, pair=4)
_PERSON_DETERMINERS = weighted(the=48, this=9, a=9, the_plural=20, counted=4, every=4, many=3, all=3)
_KIN_DETERMINERS = weighted(own=70, owned=30)
_THING_DETERMINERS = weighted(the=27, a=27, own=12, this=8, some=8, the_plural=6, counted=4, many=3, owned=5)
_SINGLE_DETERMINERS = weighted(the=30, a=36, own=24, this=10)
_HAD_DETERMINERS = weighted(a=60, some=10, counted=15, many=15)
_MASS_DETERMINERS = weighted(some=60, the=20, this=10, own=10)
_CLOCKS = weighted(noon=4, midnight=4, full=44, minutes=48)
_TIME_KINDS = weighted(table=50, weekday=12, date=15, clock=23)
_HABIT_KINDS = weighted(table=50, weekday=20, clock=30)
_SPOTS = weighted(at=42, within=28, near=16, city=14)

_OWN: dict[int, Determiner] = {FIRST: "my", FIRST_PLURAL: "our", SECOND: "your", THIRD_PLURAL: "their"}
_ANY_OWN: tuple[Determiner, ...] = ("my", "his", "her", "our", "your", "their")
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

    def person(self, *, free: bool = False) -> Actor:
        """Draw a person or several; `free` if "they" may mean anyone."""
        kind = self.pick(_ACTORS)
        if kind == "pronoun":
            pronoun = PRONOUNS[self.pick(_FREE_SUBJECTS if free else _FREE_SUBJECTS[:5])]
            return Actor(pronoun.subject, "person", _PERSONAL, own_of(pronoun.subject), pronoun)
        if kind == "name":
            return self._actor(self.named(), _PERSONAL)
        if kind == "pair":
            first, second = self.named(), self.named()
            return self._actor(joined(first, second, "and") if second != first else first, _PERSONAL)
        noun = self.pick(KIN if kind == "kin" else PEOPLE)
        np = self.relation(noun) if kind == "kin" else self.someone(noun)
        actor = self._actor(np, noun.adjectives)
        return actor._replace(pronoun=None) if np.en.startswith("every") else actor

    def _actor(self, np: NounPhrase, adjectives: str) -> Actor:
        return Actor(np, "person", adjectives, own_of(np), taking_up(np, "person"))

    def named(self) -> NounPhrase:
        """Draw a person by name."""
        feminine = self.chance(0.5)
        return name(self.pick(WOMEN if feminine else MEN), feminine=feminine)

    def someone(self, noun: Noun) -> NounPhrase:
        """Draw a determiner, a number and adjectives for a person."""
        kind = self.pick(_PERSON_DETERMINERS)
        before, after = self.adjectives(noun, 0.22)
        match kind:
            case "counted":
                return counted(noun, self.number(2, 12))
            case "the plural":
                return noun_phrase(noun, plural=True, before=before, after=after)
            case "the" | "a" | "this" | "every" | "many" | "all":
                plural = kind == "this" and self.chance(0.3)
                return noun_phrase(noun, kind, plural=plural, before=before, after=after)
        raise AssertionError(kind)

    def relation(self, noun: Noun, own: Determiner | None = None) -> NounPhrase:
        """Draw a relative of somebody: "my sister", "Paul's sisters"."""
        plural = "several" in noun.traits and self.chance(0.25)
        if self.pick(_KIN_DETERMINERS) == "owned":
            return owned(noun, self.owner(), plural=plural)
        determiner = own if own and self.chance(0.6) else self.pick(_ANY_OWN)
        before = self.pick(_BEFORE[noun.en]) if _BEFORE[noun.en] and self.chance(0.15) else None
        return noun_phrase(noun, determiner, plural=plural, before=before)

    def owner(self) -> NounPhrase:
        """Draw a person who owns something: "Paul", "the doctor", "the girls"."""
        if self.chance(0.5):
            return self.named()
        return noun_phrase(self.pick(PEOPLE), plural=self.chance(0.3))

    def animal(self) -> Actor:
        """Draw an animal or several."""
        noun = self.pick(ANIMALS)
        if self.chance(0.2) and "pet" in noun.traits:
            np = owned(noun, self.owner(), plural=self.chance(0.3))
        else:
            np = self.thing(noun, "the", single=False)
        return Actor(np, "animal", noun.adjectives, "the", taking_up(np, "animal"))

    def other_person(self, own: Determiner) -> NounPhrase:
        """Draw a person as an object, often a relative of the subject that owns with `own`."""
        draw = self._random()
        if draw < 0.3:
            return self.named()
        if draw < 0.55:
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
        if before and after and after.attributive not in ("c", "ca", "e"):
            return before, None
        return before, after

    def thing(self, noun: Noun, own: Determiner, *, single: bool, had: bool = False) -> NounPhrase:
        """Draw a determiner, a number and adjectives for a thing; `had` if it is the object of "to have"."""
        before, after = self.adjectives(noun, 0.33)
        if "mass-food" in noun.traits or "mass-drink" in noun.traits:
            kind = self.pick(_MASS_DETERMINERS)
        else:
            kind = self.pick(_SINGLE_DETERMINERS if single else _HAD_DETERMINERS if had else _THING_DETERMINERS)
        match kind:
            case "counted":
                return counted(noun, self.number(2, 80), after=after)
            case "owned":
                return owned(noun, self.owner(), plural=self.chance(0.2))
            case "own":
                kind = own if own != "the" and self.chance(0.75) else self.pick(_ANY_OWN)
                return noun_phrase(noun, kind, before=before, after=after, plural=not single and self.chance(0.2))
            case "some":
                plural = "mass-food" not in noun.traits and "mass-drink" not in noun.traits
                return noun_phrase(noun, "some", plural=plural, before=before, after=after)
            case "the plural":
                return noun_phrase(noun, plural=True, before=before, after=after)
            case "the" | "a" | "this" | "many":
                return noun_phrase(noun, kind, before=before, after=after)
        raise AssertionError(kind)

    # --- Places -------------------------------------------------------------------------------------------------------

    def place(self, nouns: Sequence[Noun], *, definite: bool = False) -> NounPhrase:
        """Draw a place, perhaps somebody's; `definite` after "à", where French would avoid "un"."""
        noun = self.pick(nouns)
        if noun in _OWNABLE_PLACES and self.chance(0.35):
            if self.chance(0.5):
                return owned(noun, self.owner())
            return noun_phrase(noun, self.pick(_ANY_OWN))
        before, after = self.adjectives(noun, 0.18)
        draw = self._random()
        determiner: Determiner = "the" if draw < 0.84 else "this" if definite or draw < 0.92 else "a"
        return noun_phrase(noun, determiner, before=before, after=after)

    def spot(self) -> Phrase:
        """Draw where something happens: "at the market", "in Paris", "near the school"."""
        kind = self.pick(_SPOTS)
        if kind == "city":
            return self.town("in", "à")
        if kind == "near":
            place = self.place(_PLACES)
            en, fr = self.pick((("near", "près de"), ("in front of", "devant"), ("behind", "derrière")))
        else:
            place = self.place(_AT if kind == "at" else _IN, definite=kind == "at")
            en, fr = ("at", "à") if kind == "at" else ("in", "dans")
        return Phrase(f"{en} {place.en}", f"{fr} {place.fr}", place.bits)

    def towards(self, en: str, fr: str) -> Phrase:
        """Draw where somebody goes to, arrives at, comes from or goes out of."""
        if self.chance(0.25) and en != "of":
            return self.town("in" if en == "at" else en, fr)
        place = self.place(_IN if en == "of" else _AT, definite=fr == "à")
        return Phrase(f"{en} {place.en}", f"{fr} {place.fr}", place.bits)

    def town(self, en: str, fr: str) -> Phrase:
        """Draw a city, or a country, which has "en" where a city has "à"."""
        if self.chance(0.7):
            city = self.pick(_CITY_NAMES)
            return Phrase(f"{en} {city}", f"{fr} {CITIES[city]}")
        country = self.pick(_COUNTRY_NAMES)
        return Phrase(f"{en} {country}", f"{'en' if fr == 'à' else fr} {COUNTRIES[country]}")

    def city(self) -> Phrase:
        """Draw a city without a preposition."""
        city = self.pick(_CITY_NAMES)
        return Phrase(city, CITIES[city])

    # --- Times --------------------------------------------------------------------------------------------------------

    def time(self, frame: TimeFrame) -> Phrase:
        """Draw when something happens."""
        kind = "table" if frame == "present" else self.pick(_HABIT_KINDS if frame == "habit" else _TIME_KINDS)
        if kind == "clock":
            return self.clock()
        if kind == "date":
            day = 1 if self.chance(0.12) else 2 + int(self._random() * 27)
            weekday = self.pick(_WEEKDAY_NAMES) if self.chance(0.25) else ""
            return Phrase(*date(day, self.pick(_MONTH_NAMES), weekday), BIT["date"])
        if kind == "weekday":
            return self._weekday(frame)
        return Phrase(*self.pick(_TIMES[frame]))

    def _weekday(self, frame: TimeFrame) -> Phrase:
        en = self.pick(_WEEKDAY_NAMES)
        fr = WEEKDAYS[en]
        if frame == "habit":
            return Phrase(f"on {en}s", f"le {fr}")
        if self.chance(0.5):
            return Phrase(f"on {en}", fr)
        return Phrase(f"last {en}", f"{fr} dernier") if frame == "past" else Phrase(f"next {en}", f"{fr} prochain")

    def clock(self) -> Phrase:
        """Draw a time of day."""
        bit, kind = BIT["time_of_day"], self.pick(_CLOCKS)
        if kind == "noon":
            return Phrase(*time_of_day(12, 0), bit)
        if kind == "midnight":
            return Phrase(*time_of_day(0, 0), bit)
        minutes = 0 if kind == "full" else self.pick(MINUTES[1:])
        hour = 1 + int(self._random() * (10 if minutes > 30 else 11))
        if self.chance(0.65):
            return Phrase(*time_of_day(hour, minutes), bit)
        day_part = "in the morning" if self.chance(0.4) else _DAY_PART_NAMES[1 if hour < 6 else 2]
        return Phrase(*time_of_day(hour, minutes, day_part), bit)


def verbs_for(noun: Noun) -> tuple[Verb, ...]:
    """List the verbs whose object a noun may be."""
    return tuple(verb for verb, nouns in OBJECTS.items() if noun in nouns)
