"""Linear layers over hidden states: each is its matrix product, up to its precision."""

import pytest
import torch
from torch import Tensor

from nmt.linear import (
    Int8Linear,
    PackedLinear,
    PlainLinear,
    StateLinear,
    dense_linear,
    dequantize,
    onednn_packs,
    quantize,
)
from tests.hardware import needs_bf16, needs_int8

BIAS = pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
ROWS = pytest.mark.parametrize("num_rows", [1, 5, 200])


def case(num_rows: int, *, with_bias: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draw states between -1 and 1, weights and biases."""
    generator = torch.Generator().manual_seed(1)
    state_NI = torch.rand(num_rows, 48, generator=generator) * 2 - 1
    weight_OI, bias_O = torch.randn(70, 48, generator=generator), torch.randn(70, generator=generator)
    return state_NI, weight_OI, bias_O if with_bias else None


def product(state_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    result_NO = state_NI.double() @ weight_OI.double().t()
    return result_NO if bias_O is None else result_NO + bias_O.double()


@ROWS
@BIAS
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), pytest.param(torch.bfloat16, 0.15, marks=needs_bf16)],  # sums of 48 with 8 bits each
    ids=["fp32", "bf16"],
)
@pytest.mark.parametrize("make", [PlainLinear, dense_linear])
def test_a_layer_is_its_product(
    make: type[PlainLinear], dtype: torch.dtype, tolerance: float, with_bias: bool, num_rows: int
) -> None:
    state_NI, weight_OI, bias_O = case(num_rows, with_bias=with_bias)
    layer: StateLinear = make(weight_OI, bias_O, dtype)
    result_NO = layer(state_NI)
    assert (result_NO.dtype, layer.state_dtype) == (dtype, torch.float32)
    torch.testing.assert_close(result_NO.double(), product(state_NI, weight_OI, bias_O), rtol=0, atol=tolerance)


@needs_int8
@ROWS
@BIAS
def test_int8_is_exact_for_the_states_and_weights_that_it_rounds_to(with_bias: bool, num_rows: int) -> None:
    state_NI, weight_OI, bias_O = case(num_rows, with_bias=with_bias)
    scale_O1 = weight_OI.abs().amax(1, keepdim=True) / 127
    quantized_NI = quantize(state_NI)
    expected_NO = product(dequantize(quantized_NI), (weight_OI / scale_O1).round() * scale_O1, bias_O)
    layer = Int8Linear(weight_OI, bias_O)
    assert layer.state_dtype == quantized_NI.dtype
    torch.testing.assert_close(layer(quantized_NI).double(), expected_NO, rtol=0, atol=1e-5)


@needs_int8
@pytest.mark.parametrize("num_inputs", [16, 512, 1500])
def test_int8_does_not_overflow(num_inputs: int) -> None:
    result_NO = Int8Linear(torch.ones(64, num_inputs), None)(quantize(torch.ones(3, num_inputs)))
    torch.testing.assert_close(result_NO, torch.full((3, 64), float(num_inputs)))


@pytest.mark.usefixtures("try_anew")
def test_layers_are_prepacked_where_torch_has_onednn() -> None:
    assert onednn_packs() == torch._C._has_mkldnn
    kind = PackedLinear if torch._C._has_mkldnn else PlainLinear
    assert isinstance(dense_linear(torch.ones(2, 2), None, torch.float32), kind)


@pytest.mark.usefixtures("without_onednn")
def test_layers_are_plain_without_onednn() -> None:
    assert not onednn_packs()
    assert isinstance(dense_linear(torch.ones(2, 2), None, torch.float32), PlainLinear)


def test_quantizing_keeps_the_multiples_of_the_grid() -> None:
    grid = torch.arange(-127, 128) / 127
    assert quantize(grid).tolist() == list(range(1, 256))
    assert torch.equal(quantize(dequantize(quantize(grid))), quantize(grid))
