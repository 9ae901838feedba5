"""Cells compute their equations, checked in float64; their gradients are finite differences."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.model.cell import LSTMCell
from nmt.model.fast.cell import FastLSTMCell, double_candidate
from nmt.model.fast.linear import PlainLinear
from tests.models import normal


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


def test_gradients_of_a_step_are_finite_differences() -> None:
    def step(x_NE: Tensor, h_NH: Tensor, c_NH: Tensor, W: Tensor, U: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        cell = LSTMCell(partial(F.linear, weight=W, bias=b), partial(F.linear, weight=U))
        return cell.step(cell.input_gates(x_NE), (h_NH, c_NH))

    shapes = [(2, 3), (2, 4), (2, 4), (16, 3), (16, 4), (16,)]
    inputs = [normal(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(step, inputs)


@pytest.mark.parametrize("hidden_dim", [1, 7, 64])
def test_the_fast_cell_is_the_cell(hidden_dim: int) -> None:
    input_gates_NG, c_NH = 4 * normal(6, 4 * hidden_dim), normal(6, hidden_dim, seed=2)
    input_gates_NG[0], input_gates_NG[1] = 1e4, -1e4  # saturated
    h_NH, weight_GH = torch.tanh(normal(6, hidden_dim, seed=3)), normal(4 * hidden_dim, hidden_dim, seed=4)
    expected = LSTMCell(lambda x: x, partial(F.linear, weight=weight_GH)).step(input_gates_NG, (h_NH, c_NH))
    fast = FastLSTMCell(lambda x: x, PlainLinear(double_candidate(weight_GH).float(), None, torch.float32))
    state = fast.step(double_candidate(input_gates_NG.t()).t().float(), (h_NH.float(), c_NH.float()))
    for part, expected_part in zip(state, expected, strict=True):
        torch.testing.assert_close(part.double(), expected_part, atol=2e-6, rtol=1e-5)


def test_a_cell_starts_from_zeros() -> None:
    h_NH, c_NH = LSTMCell(lambda x: x, lambda h: h).initial_state(torch.ones(3, 8))
    assert h_NH.shape == c_NH.shape == (3, 2)
    assert not h_NH.any()
    assert not c_NH.any()
