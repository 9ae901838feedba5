"""Which device computes, and with which precision.

What a processor and a build of torch can compute is found out by trying: feature lists promise what a torch without
oneDNN, or an environment variable (`ONEDNN_MAX_CPU_ISA`), may not deliver. The lists only show what is fast.
"""

import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn

from nmt.choices import Implementation, SearchPrecision, TrainingPrecision
from nmt.errors import ConfigError
from nmt.model.fast.linear import Int8Linear, dense_linear

log = logging.getLogger(__name__)


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; `auto` takes a GPU if there is one.

    Raises:
        ConfigError: if a GPU is requested and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda needs a GPU, but torch finds none: set device=cpu or device=auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


# --- what the device computes ---


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the processor multiplies bf16 in hardware; otherwise bf16 is slower than fp32, if it works."""
    if device.type == "cuda":
        claims = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        claims = any(_cpu_capabilities().get(feature) for feature in ("avx512_bf16", "amx_bf16"))
    return claims and bf16_failure(device) is None


@cache
def bf16_failure(device: torch.device) -> str | None:
    """Try to compute in bf16, as training and search do; return why it fails, None if it works."""
    return _failure_of(lambda: _compute_bf16(device))


@cache
def int8_failure(device: torch.device) -> str | None:
    """Try to compute in int8, as search does; return why it fails, None if it works."""
    if device.type != "cpu":
        return "int8 runs only on a CPU"
    return _failure_of(_compute_int8)


def _failure_of(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except (AttributeError, RuntimeError) as error:
        return str(error).partition("\n")[0].partition(". ")[0]
    return None


def _compute_bf16(device: torch.device) -> None:
    """Train an LSTM and an output layer for one update, and run them as search does.

    Raises:
        RuntimeError: if torch cannot.
    """
    with torch.random.fork_rng(devices=[]):  # the weights must not consume random numbers of training
        lstm, output = nn.LSTM(16, 16), nn.Linear(16, 16)
    lstm, output = lstm.to(device), output.to(device)
    input_TBE = torch.zeros(2, 3, 16, device=device)
    if device.type == "cpu":
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            output(lstm(input_TBE)[0]).float().sum().backward()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            lstm(input_TBE)
        dense_linear(output.weight.detach(), output.bias.detach(), torch.bfloat16)(input_TBE[0])
    else:
        with torch.no_grad(), without_compaction_warning():
            output.bfloat16()(lstm.bfloat16()(input_TBE.bfloat16())[0])
            torch.cuda.synchronize(device)


@contextmanager
def without_compaction_warning() -> Iterator[None]:
    """Silence torch's advice on cuDNN's layers in bf16: `flatten_parameters` knows no bf16."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield


def _compute_int8() -> None:
    """Multiply the largest numbers.

    Without VNNI, oneDNN adds pairs of int8 products in 16 bits, where large ones overflow.

    Raises:
        AttributeError: if torch comes without oneDNN.
        RuntimeError: if the result is wrong, or torch fails.
    """
    linear, largest_NI = Int8Linear(torch.ones(64, 64), None), torch.ones(4, 64)
    result_NO = linear.add_to(linear(largest_NI), largest_NI)
    if not torch.allclose(result_NO, torch.tensor(128.0), rtol=1e-5):
        raise RuntimeError("sums of int8 products overflow")


# oneDNN compiles a kernel for every shape, of which training meets hundreds. By default it keeps 1,024 kernels, which
# take hundreds of megabytes. With 256, a typical run compiles little more often (docs/decisions.md).
KERNELS_KEPT = 256


def limit_kernels_kept() -> None:
    """Let oneDNN keep fewer of its kernels in this process, unless the user has chosen how many.

    It takes effect only before the first of them is compiled.
    """
    new, old = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"  # oneDNN reads both
    if old not in os.environ:
        os.environ.setdefault(new, str(KERNELS_KEPT))


def is_intel_cpu() -> bool:
    return "intel" in str(_cpu_capabilities().get("cpu_name", "")).lower()


