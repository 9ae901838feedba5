"""One problem for every layer over packed sequences: its results and gradients by torch, by our layer and by equations.

A state is a tuple of tensors, the hidden state first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from nmt.model.cell import CellState
from tests.models import normal

E, H = 4, 3
EQUAL, MIXED, ONE_STEP, TWO_STEPS = [5, 5, 5], [6, 4, 4, 1], [1, 1], [2, 2, 1]
LENGTHS = pytest.mark.parametrize(
    "lengths", [EQUAL, MIXED, ONE_STEP, TWO_STEPS], ids=["equal", "mixed", "one step", "two steps"]
)
TYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
IS_MASKED = pytest.mark.parametrize("is_masked", [False, True])

Result = tuple[Tensor, ...]  # the outputs `(P, H)`, then the parts of the last state
Layer = Callable[[Tensor, CellState, Sequence[int]], tuple[Tensor, CellState]]


class Problem(NamedTuple):
    """A layer of torch's, its packed input, an initial state, and the weights of a loss that uses every result."""

    rnn: nn.RNNBase
    input_PE: Tensor
    state: CellState
    batch_sizes: list[int]
    loss_weights: Result

    @property
    def leaves(self) -> list[Tensor]:
        return [self.input_PE, *self.state, *self.rnn.parameters()]

    def gradients(self, result: Result) -> Result:
        parts = [(part * weights).sum() for part, weights in zip(result, self.loss_weights, strict=True)]
        return torch.autograd.grad(torch.stack(parts).sum(), self.leaves)


def problem(rnn: nn.RNNBase, lengths: list[int], *, dtype: torch.dtype = torch.float64) -> Problem:
    """Make a problem for a layer of E inputs and H units, with sentences of these lengths, longest first."""
    rnn = rnn.to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=number, dtype=dtype))
    batch_sizes = [sum(length > t for length in lengths) for t in range(max(lengths))]
    state_sizes = [(len(lengths), H)] * (2 if isinstance(rnn, nn.LSTM) else 1)
    output_sizes = [(sum(lengths), H), *state_sizes]
    return Problem(
        rnn=rnn,
        input_PE=normal(sum(lengths), E, seed=10, dtype=dtype).requires_grad_(),
        state=tuple(normal(*size, seed=20 + n, dtype=dtype).requires_grad_() for n, size in enumerate(state_sizes)),
        batch_sizes=batch_sizes,
        loss_weights=tuple(normal(*size, seed=30 + n, dtype=dtype) for n, size in enumerate(output_sizes)),
    )


def mask_of(case: Problem) -> Tensor:
    """Make a mask of the hidden state; with any values, not only 0 and 1/p, an error shows."""
    return normal(*case.state[0].shape, seed=40, dtype=case.input_PE.dtype)


def run_layer(case: Problem, layer: Layer) -> Result:
    h_PH, last = layer(case.input_PE, case.state, case.batch_sizes)
    return h_PH, *last


def run_torch(case: Problem) -> Result:
    packed = PackedSequence(case.input_PE, torch.tensor(case.batch_sizes))
    start = tuple(part.unsqueeze(0) for part in case.state)
    if isinstance(case.rnn, nn.LSTM):
        output, last = case.rnn(packed, start)
        return output.data, *(part[0] for part in last)
    output, last_h_1BH = case.rnn(packed, start[0])
    return output.data, last_h_1BH[0]


def run_equations(case: Problem, step: Callable[[Tensor, CellState, int], CellState]) -> Result:
    """Run sentence by sentence; `step` gets the input `(E,)`, the state and the number of the sentence."""
    inputs = case.input_PE.split_with_sizes(case.batch_sizes)
    outputs: list[list[Tensor]] = [[] for _ in inputs]
    last_states: list[CellState] = []
    for row in range(case.batch_sizes[0]):
        state: CellState = tuple(part[row] for part in case.state)
        for t, size in enumerate(case.batch_sizes):
            if row < size:
                state = step(inputs[t][row], state, row)
                outputs[t].append(state[0])
        last_states.append(state)
    h_PH = torch.cat([torch.stack(rows) for rows in outputs])
    return h_PH, *(torch.stack(parts) for parts in zip(*last_states, strict=True))


def assert_equal(found: Result, expected: Result, *, tolerance: float = 1e-12) -> None:
    for found_part, expected_part in zip(found, expected, strict=True):
        torch.testing.assert_close(found_part, expected_part, rtol=tolerance, atol=tolerance)


def check_autocast(case: Problem, layer: Layer) -> None:
    """Check that the matmuls take bf16, and the rest stays in float32; `layer` has the parameters of the case."""

    def run(case: Problem) -> Result:
        with torch.autocast("cpu", torch.bfloat16):
            return run_layer(case, layer)

    expected, own = run_layer(case, layer), run(case)
    gradients = case.gradients(own)
    assert {part.dtype for part in (*own, *gradients)} == {torch.float32}
    assert_equal(own, expected, tolerance=0.05)
    assert_equal(gradients, case.gradients(expected), tolerance=0.1)
    for part in (own[0], gradients[-1]):  # the hidden states, and the gradient of a bias
        assert not torch.equal(part, part.bfloat16().float()), "rounded to bf16"

    rounded = [
        part.detach().bfloat16().requires_grad_() for part in case.state
    ]  # as a bf16 layer before this one returns it
    of_rounded, of_same = (
        run(case._replace(state=state)) for state in (tuple(rounded), tuple(part.float() for part in rounded))
    )
    assert_equal(of_rounded, of_same)
    assert all(part.isfinite().all() for part in torch.autograd.grad(of_rounded[0].sum(), rounded))

    with torch.no_grad():
        for name, weight_GX in case.rnn.named_parameters():
            if name.startswith("weight"):
                weight_GX.copy_(weight_GX.bfloat16())
                before = run(case)
                weight_GX.mul_(1 + 1e-4)  # less than bf16 can express
                assert_equal(run(case), before, tolerance=0)
