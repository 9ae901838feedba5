"""The gates of an LSTM in search.

On a CPU, torch's `tanh` comes from the vendor's library and takes up to six times as long as its own `sigmoid`
(docs/decisions.md has the measurements): hence the latter.

Shapes: N rows, H units, G = 4·H gates in torch's order i, f, g, o.
"""

import torch
from torch import Tensor

from nmt.linear import INT8_STEPS, INT8_ZERO


def lstm_cell(gates_NG: Tensor, before_c_NH: Tensor, *, h_NH: Tensor, c_NH: Tensor) -> None:
    """Apply the equations of an LSTM's cell to the sums of what enters its gates.

    Writes the new state to `h_NH`, which is float32 or quantized uint8, and `c_NH`; overwrites `gates_NG`.
    """
    i, f, g, o = gates_NG.chunk(4, dim=1)
    g.mul_(2)
    gates_NG.sigmoid_()
    g.mul_(2).sub_(1)  # tanh(x) = 2 sigmoid(2x) - 1
    torch.mul(f, before_c_NH, out=c_NH)
    c_NH.addcmul_(i, g)
    quantizes = h_NH.dtype == torch.uint8
    exact_h_NH = torch.mul(c_NH, 2, out=None if quantizes else h_NH).sigmoid_().mul_(2).sub_(1).mul_(o)
    if quantizes:
        h_NH.copy_(exact_h_NH.mul_(INT8_STEPS).round_().add_(INT8_ZERO))
