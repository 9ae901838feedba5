"""Lines at which a target file is shifted: a line too many or too few misaligns all that follow.

For each line, the target line at its place is compared with those one and two lines before and after, by the scores of
`nmt.doctor.association`. The lines whose sum of differences is largest (Page's test, 1954) are those that are shifted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.doctor.association import OFFSETS, Association, Floats, find_association

_NUM_SAMPLED = 20_000
_MARGIN = max(OFFSETS)
_MAX_DIFFERENCE = 4.0  # nats: no single pair decides
_LEAST_GAIN = 60.0  # aligned corpora reach 42
_LEAST_GAIN_A_LINE = 0.5  # lines that resemble their neighbours gain less
_LEAST_LINES = 200  # fewer say too little


class Shift(NamedTuple):
    """Lines of the source whose translation is `offset` lines after the line of the same number (before, if < 0)."""

    offset: int
    first_line: int
    last_line: int


@dataclass
class _BestRun:
    """The successive lines with the greatest sum so far."""

    gain: float = 0.0
    begin: int = 0
    end: int = 0
    _sum: float = 0.0
    _lowest: float = 0.0
    _lowest_at: int = 0

    def add(self, values: NDArray[np.float64], first: int) -> None:
        """Continue with the values of lines from index `first`."""
        sums = self._sum + np.concatenate(([0.0], np.cumsum(values)))
        lowest = np.minimum(np.minimum.accumulate(sums), self._lowest)
        gains = sums - lowest
        end = int(gains.argmax())
        if gains[end] > self.gain:
            self.gain, self.end = float(gains[end]), first + end
            self.begin = self._where(sums[: end + 1], first)
        self._lowest_at, self._lowest = self._where(sums, first), float(lowest[-1])
        self._sum = float(sums[-1])

    def _where(self, sums: NDArray[np.float64], first: int) -> int:
        """Return the index of the line after the lowest sum."""
        return first + int(sums.argmin()) if sums.min() < self._lowest else self._lowest_at


@dataclass
class ShiftFinder:
    """Reads the pairs of two files, in any number of parts, and then knows whether they are shifted.

    Attributes:
        is_related: whether the sides look like translations of each other; None if there are too few lines to tell.
    """

    is_related: bool | None = None
    _association: Association | None = None
    _waiting: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    _num_read: int = 0
    _num_scored: int = 0
    _rest: tuple[Floats, Floats] | None = None
    _runs: dict[int, _BestRun] = field(default_factory=lambda: {offset: _BestRun() for offset in OFFSETS if offset})

    def add(self, src: Sequence[str], tgt: Sequence[str]) -> None:
        self._num_read += len(src)
        if self.is_related is None:
            self._waiting[0].extend(src)
            self._waiting[1].extend(tgt)
            if self._num_read >= _NUM_SAMPLED:
                self._start()
        elif self._association is not None:
            self._score(self._association, src, tgt)

    def finish(self) -> Shift | None:
        """Return the greatest shift, after all pairs have been added."""
        if self.is_related is None and self._num_read >= _LEAST_LINES:
            self._start()
        if self._association is None:
            return None
        self._score(self._association, (), (), is_last=True)
        offset, run = max(self._runs.items(), key=lambda item: item[1].gain)
        if run.gain < max(_LEAST_GAIN, _LEAST_GAIN_A_LINE * (run.end - run.begin)):
            return None
        return Shift(offset, run.begin + 1, run.end)

    def _start(self) -> None:
        """Learn from the lines so far, and score them."""
        src, tgt = self._waiting
        self._association = find_association(src[:_NUM_SAMPLED], tgt[:_NUM_SAMPLED])
        self.is_related = self._association is not None
        if self._association is not None:
            self._score(self._association, src, tgt)
        self._waiting = ([], [])

    def _score(
        self, association: Association, src: Sequence[str], tgt: Sequence[str], *, is_last: bool = False
    ) -> None:
        """Score the lines whose neighbours are known; the others wait for the next ones."""
        blank = np.zeros((_MARGIN, len(association.correlations)), np.float32)  # before the first line, after the last
        before = self._rest or (blank, blank)
        after = [blank] if is_last else []
        u, v = (
            np.concatenate([rest, side(lines), *after])
            for rest, side, lines in zip(before, (association.src, association.tgt), (src, tgt), strict=True)
        )
        num_lines = len(u) - 2 * _MARGIN
        if num_lines > 0:
            own = u[_MARGIN:-_MARGIN]
            scores = {o: association.scores(own, v[_MARGIN + o :][:num_lines]) for o in OFFSETS}
            for offset, run in self._runs.items():
                difference = np.clip(scores[offset] - scores[0], -_MAX_DIFFERENCE, _MAX_DIFFERENCE)
                run.add(difference.astype(np.float64), self._num_scored)
            self._num_scored += num_lines
            u, v = u[num_lines:], v[num_lines:]
        self._rest = (u, v)
