"""Linear layers over hidden states, for inference: as torch computes them, prepacked, or in int8.

Hidden states lie between -1 and 1. In int8 they are quantized on the fixed grid of 1/127 that this range suggests, and
the weights per output: a row's result does not depend on the other rows.

Shapes: N rows, I inputs and O outputs of a layer.
"""

from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

INT8_STEPS = 127
INT8_ZERO = 128


class StateLinear(Protocol):
    """A linear layer whose inputs are hidden states, kept in `state_dtype`; the result is float32 or bf16."""

    state_dtype: torch.dtype

    def __call__(self, state_NI: Tensor) -> Tensor: ...


class PlainLinear:
    """float32 or bf16, by whatever torch computes its products with."""

    state_dtype = torch.float32

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        self._weight_OI = weight_OI.to(dtype)
        self._bias_O = None if bias_O is None else bias_O.to(dtype)

    def __call__(self, state_NI: Tensor) -> Tensor:
        return F.linear(state_NI.to(self._weight_OI.dtype), self._weight_OI, self._bias_O)


class PackedLinear:
    """float32 or bf16, prepacked for oneDNN, which takes a small number of rows faster than MKL does."""

    state_dtype = torch.float32

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI.to(dtype), None)
        self._packed_dtype = dtype
        self._bias_O = None if bias_O is None else bias_O.to(dtype)

    def __call__(self, state_NI: Tensor) -> Tensor:
        result_NO: Tensor = torch.ops.mkldnn._linear_pointwise(
            state_NI.to(self._packed_dtype), self._packed, self._bias_O, "none", [], ""
        )
        return result_NO


class Int8Linear:
    """int8 weights with a scale for each output, quantized states, sums in int32, by oneDNN."""

    state_dtype = torch.uint8

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self._scale_O = weight_OI.abs().amax(dim=1).clamp(min=1e-8) / INT8_STEPS
        quantized_OI = (weight_OI / self._scale_O.unsqueeze(1)).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(quantized_OI, None)
        self._zero_points_O = torch.zeros(len(weight_OI), dtype=torch.int64)
        self._bias_O = bias_O

    def __call__(self, state_NI: Tensor) -> Tensor:
        result_NO: Tensor = torch.ops.onednn.qlinear_pointwise(
            state_NI,
            1 / INT8_STEPS,
            INT8_ZERO,
            self._packed,
            self._scale_O,
            self._zero_points_O,
            self._bias_O,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return result_NO


@cache
def onednn_packs() -> bool:
    """Try whether torch prepacks linear layers; its wheels for macOS, for example, come without oneDNN."""
    try:
        PackedLinear(torch.zeros(8, 8), None, torch.float32)(torch.zeros(1, 8))
    except (AttributeError, RuntimeError):
        return False
    return True


def dense_linear(weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> StateLinear:
    """Make a layer in float32 or bf16, prepacked where torch can."""
    return (PackedLinear if onednn_packs() else PlainLinear)(weight_OI, bias_O, dtype)


def quantize(state: Tensor) -> Tensor:
    """Round hidden states to multiples of 1/127, kept as uint8 with zero at 128."""
    return (state * INT8_STEPS).round_().add_(INT8_ZERO).to(torch.uint8)


def dequantize(quantized: Tensor) -> Tensor:
    return quantized.float().sub_(INT8_ZERO).div_(INT8_STEPS)
