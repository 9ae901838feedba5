"""Which device computes, and in which precision."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Literal

import torch

from nmt.errors import ConfigError

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16"]
InferencePrecision = Literal["fp32", "bf16", "int8"]


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
    return _cpu_has("avx512_bf16", "amx_bf16")


def has_fast_int8(device: torch.device) -> bool:
    """Tell whether the processor multiplies int8 with sums in int32, exactly; only CPUs are asked."""
    return device.type == "cpu" and _cpu_has("avx512_vnni", "avx_vnni", "amx_int8")


def is_intel_cpu() -> bool:
    return "intel" in str(_cpu_capabilities().get("cpu_name", "")).lower()


def _cpu_has(*features: str) -> bool:
    return any(_cpu_capabilities().get(feature) for feature in features)


@cache
def _cpu_capabilities() -> Mapping[str, object]:
    """Ask torch what the processor can do; a torch too old to tell knows of nothing."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return {}
    capabilities: Mapping[str, object] = torch.cpu.get_capabilities()
    return capabilities


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Turn `auto`, `fp32` or `bf16` into a precision; `auto` takes bf16 where the processor has it."""
    if name == "bf16" and not has_fast_bf16(device):
        _warn_of_slow_bf16(device)
    if name == "auto":
        return "bf16" if has_fast_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


@cache
def _warn_of_slow_bf16(device: torch.device) -> None:
    log.warning("torch knows of no bf16 instructions on %s: bf16 may well be slower than fp32 (auto)", device)


def resolve_inference_precision(name: str, device: torch.device) -> InferencePrecision:
    """Turn `auto`, `fp32`, `bf16` or `int8` into a precision; `auto` never takes int8, which rounds most.

    Raises:
        ConfigError: where int8 is asked for and the processor lacks its instructions.
    """
    if name != "int8":
        return resolve_precision(name, device)
    if not has_fast_int8(device):
        raise ConfigError(
            f"search.precision=int8 needs a CPU with VNNI or AMX instructions, but torch reports none on {device}: "
            "use auto, fp32 or bf16"
        )
    return "int8"
