"""Numbers, dates and times of day in words, in English and in French.

French numbers follow the spelling before the reform of 1990: below one hundred, hyphens join what "et" does not.
"""

from nmt.phrasebook.lexicon import DAY_PARTS, MONTHS, WEEKDAYS

_EN_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_EN_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}
_FR_SMALL = [
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "six",
    "sept",
    "huit",
    "neuf",
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]
_FR_TENS = [
    "-",
    "-",
    "vingt",
    "trente",
    "quarante",
    "cinquante",
    "soixante",
    "soixante",
    "quatre-vingt",
    "quatre-vingt",
]
_EN_MINUTES = {0: "", 5: "five past", 10: "ten past", 15: "a quarter past", 20: "twenty past", 30: "half past"}
_EN_MINUTES |= {40: "twenty to", 45: "a quarter to", 50: "ten to", 55: "five to"}
_FR_MINUTES = {0: "", 5: "cinq", 10: "dix", 15: "et quart", 20: "vingt", 30: "et demie"}
_FR_MINUTES |= {40: "moins vingt", 45: "moins le quart", 50: "moins dix", 55: "moins cinq"}
MINUTES = tuple(_EN_MINUTES)


def en_number(number: int) -> str:
    """Spell a number from 0 to 999,999 in English: 1,203 is "one thousand two hundred and three"."""
    if number < 20:
        return _EN_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _EN_TENS[tens] + ("-" + _EN_SMALL[ones] if ones else "")
    if number < 1000:
        hundreds, below = divmod(number, 100)
        return _EN_SMALL[hundreds] + " hundred" + (" and " + en_number(below) if below else "")
    thousands, below = divmod(number, 1000)
    words = en_number(thousands) + " thousand"
    if not below:
        return words
    return words + (" and " if below < 100 else " ") + en_number(below)


def fr_number(number: int, *, feminine: bool = False) -> str:
    """Spell a number from 0 to 999,999 in French, as before a noun of that gender."""
    if number < 100:
        return _fr_below_hundred(number, feminine)
    if number < 1000:
        hundreds, below = divmod(number, 100)
        cents = "cent" if hundreds == 1 else _FR_SMALL[hundreds] + " cent"
        if not below:
            return cents + ("s" if hundreds > 1 else "")
        return cents + " " + _fr_below_hundred(below, feminine)
    thousands, below = divmod(number, 1000)
    mille = "mille"
    if thousands > 1:
        count = fr_number(thousands)
        # "cents" and "quatre-vingts" lose their s before "mille", which is not a noun
        mille = (count[:-1] if count.endswith(("cents", "vingts")) else count) + " mille"
    return mille + (" " + fr_number(below, feminine=feminine) if below else "")


def _fr_below_hundred(number: int, feminine: bool) -> str:
    if number == 1:
        return "une" if feminine else "un"
    if number < 20:
        return _FR_SMALL[number]
    tens, ones = divmod(number, 10)
    if tens in (7, 9):
        ones += 10
    if ones == 0:
        return "quatre-vingts" if tens == 8 else _FR_TENS[tens]
    if ones in (1, 11) and tens < 8:
        return _FR_TENS[tens] + " et " + _fr_below_hundred(ones, feminine)
    return _FR_TENS[tens] + "-" + _fr_below_hundred(ones, feminine)


def en_ordinal(number: int) -> str:
    """Spell the ordinal of a number below 100 in English: "twenty-first"."""
    head, hyphen, last = en_number(number).rpartition("-")
    return head + hyphen + _EN_ORDINALS.get(last, last + "th")


def date(day: int, month: str, weekday: str = "") -> tuple[str, str]:
    """Spell a date in both languages: "on the first of May", "le premier mai"."""
    en = f"the {en_ordinal(day)} of {month}"
    fr = f"{'premier' if day == 1 else fr_number(day)} {MONTHS[month]}"
    if weekday:
        return f"on {weekday} {en}", f"le {WEEKDAYS[weekday]} {fr}"
    return f"on {en}", f"le {fr}"


def time_of_day(hour: int, minutes: int, day_part: str = "") -> tuple[str, str]:
    """Spell a time in both languages, the French without contraction: "à onze heures de le matin".

    After half past, both languages count back from the next hour. Hours 0 and 12 are midnight and noon, and have no
    minutes.
    """
    if hour in (0, 12):
        assert not minutes
        return ("at midnight", "à minuit") if hour == 0 else ("at noon", "à midi")
    named = hour + 1 if minutes > 30 else hour
    en = f"{_EN_MINUTES[minutes]} {en_number(named)}" if minutes else f"{en_number(hour)} o'clock"
    fr = f"{fr_number(named, feminine=True)} heure{'s' if named > 1 else ''} {_FR_MINUTES[minutes]}".rstrip()
    if day_part:
        return f"at {en} in the {day_part}", f"à {fr} de le {DAY_PARTS[day_part]}"
    return f"at {en}", f"à {fr}"
