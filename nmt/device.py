"""Which device computes, and in which precision."""

from typing import Literal

import torch

from nmt.errors import ConfigError

Precision = Literal["fp32", "bf16"]


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; `auto` takes a GPU where there is one.

    Raises:
        ConfigError: where a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda needs a GPU, but torch finds none: set device=cpu or device=auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether the processor multiplies bf16 in hardware; where it does not, bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Turn `auto`, `fp32` or `bf16` into a precision; `auto` takes bf16 where the processor has it."""
    if name == "auto":
        return "bf16" if has_fast_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"
