"""The scores of additive attention on a CPU, without ever holding the tanh of all pairs of positions.

The score of target position t and source position s is v · tanh(query_t + key_s), as in Bahdanau et al. 2015, A.1.2.
The tanh of a batch has B·T·S·A values, hundreds of megabytes for long sentences. Here a chunk of them is computed at a
time, and again in the backward pass. That also takes less time: a chunk stays in the cache, and since
tanh(x) = 2 σ(2x) - 1, the score is 2 v · σ(2 query_t + 2 key_s) - Σ v, and torch's sigmoid is several times as fast as
its tanh (docs/decisions.md has the measurements).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Values held at a time: in float32 1 MB, about the second-level cache of a core
CHUNK_VALUES = 1 << 18

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


def additive_scores(query_BTA: Tensor, key_BSA: Tensor, v_A: Tensor) -> Tensor:
    """Return the scores `(B, T, S)` of all pairs of positions, in the type of `v_A`."""
    scores_BTS: Tensor = _AdditiveScores.apply(  # type: ignore[no-untyped-call]
        query_BTA.to(v_A.dtype), key_BSA.to(v_A.dtype), v_A
    )
    return scores_BTS


class _AdditiveScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_BTA: Tensor, key_BSA: Tensor, v_A: Tensor) -> Tensor:
        ctx.save_for_backward(query_BTA, key_BSA, v_A)
        scores_BTS = query_BTA.new_empty(*query_BTA.shape[:2], key_BSA.shape[1])
        for (rows, steps), sigmoid_BTSA in _chunks(query_BTA, key_BSA):
            scores_BTS[rows, steps] = torch.mv(sigmoid_BTSA.flatten(0, 2), v_A).view(sigmoid_BTSA.shape[:3])
        return scores_BTS.mul_(2).sub_(v_A.sum())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        """With y = σ(2x), the derivative of tanh(x) is 4 y (1 - y)."""
        (grad_scores_BTS,) = grads
        query_BTA, key_BSA, v_A = ctx.saved_tensors
        grad_query_BTA, grad_key_BSA, grad_v_A = (
            torch.empty_like(query_BTA),
            torch.zeros_like(key_BSA),
            torch.zeros_like(v_A),
        )
        for (rows, steps), sigmoid_BTSA in _chunks(query_BTA, key_BSA):
            grad_BTS = grad_scores_BTS[rows, steps]
            grad_v_A += torch.mv(sigmoid_BTSA.flatten(0, 2).t(), grad_BTS.flatten())
            grad_BTSA = _sigmoid_backward(grad_BTS.unsqueeze(3), sigmoid_BTSA, grad_input=sigmoid_BTSA)
            torch.sum(grad_BTSA, 2, out=grad_query_BTA[rows, steps])
            grad_key_BSA[rows] += grad_BTSA.sum(1)
        grad_v_A.mul_(2).sub_(grad_scores_BTS.sum())
        return grad_query_BTA.mul_(4 * v_A), grad_key_BSA.mul_(4 * v_A), grad_v_A


def _chunks(query_BTA: Tensor, key_BSA: Tensor) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Yield sentences and target positions, and σ(2 query + 2 key) for these and all source positions."""
    num_rows, num_steps = query_BTA.shape[:2]
    pairs_at_once = max(1, CHUNK_VALUES // key_BSA[0].numel())
    rows_at_once, steps_at_once = max(1, pairs_at_once // num_steps), min(num_steps, pairs_at_once)
    query_BT1A, key_B1SA = 2 * query_BTA.unsqueeze(2), 2 * key_BSA.unsqueeze(1)
    for row in range(0, num_rows, rows_at_once):
        rows = slice(row, row + rows_at_once)
        for step in range(0, num_steps, steps_at_once):
            steps = slice(step, step + steps_at_once)
            yield (rows, steps), torch.add(query_BT1A[rows, steps], key_B1SA[rows]).sigmoid_()
