"""The LSTM's cell over fast linear maps.

On a CPU torch's `tanh` comes from the vendor's library and takes up to six times as long as its own `sigmoid`
(docs/decisions.md has the measurements). Since tanh(x) = 2 (σ(2x) - 0.5), sigmoids are enough.
"""

import torch
from torch import Tensor

from nmt.model.cell import CellState, LinearMap, LSTMCell
from nmt.model.fast.linear import FastLinear


def double_candidate(weight_GX: Tensor) -> Tensor:
    """Double the rows of the candidate g, of a weight or bias, as `FastLSTMCell` needs it; this is exact."""
    i, f, g, o = weight_GX.chunk(4)
    return torch.cat((i, f, 2 * g, o))


class FastLSTMCell(LSTMCell):
    """An `LSTMCell` that computes in place and without gradients, over maps with a doubled candidate."""

    hidden_map: FastLinear

    def __init__(self, input_map: LinearMap, hidden_map: FastLinear) -> None:
        super().__init__(input_map, hidden_map)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step; overwrites `input_gates_NG`."""
        before_h_NH, before_c_NH = state
        gates_NG = self.hidden_map.add_to(input_gates_NG.float(), before_h_NH).sigmoid_()
        i, f, g, o = gates_NG.chunk(4, dim=1)
        c_NH = torch.mul(f, before_c_NH).addcmul_(i, g.sub_(0.5), value=2)
        h_NH = torch.mul(c_NH, 2).sigmoid_().sub_(0.5).mul_(o).mul_(2)
        return h_NH, c_NH
