"""The memory of training."""

import logging
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nmt.training import memory
from nmt.training.average import ParameterAverage
from tests.test_trainer import TRAINING, build

WORDS = (
    r"memory of updates: parameters (\d+) MB, gradients (\d+) MB, optimizer (\d+) MB, activations and other (\d+) MB"
)


def test_every_kind_of_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([108_000_000, 408_000_000])
    monkeypatch.setattr(memory, "peak_resident_bytes", lambda: next(peaks))
    model = nn.Linear(2000, 1000, bias=False)
    optimizer = torch.optim.Adam(model.parameters())
    account = memory.MemoryAccount(model, optimizer, ParameterAverage(model, 0.0), device=torch.device("cpu"))
    model(torch.ones(1, 2000)).sum().backward()
    optimizer.step()
    found = re.fullmatch(WORDS, account.describe())
    assert found
    assert [int(count) for count in found.groups()] == [8, 8, 16, 300 - 8 - 16]


def test_what_is_held_before_the_first_update_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moving average, and the state of AdaGrad or of an optimizer that resumes."""
    peaks = iter([100_000_000 + 3 * 8_000_000, 400_000_000])
    monkeypatch.setattr(memory, "peak_resident_bytes", lambda: next(peaks))
    model = nn.Linear(2000, 1000, bias=False)
    optimizer = torch.optim.Adagrad(model.parameters())
    account = memory.MemoryAccount(model, optimizer, ParameterAverage(model, 0.9), device=torch.device("cpu"))
    assert account.describe() == (
        "memory of updates: parameters 8 MB, gradients 8 MB, optimizer 8 MB, moving average 8 MB, "
        "activations and other 268 MB"
    )


def test_frozen_parameters_have_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peak_resident_bytes", lambda: 0)
    model = nn.Linear(2000, 1000)
    model.weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters())
    account = memory.MemoryAccount(model, optimizer, ParameterAverage(model, 0.0), device=torch.device("cpu"))
    assert "parameters 8 MB, gradients 0 MB" in account.describe()


def test_an_earlier_peak_hides_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peak_resident_bytes", lambda: 900_000_000)  # of earlier
    model = nn.Linear(2000, 1000, bias=False)
    optimizer = torch.optim.Adam(model.parameters())
    account = memory.MemoryAccount(model, optimizer, ParameterAverage(model, 0.0), device=torch.device("cpu"))
    model(torch.ones(1, 2000)).sum().backward()
    optimizer.step()
    assert account.describe() == "memory of updates: parameters 8 MB, gradients 8 MB, optimizer 16 MB"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can reset a peak")
def test_a_peak_grows_with_memory_use_until_it_is_reset() -> None:
    memory.reset_peak()
    before = memory.peak_resident_bytes()
    held = torch.ones(25_000_000)
    assert memory.peak_resident_bytes() > before + 90_000_000
    del held
    memory.reset_peak()
    assert memory.peak_resident_bytes() < before + 50_000_000


def test_a_run_logs_its_memory_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        build(tmp_path, training=replace(TRAINING, log_every=1)).run()
    assert len(re.findall(r"memory of updates: parameters \d+ MB", caplog.text)) == 1
