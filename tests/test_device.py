"""Which device and precision a setting chooses."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import Implementation, SearchPrecision, TrainingPrecision
from nmt.device import (
    _cpu_capabilities,
    _warn_of_slow_bf16,
    bf16_failure,
    choose_tf32,
    describe_machine,
    exact_float32,
    has_fast_bf16,
    int8_failure,
    is_intel_cpu,
    limit_kernels_kept,
    resolve_device,
    resolve_search_precision,
    resolve_training_precision,
)
from nmt.errors import ConfigError
from nmt.model.fast.linear import PlainLinear

CPU = torch.device("cpu")


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_takes_a_gpu_if_there_is_one(has_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert resolve_device("auto") == torch.device("cuda" if has_gpu else "cpu")
    assert resolve_device("cpu") == CPU


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cuda needs a GPU, but torch finds none: set device=cpu or device="):
        resolve_device("cuda")


@pytest.fixture(autouse=True)
def _all_anew(try_again: None) -> Iterator[None]:  # noqa: ARG001
    _warn_of_slow_bf16.cache_clear()
    yield
    _warn_of_slow_bf16.cache_clear()


@pytest.fixture
def _an_older_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of oneDNN for an LSTM in bf16, and its int8 sums, with only AVX2."""

    def fail(*_: object) -> None:
        raise RuntimeError("could not create a primitive descriptor for the LSTM primitive. Run workload with ...")

    class Overflowing(PlainLinear):
        def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
            super().__init__(weight_OI / 2, bias_O, torch.float32)

    monkeypatch.setattr("nmt.device._compute_bf16", fail)
    monkeypatch.setattr("nmt.device.Int8Linear", Overflowing)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "fp32"), ({}, "fp32")],
)
def test_auto_takes_bf16_if_the_processor_multiplies_it(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: capabilities)
    monkeypatch.setattr("nmt.device._compute_bf16", lambda _device: None)
    assert resolve_training_precision(TrainingPrecision.auto, CPU) == expected
    assert resolve_search_precision(SearchPrecision.auto, CPU) == expected


@pytest.mark.usefixtures("_an_older_processor")
def test_auto_avoids_bf16_that_fails_despite_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: {"avx512_bf16": True})
    assert resolve_training_precision(TrainingPrecision.auto, CPU) == "fp32"
    assert resolve_search_precision(SearchPrecision.auto, CPU) == "fp32"


