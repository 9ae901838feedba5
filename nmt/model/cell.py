"""The recurrent cells: their equations.

A cell computes one time step. The input x and the previous hidden state h determine gates of H units each; the gates
determine the new state. σ is the logistic function, ⊙ the product of each pair of values.

An LSTM (Hochreiter & Schmidhuber 1997; the forget gate is from Gers, Schmidhuber & Cummins 2000):

    i = σ(W_i x + b_i + U_i h)        input gate: how much of the candidate is written to the cell
    f = σ(W_f x + b_f + U_f h)        forget gate: how much of the cell is kept
    g = tanh(W_g x + b_g + U_g h)     candidate
    o = σ(W_o x + b_o + U_o h)        output gate: how much of the cell is visible

    c ← f ⊙ c + i ⊙ g                 cell state
    h ← o ⊙ tanh(c)                   hidden state, between -1 and 1

Along c the gradient is multiplied by f only, not by a matrix at each step: while f is close to 1, it does not vanish.
The other cells stand below it, each with its equations.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.choices import CellKind

# A linear map of one or several inputs, which count as one vector: (…, I) -> (…, O).
LinearMap = Callable[..., Tensor]
CellState = tuple[Tensor, ...]  # the hidden state `(N, H)` first; an LSTM's cell state is the second
Gate = Callable[[str, Tensor], Tensor]  # a gate's name and its value before σ -> between 0 and 1


class CellWeights(NamedTuple):
    """The parameters of a cell, with torch's two biases.

    Attributes:
        vectors: what some cells need besides: see `Cell.vectors`.
    """

    weight_ih_GE: Tensor
    weight_hh_GH: Tensor
    bias_ih_G: Tensor
    bias_hh_G: Tensor
    vectors: tuple[Tensor, ...] = ()


class MapMaker(Protocol):
    """Makes a linear map from a weight and a bias."""

    def __call__(self, weight_OI: Tensor, bias_O: Tensor | None) -> LinearMap: ...


class PlainMap:
    """W x + b, as it is written; under autocast the result is not rounded further, so that states are precise."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self._weight_OI, self._bias_O = weight_OI, bias_O

    def __call__(self, *inputs: Tensor) -> Tensor:
        input_XI = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        return F.linear(input_XI, self._weight_OI, self._bias_O).to(self._weight_OI.dtype)


def sigmoid(_name: str, value_NH: Tensor) -> Tensor:
    """Return σ of a gate."""
    return torch.sigmoid(value_NH)


