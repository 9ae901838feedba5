"""Scores for a card, as `nmt evaluate json=true` has printed them."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from nmt.choices import Metric
from nmt.errors import DataError
from nmt.plain import PlainError, from_plain, read_json


@dataclass(frozen=True)
class CardScore:
    """A score of one metric; its interval is of 95%."""

    metric: Metric
    label: str
    value: float
    signature: str
    interval: list[float] | None = None


@dataclass(frozen=True)
class ScoredText:
    """The scores of one set of sentences; references are names of files without their folders."""

    references: list[str]
    num_sentences: int
    scores: list[CardScore]


def read_scores(file: Path) -> ScoredText:
    """Read a file of scores, of one system.

    Raises:
        DataError: if it cannot be read, or holds anything else.
    """
    try:
        return _parse(read_json(file))
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist: write it by nmt evaluate json=true") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    except PlainError as error:
        raise DataError(
            f"{file} must be what nmt evaluate json=true prints for one system, but is not ({error}): write it again"
        ) from error


def _parse(content: object) -> ScoredText:
    systems = content.get("systems") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(systems, list):
        raise PlainError("it has no systems")
    if len(systems) != 1 or not isinstance(systems[0], dict):
        raise PlainError(f"it has {len(systems)} systems")
    rows = systems[0].get("scores")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise PlainError("it has no scores")
    names = {field.name for field in fields(CardScore)}  # others are of no use here
    scores = [
        from_plain(CardScore, {name: value for name, value in row.items() if name in names}, f"score {number}")
        for number, row in enumerate(rows, start=1)
    ]
    if not all(math.isfinite(value) for score in scores for value in (score.value, *(score.interval or ()))):
        raise PlainError("a score is not a finite number")
    if any(len(score.interval or (0, 0)) != 2 for score in scores):
        raise PlainError("an interval is not of two numbers")
    found = from_plain(
        _Heading, {"references": content.get("references"), "num_sentences": systems[0].get("num_sentences")}
    )
    return ScoredText([Path(name).name for name in found.references], found.num_sentences, scores)


@dataclass(frozen=True)
class _Heading:
    references: list[str]
    num_sentences: int
