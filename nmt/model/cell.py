"""The cell of an LSTM: its equations.

The input x and the previous hidden state h determine four gates of H units each:

    i = σ(W_i x + b_i + U_i h)        input gate: how much of the candidate is written to the cell
    f = σ(W_f x + b_f + U_f h)        forget gate: how much of the cell is kept
    g = tanh(W_g x + b_g + U_g h)     candidate
    o = σ(W_o x + b_o + U_o h)        output gate: how much of the cell is visible

    c ← f ⊙ c + i ⊙ g                 cell state
    h ← o ⊙ tanh(c)                   hidden state, between -1 and 1

(Hochreiter & Schmidhuber 1997; the forget gate is from Gers, Schmidhuber & Cummins 2000.) Along c the gradient is
multiplied by f only, not by a matrix at each step: while f is close to 1, it does not vanish.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]  # (…, I) -> (…, O)
CellState = tuple[Tensor, ...]  # the hidden state `(N, H)` first; an LSTM's cell state is the second


class LSTMCell:
    """One time step over given linear maps.

    The maps W x + b and U h compute all gates at once, in torch's order i, f, g, o. W x + b does not depend on the
    previous state: `input_gates` computes it for all positions of a sequence in one matmul.
    """

    def __init__(self, input_map: LinearMap, hidden_map: LinearMap) -> None:
        self.input_gates = input_map
        self.hidden_map = hidden_map

    def initial_state(self, input_gates_NG: Tensor) -> CellState:
        """Return zeros, one row for each row of `input_gates_NG`."""
        zeros_NH = input_gates_NG.new_zeros(len(input_gates_NG), input_gates_NG.shape[1] // 4)
        return zeros_NH, zeros_NH

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step, given W x + b and the state before."""
        h_NH, c_NH = state
        i, f, g, o = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
        c_NH = torch.sigmoid(f) * c_NH + torch.sigmoid(i) * torch.tanh(g)
        h_NH = torch.sigmoid(o) * torch.tanh(c_NH)
        return h_NH, c_NH
