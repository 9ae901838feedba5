"""The pairs of an epoch, window by window.

An epoch has as many pairs as the corpus. Without weights, these are all pairs of the corpus, each once. With weights,
file k contributes the share w_k / Σ w, rounded to whole pairs. Its pairs come in a random order, one pass over the file
after the other, and each epoch continues where the one before ended: at any time, each pair of a file has come equally
often or once more.

Batches are planned for one window of an epoch at a time, so that neither memory nor the time until the first batch
grows with the corpus. An epoch of at most 2^22 pairs is one window; a longer one is divided into windows of about equal
size, each with the same share of every file. The random order of a file of more than 2^22 pairs is one of blocks of
4,096 neighbouring pairs: a window comes from about a thousand places of the corpus.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.manifest import SplitReport
from nmt.errors import ConfigError, DataError

Indices = NDArray[np.int64]

_PAIRS_A_WINDOW = 1 << 22
_PAIRS_A_BLOCK = 1 << 12
_ORDER_OF_A_FILE = 1  # separates these random numbers from those of batches, which have the same seed


class _File(NamedTuple):
    """The pairs of a file: the index of the first, their number, and how many of them an epoch has."""

    begin: int
    size: int
    quota: int


class Epochs:
    """The pairs of each window of each epoch, which depend only on the arguments."""

    def __init__(self, sizes: Sequence[int], *, weights: Sequence[float] = (), seed: int) -> None:
        """Divide epochs into windows.

        Args:
            sizes: the number of pairs of each file.
            weights: of the files; empty: an epoch has each pair once.
        """
        self.num_pairs = sum(sizes)
        self.num_windows = -(-self.num_pairs // _PAIRS_A_WINDOW)
        begins = np.cumsum([0, *sizes[:-1]]).tolist()
        quotas = _quotas(self.num_pairs, weights) if weights else sizes
        self._files = [_File(*numbers) for numbers in zip(begins, sizes, quotas, strict=True)]
        self._seed = seed

    def begin(self, window: int) -> int:
        """Return how many pairs of an epoch come before a window."""
        return sum(file.quota * window // self.num_windows for file in self._files)

    def window_at(self, num_pairs: int) -> int:
        """Return the window that continues an epoch after this number of pairs."""
        return max((window for window in range(self.num_windows) if self.begin(window) <= num_pairs), default=0)

    def pairs(self, epoch: int, window: int) -> Indices:
        """Return the indices of the pairs of a window, in ascending order; weights may repeat some."""
        parts = [part for number in range(len(self._files)) for part in self._parts(number, epoch, window)]
        return np.sort(np.concatenate(parts))

    def _parts(self, number: int, epoch: int, window: int) -> Iterator[Indices]:
        """Yield the pairs of a window that come from a file, pass by pass."""
        file = self._files[number]
        begin, end = (
            file.quota * epoch + file.quota * boundary // self.num_windows for boundary in (window, window + 1)
        )
        while begin < end:
            number_of_pass, first = divmod(begin, file.size)
            last = min(file.size, first + end - begin)
            rng = np.random.default_rng([self._seed, number_of_pass, number, _ORDER_OF_A_FILE])
            yield file.begin + _random_order(file.size, rng, first=first, last=last)
            begin += last - first


def epochs_of(report: SplitReport, weights: Sequence[float], *, seed: int, directory: Path) -> Epochs:
    """Return the epochs of a prepared corpus.

    Args:
        weights: of its files; empty: none.
        directory: of the corpus, for messages.

    Raises:
        ConfigError: if a file has a weight, but no pairs.
        DataError: if the corpus does not say how many pairs come from each file.
    """
    if len(weights) < 2:
        return Epochs([report.num_kept], seed=seed)
    if len(report.kept_by_file) != len(weights):
        raise DataError(
            f"{directory} must say how many pairs come from each file, for data.train.weights, but an earlier version "
            "wrote it: remove it and run nmt prepare again"
        )
    empty = [number for number, size in enumerate(report.kept_by_file) if size == 0 and weights[number] > 0]
    if empty:
        raise ConfigError(
            f"weight {empty[0] + 1} of data.train.weights must be 0, but is {weights[empty[0]]}: no pair of that file "
            "is left (data.max_len_subwords, data.max_len_ratio)"
        )
    return Epochs(report.kept_by_file, weights=weights, seed=seed)


def _quotas(num_pairs: int, weights: Sequence[float]) -> list[int]:
    """Divide pairs in the proportion of the weights, by largest remainders."""
    total = sum(map(Fraction, weights))
    exact = [num_pairs * Fraction(weight) / total for weight in weights]
    quotas = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda number: quotas[number] - exact[number])
    for number in by_remainder[: num_pairs - sum(quotas)]:
        quotas[number] += 1
    return quotas


def _random_order(size: int, rng: np.random.Generator, *, first: int, last: int) -> Indices:
    """Return the indices from place `first` to `last` of a random order of a file's pairs."""
    block = 1 if size <= _PAIRS_A_WINDOW else _PAIRS_A_BLOCK
    begins = block * rng.permutation(-(-size // block))
    lens = np.minimum(block, size - begins)  # the last block of the file may be shorter
    ends = np.cumsum(lens)
    from_block, to_block = np.searchsorted(ends, first, side="right"), np.searchsorted(ends, last) + 1
    indices: Indices = (begins[from_block:to_block, None] + np.arange(block)).ravel()
    indices = indices[indices < size]
    num_before = first - int(ends[from_block] - lens[from_block])
    return indices[num_before : num_before + last - first]
