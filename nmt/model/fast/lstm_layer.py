"""One LSTM layer over packed sequences on a CPU, forward and backward, with few and large matmuls.

It computes what `nmt.model.layer.run_over_time` computes with an `nmt.model.cell.LSTMCell`, and its gradient.
torch's fused CPU layer multiplies by the input weights, and computes the weights' gradients, step by step. Here
everything that does not depend on the previous step is one matmul over all steps: the input's contribution to the
gates, and in the backward pass the gradients of both weights and of the input. Only the matmul with the previous hidden
state stays in the loop. Sequences of unequal length cost no padding: each step leaves out the rows that have ended.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nmt.device import is_intel_cpu
from nmt.model.cell import CellState
from nmt.model.fast.packed import PackedSteps, add_matmul, matmul_into

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def own_layer_pays(input_PE: Tensor, *, is_packed: bool, num_steps: int) -> bool:
    """Return whether `LSTMLayer` is faster than torch's layers: docs/decisions.md has the measurements.

    torch's layers are faster in bf16, without gradients, and in fp32 through oneDNN on processors other than Intel's.
    With packed sequences they take more than twice as long everywhere.
    """
    if input_PE.device.type != "cpu" or torch.is_autocast_enabled("cpu") or input_PE.dtype == torch.bfloat16:
        return False
    return is_packed or (torch.is_grad_enabled() and num_steps > 1 and is_intel_cpu())


class LSTMLayer:
    """A `nmt.model.layer.Layer` with the weights of `nn.LSTM`."""

    def __init__(self, weight_ih_GE: Tensor, weight_hh_GH: Tensor, bias_ih_G: Tensor, bias_hh_G: Tensor) -> None:
        self._weights = weight_ih_GE, weight_hh_GH
        self._bias_G = bias_ih_G + bias_hh_G

    def __call__(
        self,
        input_PE: Tensor,
        state: CellState | None,
        batch_sizes: Sequence[int],
        *,
        hidden_mask_BH: Tensor | None = None,
    ) -> tuple[Tensor, CellState]:
        if state is None:
            zeros_BH = self._bias_G.new_zeros(batch_sizes[0], self._weights[1].shape[1])
            state = zeros_BH, zeros_BH
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self._bias_G.dtype
        h_PH, last_h_BH, last_c_BH = _LSTMFunction.apply(  # type: ignore[no-untyped-call]
            input_PE.to(dtype),
            *state,
            *(weight.to(dtype) for weight in self._weights),
            self._bias_G,
            PackedSteps(tuple(batch_sizes), hidden_mask_BH),
        )
        return h_PH, (last_h_BH, last_c_BH)


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
        steps: PackedSteps,
    ) -> tuple[Tensor, Tensor, Tensor]:
        hidden_dim = weight_hh_GH.shape[1]
        gates_PG = torch.addmm(bias_G.to(input_PE.dtype), input_PE, weight_ih_GE.t()).to(bias_G.dtype)
        h_PH, c_PH, tanh_c_PH = (gates_PG.new_empty(len(gates_PG), hidden_dim) for _ in range(3))
        # Views of all steps, created by one call before the loop: inside it they would cost a small layer a few percent
        gates, h, c, tanh_c = map(steps.split, (gates_PG, h_PH, c_PH, tanh_c_PH))
        i_and_f = steps.split(gates_PG[:, : 2 * hidden_dim])
        i, f, g, o = map(steps.split, gates_PG.chunk(4, dim=1))
        weight_hh_HG = weight_hh_GH.t()
        for t in range(len(steps.batch_sizes)):
            add_matmul(gates[t], steps.masked(steps.before(h, start_h_BH, t)), weight_hh_HG)
            i_and_f[t].sigmoid_()
            g[t].tanh_()
            o[t].sigmoid_()
            torch.mul(f[t], steps.before(c, start_c_BH, t), out=c[t])
            c[t].addcmul_(i[t], g[t])
            torch.tanh(c[t], out=tanh_c[t])
            torch.mul(o[t], tanh_c[t], out=h[t])
        ctx.save_for_backward(
            input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH
        )
        ctx.steps = steps
        return h_PH, steps.last(h), steps.last(c)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h_PH, grad_last_h_BH, grad_last_c_BH = grads
        input_PE, start_h_BH, start_c_BH, weight_ih_GE, weight_hh_GH, gates_PG, h_PH, c_PH, tanh_c_PH = (
            ctx.saved_tensors
        )
        steps: PackedSteps = ctx.steps
        grad_gates_PG = torch.empty_like(gates_PG)
        grad_gates, grad_h, c, tanh_c = map(steps.split, (grad_gates_PG, grad_h_PH, c_PH, tanh_c_PH))
        i, f, g, o = map(steps.split, gates_PG.chunk(4, dim=1))
        di, df, dg, do = map(steps.split, grad_gates_PG.chunk(4, dim=1))
        dh_BH, dc_BH, work_BH = grad_last_h_BH.clone(), grad_last_c_BH.clone(), torch.empty_like(grad_last_c_BH)
        dh, dc, work = dh_BH, dc_BH, work_BH
        for t in range(len(steps.batch_sizes) - 1, -1, -1):
            size = steps.batch_sizes[t]
            if len(dh) != size:
                dh, dc, work = dh_BH[:size], dc_BH[:size], work_BH[:size]
            dh += grad_h[t]
            _sigmoid_backward(torch.mul(dh, tanh_c[t], out=work), o[t], grad_input=do[t])
            dc += _tanh_backward(torch.mul(dh, o[t], out=work), tanh_c[t], grad_input=work)
            _sigmoid_backward(torch.mul(dc, g[t], out=work), i[t], grad_input=di[t])
            before_c = steps.before(c, start_c_BH, t)
            _sigmoid_backward(torch.mul(dc, before_c, out=work), f[t], grad_input=df[t])
            _tanh_backward(torch.mul(dc, i[t], out=work), g[t], grad_input=dg[t])
            dc *= f[t]
            matmul_into(dh, grad_gates[t], weight_hh_GH)
            if steps.hidden_mask_BH is not None:
                dh *= steps.hidden_mask_BH[:size]
        sum_G = grad_gates_PG.sum(0)
        grad_gates_PG = grad_gates_PG.to(weight_hh_GH.dtype)
        return (
            grad_gates_PG @ weight_ih_GE if ctx.needs_input_grad[0] else None,
            dh_BH,
            dc_BH,
            grad_gates_PG.t() @ input_PE,
            steps.grad_weight_hh(grad_gates_PG, h_PH, start_h_BH),
            sum_G,
            None,
        )
