"""What search computes between its matrix products: in torch, or by `compiled_kernels` once these are loaded.

Shapes: N rows, H units, G = 4·H gates in torch's order i, f, g, o; V target vocabulary, C candidates per row,
S slices of Z vocabulary entries, X rows of a table.
"""

import logging
import math
from types import ModuleType

import torch
from torch import Tensor

from nmt.linear import INT8_STEPS, INT8_ZERO, quantize
from nmt.text.subword import BOS_ID, PAD_ID

log = logging.getLogger(__name__)

SLICE = 64  # vocabulary entries per slice in `top_k`; 16 and 32 were slower
CACHE_ROWS = 32  # rows normalized at once on a CPU: with 8,000 subwords they stay in its cache
SAFE_SUMS = (1e-25, 1e35)  # sums of exp between these have lost nothing in float32

_compiled: ModuleType | None = None
_loading_failed = False


def load_compiled() -> None:
    """From here on compute by `compiled_kernels` whatever is float32 on a CPU, in this process.

    Results differ from torch's in their last bits. Takes about a second and 110 MB, and several seconds where nothing
    was compiled before. Where numba cannot be used, a warning says so once, and torch goes on computing.
    """
    global _compiled, _loading_failed
    if _compiled is not None or _loading_failed:
        return
    try:
        from nmt.model import compiled_kernels

        compiled_kernels.compile_all()
    except Exception as error:  # numba's own, those of its files, and what its dependencies raise
        _loading_failed = True
        log.warning(
            "search goes on without compiled kernels, up to a third slower: numba fails with %s: %s (NUMBA_CACHE_DIR "
            "names another folder for what it compiles)",
            type(error).__name__,
            str(error).partition("\n")[0],
        )
    else:
        _compiled = compiled_kernels


def compiled_are_loaded() -> bool:
    return _compiled is not None


def _compiled_for(value: Tensor) -> ModuleType | None:
    return _compiled if value.dtype == torch.float32 and value.device.type == "cpu" else None


def add_rows(sum_NX: Tensor, table_VX: Tensor, index_N: Tensor) -> None:
    """Add the rows `index_N` of a table."""
    if compiled := _compiled_for(sum_NX):
        compiled.add_rows(sum_NX, table_VX, index_N)
    else:
        sum_NX += table_VX.index_select(0, index_N)


def lstm_cell(gates_NG: Tensor, before_c_NH: Tensor, *, h_NH: Tensor, c_NH: Tensor) -> None:
    """Apply the equations of an LSTM's cell to the sums of what enters its gates.

    Writes the new state to `h_NH`, which is float32 or quantized uint8, and `c_NH`; overwrites `gates_NG`.
    """
    if compiled := _compiled_for(gates_NG):
        compiled.lstm_cell(gates_NG, before_c_NH, h_NH, c_NH, INT8_STEPS, INT8_ZERO)
        return
    hidden_dim = before_c_NH.shape[1]
    i, f, g, o = gates_NG.chunk(4, dim=1)
    gates_NG[:, : 2 * hidden_dim].sigmoid_()
    g.tanh_()
    o.sigmoid_()
    torch.mul(f, before_c_NH, out=c_NH)
    c_NH.addcmul_(i, g)
    if h_NH.dtype == torch.uint8:
        h_NH.copy_(quantize(torch.tanh(c_NH).mul_(o)))
    else:
        torch.tanh(c_NH, out=h_NH)
        h_NH.mul_(o)


def rank(logits_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of the k best tokens of every row, best first, and the tokens.

    PAD and BOS keep their share of the probability, but are no candidates: a row that has nothing else left fills up
    with -inf. Overwrites the logits.
    """
    if compiled := _compiled_for(logits_NV):
        log_prob_NC, token_NC = compiled.rank(logits_NV, k, (PAD_ID, BOS_ID))
        return log_prob_NC, token_NC
    # ranking logits and normalizing the best alone is cheaper than a softmax over the vocabulary
    normalizer_N1 = log_sum_exp(logits_NV)
    forbid_specials(logits_NV)
    logit_NC, token_NC = top_k(logits_NV, k)
    # rounding must not lift a log-probability above 0: search relies on it to stop
    return (logit_NC - normalizer_N1).clamp_(max=0.0), token_NC


def softmax_(logits_NV: Tensor) -> Tensor:
    """Return the probabilities of every row; may overwrite the logits."""
    if compiled := _compiled_for(logits_NV):
        compiled.softmax_(logits_NV)
        return logits_NV
    return torch.softmax(logits_NV, dim=1)


def top_k(value_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k greatest values of every row and their indices, like `torch.topk`, but faster on a CPU.

    There are V of them where k is greater. The index of a value of -inf means nothing.
    """
    if compiled := _compiled_for(value_NV):
        value_NC, index_NC = compiled.top_k(value_NV, k)
        return value_NC, index_NC
    # the k greatest lie in the k slices of greatest maximum, or behind the last full slice: only these need sorting
    num_rows, vocab_size = value_NV.shape
    num_full = vocab_size // SLICE
    if value_NV.device.type != "cpu" or num_full < 2 * k:
        value_NC, index_NC = value_NV.topk(min(k, vocab_size))
        return value_NC, index_NC
    full_NSZ = value_NV[:, : num_full * SLICE].reshape(num_rows, num_full, SLICE)
    slice_NC = full_NSZ.amax(2).topk(k, sorted=False).indices
    sliced_NX = full_NSZ[torch.arange(num_rows).unsqueeze(1), slice_NC].flatten(1)
    best_NC, place_NC = torch.cat((sliced_NX, value_NV[:, num_full * SLICE :]), 1).topk(k)
    index_in_slices_NC = slice_NC.gather(1, (place_NC // SLICE).clamp(max=k - 1)) * SLICE + place_NC % SLICE
    index_in_rest_NC = place_NC + (num_full - k) * SLICE
    return best_NC, torch.where(place_NC < k * SLICE, index_in_slices_NC, index_in_rest_NC)


def forbid_specials(value_NV: Tensor) -> None:
    """Take PAD and BOS out of the running, in place."""
    value_NV[:, PAD_ID] = -math.inf
    value_NV[:, BOS_ID] = -math.inf


def log_sum_exp(logits_NV: Tensor) -> Tensor:
    """Return the log of each row's normalizer, `(N, 1)`."""
    if logits_NV.device.type != "cpu":
        return torch.logsumexp(logits_NV, dim=1, keepdim=True)
    # without the usual shift by each row's maximum, unless a sum says that it was needed
    scratch_NV = torch.empty_like(logits_NV[:CACHE_ROWS])
    blocks = torch.split(logits_NV, CACHE_ROWS)
    total_N1 = torch.cat(
        [torch.exp(rows_NV, out=scratch_NV[: len(rows_NV)]).sum(1, keepdim=True) for rows_NV in blocks]
    )
    least, greatest = torch.aminmax(total_N1)
    if float(least) < SAFE_SUMS[0] or not float(greatest) < SAFE_SUMS[1]:
        return torch.logsumexp(logits_NV, dim=1, keepdim=True)
    return total_N1.log_()
