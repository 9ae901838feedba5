"""How long the lines are: medians and tails, in words and in characters."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmt.choices import Severity
from nmt.doctor.blocks import SIDES, Block
from nmt.doctor.finding import Finding

_LONGEST_COUNTED = 20_000  # percentiles take longer lines for this long
_OTHER_LENGTH_RATIO = 1.5


@dataclass(frozen=True)
class Distribution:
    """Lengths of lines: the mean, percentiles and the maximum."""

    mean: float
    median: int
    p95: int
    p99: int
    longest: int


@dataclass(frozen=True)
class SideLengths:
    words: Distribution
    characters: Distribution


@dataclass(frozen=True)
class Lengths:
    splits: dict[str, dict[str, SideLengths]]
    findings: list[Finding]


@dataclass
class _Counts:
    """The number of lines of each length, their whole length, and the longest."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_LONGEST_COUNTED + 1, np.int64))
    total: int = 0
    longest: int = 0

    def add(self, lens: list[int]) -> None:
        bounded = np.minimum(np.array(lens, np.int64), _LONGEST_COUNTED)
        self.counts += np.bincount(bounded, minlength=len(self.counts))
        self.total += sum(lens)
        self.longest = max([self.longest, *lens])


@dataclass
class _SideCounts:
    words: _Counts = field(default_factory=_Counts)
    characters: _Counts = field(default_factory=_Counts)

    def add(self, lines: list[str]) -> None:
        self.words.add([len(line.split()) for line in lines])
        self.characters.add([len(line) for line in lines])


@dataclass
class LengthCounts:
    """The lengths of the lines of a split, by side."""

    sides: dict[str, _SideCounts] = field(default_factory=lambda: {side: _SideCounts() for side in SIDES})

    def add(self, block: Block) -> None:
        for side, counts in self.sides.items():
            counts.add(block.side(side))


def lengths(counts: dict[str, LengthCounts]) -> Lengths:
    """Put the splits together, and compare the others with the training text."""
    splits = {
        split: {
            side: SideLengths(_distribution(found.words), _distribution(found.characters))
            for side, found in of_split.sides.items()
        }
        for split, of_split in counts.items()
    }
    findings = [
        _compare(f"{split} {side}", splits[split][side], splits["train"][side])
        for split in splits
        if split != "train"
        for side in SIDES
    ]
    return Lengths(splits, findings)


def _distribution(found: _Counts) -> Distribution:
    cumulated = np.cumsum(found.counts)
    num_lines = int(cumulated[-1])
    median, p95, p99 = (
        int(np.searchsorted(cumulated, share * num_lines)) if num_lines else 0 for share in (0.5, 0.95, 0.99)
    )
    return Distribution(round(found.total / max(1, num_lines), 2), median, p95, p99, found.longest)


def _compare(place: str, found: SideLengths, train: SideLengths) -> Finding:
    ratio = (found.characters.mean + 1) / (train.characters.mean + 1)
    means = f"{found.characters.mean:.0f} characters a line on average, the training text {train.characters.mean:.0f}"
    if 1 / _OTHER_LENGTH_RATIO <= ratio <= _OTHER_LENGTH_RATIO:
        return Finding(Severity.ok, f"{place}: {means}")
    return Finding(
        Severity.notice,
        f"{place}: {means}",
        "train on text of such lengths: models translate lengths badly that they have not seen",
    )
