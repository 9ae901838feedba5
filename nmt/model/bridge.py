"""The bridge from encoder to decoder: the decoder's first state.

copy      the encoder's last states, layer by layer (Sutskever et al. 2014, §2)
dense     tanh(W s + b), s the encoder's last states of all layers, or its source vector (Cho et al. 2014, appendix A)
mean      tanh(W m + b), m the mean of the encoder's outputs (as Bahdanau et al. 2015, §A.2.2, with the first
          backward state)
zero      zeros
learned   the same parameters for every sentence
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nmt.choices import Bridge
from nmt.model.encoder import Encoding
from nmt.model.recurrent import RecurrentState


class StateShape(NamedTuple):
    """The layers of a state, the tensors of each, and their size."""

    num_layers: int
    num_parts: int
    dim: int

    @property
    def size(self) -> int:
        return self.num_layers * self.num_parts * self.dim


class BridgeLayer(nn.Module):
    """Makes the first state of a decoder."""

    def __init__(self, kind: Bridge, shape: StateShape, *, input_dim: int) -> None:
        """Make a bridge.

        Args:
            input_dim: size of s or m.
        """
        super().__init__()
        self.kind, self.shape = kind, shape
        self.linear = nn.Linear(input_dim, shape.size) if kind in (Bridge.dense, Bridge.mean) else None
        self.state = nn.Parameter(torch.zeros(shape.size)) if kind == Bridge.learned else None

    def forward(self, encoding: Encoding, vector_BX: Tensor | None) -> RecurrentState:
        """Return a state with a row for each sentence."""
        if self.kind == Bridge.copy:
            return encoding.final
        num_sentences = encoding.output_SBH.shape[1]
        if self.linear is not None:
            input_BX = _mean(encoding) if self.kind == Bridge.mean else vector_BX
            if input_BX is None:
                input_BX = torch.cat([part for layer in encoding.final.layers for part in layer], dim=1)
            flat_BX = torch.tanh(self.linear(input_BX))
        elif self.state is not None:
            flat_BX = self.state.expand(num_sentences, -1)
        else:
            flat_BX = encoding.output_SBH.new_zeros(num_sentences, self.shape.size)
        layers = flat_BX.chunk(self.shape.num_layers, dim=1)
        return RecurrentState(tuple(layer.chunk(self.shape.num_parts, dim=1) for layer in layers))

    if TYPE_CHECKING:
        __call__ = forward


def _mean(encoding: Encoding) -> Tensor:
    """Return the mean output of each sentence; outputs are zero at padding."""
    lengths_B1 = encoding.lengths_B.to(encoding.output_SBH.device).unsqueeze(1)
    return encoding.output_SBH.sum(0) / lengths_B1
