"""The project's own GRU layer has the same results and gradients as torch's."""

from functools import partial

import torch
from torch import Tensor, nn

from nmt.model.cell import CellState
from nmt.model.fast.gru_layer import GRULayer, own_gru_layer_pays
from tests.hardware import needs_bf16
from tests.models import normal
from tests.packed_layers import (
    IS_MASKED,
    LENGTHS,
    MIXED,
    TYPES,
    E,
    H,
    Problem,
    Result,
    assert_equal,
    check_autocast,
    mask_of,
    problem,
    run_equations,
    run_layer,
    run_torch,
)


def gru_problem(lengths: list[int], *, dtype: torch.dtype = torch.float64) -> Problem:
    return problem(nn.GRU(E, H), lengths, dtype=dtype)


def own_layer(case: Problem) -> GRULayer:
    return GRULayer(*case.rnn.parameters())


def by_the_equations(case: Problem, mask_BH: Tensor) -> Result:
    """Run r, z = σ(…), n = tanh(W x + b + r (U (m h) + b')), h ← (1 - z) n + z h, with masks m."""
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = case.rnn.parameters()

    def step(x_E: Tensor, state: CellState, row: int) -> CellState:
        input_r, input_z, input_n = (weight_ih_GE @ x_E + bias_ih_G).chunk(3)
        hidden_r, hidden_z, hidden_n = (weight_hh_GH @ (mask_BH[row] * state[0]) + bias_hh_G).chunk(3)
        r, z = torch.sigmoid(input_r + hidden_r), torch.sigmoid(input_z + hidden_z)
        n = torch.tanh(input_n + r * hidden_n)
        return ((1 - z) * n + z * state[0],)

    return run_equations(case, step)


@LENGTHS
@TYPES
def test_results_and_all_gradients_are_those_of_torch(lengths: list[int], dtype: torch.dtype, tolerance: float) -> None:
    case = gru_problem(lengths, dtype=dtype)
    expected, own = run_torch(case), run_layer(case, own_layer(case))
    assert_equal(own, expected, tolerance=tolerance)
    assert_equal(case.gradients(own), case.gradients(expected), tolerance=tolerance)


@LENGTHS
@IS_MASKED
def test_results_and_all_gradients_are_those_of_the_equations(lengths: list[int], is_masked: bool) -> None:
    case = gru_problem(lengths)
    mask_BH = mask_of(case) if is_masked else None
    expected = by_the_equations(case, torch.ones(len(lengths), H) if mask_BH is None else mask_BH)
    own = run_layer(case, partial(own_layer(case), hidden_mask_BH=mask_BH))
    assert_equal(own, expected)
    assert_equal(case.gradients(own), case.gradients(expected))


@LENGTHS
@IS_MASKED
def test_gradients_are_finite_differences(lengths: list[int], is_masked: bool) -> None:
    case = gru_problem(lengths)
    mask_BH = mask_of(case) if is_masked else None

    def run(input_PE: Tensor, h_BH: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        h_PH, last = GRULayer(*weights)(input_PE, (h_BH,), case.batch_sizes, hidden_mask_BH=mask_BH)
        return h_PH, *last

    assert torch.autograd.gradcheck(run, case.leaves)


def test_a_result_unused_by_the_loss_has_no_gradient() -> None:
    case = gru_problem(MIXED)
    for part in range(2):
        expected = torch.autograd.grad(run_torch(case)[part].sum(), case.leaves)
        assert_equal(torch.autograd.grad(run_layer(case, own_layer(case))[part].sum(), case.leaves), expected)


def test_the_state_starts_at_zero() -> None:
    case = gru_problem(MIXED)
    zeros = (torch.zeros_like(case.state[0]),)
    expected = own_layer(case)(case.input_PE, zeros, case.batch_sizes)
    own = own_layer(case)(case.input_PE, None, case.batch_sizes)
    assert_equal((own[0], *own[1]), (expected[0], *expected[1]))


@needs_bf16
@IS_MASKED
def test_matmuls_take_bf16_under_autocast_and_the_rest_stays_in_float32(is_masked: bool) -> None:
    case = gru_problem(MIXED, dtype=torch.float32)
    check_autocast(case, partial(own_layer(case), hidden_mask_BH=mask_of(case) if is_masked else None))


def test_our_layer_runs_in_training() -> None:
    input_PE = normal(4, E, dtype=torch.float32)
    assert own_gru_layer_pays(input_PE, num_steps=2)
    assert not own_gru_layer_pays(input_PE, num_steps=1)  # a single step leaves nothing to gather
    assert not own_gru_layer_pays(input_PE.to("meta"), num_steps=2)
    assert not own_gru_layer_pays(input_PE.bfloat16(), num_steps=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert own_gru_layer_pays(input_PE, num_steps=2)
        assert own_gru_layer_pays(input_PE.bfloat16(), num_steps=2)
    with torch.no_grad():
        assert not own_gru_layer_pays(input_PE, num_steps=2)
