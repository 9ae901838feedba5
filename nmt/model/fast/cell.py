"""The LSTM's cell over fast linear maps."""

import torch
from torch import Tensor

from nmt.model.cell import CellState, LinearMap, LSTMCell
from nmt.model.fast.linear import FastLinear


class FastLSTMCell(LSTMCell):
    """Computes what `LSTMCell` computes, without gradients: in place, and with sigmoids alone.

    On a CPU torch's `tanh` comes from the vendor's library and takes up to six times as long as its own `sigmoid`
    (docs/decisions.md has the measurements).
    """

    def __init__(self, input_map: LinearMap, hidden_map: FastLinear) -> None:
        super().__init__(input_map, hidden_map)
        self._fast_hidden_map = hidden_map

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step; overwrites `input_gates_NG`."""
        before_h_NH, before_c_NH = state
        gates_NG = self._fast_hidden_map.add_to(input_gates_NG.float(), before_h_NH)
        i, f, g, o = gates_NG.chunk(4, dim=1)
        g.mul_(2)
        gates_NG.sigmoid_()
        g.mul_(2).sub_(1)  # tanh(x) = 2 σ(2x) - 1
        c_NH = torch.mul(f, before_c_NH).addcmul_(i, g)
        h_NH = torch.mul(c_NH, 2).sigmoid_().mul_(2).sub_(1).mul_(o)
        return h_NH, c_NH
