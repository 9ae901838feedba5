"""From the decoder's state to logits: the readout, an optional bottleneck, and the output layer.

With z = W_s state + W_c context + W_e embedding + b, of which the context and the embedding are optional,

    linear    r = z
    tanh      r = tanh(z)                                    (Luong et al. 2015, equation 5)
    maxout    r_j = max(z_2j, z_2j+1)                        (Goodfellow et al. 2013; Bahdanau et al. 2015, §A.2.2)

and logits = W_o r + b_o, or W_o B r + b_o with a bottleneck B (Cho et al. 2014, appendix A). The weights W_o may be
those of the target embedding (Press & Wolf 2017).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nmt.choices import ReadoutKind
from nmt.model.cell import MapMaker, PlainMap

Readout = Callable[[Sequence[Tensor]], Tensor]  # state, context and embedding, as far as they are read -> r


class ReadoutLayer(nn.Module):
    """The readout and the bottleneck, with parameters."""

    def __init__(self, kind: ReadoutKind, input_dim: int, *, dim: int | None, bottleneck: int | None) -> None:
        """Make a readout; `dim` None: r is the input itself."""
        super().__init__()
        self.kind = kind
        num_maps = 2 if kind == ReadoutKind.maxout else 1
        self.linear = None if dim is None else nn.Linear(input_dim, num_maps * dim)
        self.output_dim = bottleneck or dim or input_dim
        self.bottleneck = None if bottleneck is None else nn.Linear(dim or input_dim, bottleneck, bias=False)

    def over(self, make: MapMaker = PlainMap, make_bottleneck: MapMaker = PlainMap) -> Readout:
        """Return the readout over maps of its parameters."""
        linear = None if self.linear is None else make(self.linear.weight, self.linear.bias)
        bottleneck = None if self.bottleneck is None else make_bottleneck(self.bottleneck.weight, None)

        def read_out(inputs: Sequence[Tensor]) -> Tensor:
            r_NX = _activate(self.kind, linear(*inputs)) if linear is not None else torch.cat(tuple(inputs), dim=-1)
            return r_NX if bottleneck is None else bottleneck(r_NX)

        return read_out


def _activate(kind: ReadoutKind, z_NX: Tensor) -> Tensor:
    match kind:
        case ReadoutKind.tanh:
            return torch.tanh(z_NX)
        case ReadoutKind.maxout:
            return z_NX.view(*z_NX.shape[:-1], -1, 2).amax(-1)
        case ReadoutKind.linear:
            return z_NX


class SharedEmbedding(nn.Module):
    """An embedding with the weights of another one, which are stored only once."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self._other = (other,)  # in a tuple, torch does not take it for a submodule

    @property
    def weight(self) -> Tensor:
        weight = self._other[0].weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, token_X: Tensor) -> Tensor:
        return F.embedding(token_X, self.weight)

    if TYPE_CHECKING:
        __call__ = forward


class TiedLinear(SharedEmbedding):
    """An output layer with the weights of an embedding, which are stored only once, and a bias of its own."""

    def __init__(self, embedding: nn.Module, vocab_size: int) -> None:
        super().__init__(embedding)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden_NX: Tensor) -> Tensor:
        return F.linear(hidden_NX, self.weight, self.bias)


OutputLayer = nn.Linear | TiedLinear
