"""The project's own LSTM layer has the same results and gradients as torch's."""

from functools import partial

import torch
from torch import Tensor, nn

from nmt.model.cell import CellState
from nmt.model.fast.lstm_layer import LSTMLayer
from tests.hardware import needs_bf16
from tests.packed_layers import (
    IS_MASKED,
    LENGTHS,
    MIXED,
    TYPES,
    E,
    H,
    Problem,
    assert_equal,
    check_autocast,
    mask_of,
    problem,
    run_equations,
    run_layer,
    run_torch,
)


def lstm_problem(lengths: list[int], *, dtype: torch.dtype = torch.float64) -> Problem:
    return problem(nn.LSTM(E, H), lengths, dtype=dtype)


def own_layer(case: Problem) -> LSTMLayer:
    return LSTMLayer(*case.rnn.parameters())


@LENGTHS
@TYPES
def test_results_and_all_gradients_are_those_of_torch(lengths: list[int], dtype: torch.dtype, tolerance: float) -> None:
    case = lstm_problem(lengths, dtype=dtype)
    expected, own = run_torch(case), run_layer(case, own_layer(case))
    assert_equal(own, expected, tolerance=tolerance)
    assert_equal(case.gradients(own), case.gradients(expected), tolerance=tolerance)


@LENGTHS
@IS_MASKED
def test_gradients_are_finite_differences(lengths: list[int], is_masked: bool) -> None:
    case = lstm_problem(lengths)
    mask_BH = mask_of(case) if is_masked else None

    def run(input_PE: Tensor, h_BH: Tensor, c_BH: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        h_PH, last = LSTMLayer(*weights)(input_PE, (h_BH, c_BH), case.batch_sizes, hidden_mask_BH=mask_BH)
        return h_PH, *last

    assert torch.autograd.gradcheck(run, case.leaves)


@LENGTHS
def test_a_mask_multiplies_the_hidden_state_before_its_matmul_only(lengths: list[int]) -> None:
    case = lstm_problem(lengths)
    mask_BH = mask_of(case)
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = case.rnn.parameters()

    def step(x_E: Tensor, state: CellState, row: int) -> CellState:
        h_H, c_H = state
        gates_G = weight_ih_GE @ x_E + bias_ih_G + weight_hh_GH @ (mask_BH[row] * h_H) + bias_hh_G
        i, f, g, o = gates_G.chunk(4)
        c_H = torch.sigmoid(f) * c_H + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c_H), c_H

    expected = run_equations(case, step)
    own = run_layer(case, partial(own_layer(case), hidden_mask_BH=mask_BH))
    assert_equal(own, expected)
    assert_equal(case.gradients(own), case.gradients(expected))


def test_a_result_unused_by_the_loss_has_no_gradient() -> None:
    case = lstm_problem(MIXED)
    for part in range(3):
        expected = torch.autograd.grad(run_torch(case)[part].sum(), case.leaves)
        assert_equal(torch.autograd.grad(run_layer(case, own_layer(case))[part].sum(), case.leaves), expected)


def test_an_input_without_gradient_gets_none() -> None:
    case = lstm_problem(MIXED)
    case.input_PE.requires_grad_(False)
    run_layer(case, own_layer(case))[0].sum().backward()  # type: ignore[no-untyped-call]
    assert case.input_PE.grad is None
    assert all(parameter.grad is not None for parameter in case.rnn.parameters())


def test_an_input_gets_its_gradient_if_the_state_has_none() -> None:
    case = lstm_problem(MIXED)
    expected = torch.autograd.grad(run_torch(case)[0].sum(), case.input_PE)
    for part in case.state:
        part.requires_grad_(False)
    assert_equal(torch.autograd.grad(run_layer(case, own_layer(case))[0].sum(), case.input_PE), expected)


def test_the_state_starts_at_zero() -> None:
    case = lstm_problem(MIXED)
    zeros = tuple(torch.zeros_like(part) for part in case.state)
    expected = own_layer(case)(case.input_PE, zeros, case.batch_sizes)
    own = own_layer(case)(case.input_PE, None, case.batch_sizes)
    assert_equal((own[0], *own[1]), (expected[0], *expected[1]))


@needs_bf16
@IS_MASKED
def test_matmuls_take_bf16_under_autocast_and_the_rest_stays_in_float32(is_masked: bool) -> None:
    case = lstm_problem(MIXED, dtype=torch.float32)
    check_autocast(case, partial(own_layer(case), hidden_mask_BH=mask_of(case) if is_masked else None))
