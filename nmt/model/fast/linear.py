"""Linear maps for inference on a CPU: plain, prepacked, in bf16 or int8, or looked up in a table.

For int8 the inputs, whose range is known, are rounded to 1/127 of it (hidden states are between -1 and 1), and the
weights to a grid of their own for each output, so that a row's result does not depend on the other rows.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

INT8_STEPS = 127
INT8_ZERO = 128
TABLE_BYTES = 512 * 2**20  # a larger table would cost more memory and cache than it saves


class FastLinear(Protocol):
    """A `nmt.model.cell.LinearMap` that can also add its result to a sum; results are float32 or bf16."""

    def __call__(self, input_NI: Tensor) -> Tensor:
        """Return W x + b, `(N, O)`."""

    def add_to(self, sum_NO: Tensor, input_NI: Tensor) -> Tensor:
        """Return the sum with W x + b added; overwrites `sum_NO`, which is float32."""


class PlainLinear:
    """float32 or bf16, by torch's own matmul."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        self._weight_OI = weight_OI.to(dtype)
        self._bias_O = None if bias_O is None else bias_O.to(dtype)

    def __call__(self, input_NI: Tensor) -> Tensor:
        return F.linear(input_NI.to(self._weight_OI.dtype), self._weight_OI, self._bias_O)

    def add_to(self, sum_NO: Tensor, input_NI: Tensor) -> Tensor:
        return sum_NO.add_(self(input_NI))


class PackedLinear:
    """float32 or bf16, prepacked for oneDNN, which multiplies a small number of rows faster than MKL does."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI.to(dtype), None)
        self._dtype = dtype
        self._bias_O = None if bias_O is None else bias_O.to(dtype)

    def __call__(self, input_NI: Tensor) -> Tensor:
        result_NO: Tensor = torch.ops.mkldnn._linear_pointwise(
            input_NI.to(self._dtype), self._packed, self._bias_O, "none", [], ""
        )
        return result_NO

    def add_to(self, sum_NO: Tensor, input_NI: Tensor) -> Tensor:
        return sum_NO.add_(self(input_NI))


class Int8Linear:
    """int8 weights with a scale for each output, inputs as uint8, sums in int32, by oneDNN.

    Inputs of an unknown range are scaled row by row to between -1 and 1.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, limit: float | None = 1.0) -> None:
        """Quantize the weights.

        Args:
            limit: of the inputs' absolute values; None: unknown.
        """
        scale_O = weight_OI.abs().amax(dim=1).clamp(min=1e-8) / INT8_STEPS
        quantized_OI = (weight_OI / scale_O.unsqueeze(1)).round().to(torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(quantized_OI, None)
        self._weight = packed, scale_O, torch.zeros(len(weight_OI), dtype=torch.int64)
        self._bias_O = bias_O
        self._offset = torch.tensor(INT8_ZERO + 0.5)
        self._scales_rows = limit is None
        self._steps = INT8_STEPS / (limit or 1.0)

    def __call__(self, input_NI: Tensor) -> Tensor:
        if self._scales_rows:
            scale_N1 = _row_scale(input_NI)
            mapped_NO = self._map(input_NI / scale_N1, None).mul_(scale_N1)
            return mapped_NO if self._bias_O is None else mapped_NO.add_(self._bias_O)
        return self._map(input_NI, self._bias_O)

    def add_to(self, sum_NO: Tensor, input_NI: Tensor) -> Tensor:
        # oneDNN ignores the sum's strides, and would write to its neighbours in memory
        if self._scales_rows or not sum_NO.is_contiguous():
            return sum_NO.add_(self(input_NI))
        result_NO: Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            *self._quantized(input_NI),
            *self._weight,
            sum_NO,
            self._bias_O,
            1.0,
            0,
            torch.float32,
            1.0,
            0,
            "sum",
            1.0,
            "none",
            [],
            "",
        )
        return result_NO

    def _map(self, input_NI: Tensor, bias_O: Tensor | None) -> Tensor:
        result_NO: Tensor = torch.ops.onednn.qlinear_pointwise(
            *self._quantized(input_NI), *self._weight, bias_O, 1.0, 0, torch.float32, "none", [], ""
        )
        return result_NO

    def _quantized(self, input_NI: Tensor) -> tuple[Any, ...]:
        """Round to 1/127 of the limit, as uint8 with zero at 128; returns these, the scale and the zero point."""
        # the conversion truncates: with 0.5 added, it rounds
        quantized_NI = torch.add(self._offset, input_NI, alpha=self._steps).to(torch.uint8)
        return quantized_NI, 1 / self._steps, INT8_ZERO


def _row_scale(input_NI: Tensor) -> Tensor:
    return input_NI.abs().amax(-1, keepdim=True).clamp_(min=1e-30)


class TokenMap:
    """The map W E[y] + b from a token y: looked up in a table of all tokens, or computed if that is too large."""

    def __init__(self, embedding_VE: Tensor, weight_OE: Tensor, bias_O: Tensor | None) -> None:
        if bias_O is None:
            bias_O = weight_OE.new_zeros(len(weight_OE))
        self._embedding_VE, self._weight_OE, self._bias_O = embedding_VE, weight_OE, bias_O
        self._table_VO: Tensor | None = None
        if len(embedding_VE) * len(weight_OE) * weight_OE.element_size() <= TABLE_BYTES:
            self._table_VO = torch.addmm(bias_O, embedding_VE, weight_OE.t())

    def __call__(self, token_N: Tensor) -> Tensor:
        if self._table_VO is not None:
            return self._table_VO.index_select(0, token_N)
        return torch.addmm(self._bias_O, self._embedding_VE.index_select(0, token_N), self._weight_OE.t())


class SumMap:
    """W [x; y; …] + b as the sum of the maps of its parts, some of which are tokens."""

    def __init__(self, parts: Sequence[tuple[Callable[[Tensor], Tensor], int]]) -> None:
        """Join maps, each with the number of inputs that it reads side by side; the first one brings the bias."""
        self._parts = tuple(parts)

    def __call__(self, *inputs: Tensor) -> Tensor:
        total_NO, start = None, 0
        for linear, num_inputs in self._parts:
            own = inputs[start : start + num_inputs]
            start += num_inputs
            mapped_NO = linear(own[0] if num_inputs == 1 else torch.cat(own, dim=-1)).float()
            total_NO = mapped_NO if total_NO is None else total_NO.add_(mapped_NO)
        assert total_NO is not None
        return total_NO


@cache
def onednn_packs() -> bool:
    """Return whether torch can prepack linear layers; its wheels for macOS, for example, come without oneDNN."""
    try:
        PackedLinear(torch.zeros(8, 8), None, torch.float32)(torch.zeros(1, 8))
    except (AttributeError, RuntimeError):
        return False
    return True


def dense_linear(weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> FastLinear:
    """Make a map in float32 or bf16, prepacked if torch can."""
    return (PackedLinear if onednn_packs() else PlainLinear)(weight_OI, bias_O, dtype)
