"""Linear maps for inference: each is its matmul, up to its precision."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from nmt.model.fast.linear import (
    FastLinear,
    Int8Linear,
    PackedLinear,
    PlainLinear,
    SumMap,
    TokenMap,
    dense_linear,
    onednn_packs,
)
from tests.hardware import needs_bf16, needs_int8

BIAS = pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
ROWS = pytest.mark.parametrize("num_rows", [1, 5, 200])


def case(num_rows: int, *, with_bias: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return random inputs between -1 and 1, weights and biases."""
    generator = torch.Generator().manual_seed(1)
    input_NI = torch.rand(num_rows, 48, generator=generator) * 2 - 1
    weight_OI, bias_O = torch.randn(70, 48, generator=generator), torch.randn(70, generator=generator)
    return input_NI, weight_OI, bias_O if with_bias else None


def matmul(input_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    result_NO = input_NI.double() @ weight_OI.double().t()
    return result_NO if bias_O is None else result_NO + bias_O.double()


@ROWS
@BIAS
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), pytest.param(torch.bfloat16, 0.15, marks=needs_bf16)],  # sums of 48 with 8 bits each
    ids=["fp32", "bf16"],
)
@pytest.mark.parametrize("make", [PlainLinear, dense_linear])
def test_a_map_is_its_matmul(
    make: type[PlainLinear], dtype: torch.dtype, tolerance: float, with_bias: bool, num_rows: int
) -> None:
    input_NI, weight_OI, bias_O = case(num_rows, with_bias=with_bias)
    linear: FastLinear = make(weight_OI, bias_O, dtype)
    result_NO, expected_NO = linear(input_NI), matmul(input_NI, weight_OI, bias_O)
    assert result_NO.dtype == dtype
    torch.testing.assert_close(result_NO.double(), expected_NO, rtol=0, atol=tolerance)
    sum_NO = linear.add_to(torch.full((num_rows, 70), 3.0), input_NI)
    assert sum_NO.dtype == torch.float32
    torch.testing.assert_close(sum_NO.double(), expected_NO + 3, rtol=0, atol=tolerance)


@needs_int8
@ROWS
@BIAS
def test_int8_is_exact_for_inputs_and_weights_on_its_grid(with_bias: bool, num_rows: int) -> None:
    input_NI, weight_OI, bias_O = case(num_rows, with_bias=with_bias)
    scale_O1 = weight_OI.abs().amax(1, keepdim=True) / 127
    rounded_NI = (input_NI * 127).round() / 127
    expected_NO = matmul(rounded_NI, (weight_OI / scale_O1).round() * scale_O1, bias_O)
    linear = Int8Linear(weight_OI, bias_O)
    torch.testing.assert_close(linear(input_NI).double(), expected_NO, rtol=0, atol=1e-5)
    sum_NO = linear.add_to(torch.full((num_rows, 70), 3.0), input_NI)
    torch.testing.assert_close(sum_NO.double(), expected_NO + 3, rtol=0, atol=1e-5)


@needs_int8
def test_int8_adds_to_a_sum_that_is_a_part_of_a_larger_tensor() -> None:
    input_NI, weight_OI, _ = case(5, with_bias=False)
    linear = Int8Linear(weight_OI, None)
    whole_NX = torch.zeros(5, 2 * 70)
    sum_NO = linear.add_to(whole_NX[:, :70], input_NI)
    torch.testing.assert_close(sum_NO, linear(input_NI))
    assert torch.equal(whole_NX[:, :70], sum_NO)
    assert not whole_NX[:, 70:].any()


@needs_int8
@pytest.mark.parametrize("limit", [0.5, 3.0])
@BIAS
def test_int8_rounds_to_127ths_of_the_limit(with_bias: bool, limit: float) -> None:
    input_NI, weight_OI, bias_O = case(5, with_bias=with_bias)
    input_NI = input_NI * limit
    scale_O1 = weight_OI.abs().amax(1, keepdim=True) / 127
    rounded_NI = (input_NI / limit * 127).round() / 127 * limit
    expected_NO = matmul(rounded_NI, (weight_OI / scale_O1).round() * scale_O1, bias_O)
    found_NO = Int8Linear(weight_OI, bias_O, limit=limit)(input_NI)
    torch.testing.assert_close(found_NO.double(), expected_NO, rtol=0, atol=3e-5)


