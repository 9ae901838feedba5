"""Numbers, dates and times of day in words."""

import pytest

from nmt.phrasebook.numerals import date, en_number, en_ordinal, fr_number, time_of_day
from nmt.phrasebook.phrases import elide_and_contract


@pytest.mark.parametrize(
    ("number", "en", "fr"),
    [
        (2, "two", "deux"),
        (16, "sixteen", "seize"),
        (17, "seventeen", "dix-sept"),
        (21, "twenty-one", "vingt et un"),
        (22, "twenty-two", "vingt-deux"),
        (60, "sixty", "soixante"),
        (61, "sixty-one", "soixante et un"),
        (70, "seventy", "soixante-dix"),
        (71, "seventy-one", "soixante et onze"),
        (77, "seventy-seven", "soixante-dix-sept"),
        (80, "eighty", "quatre-vingts"),
        (81, "eighty-one", "quatre-vingt-un"),
        (90, "ninety", "quatre-vingt-dix"),
        (91, "ninety-one", "quatre-vingt-onze"),
        (99, "ninety-nine", "quatre-vingt-dix-neuf"),
        (100, "one hundred", "cent"),
        (101, "one hundred and one", "cent un"),
        (180, "one hundred and eighty", "cent quatre-vingts"),
        (200, "two hundred", "deux cents"),
        (201, "two hundred and one", "deux cent un"),
        (1000, "one thousand", "mille"),
        (1001, "one thousand and one", "mille un"),
        (1100, "one thousand one hundred", "mille cent"),
        (2000, "two thousand", "deux mille"),
        (21_000, "twenty-one thousand", "vingt et un mille"),
        (80_000, "eighty thousand", "quatre-vingt mille"),
        (80_080, "eighty thousand and eighty", "quatre-vingt mille quatre-vingts"),
        (200_200, "two hundred thousand two hundred", "deux cent mille deux cents"),
        (
            999_999,
            "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
            "neuf cent quatre-vingt-dix-neuf mille neuf cent quatre-vingt-dix-neuf",
        ),
    ],
)
def test_numbers_are_spelled_out(number: int, en: str, fr: str) -> None:
    assert (en_number(number), fr_number(number)) == (en, fr)


@pytest.mark.parametrize(
    ("number", "fr"),
    [(21, "vingt et une"), (71, "soixante et onze"), (81, "quatre-vingt-une"), (301, "trois cent une")],
)
def test_one_agrees_with_a_feminine_noun(number: int, fr: str) -> None:
    assert fr_number(number, feminine=True) == fr


@pytest.mark.parametrize(
    ("number", "ordinal"),
    [(1, "first"), (3, "third"), (4, "fourth"), (12, "twelfth"), (20, "twentieth"), (22, "twenty-second")],
)
def test_english_days_are_ordinals(number: int, ordinal: str) -> None:
    assert en_ordinal(number) == ordinal


@pytest.mark.parametrize(
    ("day", "month", "weekday", "en", "fr"),
    [
        (1, "May", "", "on the first of May", "le premier mai"),
        (2, "May", "", "on the second of May", "le deux mai"),
        (11, "August", "", "on the eleventh of August", "le onze août"),
        (21, "December", "", "on the twenty-first of December", "le vingt et un décembre"),
        (8, "February", "Monday", "on Monday the eighth of February", "le lundi huit février"),
    ],
)
def test_dates(day: int, month: str, weekday: str, en: str, fr: str) -> None:
    assert date(day, month, weekday) == (en, fr)
    assert elide_and_contract(fr).fr == fr  # neither "l'onze" nor "l'huit"


@pytest.mark.parametrize(
    ("hour", "minutes", "day_part", "en", "fr"),
    [
        (0, 0, "", "at midnight", "à minuit"),
        (12, 0, "", "at noon", "à midi"),
        (1, 0, "", "at one o'clock", "à une heure"),
        (3, 30, "", "at half past three", "à trois heures et demie"),
        (3, 45, "", "at a quarter to four", "à quatre heures moins le quart"),
        (4, 15, "", "at a quarter past four", "à quatre heures et quart"),
        (5, 10, "", "at ten past five", "à cinq heures dix"),
        (8, 40, "", "at twenty to nine", "à neuf heures moins vingt"),
        (11, 0, "morning", "at eleven o'clock in the morning", "à onze heures du matin"),
        (2, 0, "afternoon", "at two o'clock in the afternoon", "à deux heures de l'après-midi"),
    ],
)
def test_times_of_day(hour: int, minutes: int, day_part: str, en: str, fr: str) -> None:
    en_time, fr_time = time_of_day(hour, minutes, day_part)
    assert (en_time, elide_and_contract(fr_time).fr) == (en, fr)
