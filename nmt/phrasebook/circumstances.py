"""Where and when: places, days, dates and times, chosen at random."""

from collections.abc import Sequence
from typing import Literal

from nmt.phrasebook.chooser import Chooser, weighted
from nmt.phrasebook.lexicon import CITIES, DAY_PARTS, MONTHS, TIMES, WEEKDAYS, Noun, nouns_with
from nmt.phrasebook.noun_phrases import noun_phrase
from nmt.phrasebook.numerals import MINUTES, date, time_of_day
from nmt.phrasebook.phrases import BIT, Phrase, after

TimeFrame = Literal["past", "present", "habit", "future"]

_AT, _IN = nouns_with("at"), nouns_with("in")
_CITIES = tuple(CITIES.items())
_MONTH_NAMES, _WEEKDAY_NAMES, _DAY_PART_NAMES = tuple(MONTHS), tuple(WEEKDAYS), tuple(DAY_PARTS)
_TIMES = {frame: tuple(times.items()) for frame, times in TIMES.items()}

_PLACES = weighted(at=54, within=30, city=16)
_TIME_KINDS = weighted(day=82, date=8, table=10)
_HABIT_KINDS = weighted(table=54, weekday=16, clock=30)
_CLOCKS = weighted(noon=5, midnight=3, full=50, quarters=34, minutes=8)
_QUARTERS = (15, 30, 45)


class Circumstances:
    """Chooses places and times."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser

    # --- Places -------------------------------------------------------------------------------------------------------

    def place(self) -> Phrase:
        """Choose where something happens: "at the market", "in the park", "in Paris"."""
        kind = self._chooser.pick(_PLACES)
        if kind == "city":
            return self.city("in", "à")
        return self._place("at", "à", _AT) if kind == "at" else self._place("in", "dans", _IN)

    def destination(self, en: str, fr: str) -> Phrase:
        """Choose where somebody goes to, arrives at or comes back from, after these prepositions."""
        if self._chooser.chance(0.25):
            return self.city("in" if en == "at" else en, fr)
        return self._place(en, fr, _AT)

    def city(self, en: str, fr: str) -> Phrase:
        """Choose a city, after these prepositions."""
        return after(en, fr, Phrase(*self._chooser.pick(_CITIES)))

    def _place(self, en: str, fr: str, nouns: Sequence[Noun]) -> Phrase:
        place = noun_phrase(self._chooser.pick(nouns))
        return Phrase(f"{en} {place.en}", f"{fr} {place.fr}")

    # --- Times --------------------------------------------------------------------------------------------------------

    def time(self, frame: TimeFrame) -> Phrase:
        """Choose when something happens."""
        chooser = self._chooser
        kind = "table" if frame == "present" else chooser.pick(_HABIT_KINDS if frame == "habit" else _TIME_KINDS)
        match kind:
            case "table":
                day, with_clock = Phrase(*chooser.pick(_TIMES[frame])), frame == "habit" and chooser.chance(0.5)
            case "clock":
                return self.clock()
            case "weekday":
                weekday = chooser.pick(_WEEKDAY_NAMES)
                return Phrase(f"on {weekday}s", f"le {WEEKDAYS[weekday]}")
            case "date":
                day = Phrase(*date(1 + chooser.below(28), chooser.pick(_MONTH_NAMES)), BIT["date"])
                with_clock = chooser.chance(0.25)
            case _:
                day, with_clock = self._day(frame)
                with_clock = with_clock and chooser.chance(0.92)
        if not with_clock:
            return day
        clock = self.clock()
        return Phrase(f"{day.en} {clock.en}", f"{day.fr} {clock.fr}", day.bits | clock.bits)

    def _day(self, frame: TimeFrame) -> tuple[Phrase, bool]:
        """Choose a day or a part of it; also returns whether a time of day may follow."""
        chooser = self._chooser
        if chooser.chance(0.4):
            en, fr = ("yesterday", "hier") if frame == "past" else ("tomorrow", "demain")
        else:
            weekday = chooser.pick(_WEEKDAY_NAMES)
            en, fr = f"on {weekday}", WEEKDAYS[weekday]
            if chooser.chance(0.25):
                en, fr = ("last", f"{fr} dernier") if frame == "past" else ("next", f"{fr} prochain")
                return Phrase(f"{en} {weekday}", fr), True
        if chooser.chance(0.25):
            part = chooser.pick(_DAY_PART_NAMES)
            return Phrase(f"{en} {part}", f"{fr} {DAY_PARTS[part]}"), False
        return Phrase(en, fr), True

    def clock(self) -> Phrase:
        """Choose a time of day."""
        chooser, bit = self._chooser, BIT["time_of_day"]
        kind = chooser.pick(_CLOCKS)
        if kind == "noon":
            return Phrase(*time_of_day(12, 0), bit)
        if kind == "midnight":
            return Phrase(*time_of_day(0, 0), bit)
        minutes = 0 if kind == "full" else chooser.pick(_QUARTERS if kind == "quarters" else MINUTES[1:])
        hour = 1 + chooser.below(10 if minutes > 30 else 11)
        if chooser.chance(0.15):
            return Phrase(*time_of_day(hour, minutes), bit)
        part = "afternoon" if hour < 6 else "morning" if chooser.chance(0.5) else "evening"
        return Phrase(*time_of_day(hour, minutes, part), bit)
