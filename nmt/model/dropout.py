"""Dropout (Srivastava et al. 2014): of single values, of one choice for a sentence, of whole words.

The places of dropout in a model have names, such as "encoder layer 2". A `Noise` is the dropout of one forward pass:
it decides at every place which values become 0.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.choices import DropoutMask

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
    """The dropout of one forward pass in training.

    With `DropoutMask.sentence`, the values of a sentence that become 0 at a place are the same at all positions (Gal &
    Ghahramani 2016, §4.2); with `DropoutMask.value`, each value is chosen by itself.
    """

    def __init__(self, kind: DropoutMask) -> None:
        self._kind = kind
        self._masks: dict[str, Tensor] = {}

    def drop(self, place: str, values_X: Tensor, rate: float, *, sentence_P: Tensor | None = None) -> Tensor:
        """Drop values, whose shape is `(…, B, H)`.

        Args:
            sentence_P: the sentence of each row, if the values are those of packed positions, `(P, H)`.
        """
        if rate == 0:
            return values_X
        if self._kind == DropoutMask.value:
            return dropout(values_X, rate, training=True)
        num_sentences = values_X.shape[-2] if sentence_P is None else int(sentence_P.max()) + 1
        mask_BH = self.mask(place, values_X, (num_sentences, values_X.shape[-1]), rate)
        return values_X * (mask_BH if sentence_P is None else mask_BH.index_select(0, sentence_P.to(mask_BH.device)))

    def mask(self, place: str, like: Tensor, shape: tuple[int, int], rate: float) -> Tensor:
        """Return the factors of a place, `(B, H)`, which stay the same throughout the pass."""
        if place not in self._masks:
            self._masks[place] = dropout(like.new_ones(shape), rate, training=True)
        return self._masks[place]


def drop_words(embedding_TBE: Tensor, rate: float) -> Tensor:
    """Zero whole words: each position of each sentence with probability `rate` (Sennrich & Zhang 2019, §3.3)."""
    if rate == 0:
        return embedding_TBE
    return embedding_TBE * dropout(embedding_TBE.new_ones((*embedding_TBE.shape[:-1], 1)), rate, training=True)
