"""Cells over fast linear maps.

On a CPU torch's `tanh` comes from the vendor's library and takes up to six times as long as its own `sigmoid`
(docs/decisions.md has the measurements). Since tanh(x) = 2 (σ(2x) - 0.5), sigmoids are enough.
"""

from typing import Any

import torch
from torch import Tensor

from nmt.choices import CellKind
from nmt.model.cell import Cell, CellState, CellWeights, GRUCell, LSTMCell, MapMaker
from nmt.model.fast.linear import FastLinear


def double_candidate(weight_GX: Tensor) -> Tensor:
    """Double the rows of the candidate g, of a weight or bias, as `FastLSTMCell` needs it; this is exact."""
    i, f, g, o = weight_GX.chunk(4)
    return torch.cat((i, f, 2 * g, o))


class FastLSTMCell(LSTMCell):
    """An `LSTMCell` that computes in place and without gradients, over maps with a doubled candidate."""

    hidden_map: FastLinear

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "FastLSTMCell":
        weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = map(double_candidate, weights[:4])
        input_map: Any = input_maker(weight_ih_GE, bias_ih_G + bias_hh_G)
        hidden_map: Any = hidden_maker(weight_hh_GH, None)
        return cls(input_map, hidden_map)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step; overwrites `input_gates_NG`."""
        before_h_NH, before_c_NH = state
        gates_NG = self.hidden_map.add_to(input_gates_NG.float(), before_h_NH).sigmoid_()
        i, f, g, o = gates_NG.chunk(4, dim=1)
        c_NH = torch.mul(f, before_c_NH).addcmul_(i, g.sub_(0.5), value=2)
        h_NH = torch.mul(c_NH, 2).sigmoid_().sub_(0.5).mul_(o).mul_(2)
        return h_NH, c_NH


class FastGRUCell(GRUCell):
    """A `GRUCell` that computes in place and without gradients, over maps with a doubled candidate."""

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "FastGRUCell":
        def double(weight_GX: Tensor) -> Tensor:
            r, z, n = weight_GX.chunk(3)
            return torch.cat((r, z, 2 * n))

        weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = map(double, weights[:4])
        return cls(input_maker(weight_ih_GE, bias_ih_G), hidden_maker(weight_hh_GH, bias_hh_G))

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step; overwrites `input_gates_NG`."""
        (before_h_NH,) = state
        hidden_dim = before_h_NH.shape[1]
        hidden_gates_NG = self.hidden_map(before_h_NH)
        input_gates_NG = input_gates_NG.float()
        gates_N2H, n_NH = input_gates_NG[:, : 2 * hidden_dim], input_gates_NG[:, 2 * hidden_dim :]
        r, z = gates_N2H.add_(hidden_gates_NG[:, : 2 * hidden_dim]).sigmoid_().chunk(2, dim=1)
        n_NH = n_NH.addcmul_(r, hidden_gates_NG[:, 2 * hidden_dim :].float()).sigmoid_().sub_(0.5).mul_(2)
        return (torch.lerp(n_NH, before_h_NH.float(), z),)


FAST_CELLS: dict[CellKind, type[Cell]] = {CellKind.lstm: FastLSTMCell, CellKind.gru: FastGRUCell}
