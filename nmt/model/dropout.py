"""Dropout (Srivastava et al. 2014): of single values, of one choice for a sentence, of whole words.

The places of dropout in a model have names, such as "encoder layer 2". A `Noise` is the dropout of one forward pass:
it decides at every place which values become 0.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.choices import DropoutMask
from nmt.corpus.share import BatchShare, packed_positions

_LEVELS = 2**16  # one random number of 64 bits gives the masks of four values, 16 bits each


def dropout(values: Tensor, probability: float, *, training: bool) -> Tensor:
    """Zero each value with `probability`, and scale the others so that the expectation stays.

    Random bits come from torch's global generator of the device. On a CPU, generating them is most of the cost of
    dropout: torch takes 32 bits for a value, here 16 suffice; `probability` is rounded to a multiple of 1/65536.
    """
    if not training or not 0 < probability < 1 or values.device.type != "cpu":
        return F.dropout(values, probability, training)
    num_dropped_levels = min(round(probability * _LEVELS), _LEVELS - 1)
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    level = bits.view(torch.int16)[: values.numel()].view(values.shape)
    is_kept = level >= num_dropped_levels - _LEVELS // 2
    return values * is_kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - num_dropped_levels))


class Noise:
    """The random choices of one forward pass in training: mostly its dropout.

    With `DropoutMask.sentence`, the values of a sentence that become 0 at a place are the same at all positions (Gal &
    Ghahramani 2016, §4.2); with `DropoutMask.value`, each value is chosen by itself.
    """

    def __init__(self, kind: DropoutMask, share: BatchShare | None = None, *, packs_source: bool = False) -> None:
        """Begin a pass.

        Args:
            share: if the rows are a part of a batch, random numbers are drawn for all of it.
            packs_source: whether packed positions are those of the source, whose lengths may differ.
        """
        self._kind = kind
        self._share = share
        self._packs_source = packs_source
        self._masks: dict[str, Tensor] = {}

    def drop(self, place: str, values_XBH: Tensor, rate: float) -> Tensor:
        """Drop values, whose shape is `(…, B, H)`."""
        if rate == 0:
            return values_XBH
        if self._kind == DropoutMask.sentence:
            row_B = None if self._share is None else self._share.row_B
            return values_XBH * self._sentence_mask(place, values_XBH, values_XBH.shape[-2:], rate, row_B)
        if self._share is None:
            return dropout(values_XBH, rate, training=True)
        return values_XBH * self._of_rows(values_XBH, partial(dropout, probability=rate, training=True))

    def drop_packed(self, place: str, values_PH: Tensor, rate: float, *, batch_sizes: Sequence[int]) -> Tensor:
        """Drop values of packed positions, `(P, H)`, `batch_sizes` of each step."""
        if rate == 0:
            return values_PH
        if self._kind == DropoutMask.sentence:
            mask_BH = self.mask(place, values_PH, (batch_sizes[0], values_PH.shape[1]), rate)
            if batch_sizes[0] == batch_sizes[-1]:
                return (values_PH.view(len(batch_sizes), *mask_BH.shape) * mask_BH).view(values_PH.shape)
            sentence_P = torch.cat([torch.arange(size) for size in batch_sizes])
            return values_PH * mask_BH.index_select(0, sentence_P.to(mask_BH.device))
        if self._share is None:
            return dropout(values_PH, rate, training=True)
        all_sizes = self._share.batch_sizes if self._packs_source else [self._share.num_sentences] * len(batch_sizes)
        position_P = packed_positions(batch_sizes, self._packed_row_B(), of=all_sizes)
        mask_PH = dropout(values_PH.new_ones(sum(all_sizes), values_PH.shape[1]), rate, training=True)
        return values_PH * mask_PH.index_select(0, position_P.to(mask_PH.device))

    def drop_words(self, embedding_XBE: Tensor, rate: float) -> Tensor:
        """Zero whole words: each position of each sentence with probability `rate` (Sennrich & Zhang 2019, §3.3)."""
        if rate == 0:
            return embedding_XBE
        ones_XB1 = embedding_XBE.new_ones((*embedding_XBE.shape[:-1], 1))
        return embedding_XBE * self._of_rows(ones_XB1, partial(dropout, probability=rate, training=True))

    def mask(self, place: str, like: Tensor, shape: Sequence[int], rate: float) -> Tensor:
        """Return the factors of a place, `(B, H)`, which stay the same throughout the pass, for the packed rows."""
        return self._sentence_mask(place, like, shape, rate, None if self._share is None else self._packed_row_B())

    def choose(self, probability_BV: Tensor) -> Tensor:
        """Choose a token of each row, `(B,)`, by its probability."""
        # of alarms that ring at rate p_v, the first is v with probability p_v; torch.multinomial draws likewise
        time_BV = self._of_rows(probability_BV, lambda all_BV: all_BV.exponential_())
        return (probability_BV / time_BV).argmax(1)

    def uniform(self, like_B: Tensor) -> Tensor:
        """Choose a number from 0 to 1 of each row, `(B,)`."""
        return self._of_rows(like_B.unsqueeze(1), lambda all_B1: all_B1.uniform_()).squeeze(1)

    def _sentence_mask(
        self, place: str, like: Tensor, shape: Sequence[int], rate: float, row_B: Tensor | None
    ) -> Tensor:
        if place not in self._masks:
            num_rows = shape[0] if self._share is None else self._share.num_sentences
            self._masks[place] = dropout(like.new_ones(num_rows, shape[1]), rate, training=True)
        mask_BH = self._masks[place]
        return mask_BH if row_B is None else mask_BH.index_select(0, row_B.to(mask_BH.device))

    def _packed_row_B(self) -> Tensor:  # noqa: N802
        """Return the place of each packed row among those of the whole batch."""
        assert self._share is not None
        return self._share.sorted_row_B if self._packs_source else self._share.row_B

    def _of_rows(self, like_XBH: Tensor, fill: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what `fill` makes of ones for the whole batch, for these rows, `(…, B, H)`."""
        if self._share is None:
            return fill(torch.ones_like(like_XBH))
        *before, _, size = like_XBH.shape
        all_XBH = fill(like_XBH.new_ones((*before, self._share.num_sentences, size)))
        return all_XBH.index_select(-2, self._share.row_B.to(all_XBH.device))
