"""Which device and precision a name stands for."""

import pytest
import torch

from nmt.device import has_fast_bf16, resolve_device, resolve_precision
from nmt.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_takes_a_gpu_where_there_is_one(has_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert resolve_device("auto") == torch.device("cuda" if has_gpu else "cpu")
    assert resolve_device("cpu") == CPU


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cuda needs a GPU, but torch finds none: set device=cpu or device="):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "fp32"), ({}, "fp32")],
)
def test_auto_takes_bf16_where_the_processor_multiplies_it(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_bf16_since_ampere(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert has_fast_bf16(torch.device("cuda")) is expected


@pytest.mark.parametrize("fast", [True, False])
def test_a_precision_that_is_asked_for_is_taken(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.device.has_fast_bf16", lambda _device: fast)
    assert resolve_precision("bf16", CPU) == "bf16"
    assert resolve_precision("fp32", CPU) == "fp32"
