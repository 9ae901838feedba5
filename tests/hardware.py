"""Marks of tests that need what not every machine computes, and a guard for those that compute nothing with torch.

The machine is tried with torch alone, not with nmt: broken code must fail its tests instead of skipping them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode


def _computes_bf16() -> bool:
    """Train a small LSTM for a step, and run a prepacked linear layer."""
    try:
        lstm, input_TBE = torch.nn.LSTM(16, 16), torch.zeros(2, 3, 16)
        with torch.autocast("cpu", torch.bfloat16):
            lstm(input_TBE)[0].float().sum().backward()
        if torch._C._has_mkldnn:
            weight_OI = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(16, 16).bfloat16(), None)
            torch.ops.mkldnn._linear_pointwise(input_TBE[0].bfloat16(), weight_OI, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return True


def _computes_int8() -> bool:
    """Multiply the largest values, whose sums overflow in processors without VNNI."""
    try:
        packed = torch.ops.onednn.qlinear_prepack(torch.full((64, 64), 127, dtype=torch.int8), None)
        weight = packed, torch.full((64,), 1 / 127), torch.zeros(64, dtype=torch.int64)
        input_NI = torch.full((4, 64), 255, dtype=torch.uint8), 1 / 127, 128
        result_NO = torch.ops.onednn.qlinear_pointwise(*input_NI, *weight, None, 1.0, 0, torch.float32, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(result_NO, torch.tensor(64.0))


needs_bf16 = pytest.mark.skipif(not _computes_bf16(), reason="this machine does not compute in bf16")
needs_int8 = pytest.mark.skipif(not _computes_int8(), reason="this machine does not compute in int8")


class NoTensors(TorchFunctionMode):
    """Within its block, whatever uses a tensor fails; naming a device does not."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        pytest.fail(f"a test marked no_tensors must not use tensors, but calls {func.__name__}: remove the mark")
