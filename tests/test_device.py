"""Which device and precision a name stands for."""

import pytest
import torch

from nmt.device import (
    _warn_of_slow_bf16,
    has_fast_bf16,
    is_intel_cpu,
    resolve_device,
    resolve_inference_precision,
    resolve_precision,
)
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
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_bf16_since_ampere(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert has_fast_bf16(torch.device("cuda")) is expected


@pytest.mark.parametrize("fast", [True, False])
def test_a_precision_that_is_asked_for_is_taken(
    fast: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nmt.device.has_fast_bf16", lambda _device: fast)
    _warn_of_slow_bf16.cache_clear()
    assert resolve_precision("bf16", CPU) == resolve_inference_precision("bf16", CPU) == "bf16"
    assert resolve_precision("fp32", CPU) == "fp32"
    assert caplog.text.count("no bf16 instructions on cpu: bf16 may well be slower than fp32") == (not fast)


@pytest.mark.parametrize("feature", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_int8_is_taken_only_where_it_is_asked_for(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: {feature: True})
    assert resolve_inference_precision("int8", CPU) == "int8"
    assert resolve_inference_precision("auto", CPU) == "fp32"
    assert resolve_inference_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(("device", "features"), [("cpu", {"avx2": True}), ("cuda", {"amx_int8": True})])
def test_int8_without_its_instructions_is_refused(
    device: str, features: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: features)
    with pytest.raises(ConfigError, match=rf"int8 needs a CPU with VNNI or AMX .* none on {device}: use auto, fp32 or"):
        resolve_inference_precision("int8", torch.device(device))


def test_a_processor_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in (("Intel(R) Xeon(R)", True), ("AMD EPYC", False), (None, False)):
        monkeypatch.setattr("nmt.device._cpu_capabilities", lambda name=name: {"cpu_name": name})
        assert is_intel_cpu() is expected
