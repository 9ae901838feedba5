"""What a decoder remembers between two steps."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.model.attention import MemoryRows, SourceMemory
from nmt.model.recurrent import RecurrentState


class DecoderState(NamedTuple):
    """What the decoder remembers between two steps; search only selects and appends rows of it.

    Attributes:
        memory: of the sources, not copied for each row; None if only the recurrent state knows the source.
        rows: which sentence of the memory each row belongs to.
        feed_NX: the last readout, for input feeding.
        coverage_NS: the sum of the attention weights of each row since `count_coverage`; None if they are not counted.
    """

    recurrent: RecurrentState
    memory: SourceMemory | None = None
    rows: MemoryRows | None = None
    feed_NX: Tensor | None = None
    coverage_NS: Tensor | None = None

    def count_coverage(self) -> "DecoderState":
        """Add up attention weights from here on, which a decoder with attention has."""
        assert self.memory is not None
        assert self.memory.values_BSD is not None
        assert self.rows is not None
        values_BSD = self.memory.values_BSD
        shape = (len(self.rows.sentence_N), values_BSD.shape[1])
        dtype = torch.promote_types(values_BSD.dtype, torch.float32)
        return self._replace(coverage_NS=values_BSD.new_zeros(shape, dtype=dtype))

    def select(self, rows_N: Tensor) -> "DecoderState":
        """Take the rows `rows_N`, in that order; a row may be taken several times."""
        memory, rows = self.memory, self.rows
        if memory is not None and rows is not None:
            memory, rows = _without_ended(memory, rows.sentence_N.index_select(0, rows_N))
        feed_NX = None if self.feed_NX is None else self.feed_NX.index_select(0, rows_N)
        coverage_NS = None if self.coverage_NS is None else self.coverage_NS.index_select(0, rows_N)
        return DecoderState(self.recurrent.select(rows_N), memory, rows, feed_NX, coverage_NS)

    def concat(self, other: "DecoderState") -> "DecoderState":
        """Append the rows of `other`."""
        memory, rows = self.memory, self.rows
        if memory is not None and rows is not None and other.memory is not None and other.rows is not None:
            rows = MemoryRows(torch.cat((rows.sentence_N, other.rows.sentence_N + memory.num_sentences)))
            memory = memory.concat(other.memory)
        feed_NX = None if self.feed_NX is None or other.feed_NX is None else torch.cat((self.feed_NX, other.feed_NX))
        coverage_NS = None
        if self.coverage_NS is not None and other.coverage_NS is not None:
            width = max(self.coverage_NS.shape[1], other.coverage_NS.shape[1])
            parts = [F.pad(part_NS, (0, width - part_NS.shape[1])) for part_NS in (self.coverage_NS, other.coverage_NS)]
            coverage_NS = torch.cat(parts)
        return DecoderState(self.recurrent.concat(other.recurrent), memory, rows, feed_NX, coverage_NS)


def _without_ended(memory: SourceMemory, sentence_N: Tensor) -> tuple[SourceMemory, MemoryRows]:
    """Drop sentences that no row needs, once they are half of the memory."""
    needed_X, sentence_of_row_N = torch.unique(sentence_N, return_inverse=True)
    if 2 * len(needed_X) > memory.num_sentences:
        return memory, MemoryRows(sentence_N)
    return memory.select(needed_X), MemoryRows(sentence_of_row_N)
