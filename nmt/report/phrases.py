"""Phrases whose encoder states a report compares: in planes, and in groups of one meaning or form.

A file has one phrase on each line, after its plane and its group, with tabs between them; a blank line and one that
begins with "#" are skipped.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nmt.choices import Generator
from nmt.config import DataConfig
from nmt.errors import DataError
from nmt.text.parallel import read_lines

_MIN_PHRASES = 3  # two would be a line


class Phrase(NamedTuple):
    """A phrase of the source language and the group that it belongs to."""

    group: str
    text: str


class PhrasePlane(NamedTuple):
    """Phrases that are compared with each other."""

    title: str
    phrases: tuple[Phrase, ...]


def read_phrases(path: Path) -> tuple[PhrasePlane, ...]:
    """Read the planes of a file.

    Raises:
        DataError: if the file cannot be read, a line has no three fields, or a plane has too few phrases.
    """
    by_title: dict[str, list[Phrase]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3 or not all(fields):
            raise DataError(
                f"{path}, line {number}: must be a plane, a group and a phrase, with tabs between them, but is {line!r}"
            )
        title, group, text = fields
        by_title.setdefault(title, []).append(Phrase(group, text))
    if not by_title:
        raise DataError(f"{path} must have phrases, but has none: write a plane, a tab, a group, a tab, a phrase")
    for title, phrases in by_title.items():
        if len(phrases) < _MIN_PHRASES:
            raise DataError(
                f"{path}: a plane must have at least {_MIN_PHRASES} phrases, but {title!r} has {len(phrases)}: add some"
            )
    return tuple(PhrasePlane(title, tuple(phrases)) for title, phrases in by_title.items())


def default_phrases(data: DataConfig) -> tuple[PhrasePlane, ...]:
    """Return the phrases of the built-in corpus; none for other text."""
    is_built_in = data.generate is not None and data.generate.generator == Generator.phrasebook
    return PHRASEBOOK if is_built_in else ()


def _plane(title: str, groups: Iterable[tuple[str, tuple[str, ...]]]) -> PhrasePlane:
    return PhrasePlane(title, tuple(Phrase(group, text) for group, texts in groups for text in texts))


_VERBS = ("sees", "is helping", "invited", "met", "is looking for", "will wait for")
_TIMES = ("yesterday", "last week", "on Monday", "on Friday morning")
_TIMES_FIRST = tuple(f"{time[0].upper()}{time[1:]}" for time in _TIMES)
_PASSIVES = ("helped", "invited", "found", "seen")
_PASTS = ("helped", "invited", "found", "saw")

# In the words of the phrasebook, in the spirit of Sutskever et al. 2014, Figure 2. The phrasebook has no passive voice:
# the third plane shows what a model makes of a construction that it has never seen.
PHRASEBOOK: tuple[PhrasePlane, ...] = (
    _plane(
        "The order of words says who does it",
        (
            (f"{subject} acts", tuple(f"{subject} {verb} {obj}." for verb in _VERBS))
            for subject, obj in (("Paul", "Marie"), ("Marie", "Paul"))
        ),
    ),
    _plane(
        "One meaning in two orders of words",
        (
            ("I give, time last", tuple(f"I gave Marie a book {time}." for time in _TIMES)),
            ("I give, time first", tuple(f"{time}, I gave Marie a book." for time in _TIMES_FIRST)),
            ("Marie gives, time last", tuple(f"Marie gave me a book {time}." for time in _TIMES)),
            ("Marie gives, time first", tuple(f"{time}, Marie gave me a book." for time in _TIMES_FIRST)),
        ),
    ),
    _plane(
        "Active and passive voice",
        (
            ("Paul acts, active", tuple(f"Paul {verb} Marie." for verb in _PASTS)),
            ("Paul acts, passive", tuple(f"Marie was {verb} by Paul." for verb in _PASSIVES)),
            ("Marie acts, active", tuple(f"Marie {verb} Paul." for verb in _PASTS)),
            ("Marie acts, passive", tuple(f"Paul was {verb} by Marie." for verb in _PASSIVES)),
        ),
    ),
)
