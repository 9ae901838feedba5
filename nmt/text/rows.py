"""Rows of different lengths in one array, one after the other."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)


def row_offsets(lens: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the index of the beginning of each row."""
    return np.cumsum(lens, dtype=np.int64) - lens


def take_rows(values: NDArray[Value], offsets: NDArray[np.int64], lens: NDArray[np.int32]) -> NDArray[Value]:
    """Return values[offset : offset + len] for each offset and its length."""
    # value k of a row is at the row's offset + k, and at the row's beginning + k in the result
    places: NDArray[np.int64] = np.repeat(offsets - row_offsets(lens), lens) + np.arange(lens.sum())
    return values[places]


def sum_rows(
    values: NDArray[np.int32] | NDArray[np.bool_], lens: Sequence[int] | NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the sum of each row."""
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return np.diff(sums[np.cumsum(lens, dtype=np.int64)], prepend=0).astype(np.int32)
