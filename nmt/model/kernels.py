"""What search computes between its matmuls: the gates of an LSTM, and the best continuations.

On a CPU torch's `tanh` and `exp` come from the vendor's library and take up to six times as long as its own `sigmoid`
and `exp2` (docs/decisions.md has the measurements): hence the latter.

Shapes: N rows, H units, G = 4·H gates in torch's order i, f, g, o; V target vocabulary, C candidates per row,
S full slices of Z vocabulary entries, X entries that may be among the best.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.text.subword import BOS_ID, PAD_ID

LOG2_E = math.log2(math.e)
SLICE = 64  # vocabulary entries per slice; 16 and 32 were slower
BLOCK_ROWS = 64  # rows scanned at once on a CPU: with 8,000 subwords they stay in its cache
SAFE_SUMS = (1e-25, 1e35)  # sums of exp between these have lost nothing in float32


class Scan(NamedTuple):
    """What ranking needs to know of all logits, in float32 at least.

    Attributes:
        normalizer_N1: the log of each row's sum of exp.
        maximum_NS: as `slice_maxima` finds them.
    """

    normalizer_N1: Tensor
    maximum_NS: Tensor


def rank(logits_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of the k best tokens of every row, best first, and the tokens; changes the logits.

    PAD and BOS keep their share of the probability, but are no candidates: a row that has nothing else left fills up
    with -inf. Logits in bf16 are ranked in float32.
    """
    # ranking logits and normalizing the best alone is cheaper than a softmax over the vocabulary
    normalizer_N1, maximum_NS = scan(logits_NV)
    forbid_specials(logits_NV)
    maximum_NS[:, :1] = logits_NV[:, :SLICE].amax(1, keepdim=True)  # anew, without PAD and BOS
    logit_NC, token_NC = _top_k_of_slices(logits_NV, maximum_NS, k)
    # rounding must not lift a log-probability above 0: search relies on it to stop
    return (logit_NC - normalizer_N1).clamp_(max=0.0), token_NC


def top_k(value_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k greatest values of every row and their indices, like `torch.topk`, but faster on a CPU.

    There are V of them if k is greater. The index of a value of -inf means nothing.
    """
    return _top_k_of_slices(value_NV, slice_maxima(value_NV), k)


def _top_k_of_slices(value_NV: Tensor, maximum_NS: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # the k greatest lie in the k slices of greatest maximum, or behind the last full slice: only these need sorting
    (num_rows, vocab_size), num_full = value_NV.shape, maximum_NS.shape[1]
    if num_full < 2 * k:
        value_NC, index_NC = value_NV.topk(min(k, vocab_size))
        return value_NC, index_NC
    slice_NC = maximum_NS.topk(k, sorted=False).indices
    sliced_NX = _slices(value_NV, num_full)[torch.arange(num_rows).unsqueeze(1), slice_NC].flatten(1)
    best_NC, place_NC = torch.cat((sliced_NX, value_NV[:, num_full * SLICE :]), 1).to(maximum_NS.dtype).topk(k)
    index_in_slices_NC = slice_NC.gather(1, (place_NC // SLICE).clamp(max=k - 1)) * SLICE + place_NC % SLICE
    index_in_rest_NC = place_NC + (num_full - k) * SLICE
    return best_NC, torch.where(place_NC < k * SLICE, index_in_slices_NC, index_in_rest_NC)


def forbid_specials(value_NV: Tensor) -> None:
    """Take PAD and BOS out of the running, in place."""
    value_NV[:, PAD_ID] = -math.inf
    value_NV[:, BOS_ID] = -math.inf


def slice_maxima(value_NV: Tensor) -> Tensor:
    """Return the greatest value of each full slice, `(N, S)`; none on a GPU, which sorts whole rows."""
    num_full = value_NV.shape[1] // SLICE if value_NV.device.type == "cpu" else 0
    return _slices(value_NV, num_full).amax(2)


def _slices(value_NV: Tensor, num_full: int) -> Tensor:
    return value_NV[:, : num_full * SLICE].view(len(value_NV), num_full, SLICE)


def scan(logits_NV: Tensor) -> Scan:
    """Find normalizers and maxima."""
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    if logits_NV.device.type != "cpu":
        return Scan(torch.logsumexp(logits_NV.to(dtype), dim=1, keepdim=True), slice_maxima(logits_NV))
    # block by block, so that logits come from memory once; without the usual shift by each row's maximum
    scratch_NV = torch.empty_like(logits_NV[:BLOCK_ROWS], dtype=dtype)
    totals, maxima = [], []
    for block_NV in torch.split(logits_NV, BLOCK_ROWS):
        exact_NV = scratch_NV[: len(block_NV)].copy_(block_NV) if block_NV.dtype != dtype else block_NV
        maxima.append(slice_maxima(exact_NV))
        scaled_NV = torch.mul(exact_NV, LOG2_E, out=scratch_NV[: len(block_NV)])
        totals.append(scaled_NV.exp2_().sum(1, keepdim=True))
    total_N1 = torch.cat(totals)
    least, greatest = torch.aminmax(total_N1)
    if float(least) < SAFE_SUMS[0] or not float(greatest) < SAFE_SUMS[1]:  # the shift was needed
        normalizer_N1 = torch.logsumexp(logits_NV.to(dtype), dim=1, keepdim=True)
    else:
        normalizer_N1 = total_N1.log_()
    return Scan(normalizer_N1, torch.cat(maxima))


def log_sum_exp(logits_NV: Tensor) -> Tensor:
    """Return the log of each row's normalizer, `(N, 1)`."""
    return scan(logits_NV).normalizer_N1
