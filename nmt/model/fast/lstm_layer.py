"""One LSTM layer over packed sequences on a CPU, forward and backward, with few and large matmuls.

It computes what `nmt.model.recurrent.run_over_time` computes with an `nmt.model.cell.LSTMCell`, and its gradient.
torch's fused CPU layer multiplies by the input weights, and computes the weights' gradients, step by step. Here
everything that does not depend on the previous step is one matmul over all steps: the input's contribution to the
gates, and in the backward pass the gradients of both weights and of the input. Only the matmul with the previous hidden
state stays in the loop. Sequences of unequal length cost no padding: each step leaves out the rows that have ended.

Packed positions P: all steps one after the other; step t has `batch_sizes[t]` rows, longest sentences first.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nmt.device import is_intel_cpu
from nmt.model.cell import CellState

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def own_layer_pays(input_TBE: Tensor, *, is_packed: bool) -> bool:
    """Return whether `LSTMLayer` is faster than torch's layers: docs/decisions.md has the measurements.

    torch's layers are faster in bf16, without gradients, and in fp32 through oneDNN on processors other than Intel's.
    With packed sequences they take more than twice as long everywhere.
    """
    if input_TBE.device.type != "cpu" or torch.is_autocast_enabled("cpu") or input_TBE.dtype == torch.bfloat16:
        return False
    return is_packed or (torch.is_grad_enabled() and len(input_TBE) > 1 and is_intel_cpu())


class LSTMLayer:
    """A `nmt.model.recurrent.Layer` with the weights of `nn.LSTM`."""

    def __init__(self, weight_ih_GE: Tensor, weight_hh_GH: Tensor, bias_ih_G: Tensor, bias_hh_G: Tensor) -> None:
        self._weights = weight_ih_GE, weight_hh_GH, bias_ih_G + bias_hh_G

    def __call__(
        self, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]
    ) -> tuple[Tensor, CellState]:
        if state is None:
            zeros_BH = input_PE.new_zeros(batch_sizes[0], self._weights[1].shape[1])
            state = zeros_BH, zeros_BH
        h_PH, last_h_BH, last_c_BH = _LSTMFunction.apply(  # type: ignore[no-untyped-call]
            input_PE, *state, *self._weights, tuple(batch_sizes)
        )
        return h_PH, (last_h_BH, last_c_BH)


def _per_step(whole_PX: Tensor, batch_sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """View packed positions as the rows of each step."""
    return torch.split_with_sizes(whole_PX, list(batch_sizes))


def _state_before(states: Sequence[Tensor], start_BH: Tensor, t: int, size: int) -> Tensor:
    """Return the state before step t, of the `size` rows that take part in it; `states` are those after each step."""
    before = states[t - 1] if t > 0 else start_BH
    return before if len(before) == size else before[:size]


def _last_states(states: Sequence[Tensor]) -> Tensor:
    """Gather each sentence's last state from the states after each step."""
    parts: list[Tensor] = []
    ended = 0
    for state in reversed(states):
        if len(state) > ended:
            parts.append(state[ended:])
            ended = len(state)
    return torch.cat(parts)


