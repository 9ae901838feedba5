"""The project's own LSTM layer has the same results and gradients as torch's."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.model.fast.lstm_layer import LSTMLayer

E, H = 4, 3
EQUAL, MIXED, ONE_STEP, TWO_STEPS = [5, 5, 5], [6, 4, 4, 1], [1, 1], [2, 2, 1]
LENGTHS = pytest.mark.parametrize(
    "lengths", [EQUAL, MIXED, ONE_STEP, TWO_STEPS], ids=["equal", "mixed", "one step", "two steps"]
)


class Problem(NamedTuple):
    """An LSTM, its input `(T, B, E)`, the initial state, and weights of a loss that uses every result."""

    lstm: nn.LSTM
    input_TBE: Tensor
    h_BH: Tensor
    c_BH: Tensor
    loss_TBH: Tensor
    loss_h_BH: Tensor
    loss_c_BH: Tensor

    def leaves(self) -> list[Tensor]:
        return [self.input_TBE, self.h_BH, self.c_BH, *self.lstm.parameters()]


def problem(lengths: list[int], *, dtype: torch.dtype = torch.float64) -> Problem:
    generator = torch.Generator().manual_seed(1)

    def randn(*size: int, requires_grad: bool = False) -> Tensor:
        return torch.randn(size, generator=generator, dtype=dtype).requires_grad_(requires_grad)

    lstm = nn.LSTM(E, H).to(dtype)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(randn(*parameter.shape))
    T, B = max(lengths), len(lengths)
    inputs = (randn(T, B, E, requires_grad=True), randn(B, H, requires_grad=True), randn(B, H, requires_grad=True))
    return Problem(lstm, *inputs, randn(T, B, H), randn(B, H), randn(B, H))


def gradients(problem: Problem, output_TBH: Tensor, h_BH: Tensor, c_BH: Tensor) -> tuple[Tensor, ...]:
    loss = (output_TBH * problem.loss_TBH).sum() + (h_BH * problem.loss_h_BH).sum() + (c_BH * problem.loss_c_BH).sum()
    return torch.autograd.grad(loss, problem.leaves())


def run_torch(problem: Problem, lengths: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    packed = pack_padded_sequence(problem.input_TBE, torch.tensor(lengths))
    output, (h, c) = problem.lstm(packed, (problem.h_BH.unsqueeze(0), problem.c_BH.unsqueeze(0)))
    return pad_packed_sequence(output)[0], h[0], c[0]


def run_own(problem: Problem, lengths: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    packed = pack_padded_sequence(problem.input_TBE, torch.tensor(lengths))
    layer = LSTMLayer(*problem.lstm.parameters())
    h_PH, (last_h_BH, last_c_BH) = layer(packed.data, (problem.h_BH, problem.c_BH), packed.batch_sizes.tolist())
    output_TBH, _ = pad_packed_sequence(packed._replace(data=h_PH))
    return output_TBH, last_h_BH, last_c_BH


@LENGTHS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_results_and_all_gradients_are_those_of_torch(lengths: list[int], dtype: torch.dtype, tolerance: float) -> None:
    case = problem(lengths, dtype=dtype)
    expected, own = run_torch(case, lengths), run_own(case, lengths)
    for expected_tensor, own_tensor in zip(expected, own, strict=True):
        torch.testing.assert_close(own_tensor, expected_tensor, rtol=tolerance, atol=tolerance)
    for expected_grad, own_grad in zip(gradients(case, *expected), gradients(case, *own), strict=True):
        torch.testing.assert_close(own_grad, expected_grad, rtol=tolerance, atol=tolerance)


@LENGTHS
def test_gradients_are_finite_differences(lengths: list[int]) -> None:
    case = problem(lengths)
    batch_sizes = [sum(length > t for length in lengths) for t in range(max(lengths))]
    values_PE = pack_padded_sequence(case.input_TBE, torch.tensor(lengths)).data.detach().requires_grad_()
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = case.lstm.parameters()

    def run(input_PE: Tensor, h_BH: Tensor, c_BH: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h_PH, last = LSTMLayer(*weights)(input_PE, (h_BH, c_BH), batch_sizes)
        return h_PH, last[0], last[1]

    inputs = (values_PE, case.h_BH, case.c_BH, weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G)
    assert torch.autograd.gradcheck(run, inputs)


def test_a_result_unused_by_the_loss_has_no_gradient() -> None:
    case = problem(MIXED)
    for part in range(3):
        expected = torch.autograd.grad(run_torch(case, MIXED)[part].sum(), case.leaves())
        own = torch.autograd.grad(run_own(case, MIXED)[part].sum(), case.leaves())
        for expected_grad, own_grad in zip(expected, own, strict=True):
            torch.testing.assert_close(own_grad, expected_grad, rtol=1e-12, atol=1e-12)


def test_an_input_without_gradient_gets_none() -> None:
    case = problem(MIXED)
    case.input_TBE.requires_grad_(False)
    output_TBH, _, _ = run_own(case, MIXED)
    output_TBH.sum().backward()  # type: ignore[no-untyped-call]
    assert case.input_TBE.grad is None
    assert all(parameter.grad is not None for parameter in case.lstm.parameters())


def test_an_input_gets_its_gradient_if_the_state_has_none() -> None:
    case = problem(MIXED)
    expected = torch.autograd.grad(run_torch(case, MIXED)[0].sum(), case.input_TBE)
    case.h_BH.requires_grad_(False)
    case.c_BH.requires_grad_(False)
    own = torch.autograd.grad(run_own(case, MIXED)[0].sum(), case.input_TBE)
    torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)
