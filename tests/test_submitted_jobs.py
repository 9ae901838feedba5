"""Sweeps whose jobs submitit runs (hydra/launcher=submitit_slurm and submitit_local)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from nmt.commands import submitted_jobs
from nmt.commands.arguments import CommandLine
from nmt.commands.stop import Stopped
from nmt.commands.streams import fail
from nmt.commands.submitted_jobs import SubmittedJob, submit
from nmt.commands.sweep_job import SweepJob
from nmt.conf_files import conf_dir
from nmt.errors import ConfigError
from tests.commands import nmt, train_settings, write_digits


class FakeJob(SweepJob):
    """Records whether it resumes, and ends as it is told."""

    ran: ClassVar[list[list[str]]] = []
    ends: ClassVar[Any] = 0

    def run(self) -> int:
        self.ran.append(self.line.overrides)
        if isinstance(self.ends, BaseException):
            raise self.ends
        if self.ends == "fail":
            fail("x")
        return int(self.ends)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> FakeJob:
    monkeypatch.setattr(FakeJob, "ran", [])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests keep their handlers
    return FakeJob("train", CommandLine([], ["seed=1"]), "seed=1")


@pytest.mark.no_tensors
def test_a_job_returns_its_exit_status(job: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    for ends, status in [(0, 0), (3, 3), ("fail", 1), (Stopped(signal.SIGTERM), 143)]:
        monkeypatch.setattr(FakeJob, "ends", ends)
        assert SubmittedJob(job)() == status
    assert job.ran == [["seed=1"]] * 4


@pytest.mark.no_tensors
def test_the_exit_by_which_submitit_requeues_is_left_alone(job: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeJob, "ends", SystemExit(144))
    with pytest.raises(SystemExit, match="144"):
        SubmittedJob(job)()


@pytest.mark.no_tensors
def test_submitit_gets_the_signal_after_training_has_stopped(job: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    monkeypatch.setattr(FakeJob, "ends", Stopped(signal.SIGUSR2))
    SubmittedJob(job)()
    assert raised == [signal.SIGUSR2]


@pytest.mark.no_tensors
def test_a_job_that_slurm_has_restarted_resumes(job: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    for count in ("0", "1"):
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
        SubmittedJob(job)()
    assert job.ran == [["seed=1"], ["seed=1", "resume=true"]]


def _settings(name: str, **others: Any) -> dict[str, Any]:
    settings = yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{name}.yaml").read_text())
    del settings["_target_"]
    return {**settings, **others}


@pytest.mark.no_tensors
def test_a_launcher_without_submitit_is_refused(job: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"^this launcher needs submitit, which is not installed: pip install submi"):
        submit([job], _settings("submitit_slurm"))


@pytest.mark.no_tensors
def test_without_slurm_nothing_is_submitted(job: FakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="needs submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r'^hydra\.launcher: Could not detect "srun"'):
        submit([job], _settings("submitit_slurm", submitit_folder=str(tmp_path / "logs")))


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("timeout_min", "long", r"hydra\.launcher: Parameter \"timeout_min\" expected type <class 'int'> "),
        ("max_num_timeout", "often", r"hydra\.launcher\.max_num_timeout must be a whole number, but is 'often'$"),
        ("cluster", "cloud", r"hydra\.launcher: AutoExecutor doesn't know any executor named cloud$"),
    ],
)
def test_invalid_settings_are_one_line(job: FakeJob, tmp_path: Path, key: str, value: str, message: str) -> None:
    pytest.importorskip("submitit", reason="needs submitit")
    with pytest.raises(ConfigError, match=message):
        submit([job], _settings("submitit_local", submitit_folder=str(tmp_path), **{key: value}))


@pytest.mark.no_tensors
def test_slurm_is_asked_for_time_memory_and_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="needs submitit")
    for name in ("srun", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\necho Submitted batch job 77\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(submitted_jobs, "_has_failed", lambda _, job: job.label == "seed=2")
    jobs = [SweepJob("train", CommandLine([], [f"seed={seed}"]), f"seed={seed}") for seed in (1, 2, 3)]
    more = {"partition": "short", "additional_parameters": {"mail-user": "me"}}
    assert submit(jobs, _settings("submitit_slurm", submitit_folder=str(tmp_path / "logs"), **more)) == 1
    script = next((tmp_path / "logs").glob("*submission*.sh"))
    asked = set(script.read_text().split("\n"))
    assert {
        "#SBATCH --array=0-2%3",
        "#SBATCH --time=240",
        "#SBATCH --mem=8GB",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --partition=short",
        "#SBATCH --mail-user=me",
    } <= asked, asked


@pytest.mark.slow
def test_a_job_out_of_time_is_requeued_and_ends_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="needs submitit")
    settings = [*train_settings(write_digits(tmp_path / "it's text")), "training.checkpoint_every=20"]
    settings += ["training.max_updates=600", "training.log_every=1000", "training.validate_every=1000"]
    run_dir, logs = tmp_path / "runs", tmp_path / "logs"
    words = ["train", "-m", "hydra/launcher=submitit_local", f"hydra.launcher.submitit_folder={logs}", *settings]
    words += ["seed=1,2", f"run_dir={run_dir}/${{seed}}"]
    with subprocess.Popen([sys.executable, "-m", "nmt", *words], stderr=subprocess.PIPE, text=True) as sweep:
        task = _wait_for_task(run_dir / "1")
        os.kill(task, signal.SIGUSR2)  # as Slurm does before the time is up
        _, err = sweep.communicate(timeout=500)
    assert sweep.returncode == 0, err
    log = (run_dir / "1" / "train.log").read_text()
    assert "training stopped at update" in log
    assert "training ended (max_updates) at update 600" in log
    assert nmt(*words[:1], *settings, "seed=1", f"run_dir={tmp_path / 'uncut'}").status == 0
    last = "checkpoints/last/model.safetensors"
    assert (run_dir / "1" / last).read_bytes() == (tmp_path / "uncut" / last).read_bytes()


def _wait_for_task(run_dir: Path) -> int:
    """Wait for a checkpoint, and return the process that trains in `run_dir`."""
    for _ in range(2000):
        if any((run_dir / "checkpoints").glob("update_*")):
            [task] = [process for process in _processes() if _has_open(process, run_dir / ".lock")]
            return int(task.name)
        time.sleep(0.1)
    raise AssertionError("no checkpoint was written")


def _processes() -> list[Path]:
    """List the processes in which submitit runs jobs."""
    started_by = [b"-m", b"submitit.core._submit"]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "cmdline").read_bytes().split(b"\0")[2:4] == started_by:
                found.append(folder)
    return found


def _has_open(process: Path, file: Path) -> bool:
    return any(os.path.realpath(link) == str(file) for link in (process / "fd").iterdir())