class _LSTMFunction(torch.autograd.Function):
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
        hidden_dim = weight_hh_GH.shape[1]
        gates_PG = torch.addmm(bias_G, input_PE, weight_ih_GE.t())
        h_PH, c_PH, tanh_c_PH = (input_PE.new_empty(len(input_PE), hidden_dim) for _ in range(3))
        # Views of all steps, created by one call before the loop: inside it they would cost a small layer a few percent
        gates, h, c, tanh_c = (_per_step(whole, batch_sizes) for whole in (gates_PG, h_PH, c_PH, tanh_c_PH))
        i_and_f = _per_step(gates_PG[:, : 2 * hidden_dim], batch_sizes)
        i, f, g, o = _split_gates(gates_PG, batch_sizes)
        weight_hh_HG = weight_hh_GH.t()
        for t, size in enumerate(batch_sizes):
            gates[t].addmm_(_state_before(h, start_h_BH, t, size), weight_hh_HG)
            i_and_f[t].sigmoid_()
            g[t].tanh_()
            o[t].sigmoid_()
            torch.mul(f[t], _state_before(c, start_c_BH, t, size), out=c[t])
            c[t].addcmul_(i[t], g[t])
            torch.tanh(c[t], out=tanh_c[t])
            torch.mul(o[t], tanh_c[t], out=h[t])
        ctx.save_for_backward(
            input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH
        )
        ctx.batch_sizes = batch_sizes
        return h_PH, _last_states(h), _last_states(c)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h_PH, grad_last_h_BH, grad_last_c_BH = grads
        input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH = (
            ctx.saved_tensors
        )
        batch_sizes: tuple[int, ...] = ctx.batch_sizes
        grad_gates_PG = torch.empty_like(gates_PG)
        grad_gates, grad_h, c, tanh_c = (
            _per_step(whole, batch_sizes) for whole in (grad_gates_PG, grad_h_PH, c_PH, tanh_c_PH)
        )
        i, f, g, o = _split_gates(gates_PG, batch_sizes)
        di, df, dg, do = _split_gates(grad_gates_PG, batch_sizes)
        dh_BH, dc_BH, work_BH = grad_last_h_BH.clone(), grad_last_c_BH.clone(), torch.empty_like(grad_last_c_BH)
        dh, dc, work = dh_BH, dc_BH, work_BH
        for t in range(len(batch_sizes) - 1, -1, -1):
            size = batch_sizes[t]
            if len(dh) != size:
                dh, dc, work = dh_BH[:size], dc_BH[:size], work_BH[:size]
            dh += grad_h[t]
            _sigmoid_backward(torch.mul(dh, tanh_c[t], out=work), o[t], grad_input=do[t])
            dc += _tanh_backward(torch.mul(dh, o[t], out=work), tanh_c[t], grad_input=work)
            _sigmoid_backward(torch.mul(dc, g[t], out=work), i[t], grad_input=di[t])
            before_c = _state_before(c, start_c_BH, t, size)
            _sigmoid_backward(torch.mul(dc, before_c, out=work), f[t], grad_input=df[t])
            _tanh_backward(torch.mul(dc, i[t], out=work), g[t], grad_input=dg[t])
            dc *= f[t]
            torch.mm(grad_gates[t], weight_hh_GH, out=dh)
        return (
            grad_gates_PG @ weight_ih_GE if ctx.needs_input_grad[0] else None,
            dh_BH,
            dc_BH,
            grad_gates_PG.t() @ input_PE,
            _grad_weight_hh(grad_gates_PG, h_PH, start_h_BH, batch_sizes),
            grad_gates_PG.sum(0),
            None,
        )


def _split_gates(gates_PG: Tensor, batch_sizes: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
    """Split into views of the gates i, f, g, o, each with one `(rows, H)` per step."""
    return [_per_step(gate_PH, batch_sizes) for gate_PH in gates_PG.chunk(4, dim=1)]


def _grad_weight_hh(grad_gates_PG: Tensor, h_PH: Tensor, start_h_BH: Tensor, batch_sizes: tuple[int, ...]) -> Tensor:
    """Multiply the gates' gradients by the states before them, in one matmul over all steps but the first."""
    num_rows = batch_sizes[0]
    grad_GH = grad_gates_PG[:num_rows].t() @ start_h_BH
    if len(batch_sizes) == 1:
        return grad_GH
    if batch_sizes[-1] == num_rows:
        previous_PH = h_PH[:-num_rows]
    else:
        previous_PH = torch.cat(
            [state[:size] for state, size in zip(_per_step(h_PH, batch_sizes), batch_sizes[1:], strict=False)]
        )
    return grad_GH.addmm_(grad_gates_PG[num_rows:].t(), previous_PH)
