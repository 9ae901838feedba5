"""The gates of an LSTM in search."""

import pytest
import torch
from torch import Tensor

from nmt.linear import dequantize
from nmt.model.kernels import lstm_cell


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden_dim", [1, 7, 64])
@pytest.mark.parametrize("quantized", [False, True])
def test_a_cell_is_the_equations(hidden_dim: int, quantized: bool) -> None:
    gates_NG, before_c_NH = 4 * normal(6, 4 * hidden_dim), normal(6, hidden_dim, seed=2)
    gates_NG[0], gates_NG[1] = 1e4, -1e4  # saturated
    i, f, g, o = gates_NG.double().chunk(4, dim=1)
    expected_c_NH = f.sigmoid() * before_c_NH + i.sigmoid() * g.tanh()
    expected_h_NH = o.sigmoid() * expected_c_NH.tanh()
    h_NH = torch.empty(6, hidden_dim, dtype=torch.uint8 if quantized else torch.float32)
    c_NH = torch.empty(6, hidden_dim)
    lstm_cell(gates_NG, before_c_NH, h_NH=h_NH, c_NH=c_NH)
    torch.testing.assert_close(c_NH.double(), expected_c_NH, atol=1e-6, rtol=1e-5)
    if quantized:
        torch.testing.assert_close(dequantize(h_NH).double(), expected_h_NH, atol=0.5001 / 127, rtol=0.0)
    else:
        torch.testing.assert_close(h_NH.double(), expected_h_NH, atol=1e-6, rtol=1e-5)
