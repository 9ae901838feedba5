"""The functions of `kernels` for float32 on a CPU, compiled by numba: each a single pass over its rows.

They run in the thread that calls them and let other threads run meanwhile. All that they depend on is in this file or
an argument: numba takes what it compiled from disk as long as this file is the same.

Shapes: as in `kernels`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

# What lets sums and maxima be taken in any order, thus in vectors. Infinities stay what they are.
_FASTMATH = {"reassoc", "nnan", "nsz", "arcp", "contract", "afn"}

_F = np.float32
_LOG2_E = _F(1 / math.log(2))
# 2^f for f in [-0.5, 0.5] by Taylor's series: the terms left out are below 1.7e-7 of the whole
_C1, _C2, _C3, _C4, _C5, _C6 = (_F(math.log(2) ** n / math.factorial(n)) for n in range(1, 7))
_ONE, _TWO, _HALF, _INFINITY = _F(1), _F(2), _F(0.5), _F(math.inf)
_ROUNDING, _LEAST, _GREAT = _F(2**-23), _F(2**-126), _F(1e38)  # LEAST: of normal numbers

NUM_SLICES = 128  # of a vocabulary, in `_maxima`


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for the types of the first call, and keep the machine code on disk for processes to come."""
    compile_it = partial(numba.njit, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:  # no folder to keep it in can be written
        return compile_it()(function)


# --- on tensors ---


def compile_all() -> None:
    """Compile every function, or take it from disk."""
    rows, state = (torch.zeros(1, width, dtype=torch.float32) for width in (4, 1))
    add_rows(rows, rows.clone(), torch.zeros(1, dtype=torch.int64))
    for dtype in (torch.float32, torch.uint8):
        lstm_cell(rows, state.clone(), state.to(dtype, copy=True), state.clone(), 127, 128)
    rank(rows, 1, (0, 1))
    top_k(rows, 1)
    softmax_(rows)


def add_rows(sum_NX: Tensor, table_VX: Tensor, index_N: Tensor) -> None:
    vocab_size, width = table_VX.shape
    least, greatest = torch.aminmax(index_N)
    if least < 0 or greatest >= vocab_size:  # compiled code would read whatever lies there
        raise IndexError(f"rows {int(least)} to {int(greatest)} of a table of {vocab_size}")
    indices = _array(index_N, torch.int64, len(sum_NX))
    _add_rows(_floats(sum_NX, len(sum_NX), width), _floats(table_VX, vocab_size, width), indices)


def lstm_cell(
    gates_NG: Tensor, before_c_NH: Tensor, h_NH: Tensor, c_NH: Tensor, int8_steps: int, int8_zero: int
) -> None:
    shape = c_NH.shape
    gates, before_c, c = _floats(gates_NG, shape[0], 4 * shape[1]), _floats(before_c_NH, *shape), _floats(c_NH, *shape)
    if h_NH.dtype == torch.uint8:
        _cell_int8(gates, before_c, _array(h_NH, torch.uint8, *shape), c, _F(int8_steps), _F(int8_zero))
    else:
        _cell(gates, before_c, _floats(h_NH, *shape), c)


def rank(logits_NV: Tensor, k: int, forbidden: tuple[int, int]) -> tuple[Tensor, Tensor]:
    log_prob_NC, token_NC = _empty_ranking(logits_NV, k)
    _rank(_floats(logits_NV, *logits_NV.shape), forbidden, log_prob_NC.numpy(), token_NC.numpy())
    return log_prob_NC, token_NC


def softmax_(logits_NV: Tensor) -> None:
    _softmax(_floats(logits_NV, *logits_NV.shape))


def top_k(value_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    value_NC, index_NC = _empty_ranking(value_NV, k)
    _top_k(_floats(value_NV, *value_NV.shape), value_NC.numpy(), index_NC.numpy())
    return value_NC, index_NC


def _floats(tensor: Tensor, *shape: int) -> Any:
    return _array(tensor, torch.float32, *shape)


def _array(tensor: Tensor, dtype: torch.dtype, *shape: int) -> Any:
    """Return the array of a tensor that is as compiled code, which checks nothing, takes it to be."""
    is_so = tensor.dtype == dtype and tensor.shape == shape and tensor.is_contiguous()
    assert is_so, f"{tuple(tensor.shape)} {tensor.dtype} instead of {shape} {dtype}, or not contiguous"
    return tensor.numpy()


def _empty_ranking(value_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = (len(value_NV), min(k, value_NV.shape[1]))
    return torch.empty(shape, dtype=torch.float32), torch.empty(shape, dtype=torch.int64)


# --- on arrays ---


@compiled
def _exp(x):
    """e^x for float32 between 2^-126 and 2^127; one of these beyond."""
    y = min(max(x * _LOG2_E, _F(-126)), _F(127))
    n = np.floor(y + _HALF)
    f = y - n
    power = (((((_C6 * f + _C5) * f + _C4) * f + _C3) * f + _C2) * f + _C1) * f + _ONE
    return power * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def _sigmoid(x):
    return _ONE / (_ONE + _exp(-x))


@compiled
def _tanh(x):
    return _TWO / (_ONE + _exp(-_TWO * x)) - _ONE


@compiled
def _add_rows(sum_NX, table_VX, index_N):
    for n in range(len(sum_NX)):
        sum_X, row_X = sum_NX[n], table_VX[index_N[n]]
        for x in range(len(sum_X)):
            sum_X[x] += row_X[x]


@compiled
def _cell_row(gates_G, before_c_H, h_H, c_H):
    dim = len(c_H)
    i, f, g, o = gates_G[:dim], gates_G[dim : 2 * dim], gates_G[2 * dim : 3 * dim], gates_G[3 * dim :]
    for j in range(dim):
        c = _sigmoid(f[j]) * before_c_H[j] + _sigmoid(i[j]) * _tanh(g[j])
        h_H[j] = _sigmoid(o[j]) * _tanh(c)
        c_H[j] = c


@compiled
def _cell(gates_NG, before_c_NH, h_NH, c_NH):
    for n in range(len(gates_NG)):
        _cell_row(gates_NG[n], before_c_NH[n], h_NH[n], c_NH[n])


@compiled
def _cell_int8(gates_NG, before_c_NH, h_NH, c_NH, steps, zero):
    exact_H = np.empty(c_NH.shape[1], np.float32)
    for n in range(len(gates_NG)):
        _cell_row(gates_NG[n], before_c_NH[n], exact_H, c_NH[n])
        h_H = h_NH[n]
        for j in range(len(exact_H)):
            h_H[j] = np.uint8(np.int32(np.rint(exact_H[j] * steps) + zero))


@compiled
def _fill(array, value):
    for index in range(len(array)):
        array[index] = value


@compiled
def _maximum(array):
    greatest = array[0]
    for value in array:
        greatest = max(greatest, value)
    return greatest


@compiled
def _maxima(row_V, maximum_S):
    """Find the greatest value of each slice: of what lies S places apart. One maximum alone would not make vectors."""
    num_slices = len(maximum_S)
    _fill(maximum_S, -_INFINITY)
    for begin in range(0, len(row_V), num_slices):
        block = row_V[begin : begin + num_slices]
        for s in range(len(block)):
            maximum_S[s] = max(maximum_S[s], block[s])


@compiled
def _insert(value, index, value_C, index_C):
    """Put a value that is above the last of `value_C`, which descend, into its place."""
    c = len(value_C) - 1
    while c > 0 and value_C[c - 1] < value:
        value_C[c] = value_C[c - 1]
        index_C[c] = index_C[c - 1]
        c -= 1
    value_C[c] = value
    index_C[c] = index


@compiled
def _top_k_of_row(row_V, maximum_S, value_C, index_C):
    """Find the greatest values, best first, given the maximum of each slice.

    C slices have a maximum of at least the C-th greatest one; what lies below that is not among the C greatest.
    """
    num_slices = len(maximum_S)
    _fill(value_C, -_INFINITY)
    bar = -_INFINITY
    for s in range(num_slices):
        if maximum_S[s] > bar:
            _insert(maximum_S[s], s, value_C, index_C)
            bar = value_C[len(value_C) - 1]
    # From here on only what is above the bar passes, and the C-th must, even where numbers below LEAST count as zero.
    bar -= max(min(abs(bar), _GREAT) * _ROUNDING, _LEAST)
    _fill(value_C, -_INFINITY)
    _fill(index_C, 0)
    for s in range(num_slices):
        if maximum_S[s] > bar:
            for v in range(s, len(row_V), num_slices):
                if row_V[v] > bar:
                    _insert(row_V[v], v, value_C, index_C)
                    bar = max(bar, value_C[len(value_C) - 1])


@compiled
def _top_k(value_NV, value_NC, index_NC):
    maximum_S = np.empty(min(NUM_SLICES, value_NV.shape[1]), np.float32)
    for n in range(len(value_NV)):
        _maxima(value_NV[n], maximum_S)
        _top_k_of_row(value_NV[n], maximum_S, value_NC[n], index_NC[n])


@compiled
def _rank(logits_NV, forbidden, log_prob_NC, token_NC):
    maximum_S = np.empty(min(NUM_SLICES, logits_NV.shape[1]), np.float32)
    for n in range(len(logits_NV)):
        row_V = logits_NV[n]
        _maxima(row_V, maximum_S)
        greatest = _maximum(maximum_S)
        total = _F(0)
        for v in range(len(row_V)):
            total += _exp(row_V[v] - greatest)
        for token in forbidden:
            row_V[token] = -np.inf
            slice_of = token % len(maximum_S)
            maximum_S[slice_of] = _maximum(row_V[slice_of :: len(maximum_S)])
        log_prob_C = log_prob_NC[n]
        _top_k_of_row(row_V, maximum_S, log_prob_C, token_NC[n])
        normalizer = greatest + np.log(total)
        for c in range(len(log_prob_C)):
            log_prob_C[c] = min(log_prob_C[c] - normalizer, _F(0))


@compiled
def _softmax(logits_NV):
    maximum_S = np.empty(min(NUM_SLICES, logits_NV.shape[1]), np.float32)
    for n in range(len(logits_NV)):
        row_V = logits_NV[n]
        _maxima(row_V, maximum_S)
        greatest = _maximum(maximum_S)
        total = _F(0)
        for v in range(len(row_V)):
            share = _exp(row_V[v] - greatest)
            row_V[v] = share
            total += share
        for v in range(len(row_V)):
            row_V[v] /= total
