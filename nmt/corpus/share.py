"""A batch shared out to several processes: which of its rows each of them computes.

Each process draws the random numbers of the whole batch and uses those of its own rows, so that dropout does not depend
on the number of processes (`nmt.model.dropout`). The rows of a process are consecutive if all rows are sorted by source
length, longest first, as packing sorts them.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Lengths = npt.NDArray[np.int64]


class BatchShare:
    """The rows of a whole batch that one process computes.

    Attributes:
        num_sentences: of the whole batch, as also its `num_src_tokens` and `num_tgt_tokens`, EOS included.
        src_positions: the padded length of the source of the whole batch, EOS included; likewise `tgt_positions`.
        row_B: the number in the whole batch of each row.
        is_idle: the rows are not to be learned from, since there are fewer rows than processes.
    """

    def __init__(self, src_lens: Lengths, tgt_lens: Lengths, *, rank: int, num_ranks: int) -> None:
        """Take the share of a process.

        Args:
            src_lens: the source subwords of each row of the whole batch, without EOS; `tgt_lens` likewise.
        """
        self.num_sentences = len(src_lens)
        self.num_src_tokens, self.num_tgt_tokens = (int(lens.sum()) + len(lens) for lens in (src_lens, tgt_lens))
        self.src_positions, self.tgt_positions = (int(lens.max()) + 1 for lens in (src_lens, tgt_lens))
        # as packing sorts them
        self._sorted_len_B, order_B = torch.sort(torch.from_numpy(src_lens + 1), descending=True, stable=True)
        costs = (src_lens + tgt_lens + 2)[order_B.numpy()]
        begin, end = _cut(costs, num_ranks)[rank : rank + 2]
        self.is_idle = begin == end
        if self.is_idle:  # one row keeps the random numbers and the gradients in step with the other processes
            begin = min(begin, self.num_sentences - 1)
            end = begin + 1
        self._first = begin
        self.row_B = order_B[begin:end]

    @cached_property
    def sorted_row_B(self) -> Tensor:  # noqa: N802
        """Return the place of each row among those of the whole batch, sorted by source length."""
        return torch.arange(self._first, self._first + len(self.row_B))

    @cached_property
    def batch_sizes(self) -> list[int]:
        """Return how many rows of the whole batch each step of its packed source has."""
        longer_S = torch.bincount(self._sorted_len_B, minlength=self.src_positions + 1).flip(0).cumsum(0).flip(0)
        return longer_S[1:].tolist()


def packed_positions(batch_sizes: Sequence[int], row_B: Tensor, *, of: Sequence[int]) -> Tensor:
    """Return the positions of some rows among the packed positions of all, `(P,)`.

    Args:
        batch_sizes: how many of these rows each step has.
        row_B: the place of each of these rows among all.
        of: how many of all rows each step has.
    """
    starts = np.cumsum([0, *of])
    return torch.cat([row_B[:size] + int(start) for start, size in zip(starts, batch_sizes, strict=False)])


def _cut(costs: Lengths, num_parts: int) -> list[int]:
    """Cut rows into consecutive parts of about equal cost; return all boundaries, from 0 to the number of rows."""
    ends = np.concatenate(([0], np.cumsum(costs)))
    targets = ends[-1] * np.arange(1, num_parts) / num_parts
    after = np.searchsorted(ends, targets)
    nearest = np.where(ends[after] - targets <= targets - ends[after - 1], after, after - 1)
    return [0, *nearest.tolist(), len(costs)]
