"""The time steps of a packed batch."""

import pytest
import torch

from nmt.model.fast.packed import PackedSteps, add_matmul, matmul_into
from tests.hardware import needs_bf16
from tests.models import normal

SIZES = (3, 3, 1)
H_PH = normal(sum(SIZES), 2)
START_BH = normal(3, 2, seed=2)


def test_a_step_has_the_rows_of_the_sentences_that_have_not_ended() -> None:
    first, second, third = PackedSteps(SIZES, None).split(H_PH)
    assert torch.equal(first, H_PH[:3])
    assert torch.equal(second, H_PH[3:6])
    assert torch.equal(third, H_PH[6:])


def test_the_state_before_a_step_is_that_after_the_step_before() -> None:
    steps = PackedSteps(SIZES, None)
    states = steps.split(H_PH)
    assert torch.equal(steps.before(states, START_BH, 0), START_BH)
    assert torch.equal(steps.before(states, START_BH, 1), H_PH[:3])
    assert torch.equal(steps.before(states, START_BH, 2), H_PH[3:4])


def test_the_last_state_of_each_sentence_is_gathered() -> None:
    steps = PackedSteps(SIZES, None)
    assert torch.equal(steps.last(steps.split(H_PH)), H_PH[[6, 4, 5]])


def test_sentences_keep_their_rows_of_the_mask() -> None:
    mask_BH = normal(3, 2, seed=3)
    steps = PackedSteps(SIZES, mask_BH)
    assert torch.equal(steps.masked(START_BH), START_BH * mask_BH)
    assert torch.equal(steps.masked(H_PH[3:4]), H_PH[3:4] * mask_BH[:1])
    assert PackedSteps(SIZES, None).masked(START_BH) is START_BH


def test_the_weights_gradient_is_summed_over_all_steps() -> None:
    grad_PG = normal(sum(SIZES), 5, seed=4)
    for mask_BH in (None, normal(3, 2, seed=3)):
        steps = PackedSteps(SIZES, mask_BH)
        states, grads = steps.split(H_PH), steps.split(grad_PG)
        inputs = [steps.masked(steps.before(states, START_BH, t)) for t in range(len(SIZES))]
        expected_GH = torch.stack([grad.t() @ h for grad, h in zip(grads, inputs, strict=True)]).sum(0)
        torch.testing.assert_close(steps.grad_weight_hh(grad_PG, H_PH, START_BH), expected_GH)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)])
def test_matmuls_are_written_and_added_to_float32(dtype: torch.dtype) -> None:
    result_BO, input_BI, weight_IO = (torch.full(size, 2.0) for size in ((3, 2), (3, 4), (4, 2)))
    add_matmul(result_BO, input_BI, weight_IO.to(dtype))
    assert torch.equal(result_BO, torch.full((3, 2), 18.0))
    matmul_into(result_BO, input_BI, weight_IO.to(dtype))
    assert torch.equal(result_BO, torch.full((3, 2), 16.0))
