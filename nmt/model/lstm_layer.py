"""One LSTM layer over packed sequences on a CPU, forward and backward, as few and as large products as can be.

torch's fused CPU layer multiplies by the input weights, and takes the weights' gradients, step by step. Here everything
that does not wait for the previous step is one product over all steps: the input's share of the gates, and in the
backward pass the gradients of both weights and of the input. Only the product with the previous hidden state is left
inside the loop. Sequences of unequal length cost no padding: at each step the rows that have ended are left out.

Shapes: B sentences, longest first; P positions, all steps one after the other (step t has `batch_sizes[t]` rows);
E inputs, H units, G = 4·H gates in torch's order i, f, g, o.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LayerOutput(NamedTuple):
    """Hidden states of all positions `(P, H)`, and the state `(B, H)` after each sentence's last step."""

    h_PH: Tensor
    last_h_BH: Tensor
    last_c_BH: Tensor


def lstm_layer(
    input_PE: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    *,
    weight_ih_GE: Tensor,
    weight_hh_GH: Tensor,
    bias_G: Tensor,
    batch_sizes: Sequence[int],
) -> LayerOutput:
    """Run one layer (Hochreiter & Schmidhuber 1997, with forget gates) from the state `h_BH`, `c_BH`."""
    return LayerOutput(
        *_LSTMLayer.apply(  # type: ignore[no-untyped-call]
            input_PE, h_BH, c_BH, weight_ih_GE, weight_hh_GH, bias_G, tuple(batch_sizes)
        )
    )


def step_slices(batch_sizes: Sequence[int]) -> list[slice]:
    """Return the positions of each step."""
    ends = [0]
    for size in batch_sizes:
        ends.append(ends[-1] + size)
    return [slice(begin, end) for begin, end in pairwise(ends)]


def state_before(state_PH: Tensor, start_BH: Tensor, steps: Sequence[slice], t: int) -> Tensor:
    """Return the state before step t, of the rows that take part in it."""
    size = steps[t].stop - steps[t].start
    return start_BH[:size] if t == 0 else state_PH[steps[t - 1].start : steps[t - 1].start + size]


def last_states(state_PH: Tensor, steps: Sequence[slice]) -> Tensor:
    """Gather the state after each sentence's last step."""
    parts: list[Tensor] = []
    for t in range(len(steps) - 1, -1, -1):
        ended_before = sum(len(part) for part in parts)
        parts.append(state_PH[steps[t].start + ended_before : steps[t].stop])
    return torch.cat(parts)


class _LSTMLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_PE: Tensor,
        start_h_BH: Tensor,
        start_c_BH: Tensor,
        weight_ih_GE: Tensor,
        weight_hh_GH: Tensor,
        bias_G: Tensor,
        batch_sizes: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps = step_slices(batch_sizes)
        hidden_dim = weight_hh_GH.shape[1]
        gates_PG = torch.addmm(bias_G, input_PE, weight_ih_GE.t())
        h_PH, c_PH, tanh_c_PH = (input_PE.new_empty(len(input_PE), hidden_dim) for _ in range(3))
        for t, step in enumerate(steps):
            gates = gates_PG[step]
            gates.addmm_(state_before(h_PH, start_h_BH, steps, t), weight_hh_GH.t())
            i, f, g, o = gates.chunk(4, dim=1)
            gates[:, : 2 * hidden_dim].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, state_before(c_PH, start_c_BH, steps, t), out=c_PH[step])
            c_PH[step].addcmul_(i, g)
            torch.tanh(c_PH[step], out=tanh_c_PH[step])
            torch.mul(o, tanh_c_PH[step], out=h_PH[step])
        ctx.save_for_backward(
            input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH
        )
        ctx.steps = steps
        return h_PH, last_states(h_PH, steps), last_states(c_PH, steps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h_PH, grad_last_h_BH, grad_last_c_BH = grads
        input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH = (
            ctx.saved_tensors
        )
        steps: list[slice] = ctx.steps
        grad_gates_PG = torch.empty_like(gates_PG)
        dh_BH, dc_BH = grad_last_h_BH.clone(), grad_last_c_BH.clone()
        work_BH = torch.empty_like(dc_BH)
        for t in range(len(steps) - 1, -1, -1):
            step = steps[t]
            size = step.stop - step.start
            dh, dc, work, tanh_c = dh_BH[:size], dc_BH[:size], work_BH[:size], tanh_c_PH[step]
            i, f, g, o = gates_PG[step].chunk(4, dim=1)
            di, df, dg, do = grad_gates_PG[step].chunk(4, dim=1)
            dh += grad_h_PH[step]
            _sigmoid_backward(torch.mul(dh, tanh_c, out=work), o, grad_input=do)
            dc += _tanh_backward(torch.mul(dh, o, out=work), tanh_c, grad_input=work)
            _sigmoid_backward(torch.mul(dc, g, out=work), i, grad_input=di)
            _sigmoid_backward(torch.mul(dc, state_before(c_PH, start_c_BH, steps, t), out=work), f, grad_input=df)
            _tanh_backward(torch.mul(dc, i, out=work), g, grad_input=dg)
            dc *= f
            torch.mm(grad_gates_PG[step], weight_hh_GH, out=dh)
        return (
            grad_gates_PG @ weight_ih_GE if ctx.needs_input_grad[0] else None,
            dh_BH,
            dc_BH,
            grad_gates_PG.t() @ input_PE,
            _grad_weight_hh(grad_gates_PG, h_PH, start_h_BH, steps),
            grad_gates_PG.sum(0),
            None,
        )


def _grad_weight_hh(grad_gates_PG: Tensor, h_PH: Tensor, start_h_BH: Tensor, steps: Sequence[slice]) -> Tensor:
    """Multiply the gates' gradients by the states before them, in one product where lengths are equal."""
    grad_GH = grad_gates_PG[steps[0]].t() @ start_h_BH
    if len(steps) == 1:
        return grad_GH
    later = slice(steps[1].start, steps[-1].stop)
    previous = [state_before(h_PH, start_h_BH, steps, t) for t in range(1, len(steps))]
    is_equal = all(len(rows) == len(start_h_BH) for rows in previous)
    previous_PH = h_PH[: steps[-1].start] if is_equal else torch.cat(previous)
    return grad_GH.addmm_(grad_gates_PG[later].t(), previous_PH)