@cache
def _cpu_capabilities() -> Mapping[str, object]:
    """Ask torch what the processor can do; nothing if torch is too old to tell."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return {}
    capabilities: Mapping[str, object] = torch.cpu.get_capabilities()
    return capabilities


# --- with which precision it computes ---


def resolve_training_precision(precision: TrainingPrecision, device: torch.device) -> TrainingPrecision:
    """Turn `auto`, `fp32` or `bf16` into a precision; `auto` takes bf16 if the processor has it.

    Raises:
        ConfigError: if bf16 is requested, and torch cannot compute it on this device.
    """
    return TrainingPrecision(_resolve(precision, device, setting="training.precision"))


def resolve_search_precision(
    precision: SearchPrecision, device: torch.device, implementation: Implementation = Implementation.fast
) -> SearchPrecision:
    """Turn `auto`, `fp32`, `bf16` or `int8` into a precision; `auto` never takes int8, which rounds most.

    Raises:
        ConfigError: if bf16 or int8 is requested, and torch, or the implementation, cannot compute it on this device.
    """
    if precision != SearchPrecision.int8:
        return SearchPrecision(_resolve(precision, device, setting="search.precision"))
    if implementation == Implementation.reference:
        raise ConfigError(
            "search.precision=int8 needs implementation=fast, but it is reference: use auto, fp32 or bf16"
        )
    if failure := int8_failure(device):
        raise ConfigError(
            "search.precision=int8 needs a CPU with VNNI or AMX instructions and a torch with oneDNN, but on this "
            f"{device} it fails ({failure}): use auto, fp32 or bf16"
        )
    return SearchPrecision.int8


def _resolve(precision: TrainingPrecision | SearchPrecision, device: torch.device, *, setting: str) -> str:
    if precision == TrainingPrecision.auto:
        return "bf16" if has_fast_bf16(device) else "fp32"
    if precision != TrainingPrecision.bf16:
        return "fp32"
    if failure := bf16_failure(device):
        raise ConfigError(
            f"{setting}=bf16 needs a processor on which torch computes bf16, but on this {device} it fails "
            f"({failure}): use auto or fp32"
        )
    if not has_fast_bf16(device):
        _warn_of_slow_bf16(device)
    return "bf16"


@cache
def _warn_of_slow_bf16(device: torch.device) -> None:
    log.warning("torch finds no bf16 instructions on %s: bf16 is probably slower than fp32 (auto)", device)


def describe_machine(device: torch.device) -> str:
    """Name the processor that computes, and how many threads on a CPU, as in "AMD EPYC, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = _cpu_capabilities().get("cpu_name") or platform.processor() or platform.machine() or "unknown CPU"
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def choose_tf32(precision: TrainingPrecision | SearchPrecision, device: torch.device) -> None:
    """Decide how a GPU multiplies float32 in this process, and log it.

    With fp32, matmuls are exact. With bf16, which keeps 8 bits of a number, what stays in float32 (cuDNN's LSTMs in
    training) may be rounded to the 11 bits of TF32, which is faster. torch's defaults differ between matmuls and cuDNN.
    """
    if device.type != "cuda":
        return
    allow_tf32 = precision == TrainingPrecision.bf16
    _set_tf32(allow_tf32)
    log.info("float32 matmuls on %s are %s", device, "rounded to TF32" if allow_tf32 else "exact, without TF32")


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Multiply float32 exactly during a block, whatever `choose_tf32` has decided."""
    allowed_tf32 = device.type == "cuda" and _allows_tf32()
    if allowed_tf32:
        _set_tf32(False)
    try:
        yield
    finally:
        if allowed_tf32:
            _set_tf32(True)


def _allows_tf32() -> bool:
    if _has_fp32_precision():
        return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")
    return bool(torch.backends.cuda.matmul.allow_tf32)


def _set_tf32(is_allowed: bool) -> None:
    if _has_fp32_precision():
        name = "tf32" if is_allowed else "ieee"
        torch.backends.cuda.matmul.fp32_precision = name
        torch.backends.cudnn.conv.fp32_precision = name  # type: ignore[attr-defined]
        torch.backends.cudnn.rnn.fp32_precision = name  # type: ignore[attr-defined]
    else:
        torch.backends.cuda.matmul.allow_tf32 = is_allowed
        torch.backends.cudnn.allow_tf32 = is_allowed


def _has_fp32_precision() -> bool:
    """Return whether torch is 2.9 or newer, where using the older settings as well is an error."""
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")
