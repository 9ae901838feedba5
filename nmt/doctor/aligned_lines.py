"""Whether line n of the target translates line n of the source: lengths, blank lines, lines that are shifted."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmt.choices import Severity
from nmt.doctor.blocks import Block
from nmt.doctor.finding import Finding, finding, grade, share, show_share
from nmt.doctor.shift import ShiftFinder

_LONG_CHARS = 30  # a short sentence may have a translation of any length
_UNEQUAL_RATIO = 3.0
_BIN = 0.01  # of the logarithm of a ratio of lengths
_NUM_BINS = 2_001  # ratios up to exp(10)
_MAX_NAMED = 5


@dataclass(frozen=True)
class UnequalPair:
    """A pair of unusual lengths, in characters."""

    src_file: str
    line: int
    src_chars: int
    tgt_chars: int


@dataclass(frozen=True)
class ShiftedLines:
    """Source lines whose translation is `offset` lines after the line of the same number (before it, if < 0)."""

    src_file: str
    tgt_file: str
    offset: int
    first_line: int
    last_line: int


@dataclass(frozen=True)
class SplitAlignment:
    """The alignment of a split.

    Attributes:
        num_blank: pairs with a blank side.
        num_long: pairs with a side of at least 30 characters; only these may be unequal.
        median_ratio: of target to source characters, of these pairs.
        num_unequal: pairs whose ratio differs from it by a factor of more than 3.
        most_unequal: the pairs whose ratio differs most.
        unequal_files: how files differ in their numbers of lines.
        unrelated: target files that do not look like a translation of their source file.
    """

    num_pairs: int
    num_blank: int
    num_long: int
    median_ratio: float
    num_unequal: int
    most_unequal: list[UnequalPair]
    shifted: list[ShiftedLines]
    unequal_files: list[str]
    unrelated: list[str]


@dataclass(frozen=True)
class Alignment:
    splits: dict[str, SplitAlignment]
    findings: list[Finding]


@dataclass
class _FileAlignment:
    """What is known of two files while they are read."""

    src_file: str
    tgt_file: str
    shift: ShiftFinder = field(default_factory=ShiftFinder)

    def shifted(self) -> list[ShiftedLines]:
        found = self.shift.finish()
        return [] if found is None else [ShiftedLines(self.src_file, self.tgt_file, *found)]


@dataclass
class AlignmentExamination:
    """Reads the blocks of one split."""

    num_pairs: int = 0
    num_blank: int = 0
    _ratios: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_NUM_BINS, np.int64))
    _candidates: list[UnequalPair] = field(default_factory=list)
    _files: list[_FileAlignment] = field(default_factory=list)

    def add(self, block: Block) -> None:
        if block.first_line == 1:
            self._files.append(_FileAlignment(str(block.src_file), str(block.tgt_file)))
        self._files[-1].shift.add(block.src, block.tgt)
        self.num_pairs += block.num_pairs
        src_lens, tgt_lens = (
            np.fromiter((len(line.strip()) for line in lines), np.int64, len(lines)) for lines in (block.src, block.tgt)
        )
        is_blank = np.minimum(src_lens, tgt_lens) == 0
        self.num_blank += int(np.count_nonzero(is_blank))
        long = np.flatnonzero((np.maximum(src_lens, tgt_lens) >= _LONG_CHARS) & ~is_blank)
        if not len(long):
            return
        log_ratios = np.log(tgt_lens[long] / src_lens[long])
        np.add.at(self._ratios, _bin(log_ratios), 1)
        # whatever the median will be, the pairs furthest from it are among those of the lowest and the highest ratio
        extreme = np.unique([np.argsort(ratios, kind="stable")[:_MAX_NAMED] for ratios in (log_ratios, -log_ratios)])
        self._candidates += [
            UnequalPair(str(block.src_file), block.first_line + int(row), int(src_lens[row]), int(tgt_lens[row]))
            for row in long[extreme]
        ]

    def result(self, unequal_files: list[str]) -> SplitAlignment:
        median = self._median()
        center = int(_bin(np.array([median]))[0])
        limit = round(math.log(_UNEQUAL_RATIO) / _BIN)  # in bins, so that pairs are named by the rule that counts them
        is_unequal = np.abs(np.arange(_NUM_BINS) - center) > limit

        def deviation(pair: UnequalPair) -> int:
            return abs(int(_bin(np.log(np.array([pair.tgt_chars / pair.src_chars])))[0]) - center)

        shifted = [shift for files in self._files for shift in files.shifted()]
        return SplitAlignment(
            num_pairs=self.num_pairs,
            num_blank=self.num_blank,
            num_long=int(self._ratios.sum()),
            median_ratio=round(math.exp(median), 3),
            num_unequal=int(self._ratios[is_unequal].sum()),
            most_unequal=sorted(
                (pair for pair in self._candidates if deviation(pair) > limit), key=lambda pair: -deviation(pair)
            )[:_MAX_NAMED],
            shifted=shifted,
            unequal_files=unequal_files,
            unrelated=[files.tgt_file for files in self._files if files.shift.is_related is False],
        )

    def _median(self) -> float:
        """Return the median of the logarithm of the ratio."""
        cumulated = np.cumsum(self._ratios)
        return (int(np.searchsorted(cumulated, cumulated[-1] / 2)) - _NUM_BINS // 2) * _BIN if cumulated[-1] else 0.0


def _bin(log_ratios: NDArray[np.float64]) -> NDArray[np.int64]:
    bins: NDArray[np.int64] = np.rint(log_ratios / _BIN).astype(np.int64) + _NUM_BINS // 2
    return np.clip(bins, 0, _NUM_BINS - 1)


def alignment(splits: dict[str, SplitAlignment]) -> Alignment:
    """Put the splits together and say what is wrong."""
    return Alignment(splits, [line for split, found in splits.items() for line in _findings(split, found)])


def _findings(split: str, found: SplitAlignment) -> list[Finding]:
    problems = [
        Finding(Severity.warning, f"{split}: {text}", "align them: line n must translate line n")
        for text in found.unequal_files
    ]
    problems += [_of_shift(split, shift) for shift in found.shifted]
    problems += [
        Finding(
            Severity.warning,
            f"{split}: the lines of {name} do not look like translations of the source lines",
            "check that the files belong together and are in the same order",
        )
        for name in found.unrelated
    ]
    if found.num_blank:
        problems.append(
            finding(
                grade(share(found.num_blank, found.num_pairs), notice=0, warning=0.01),
                f"{split}: {show_share(found.num_blank, found.num_pairs)} pairs have a blank side",
                "remove them; training leaves them out, but scores count them",
            )
        )
    if found.num_unequal:
        file = found.most_unequal[0].src_file
        named = ", ".join(f"{pair.line:,}" for pair in found.most_unequal if pair.src_file == file)
        problems.append(
            finding(
                grade(share(found.num_unequal, found.num_pairs), notice=0.0005, warning=0.02),
                f"{split}: {show_share(found.num_unequal, found.num_pairs)} pairs have sides of very unequal length",
                f"look at them: lines {named} of {file} are the most unequal",
            )
        )
    return problems or [Finding(Severity.ok, f"{split}: no line is shifted, blank or of an unusual length")]


def _of_shift(split: str, shift: ShiftedLines) -> Finding:
    count, where = abs(shift.offset), "after" if shift.offset > 0 else "before"
    first, last = f"{shift.first_line:,}", f"{shift.last_line:,}"
    lines = "one line" if count == 1 else f"{count} lines"
    return Finding(
        Severity.warning,
        f"{split}: the translations of lines {first} to {last} of {shift.src_file} are {lines} {where} their place",
        f"look for {lines} too {'many' if shift.offset > 0 else 'few'} near line {first} of {shift.tgt_file}",
    )