class Cell:
    """One time step over given linear maps, of which `input_map` computes W x + b and `hidden_map` U h.

    W x + b does not depend on the previous state: `input_gates` computes it for all positions of a sequence in one
    matmul.

    Attributes:
        num_gates: G / H; the gates are in the order of the equations.
        num_parts: tensors of a state.
        vectors: names and sizes, in H, of parameters that are no weights of a map.
        is_bounded: whether hidden states are between -1 and 1, if the first one is.
        has_forget_gate: the second gate is a forget gate.
        keeps_state: a hidden state is part of the next one, and not only read by the gates.
        gate: σ of a gate, by name; replaced to watch the gates.
    """

    num_gates: ClassVar[int]
    num_parts: ClassVar[int] = 1
    vectors: ClassVar[dict[str, int]] = {}
    is_bounded: ClassVar[bool] = True
    has_forget_gate: ClassVar[bool] = False
    keeps_state: ClassVar[bool] = False

    def __init__(self, input_map: LinearMap, hidden_map: LinearMap, vectors: tuple[Tensor, ...] = ()) -> None:
        self.input_map = input_map
        self.hidden_map = hidden_map
        self.extra = vectors
        self.gate: Gate = sigmoid

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "Cell":
        """Make a cell over maps of these weights; the two biases, which are added anyway, become one."""
        input_map = input_maker(weights.weight_ih_GE, weights.bias_ih_G + weights.bias_hh_G)
        return cls(input_map, hidden_maker(weights.weight_hh_GH, None), weights.vectors)

    def input_gates(self, *inputs: Tensor) -> Tensor:
        """Compute the input's contribution to all gates, `(…, G)`."""
        return self.input_map(*inputs)

    def initial_state(self, input_gates_NG: Tensor) -> CellState:
        """Return zeros, one row for each row of `input_gates_NG`."""
        zeros_NH = input_gates_NG.new_zeros(len(input_gates_NG), input_gates_NG.shape[1] // self.num_gates)
        return (zeros_NH,) * self.num_parts

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        """Return the state after a time step, given W x + b and the state before."""
        raise NotImplementedError


class LSTMCell(Cell):
    """The LSTM above, in torch's order of gates: i, f, g, o."""

    num_gates = 4
    num_parts = 2
    has_forget_gate = True

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        h_NH, c_NH = state
        i, f, g, o = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
        c_NH = self.gate("forget", f) * c_NH + self.gate("input", i) * torch.tanh(g)
        h_NH = self.gate("output", o) * torch.tanh(c_NH)
        return h_NH, c_NH


class NoForgetLSTMCell(Cell):
    """The first LSTM, without a forget gate (Hochreiter & Schmidhuber 1997); gates i, g, o.

    c ← c + i ⊙ g
    h ← o ⊙ tanh(c)
    """

    num_gates = 3
    num_parts = 2

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        h_NH, c_NH = state
        i, g, o = (input_gates_NG + self.hidden_map(h_NH)).chunk(3, dim=1)
        c_NH = c_NH + self.gate("input", i) * torch.tanh(g)
        h_NH = self.gate("output", o) * torch.tanh(c_NH)
        return h_NH, c_NH


class PeepholeLSTMCell(Cell):
    """An LSTM whose gates see the cell state (Gers, Schraudolph & Schmidhuber 2002; Graves 2013, equations 7 to 11).

    i = σ(W_i x + b_i + U_i h + p_i ⊙ c)
    f = σ(W_f x + b_f + U_f h + p_f ⊙ c)
    c ← f ⊙ c + i ⊙ tanh(W_g x + b_g + U_g h)
    o = σ(W_o x + b_o + U_o h + p_o ⊙ c)          the new c
    h ← o ⊙ tanh(c)
    """

    num_gates = 4
    num_parts = 2
    has_forget_gate = True
    vectors: ClassVar[dict[str, int]] = {"peephole_i": 1, "peephole_f": 1, "peephole_o": 1}

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        h_NH, c_NH = state
        p_i, p_f, p_o = self.extra
        i, f, g, o = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
        c_NH = self.gate("forget", f + p_f * c_NH) * c_NH + self.gate("input", i + p_i * c_NH) * torch.tanh(g)
        h_NH = self.gate("output", o + p_o * c_NH) * torch.tanh(c_NH)
        return h_NH, c_NH


class GRUCell(Cell):
    """A gated recurrent unit (Cho et al. 2014, §2.3), in torch's order of gates: r, z, n.

        r = σ(W_r x + b_r + U_r h)                    reset gate
        z = σ(W_z x + b_z + U_z h)                    update gate: how much of the state is kept
        n = tanh(W_n x + b_n + r ⊙ (U_n h + b'_n))    candidate
        h ← z ⊙ h + (1 - z) ⊙ n

    As in torch, and in cuDNN, the reset gate acts after the matmul with U_n; in the paper it acts before, on h.
    """

    num_gates = 3
    keeps_state = True

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "GRUCell":
        input_map = input_maker(weights.weight_ih_GE, weights.bias_ih_G)
        return cls(input_map, hidden_maker(weights.weight_hh_GH, weights.bias_hh_G), weights.vectors)

    def hidden_gates(self, h_NH: Tensor) -> Tensor:
        return self.hidden_map(h_NH)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        (h_NH,) = state
        input_r, input_z, input_n = input_gates_NG.chunk(3, dim=1)
        hidden_r, hidden_z, hidden_n = self.hidden_gates(h_NH).chunk(3, dim=1)
        z_NH = self.gate("update", input_z + hidden_z)
        n_NH = torch.tanh(input_n + self.gate("reset", input_r + hidden_r) * hidden_n)
        return (z_NH * h_NH + (1 - z_NH) * n_NH,)


class TanhCell(Cell):
    """A simple recurrent network (Elman 1990): h ← tanh(W x + b + U h)."""

    num_gates = 1

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        return (torch.tanh(input_gates_NG + self.hidden_map(state[0])),)


class ReluCell(Cell):
    """A recurrent network of rectified linear units (Le, Jaitly & Hinton 2015): h ← max(0, W x + b + U h)."""

    num_gates = 1
    is_bounded = False

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        return (torch.relu(input_gates_NG + self.hidden_map(state[0])),)


def normalize(values_NX: Tensor, gain_X: Tensor, bias_X: Tensor | None) -> Tensor:
    """Layer normalization (Ba, Kiros & Hinton 2016, §3): mean 0 and variance 1 of each row, then gain and bias."""
    return F.layer_norm(values_NX, gain_X.shape, gain_X, bias_X)


class LayerNormLSTMCell(Cell):
    """An LSTM with layer normalization LN (Ba, Kiros & Hinton 2016, equations 20 to 22).

    i, f, g, o = LN(W x) + LN(U h) + b            before σ and tanh; each LN over all gates together
    c ← σ(f) ⊙ c + σ(i) ⊙ tanh(g)
    h ← σ(o) ⊙ tanh(LN(c))
    """

    num_gates = 4
    num_parts = 2
    has_forget_gate = True
    vectors: ClassVar[dict[str, int]] = {"gain_ih": 4, "gain_hh": 4, "gain_c": 1, "bias_c": 1}

    def __init__(
        self, input_map: LinearMap, hidden_map: LinearMap, vectors: tuple[Tensor, ...], bias_G: Tensor
    ) -> None:
        super().__init__(input_map, hidden_map, vectors)
        self.bias_G = bias_G

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "LayerNormLSTMCell":
        """Make a cell over maps of these weights; the biases are added after the normalization."""
        input_map, hidden_map = input_maker(weights.weight_ih_GE, None), hidden_maker(weights.weight_hh_GH, None)
        return cls(input_map, hidden_map, weights.vectors, weights.bias_ih_G + weights.bias_hh_G)

    def input_gates(self, *inputs: Tensor) -> Tensor:
        return normalize(self.input_map(*inputs), self.extra[0], self.bias_G)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        h_NH, c_NH = state
        _, gain_hh_G, gain_c_H, bias_c_H = self.extra
        i, f, g, o = (input_gates_NG + normalize(self.hidden_map(h_NH), gain_hh_G, None)).chunk(4, dim=1)
        c_NH = self.gate("forget", f) * c_NH + self.gate("input", i) * torch.tanh(g)
        h_NH = self.gate("output", o) * torch.tanh(normalize(c_NH, gain_c_H, bias_c_H))
        return h_NH, c_NH


class LayerNormGRUCell(GRUCell):
    """A gated recurrent unit with layer normalization LN (Ba, Kiros & Hinton 2016, supplementary material).

    r, z = σ(LN(W_rz x) + LN(U_rz h) + b)         LN over both gates together
    n = tanh(LN(W_n x) + b_n + r ⊙ (LN(U_n h) + b'_n))
    h ← z ⊙ h + (1 - z) ⊙ n
    """

    vectors: ClassVar[dict[str, int]] = {"gain_ih": 3, "gain_hh": 3}

    def __init__(
        self,
        input_map: LinearMap,
        hidden_map: LinearMap,
        vectors: tuple[Tensor, ...],
        biases: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(input_map, hidden_map, vectors)
        self.bias_ih_G, self.bias_hh_G = biases

    @classmethod
    def over(cls, weights: CellWeights, input_maker: MapMaker, hidden_maker: MapMaker) -> "LayerNormGRUCell":
        """Make a cell over maps of these weights; the biases are added after the normalization."""
        input_map, hidden_map = input_maker(weights.weight_ih_GE, None), hidden_maker(weights.weight_hh_GH, None)
        return cls(input_map, hidden_map, weights.vectors, (weights.bias_ih_G, weights.bias_hh_G))

    def input_gates(self, *inputs: Tensor) -> Tensor:
        return _normalize_gates(self.input_map(*inputs), self.extra[0], self.bias_ih_G)

    def hidden_gates(self, h_NH: Tensor) -> Tensor:
        return _normalize_gates(self.hidden_map(h_NH), self.extra[1], self.bias_hh_G)


def _normalize_gates(gates_NG: Tensor, gain_G: Tensor, bias_G: Tensor) -> Tensor:
    """Normalize the first two gates of a GRU together, and the candidate by itself."""
    hidden_dim = gates_NG.shape[-1] // 3
    sizes = [2 * hidden_dim, hidden_dim]
    parts = (torch.split_with_sizes(values, sizes, dim=-1) for values in (gates_NG, gain_G, bias_G))
    return torch.cat([normalize(*part) for part in zip(*parts, strict=True)], dim=-1)


CELLS: dict[CellKind, type[Cell]] = {
    CellKind.lstm: LSTMCell,
    CellKind.gru: GRUCell,
    CellKind.rnn_tanh: TanhCell,
    CellKind.rnn_relu: ReluCell,
    CellKind.lstm_no_forget: NoForgetLSTMCell,
    CellKind.lstm_peephole: PeepholeLSTMCell,
    CellKind.lstm_layer_norm: LayerNormLSTMCell,
    CellKind.gru_layer_norm: LayerNormGRUCell,
}
