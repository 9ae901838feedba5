"""Settings of all tests: one CPU thread, so that tests share a machine well and sums have a fixed order.

Also a small corpus and a run on it, which the tests of the commands share.
"""

from __future__ import annotations

import shutil
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nmt.commands import evaluate, train
from nmt.device import bf16_failure, int8_failure
from nmt.model.fast.linear import onednn_packs
from tests.commands import nmt, train_settings, write_digits
from tests.hardware import NoTensors

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

torch.set_num_threads(1)
# A shell makes its background jobs, and all that they start, ignore Ctrl-C: restore it for the tests that send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Hold the tests marked no_tensors to it; their fixtures may use tensors."""
    if item.get_closest_marker("no_tensors") is None:
        yield
        return
    _forget_what_was_tried()  # which would hide that a test tries it
    with NoTensors():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is not UTF-8 in the captured output: pytest-xdist sends reports as UTF-8 and would break off."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def try_again() -> Iterator[None]:
    """Forget the results of trying what torch computes, before a test and after it."""
    _forget_what_was_tried()
    yield
    _forget_what_was_tried()


def _forget_what_was_tried() -> None:
    for function in (bf16_failure, int8_failure, onednn_packs):
        function.cache_clear()


@pytest.fixture
def without_onednn(try_again: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Make torch like its wheels for macOS."""
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    monkeypatch.setattr(torch.ops, "onednn", SimpleNamespace())
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not sync files: no test cuts the power, and a busy disk is slow."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with aligned text: `write_digits`. Read only."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def run_dir(digits: Path) -> Path:
    """A run of six updates on `digits`. Read only."""
    folder = digits / "run"
    done = nmt("train", *train_settings(digits), f"run_dir={folder}")
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="session")
def checkpoint(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / "best"


@pytest.fixture
def copied_run(run_dir: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run_dir, tmp_path / "copy", symlinks=True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny checkpoint."""
    from tests.checkpoints import save

    return save(tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that `nmt train` and `nmt evaluate` were run with; nothing is trained."""
    settings: list[Any] = []

    def run(given: Any, **_: Any) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(evaluate, "run", run)
    return settings
