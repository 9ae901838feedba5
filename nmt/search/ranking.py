"""The best continuations of every row: the k highest logits, normalized to log-probabilities.

A softmax over the vocabulary would compute thousands of probabilities to keep a few. Instead, one scan of the logits
finds each row's normalizer and the maximum of every slice of 64 entries; only the slices with the highest maxima are
sorted.
On a CPU, torch's `exp` takes almost three times as long as its `exp2`, which is therefore used (docs/decisions.md).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.text.subword import BOS_ID, PAD_ID

LOG2_E = math.log2(math.e)
SLICE = 64  # vocabulary entries per slice; 16 and 32 were slower
BLOCK_ROWS = 64  # rows scanned at once on a CPU: with 8,000 subwords they fit into its cache
SAFE_SUMS = (1e-25, 1e35)  # sums of exp between these have neither underflowed nor overflowed in float32


def rank(logits_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of every row's k best tokens, best first, and the tokens; changes the logits.

    PAD and BOS keep their share of the probability, but are not candidates: a row with too few others is filled up
    with -inf. Logits in bf16 are ranked in float32.
    """
    normalizer_N1, maximum_NX = scan(logits_NV)
    forbid_specials(logits_NV)
    maximum_NX[:, :1] = logits_NV[:, :SLICE].amax(1, keepdim=True)  # the first slice, now without PAD and BOS
    logit_NC, token_NC = _top_k_of_slices(logits_NV, maximum_NX, k)
    # rounding must not raise a log-probability above 0: search relies on it to stop
    return (logit_NC - normalizer_N1).clamp_(max=0.0), token_NC


def rank_plainly(logits_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rank like `rank`, by a softmax over the vocabulary: the reference implementation."""
    log_prob_NV = torch.log_softmax(logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)), dim=1)
    forbid_specials(log_prob_NV)
    log_prob_NC, token_NC = log_prob_NV.topk(min(k, log_prob_NV.shape[1]))
    return log_prob_NC, token_NC


def top_k(value_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k greatest values of every row and their indices, like `torch.topk`, but faster on a CPU.

    If k exceeds V, there are V of them. The index of a value of -inf is meaningless.
    """
    return _top_k_of_slices(value_NV, slice_maxima(value_NV), k)


def forbid_specials(value_NV: Tensor) -> None:
    """Exclude PAD and BOS from the ranking, in place."""
    value_NV[:, PAD_ID] = -math.inf
    value_NV[:, BOS_ID] = -math.inf


def log_sum_exp(logits_NV: Tensor) -> Tensor:
    """Return the log of each row's normalizer, `(N, 1)`."""
    return scan(logits_NV).normalizer_N1


class Scan(NamedTuple):
    """The result of a pass over all logits, at least in float32.

    Attributes:
        normalizer_N1: the log of each row's sum of exp.
        maximum_NX: the maximum of each full slice; see `slice_maxima`.
    """

    normalizer_N1: Tensor
    maximum_NX: Tensor


def scan(logits_NV: Tensor) -> Scan:
    """Find normalizers and maxima."""
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    if logits_NV.device.type != "cpu":
        return Scan(torch.logsumexp(logits_NV.to(dtype), dim=1, keepdim=True), slice_maxima(logits_NV))
    # block by block, so that logits are read from memory once; without the usual shift by each row's maximum
    scratch_NV = torch.empty_like(logits_NV[:BLOCK_ROWS], dtype=dtype)
    sums, maxima = [], []
    for block_NV in torch.split(logits_NV, BLOCK_ROWS):
        exact_NV = scratch_NV[: len(block_NV)].copy_(block_NV) if block_NV.dtype != dtype else block_NV
        maxima.append(slice_maxima(exact_NV))
        scaled_NV = torch.mul(exact_NV, LOG2_E, out=scratch_NV[: len(block_NV)])
        sums.append(scaled_NV.exp2_().sum(1, keepdim=True))
    sum_N1 = torch.cat(sums)
    least, greatest = torch.aminmax(sum_N1)
    if float(least) < SAFE_SUMS[0] or not float(greatest) < SAFE_SUMS[1]:  # the shift was needed
        normalizer_N1 = torch.logsumexp(logits_NV.to(dtype), dim=1, keepdim=True)
    else:
        normalizer_N1 = sum_N1.log_()
    return Scan(normalizer_N1, torch.cat(maxima))


def slice_maxima(value_NV: Tensor) -> Tensor:
    """Return the maximum of each full slice, `(N, X)`; X is 0 on a GPU, which sorts whole rows."""
    num_full = value_NV.shape[1] // SLICE if value_NV.device.type == "cpu" else 0
    return value_NV[:, : num_full * SLICE].view(len(value_NV), num_full, SLICE).amax(2)


def _top_k_of_slices(value_NV: Tensor, maximum_NX: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # the k greatest are in the k slices with the greatest maxima, or after the last full slice: only these are sorted
    vocab_size, num_full = value_NV.shape[1], maximum_NX.shape[1]
    if k == 1 and num_full == 0:
        return value_NV.max(1, keepdim=True)  # sorting takes longer
    if num_full < 2 * k:
        value_NC, index_NC = value_NV.topk(min(k, vocab_size))
        return value_NC, index_NC
    first_NC = maximum_NX.topk(k, sorted=False).indices * SLICE
    index_NX = (first_NC.unsqueeze(2) + torch.arange(SLICE)).flatten(1)
    if rest := vocab_size - num_full * SLICE:
        rest_X = torch.arange(vocab_size - rest, vocab_size)
        index_NX = torch.cat((index_NX, rest_X.expand(len(value_NV), rest)), dim=1)
    value_NC, position_NC = value_NV.gather(1, index_NX).to(maximum_NX.dtype).topk(k)
    return value_NC, index_NX.gather(1, position_NC)