@needs_int8
@ROWS
@BIAS
def test_int8_scales_each_row_of_an_unknown_range(with_bias: bool, num_rows: int) -> None:
    input_NI, weight_OI, bias_O = case(num_rows, with_bias=with_bias)
    input_NI = input_NI * 10 ** torch.linspace(-3, 3, num_rows).unsqueeze(1)
    linear, plain = Int8Linear(weight_OI, bias_O, limit=None), Int8Linear(weight_OI, None)
    scale_N1 = input_NI.abs().amax(1, keepdim=True)
    expected_NO = plain(input_NI / scale_N1) * scale_N1 + (0 if bias_O is None else bias_O)
    torch.testing.assert_close(linear(input_NI), expected_NO, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(linear.add_to(torch.full((num_rows, 70), 3.0), input_NI), expected_NO + 3)
    zeros_NI = torch.zeros(num_rows, 48)
    expected_O = torch.zeros(70) if bias_O is None else bias_O
    torch.testing.assert_close(linear(zeros_NI), expected_O.expand(num_rows, 70), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        partial(PlainLinear, dtype=torch.float32),
        partial(dense_linear, dtype=torch.float32),
        pytest.param(Int8Linear, marks=needs_int8),
        pytest.param(partial(Int8Linear, limit=None), marks=needs_int8),
    ],
    ids=["plain", "dense", "int8", "int8 of an unknown range"],
)
def test_a_map_takes_rows_in_several_dimensions(make: Callable[[Tensor, Tensor | None], FastLinear]) -> None:
    input_NI, weight_OI, bias_O = case(6, with_bias=True)
    linear = make(weight_OI, bias_O)
    grid_23O = linear(input_NI.view(2, 3, 48))
    torch.testing.assert_close(grid_23O, linear(input_NI).view(2, 3, 70), rtol=1e-5, atol=1e-5)


@needs_int8
@pytest.mark.parametrize("num_inputs", [16, 512, 1500])
def test_int8_does_not_overflow(num_inputs: int) -> None:
    for sign in (1.0, -1.0):
        result_NO = Int8Linear(torch.ones(64, num_inputs), None)(torch.full((3, num_inputs), sign))
        torch.testing.assert_close(result_NO, torch.full((3, 64), sign * num_inputs))


@pytest.mark.usefixtures("try_again")
def test_maps_are_prepacked_if_torch_has_onednn() -> None:
    assert onednn_packs() == torch._C._has_mkldnn
    kind = PackedLinear if torch._C._has_mkldnn else PlainLinear
    assert isinstance(dense_linear(torch.ones(2, 2), None, torch.float32), kind)


@pytest.mark.usefixtures("without_onednn")
def test_maps_are_plain_without_onednn() -> None:
    assert not onednn_packs()
    assert isinstance(dense_linear(torch.ones(2, 2), None, torch.float32), PlainLinear)


@pytest.mark.parametrize("table_bytes", [0, 2**20])
def test_a_token_map_is_the_map_of_its_embedding(table_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.model.fast.linear.TABLE_BYTES", table_bytes)
    embedding_VE, weight_OE, bias_O = case(9, with_bias=True)
    assert bias_O is not None
    token_N = torch.tensor([3, 0, 3, 8])
    expected_NO = matmul(embedding_VE[token_N], weight_OE, bias_O)
    result_NO = TokenMap(embedding_VE, weight_OE, bias_O)(token_N)
    torch.testing.assert_close(result_NO.double(), expected_NO, rtol=0, atol=1e-5)


def test_a_sum_of_maps_is_the_map_of_all_inputs_side_by_side() -> None:
    input_NI, weight_OI, bias_O = case(5, with_bias=True)
    first_NI, rest_NI = input_NI[:, :18], input_NI[:, 18:]
    first, rest = (
        PlainLinear(weight_OI[:, :18], bias_O, torch.float32),
        PlainLinear(weight_OI[:, 18:], None, torch.bfloat16),
    )
    found_NO = SumMap([(first, 1), (rest, 2)])(first_NI, rest_NI[:, :10], rest_NI[:, 10:])
    assert found_NO.dtype == torch.float32
    torch.testing.assert_close(found_NO.double(), matmul(input_NI, weight_OI, bias_O), rtol=0, atol=0.15)
