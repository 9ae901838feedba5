from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nmt.commands import evaluate, train
from nmt.errors import TrainingError
from nmt.model.seq2seq import Seq2Seq
from tests.commands import error, nmt, train_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_ended_by_a_signal_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = []

    def run(settings: Any, **_: Any) -> int:
        metrics.append(settings.metrics)
        return 130

    monkeypatch.setattr(evaluate, "run", run)
    assert nmt("evaluate", "-m", "reference=x", "metrics=[bleu],[ter]").status == 130
    assert metrics == [["bleu"]]


@pytest.mark.parametrize(
    "failure", [TrainingError("the GPU's memory is full"), torch.OutOfMemoryError("CUDA out of memory")], ids=type
)
def test_a_failed_job_of_a_sweep_leaves_nothing_in_memory(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    class Model:
        pass

    models: list[weakref.ref[Model]] = []

    def run(*_: Any, **__: Any) -> int:
        assert [model() for model in models] == [None] * len(models)
        model = Model()
        models.append(weakref.ref(model))
        raise type(failure)(*failure.args)

    monkeypatch.setattr(evaluate, "run", run)
    done = nmt("evaluate", "-m", "reference=x", "bootstrap_samples=0,2,3")
    assert (done.status, done.last_line) == (1, "nmt: 3 of 3 jobs failed")
    assert done.err.count("this job failed, the others continue: the GPU's memory is full") == 3


def test_tracebacks_of_a_sweep_are_in_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = nmt("evaluate", "-m", "reference=x", "bootstrap_samples=0,2")
    assert (done.status, done.last_line) == (1, "nmt: 2 of 2 jobs failed")
    assert done.err.count("Traceback") == 2


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free."),
        RuntimeError("CUDA error: out of memory"),  # if another process has left too little for CUDA itself
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_running_out_of_memory_is_one_line(
    checkpoint: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: RuntimeError
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(Seq2Seq, "to", fill)
    where = "computer" if "CPU" in str(full) else "GPU"
    searching = f"nmt: the {where}'s memory is full: lower search.batch_rows"
    test_set = (f"source={digits}/test.en", f"reference={digits}/test.fr")
    assert error("translate", f"checkpoints={checkpoint}") == searching
    assert error("evaluate", f"checkpoints={checkpoint}", *test_set) == searching
    done = nmt("train", *train_settings(digits), f"run_dir={tmp_path}/run")
    advice = "lower batching.size and raise training.accumulate, or take a smaller model"
    assert done.status == 1
    assert done.last_line.startswith(f"nmt: the {where}'s memory is full: {advice}")
    assert not (tmp_path / "run").exists()  # so that a smaller batch may start there


def test_running_out_of_memory_outside_torch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate") == "nmt: the computer's memory is full: lower search.batch_rows"


def test_more_threads_than_processors_give_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "run", lambda *_, **__: 0)
    assert "threads=1024 is more than the" in nmt("evaluate", "threads=1024").err
    assert nmt("evaluate", "threads=1").err == ""


def test_the_quick_start_is_named_before_the_first_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        logging.getLogger("nmt").info("first")
        logging.getLogger("nmt").info("second")
        return 0

    monkeypatch.setattr(train, "run", run)
    lines = [line.partition(" ")[2] for line in nmt("train", "seed=2").err.splitlines()]
    assert lines == ["no data, model or training settings are given: experiment=quickstart", "first", "second"]
    assert "quickstart" not in nmt("train", "model=lstm_tiny").err
