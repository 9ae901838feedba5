"""Cells compute their equations, checked in float64; their gradients are finite differences."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.choices import CellKind
from nmt.model.cell import CELLS, Cell, CellState, CellWeights, LSTMCell, PlainMap
from nmt.model.fast.cell import FAST_CELLS
from nmt.model.fast.linear import FastLinear, PlainLinear
from nmt.model.layer import DirectedLayer
from tests.models import normal

KINDS = pytest.mark.parametrize("kind", list(CellKind))
Array = NDArray[np.float64]
E, H = 3, 4


def weights_of(kind: CellKind, *, input_dim: int = E, hidden_dim: int = H) -> CellWeights:
    G, vectors = CELLS[kind].num_gates * hidden_dim, CELLS[kind].vectors.values()
    shapes = [(G, input_dim), (G, hidden_dim), (G,), (G,), *((size * hidden_dim,) for size in vectors)]
    weights = [0.7 * normal(*shape, seed=number) for number, shape in enumerate(shapes)]
    return CellWeights(weights[0], weights[1], weights[2], weights[3], tuple(weights[4:]))


def state_of(kind: CellKind, *, num_rows: int = 2, hidden_dim: int = H) -> CellState:
    return tuple(torch.tanh(normal(num_rows, hidden_dim, seed=20 + part)) for part in range(CELLS[kind].num_parts))


def run(kind: CellKind, weights: CellWeights, state: CellState, *inputs: Tensor) -> CellState:
    cell = CELLS[kind].over(weights, PlainMap, PlainMap)
    return cell.step(cell.input_gates(*inputs), state)


def arrays(tensors: Iterable[Tensor]) -> list[Array]:
    return [tensor.numpy() for tensor in tensors]


# --- the equations ---


def sigma(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def ln(z: Array) -> Array:
    """Normalize to mean 0 and variance 1."""
    normalized: Array = (z - z.mean()) / np.sqrt(((z - z.mean()) ** 2).mean() + 1e-5)
    return normalized


class Given(NamedTuple):
    """The parameters of a cell, gate by gate, and the input of one row."""

    W: list[Array]
    U: list[Array]
    b: list[Array]
    b2: list[Array]
    vectors: list[Array]
    x: Array

    def z(self, gate: int, h: Array) -> Array:
        return self.W[gate] @ self.x + self.b[gate] + self.U[gate] @ h + self.b2[gate]


def lstm(p: Given, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = sigma(p.z(0, h)), sigma(p.z(1, h)), np.tanh(p.z(2, h)), sigma(p.z(3, h))
    c = f * c + i * g
    return o * np.tanh(c), c


def lstm_no_forget(p: Given, h: Array, c: Array) -> tuple[Array, Array]:
    i, g, o = sigma(p.z(0, h)), np.tanh(p.z(1, h)), sigma(p.z(2, h))
    c = c + i * g
    return o * np.tanh(c), c


def lstm_peephole(p: Given, h: Array, c: Array) -> tuple[Array, Array]:
    p_i, p_f, p_o = p.vectors
    i, f, g = sigma(p.z(0, h) + p_i * c), sigma(p.z(1, h) + p_f * c), np.tanh(p.z(2, h))
    c = f * c + i * g
    o = sigma(p.z(3, h) + p_o * c)
    return o * np.tanh(c), c


def lstm_layer_norm(p: Given, h: Array, c: Array) -> tuple[Array, Array]:
    gain_x, gain_h, gain_c, bias_c = p.vectors
    from_x = gain_x * ln(np.concatenate(p.W) @ p.x)
    from_h = gain_h * ln(np.concatenate(p.U) @ h)
    i, f, g, o = np.split(from_x + from_h + np.concatenate(p.b) + np.concatenate(p.b2), 4)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(gain_c * ln(c) + bias_c), c


def gru(p: Given, h: Array) -> tuple[Array]:
    r, z = sigma(p.z(0, h)), sigma(p.z(1, h))
    n = np.tanh(p.W[2] @ p.x + p.b[2] + r * (p.U[2] @ h + p.b2[2]))
    return (z * h + (1 - z) * n,)


def gru_layer_norm(p: Given, h: Array) -> tuple[Array]:
    gain_x, gain_h = p.vectors
    from_x, from_h = ln(np.concatenate(p.W[:2]) @ p.x), ln(np.concatenate(p.U[:2]) @ h)
    r, z = np.split(
        sigma(gain_x[: 2 * H] * from_x + gain_h[: 2 * H] * from_h + np.concatenate(p.b[:2]) + np.concatenate(p.b2[:2])),
        2,
    )
    from_x, from_h = gain_x[2 * H :] * ln(p.W[2] @ p.x) + p.b[2], gain_h[2 * H :] * ln(p.U[2] @ h) + p.b2[2]
    return (z * h + (1 - z) * np.tanh(from_x + r * from_h),)


def rnn_tanh(p: Given, h: Array) -> tuple[Array]:
    return (np.tanh(p.z(0, h)),)


def rnn_relu(p: Given, h: Array) -> tuple[Array]:
    return (np.maximum(0, p.z(0, h)),)


EQUATIONS: dict[CellKind, Any] = {
    CellKind.lstm: lstm,
    CellKind.gru: gru,
    CellKind.rnn_tanh: rnn_tanh,
    CellKind.rnn_relu: rnn_relu,
    CellKind.lstm_no_forget: lstm_no_forget,
    CellKind.lstm_peephole: lstm_peephole,
    CellKind.lstm_layer_norm: lstm_layer_norm,
    CellKind.gru_layer_norm: gru_layer_norm,
}


@KINDS
def test_a_cell_is_its_equations(kind: CellKind) -> None:
    weights, x_NE, state = weights_of(kind), normal(2, E, seed=9), state_of(kind)
    W, U, b, b2 = (arrays(torch.split(part, H)) for part in weights[:4])
    found = run(kind, weights, state, x_NE)
    assert len(found) == len(state)
    for row in range(2):
        given = Given(W, U, b, b2, arrays(weights.vectors), x_NE[row].numpy())
        expected = EQUATIONS[kind](given, *arrays(part[row] for part in state))
        for part, expected_part in zip(found, expected, strict=True):
            np.testing.assert_allclose(part[row].numpy(), expected_part, rtol=1e-12, atol=1e-14)


def test_an_lstm_of_one_unit_by_hand() -> None:
    """All weights are 1: with x = 0.5, h = 0.25 every gate is fed 0.75."""
    cell = LSTMCell(lambda input_NE: input_NE.expand(-1, 4), lambda h_NH: h_NH.expand(-1, 4))
    x, h, c = (torch.tensor([[value]], dtype=torch.float64) for value in (0.5, 0.25, -2.0))
    new_h, new_c = cell.step(cell.input_gates(x), (h, c))
    sigma, tanh = 0.679178699175393, 0.6351489523872873  # of 0.75
    assert float(new_c) == pytest.approx(sigma * -2.0 + sigma * tanh, rel=1e-12)
    assert float(new_h) == pytest.approx(sigma * -0.7291817151412248, rel=1e-12)  # tanh(-0.926977…)


def test_gates_are_in_the_order_i_f_g_o() -> None:
    """A saturated gate is open or closed, independent of the others."""
    open_, closed, c_NH = 50.0, -50.0, torch.tensor([[0.3]], dtype=torch.float64)

    def run(*gates: float) -> tuple[float, float]:
        cell = LSTMCell(lambda x: x, lambda h_NH: torch.zeros_like(h_NH).expand(1, 4))
        h_NH, new_c_NH = cell.step(torch.tensor([gates], dtype=torch.float64), (c_NH, c_NH))
        return float(h_NH), float(new_c_NH)

    assert run(closed, open_, 0.7, closed) == pytest.approx((0.0, 0.3), abs=1e-12)  # keeps its cell, shows nothing
    assert run(closed, closed, 0.7, open_) == pytest.approx((0.0, 0.0), abs=1e-12)  # forgets
    tanh = 0.604367777117164  # of 0.7
    assert run(open_, closed, 0.7, closed)[1] == pytest.approx(tanh, abs=1e-12)  # writes the candidate
    assert run(closed, open_, 0.7, open_)[0] == pytest.approx(0.291312612451591, abs=1e-12)  # shows tanh(0.3)


@KINDS
def test_gradients_of_a_step_are_finite_differences(kind: CellKind) -> None:
    *weights, vectors = weights_of(kind)
    state = state_of(kind)

    def step(x_NE: Tensor, *others: Tensor) -> CellState:
        start, parameters = others[: len(state)], others[len(state) :]
        given = CellWeights(parameters[0], parameters[1], parameters[2], parameters[3], parameters[4:])
        return run(kind, given, start, x_NE)

    inputs = [normal(2, E, seed=9), *state, *weights, *vectors]
    assert torch.autograd.gradcheck(step, [tensor.requires_grad_() for tensor in inputs])


@KINDS
def test_several_inputs_count_as_one_vector(kind: CellKind) -> None:
    weights, x_NE, state = weights_of(kind), normal(2, E, seed=9), state_of(kind)
    torch.testing.assert_close(run(kind, weights, state, x_NE[:, :1], x_NE[:, 1:]), run(kind, weights, state, x_NE))


@KINDS
def test_hidden_states_stay_in_the_range_that_int8_assumes(kind: CellKind) -> None:
    weights = weights_of(kind)._replace(weight_ih_GE=9 * normal(CELLS[kind].num_gates * H, E))
    state = state_of(kind, num_rows=50)
    for seed in range(20):
        state = run(kind, weights, state, normal(50, E, seed=seed))
    assert (float(state[0].abs().max()) <= 1) == CELLS[kind].is_bounded == (kind != CellKind.rnn_relu)


@pytest.mark.parametrize("hidden_dim", [1, 7, 64])
@pytest.mark.parametrize("kind", list(FAST_CELLS))
def test_a_fast_cell_is_the_cell(kind: CellKind, hidden_dim: int) -> None:
    def in_float32(weight_OI: Tensor, bias_O: Tensor | None) -> FastLinear:
        return PlainLinear(weight_OI, bias_O, torch.float32)

    G = CELLS[kind].num_gates * hidden_dim
    weights = weights_of(kind, input_dim=G, hidden_dim=hidden_dim)._replace(weight_ih_GE=torch.eye(G).double())
    input_NG, state = 4 * normal(6, G), state_of(kind, num_rows=6, hidden_dim=hidden_dim)
    input_NG[0], input_NG[1] = 1e4, -1e4  # saturated
    fast: Cell = FAST_CELLS[kind].over(weights, in_float32, in_float32)
    found = fast.step(fast.input_gates(input_NG.float()), tuple(part.float() for part in state))
    for part, expected_part in zip(found, run(kind, weights, state, input_NG), strict=True):
        torch.testing.assert_close(part.double(), expected_part, atol=2e-6, rtol=1e-5)


@KINDS
def test_a_cell_starts_from_zeros(kind: CellKind) -> None:
    state = (
        CELLS[kind].over(weights_of(kind), PlainMap, PlainMap).initial_state(torch.ones(3, CELLS[kind].num_gates * 2))
    )
    assert [part.shape for part in state] == [(3, 2)] * CELLS[kind].num_parts
    assert not any(part.any() for part in state)


@pytest.mark.parametrize("kind", list(CellKind))
def test_states_are_not_rounded_under_autocast(kind: CellKind) -> None:
    layer = DirectedLayer(kind, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        cell = layer.cell()
        gates_NG = cell.input_gates(torch.ones(2, 8))
        state = cell.step(gates_NG, cell.initial_state(gates_NG))
    assert {part.dtype for part in state} == {torch.float32}