@pytest.mark.usefixtures("_an_older_processor")
@pytest.mark.parametrize(
    ("setting", "resolve"),
    [
        ("training.precision", lambda: resolve_training_precision(TrainingPrecision.bf16, CPU)),
        ("search.precision", lambda: resolve_search_precision(SearchPrecision.bf16, CPU)),
    ],
)
def test_bf16_that_fails_is_refused_if_requested(setting: str, resolve: Callable[[], object]) -> None:
    message = (
        f"{setting}=bf16 needs a processor on which torch computes bf16, but on this cpu it fails "
        "(could not create a primitive descriptor for the LSTM primitive): use auto or fp32"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resolve()


@pytest.mark.usefixtures("_an_older_processor")
@pytest.mark.parametrize(
    ("device", "why"), [("cpu", "sums of int8 products overflow"), ("cuda", "int8 runs only on a CPU")]
)
def test_int8_that_is_inexact_or_on_a_gpu_is_refused(device: str, why: str) -> None:
    message = (
        "search.precision=int8 needs a CPU with VNNI or AMX instructions and a torch with oneDNN, but on this "
        f"{device} it fails ({why}): use auto, fp32 or bf16"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resolve_search_precision(SearchPrecision.int8, torch.device(device))


def test_int8_is_refused_for_the_reference_implementation() -> None:
    message = "search.precision=int8 needs implementation=fast, but it is reference: use auto, fp32 or bf16"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resolve_search_precision(SearchPrecision.int8, CPU, Implementation.reference)


@pytest.mark.usefixtures("without_onednn")
def test_int8_without_onednn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a torch with oneDNN, but on this cpu it fails \(.*qlinear_prepack.*\): "):
        resolve_search_precision(SearchPrecision.int8, CPU)


def test_int8_is_used_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in ("_compute_int8", "_compute_bf16"):
        monkeypatch.setattr(f"nmt.device.{attempt}", lambda *_: None)
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: {"avx512_vnni": True})
    assert resolve_search_precision(SearchPrecision.int8, CPU) == "int8"
    assert resolve_search_precision(SearchPrecision.auto, CPU) == "fp32"
    assert resolve_search_precision(SearchPrecision.bf16, CPU) == "bf16"


@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" in os.environ, reason="ONEDNN_MAX_CPU_ISA withholds features")
@pytest.mark.parametrize(
    ("features", "failure"),
    [
        (("avx512_bf16", "amx_bf16"), bf16_failure),
        (("avx512_vnni", "avx_vnni", "amx_int8"), int8_failure),
    ],
    ids=["bf16", "int8"],
)
def test_the_features_of_the_processor_work(
    features: tuple[str, ...], failure: Callable[[torch.device], str | None]
) -> None:
    """Otherwise a mistake in the attempt would disable a precision, and every test of it."""
    if not torch._C._has_mkldnn or not any(_cpu_capabilities().get(name) for name in features):
        pytest.skip(f"the processor has none of {', '.join(features)}")
    assert failure(CPU) is None


def test_trying_consumes_no_random_numbers_of_training() -> None:
    before = torch.get_rng_state()
    bf16_failure(CPU)
    int8_failure(CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_precision_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []
    monkeypatch.setattr("nmt.device._compute_bf16", lambda _device: attempts.append("bf16"))
    monkeypatch.setattr("nmt.device._compute_int8", lambda: attempts.append("int8"))
    for name in ("bf16", "int8", "bf16", "int8"):
        resolve_search_precision(SearchPrecision(name), CPU)
    assert sorted(attempts) == ["bf16", "int8"]


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_bf16_since_ampere(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr("nmt.device._compute_bf16", lambda _device: None)
    assert has_fast_bf16(torch.device("cuda")) is expected


@pytest.mark.parametrize("fast", [True, False])
def test_a_requested_precision_is_used(
    fast: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nmt.device._compute_bf16", lambda _device: None)
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: {"avx512_bf16": fast})
    assert resolve_training_precision(TrainingPrecision.bf16, CPU) == "bf16"
    assert resolve_search_precision(SearchPrecision.bf16, CPU) == "bf16"
    assert resolve_training_precision(TrainingPrecision.fp32, CPU) == "fp32"
    assert resolve_search_precision(SearchPrecision.fp32, CPU) == "fp32"
    assert caplog.text.count("no bf16 instructions on cpu: bf16 is probably slower than fp32") == (not fast)


def float32_matmuls() -> dict[str, Any]:
    """Ask torch itself what a GPU does, independent of the name by which Python sets it."""
    return {name: torch._C._get_fp32_precision_getter("cuda", name) for name in ("matmul", "conv", "rnn")}


@pytest.fixture
def _as_torch_was() -> Iterator[None]:
    before = float32_matmuls()
    yield
    for name, value in before.items():
        torch._C._set_fp32_precision_setter("cuda", name, value)


needs_torch_2_9 = pytest.mark.skipif(
    not hasattr(torch._C, "_get_fp32_precision_getter"), reason="torch before 2.9 sets TF32 otherwise"
)


@needs_torch_2_9
@pytest.mark.usefixtures("_as_torch_was")
@pytest.mark.parametrize(
    ("precision", "expected"), [(TrainingPrecision.fp32, "ieee"), (TrainingPrecision.bf16, "tf32")]
)
def test_tf32_is_for_float32_beside_bf16(
    precision: TrainingPrecision, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "nmt.device"):
        choose_tf32(precision, torch.device("cuda"))
    assert float32_matmuls() == dict.fromkeys(("matmul", "conv", "rnn"), expected)
    rounded = {"ieee": "exact, without TF32", "tf32": "rounded to TF32"}[expected]
    assert [record.getMessage() for record in caplog.records] == [f"float32 matmuls on cuda are {rounded}"]


@pytest.mark.parametrize(("precision", "expected"), [(TrainingPrecision.fp32, False), (TrainingPrecision.bf16, True)])
def test_tf32_is_chosen_in_the_way_of_torch_before_2_9(
    precision: TrainingPrecision, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = SimpleNamespace(cudnn=SimpleNamespace(), cuda=SimpleNamespace(matmul=SimpleNamespace()))
    monkeypatch.setattr(torch, "backends", older)
    choose_tf32(precision, torch.device("cuda"))
    assert older.cudnn.allow_tf32 == older.cuda.matmul.allow_tf32 == expected


@needs_torch_2_9
@pytest.mark.usefixtures("_as_torch_was")
@pytest.mark.parametrize("precision", [TrainingPrecision.fp32, TrainingPrecision.bf16])
def test_float32_can_be_exact_for_a_while(precision: TrainingPrecision) -> None:
    gpu = torch.device("cuda")
    choose_tf32(precision, gpu)
    before = float32_matmuls()
    with exact_float32(gpu):
        assert float32_matmuls() == dict.fromkeys(("matmul", "conv", "rnn"), "ieee")
    assert float32_matmuls() == before


@pytest.mark.parametrize("is_allowed", [False, True])
def test_float32_can_be_exact_for_a_while_in_the_way_of_torch_before_2_9(
    is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = SimpleNamespace(
        cudnn=SimpleNamespace(allow_tf32=is_allowed),
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=is_allowed)),
    )
    monkeypatch.setattr(torch, "backends", older)
    with exact_float32(torch.device("cuda")):
        assert not older.cudnn.allow_tf32
        assert not older.cuda.matmul.allow_tf32
    assert older.cudnn.allow_tf32 == older.cuda.matmul.allow_tf32 == is_allowed


def test_a_machine_is_its_processor_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.device._cpu_capabilities", lambda: {"cpu_name": "AMD EPYC"})
    for num_threads, expected in ((1, "AMD EPYC, 1 thread"), (2, "AMD EPYC, 2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=num_threads: number)
        assert describe_machine(CPU) == expected
    monkeypatch.setattr("nmt.device._cpu_capabilities", dict)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert describe_machine(CPU) == "riscv64, 2 threads"


@needs_torch_2_9
def test_a_cpu_has_no_tf32_to_choose(caplog: pytest.LogCaptureFixture) -> None:
    before = float32_matmuls()
    with caplog.at_level(logging.INFO, "nmt.device"):
        choose_tf32(TrainingPrecision.bf16, CPU)
    assert (float32_matmuls(), caplog.text) == (before, "")


def test_the_maker_of_the_processor_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in (("Intel(R) Xeon(R)", True), ("AMD EPYC", False), (None, False)):
        monkeypatch.setattr("nmt.device._cpu_capabilities", lambda name=name: {"cpu_name": name})
        assert is_intel_cpu() is expected


def test_the_user_may_choose_how_many_kernels_onednn_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(new, "7")
    limit_kernels_kept()
    assert os.environ[new] == "7"
    monkeypatch.delenv(new)
    monkeypatch.setenv(old, "7")
    limit_kernels_kept()
    assert new not in os.environ


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="torch comes without oneDNN")
@pytest.mark.parametrize(("others", "outcome"), [(10, "hit"), (300, "miss")])
def test_onednn_forgets_the_kernel_of_a_shape_after_hundreds_of_others(others: int, outcome: str) -> None:
    program = """
import sys, torch
from nmt.device import limit_kernels_kept
limit_kernels_kept()
weight_OI = torch.zeros(8, 8).to_mkldnn()
for rows in [*range(1, int(sys.argv[1]) + 2), 1]:
    print("rows", rows, flush=True)
    torch.ops.aten.mkldnn_linear(torch.zeros(rows, 8).to_mkldnn(), weight_OI)
"""
    environment = {**os.environ, "ONEDNN_VERBOSE": "profile_create"}
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"):
        environment.pop(name, None)
    command = [sys.executable, "-c", program, str(others)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    last = done.stdout.rpartition("rows 1\n")[2].splitlines()
    [linear] = [line for line in last if "inner_product" in line]
    assert f"create:cache_{outcome}" in linear
