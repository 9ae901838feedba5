"""Packed sequences: what the layers with their own backward pass share.

Packed positions P: all steps one after the other; step t has `batch_sizes[t]` rows, longest sentences first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PackedSteps(NamedTuple):
    """The time steps of a packed batch; `hidden_mask_BH` multiplies h before its matmul, at every step."""

    batch_sizes: tuple[int, ...]
    hidden_mask_BH: Tensor | None

    def split(self, whole_PX: Tensor) -> tuple[Tensor, ...]:
        """View packed positions as the rows of each step."""
        return torch.split_with_sizes(whole_PX, list(self.batch_sizes))

    def before(self, states: Sequence[Tensor], start_BX: Tensor, t: int) -> Tensor:
        """Return the state before step t, of the rows that take part in it; `states` are those after each step."""
        state = states[t - 1] if t > 0 else start_BX
        size = self.batch_sizes[t]
        return state if len(state) == size else state[:size]

    def last(self, states: Sequence[Tensor]) -> Tensor:
        """Gather each sentence's last state from the states after each step."""
        parts: list[Tensor] = []
        ended = 0
        for state in reversed(states):
            if len(state) > ended:
                parts.append(state[ended:])
                ended = len(state)
        return torch.cat(parts)

    def masked(self, h_XH: Tensor) -> Tensor:
        """Multiply hidden states before any step, or their gradients, by the mask of their sentences, if there is one.

        Sentences leave from the end, so the rows of a step have the first rows of the mask.
        """
        return h_XH if self.hidden_mask_BH is None else h_XH * self.hidden_mask_BH[: len(h_XH)]

    def grad_weight_hh(self, grad_gates_PG: Tensor, h_PH: Tensor, start_h_BH: Tensor) -> Tensor:
        """Multiply the gates' gradients by the states before them, in one matmul for all steps but the first."""
        num_rows, dtype = self.batch_sizes[0], grad_gates_PG.dtype
        grad_GH = grad_gates_PG[:num_rows].t() @ self.masked(start_h_BH).to(dtype)
        if len(self.batch_sizes) == 1:
            return grad_GH
        if self.batch_sizes[-1] == num_rows and self.hidden_mask_BH is None:
            previous_PH = h_PH[:-num_rows]
        else:
            h = self.split(h_PH)
            later_steps = range(1, len(self.batch_sizes))
            previous_PH = torch.cat([self.masked(self.before(h, start_h_BH, t)) for t in later_steps])
        return grad_GH.addmm_(grad_gates_PG[num_rows:].t(), previous_PH.to(dtype))


def matmul_into(result_XO: Tensor, input_XI: Tensor, weight_IO: Tensor) -> None:
    """Write a matmul; the result and the input may be in float32, and the weight in bf16."""
    if result_XO.dtype == weight_IO.dtype:
        torch.mm(input_XI, weight_IO, out=result_XO)
    else:
        result_XO.copy_(input_XI.to(weight_IO.dtype) @ weight_IO)


def add_matmul(sum_XO: Tensor, input_XI: Tensor, weight_IO: Tensor) -> None:
    """Add a matmul; see `matmul_into`."""
    if sum_XO.dtype == weight_IO.dtype:
        sum_XO.addmm_(input_XI, weight_IO)
    else:
        sum_XO.add_(input_XI.to(weight_IO.dtype) @ weight_IO)
