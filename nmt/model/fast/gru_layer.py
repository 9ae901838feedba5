"""One GRU layer over packed sequences on a CPU, forward and backward, with few and large matmuls.

It computes the equations of torch's GRU, as `nmt.model.fast.lstm_layer` those of the LSTM:

    r = σ(W_r x + b_r + U_r h + c_r)          reset gate
    z = σ(W_z x + b_z + U_z h + c_z)          update gate: how much of the state is kept
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n)) candidate
    h ← (1 - z) ⊙ n + z ⊙ h

W x + b is one matmul over all steps, and left to autograd. Under autocast the matmuls take bf16; the gates, the states
and their gradients stay in float32, while torch's GRU rounds h to bf16 at every step.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.model.cell import CellState
from nmt.model.fast.packed import PackedSteps, add_matmul

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def own_gru_layer_pays(input_PE: Tensor, *, num_steps: int) -> bool:
    """Return whether `GRULayer` is faster than `nn.GRU`: docs/decisions.md has the measurements.

    In training it is, packed or not, in fp32 and under autocast. Without gradients torch's layer is faster.
    """
    is_bf16 = input_PE.dtype == torch.bfloat16 and not torch.is_autocast_enabled("cpu")
    return input_PE.device.type == "cpu" and not is_bf16 and torch.is_grad_enabled() and num_steps > 1


class GRULayer:
    """A `nmt.model.layer.Layer` with the weights of `nn.GRU`."""

    def __init__(self, weight_ih_GE: Tensor, weight_hh_GH: Tensor, bias_ih_G: Tensor, bias_hh_G: Tensor) -> None:
        self._input_weights = weight_ih_GE, bias_ih_G
        self._hidden_weights = weight_hh_GH, bias_hh_G

    def __call__(
        self,
        input_PE: Tensor,
        state: CellState | None,
        batch_sizes: Sequence[int],
        *,
        hidden_mask_BH: Tensor | None = None,
    ) -> tuple[Tensor, CellState]:
        weight_hh_GH, bias_hh_G = self._hidden_weights
        if state is None:
            state = (bias_hh_G.new_zeros(batch_sizes[0], weight_hh_GH.shape[1]),)
        input_gates_PG = F.linear(input_PE, *self._input_weights)
        h_PH, last_h_BH = _GRUFunction.apply(  # type: ignore[no-untyped-call]
            input_gates_PG,
            state[0],
            weight_hh_GH.to(input_gates_PG.dtype),
            bias_hh_G,
            PackedSteps(tuple(batch_sizes), hidden_mask_BH),
        )
        return h_PH, (last_h_BH,)


class _GRUFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_gates_PG: Tensor,
        start_h_BH: Tensor,
        weight_hh_GH: Tensor,
        bias_hh_G: Tensor,
        steps: PackedSteps,
    ) -> tuple[Tensor, Tensor]:
        hidden_dim = start_h_BH.shape[1]
        input_n_PH = input_gates_PG[:, 2 * hidden_dim :]
        gates_PG = bias_hh_G.repeat(len(input_gates_PG), 1)  # r, z and U_n h + c_n
        gates_PG[:, : 2 * hidden_dim] += input_gates_PG[:, : 2 * hidden_dim]
        n_PH, h_PH, change_PH = (torch.empty_like(input_n_PH, dtype=gates_PG.dtype) for _ in range(3))
        # Views of all steps, created by one call before the loop: inside it they would cost a small layer a few percent
        gates, input_n, n, h, change = map(steps.split, (gates_PG, input_n_PH, n_PH, h_PH, change_PH))
        r_and_z = steps.split(gates_PG[:, : 2 * hidden_dim])
        r, z, hidden_n = map(steps.split, gates_PG.chunk(3, dim=1))
        weight_hh_HG = weight_hh_GH.t()
        for t in range(len(steps.batch_sizes)):
            before_h = steps.before(h, start_h_BH, t)
            add_matmul(gates[t], steps.masked(before_h), weight_hh_HG)
            r_and_z[t].sigmoid_()
            torch.addcmul(input_n[t], r[t], hidden_n[t], out=n[t])
            n[t].mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh(x) = 2 σ(2x) - 1: torch's tanh takes longer than these four
            torch.sub(before_h, n[t], out=change[t])
            torch.addcmul(n[t], z[t], change[t], out=h[t])
        ctx.save_for_backward(start_h_BH, weight_hh_GH, gates_PG, n_PH, h_PH, change_PH)
        ctx.steps = steps
        return h_PH, steps.last(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h_PH, grad_last_h_BH = grads
        start_h_BH, weight_hh_GH, gates_PG, n_PH, h_PH, change_PH = ctx.saved_tensors
        steps: PackedSteps = ctx.steps
        grad_input_PG = _derivatives_within_steps(gates_PG, n_PH, change_PH)
        grad_hidden_PG = torch.empty_like(gates_PG, dtype=weight_hh_GH.dtype)
        r, z, _ = map(steps.split, gates_PG.chunk(3, dim=1))
        dr, dz, dn = map(steps.split, grad_input_PG.chunk(3, dim=1))
        num_r_and_z = 2 * start_h_BH.shape[1]
        dr_and_dz, hidden_dr_and_dz, hidden_dn, hidden, grad_h = map(
            steps.split,
            (
                grad_input_PG[:, :num_r_and_z],
                grad_hidden_PG[:, :num_r_and_z],
                grad_hidden_PG[:, num_r_and_z:],
                grad_hidden_PG,
                grad_h_PH,
            ),
        )
        dh_BH = grad_last_h_BH.clone()
        for t in range(len(steps.batch_sizes) - 1, -1, -1):
            dh = dh_BH[: steps.batch_sizes[t]]
            dh += grad_h[t]
            dz[t].mul_(dh)
            dn[t].mul_(dh)
            dr[t].mul_(dn[t])
            hidden_dr_and_dz[t].copy_(dr_and_dz[t])
            torch.mul(dn[t], r[t], out=hidden_dn[t])
            dh *= z[t]
            if steps.hidden_mask_BH is None:
                add_matmul(dh, hidden[t], weight_hh_GH)
            else:
                dh += steps.masked(hidden[t] @ weight_hh_GH)
        grad_weight_hh_GH = steps.grad_weight_hh(grad_hidden_PG, h_PH, start_h_BH)
        return grad_input_PG, dh_BH, grad_weight_hh_GH, grad_hidden_PG.sum(0, dtype=gates_PG.dtype), None


def _derivatives_within_steps(gates_PG: Tensor, n_PH: Tensor, change_PH: Tensor) -> Tensor:
    """Differentiate r ⊙ (U_n h + c_n) by r's argument, and h by those of z and n, each within its step."""
    derivatives_PG = torch.empty_like(gates_PG)
    r_PH, z_PH, hidden_n_PH = gates_PG.chunk(3, dim=1)
    dr_PH, dz_PH, dn_PH = derivatives_PG.chunk(3, dim=1)
    _sigmoid_backward(hidden_n_PH, r_PH, grad_input=dr_PH)
    _sigmoid_backward(change_PH, z_PH, grad_input=dz_PH)
    _tanh_backward(1 - z_PH, n_PH, grad_input=dn_PH)
    return derivatives_PG
