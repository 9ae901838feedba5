"""Dropout (Srivastava et al. 2014), with masks that a CPU generates quickly."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_LEVELS = 2**16  # one random number of 64 bits gives the masks of four values, 16 bits each


def dropout(values: Tensor, probability: float, *, training: bool) -> Tensor:
    """Zero each value with `probability`, and scale the others so that the expectation stays.

    Random bits come from torch's global generator of the device. On a CPU, generating them is most of the cost of
    dropout: torch takes 32 bits for a value, here 16 suffice; `probability` is rounded to a multiple of 1/65536.
    """
    if not training or not 0 < probability < 1 or values.device.type != "cpu":
        return F.dropout(values, probability, training)
    num_dropped_levels = min(round(probability * _LEVELS), _LEVELS - 1)
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    level = bits.view(torch.int16)[: values.numel()].view(values.shape)
    is_kept = level >= num_dropped_levels - _LEVELS // 2
    return values * is_kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - num_dropped_levels))
