"""Sweeps whose jobs run side by side, each in a process of its own (hydra/launcher=joblib)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

import pytest

from nmt.commands.arguments import CommandLine
from nmt.commands.process_jobs import run_in_processes
from nmt.commands.stop import Stopped
from nmt.commands.sweep_job import SweepJob
from tests.commands import error, nmt

if TYPE_CHECKING:
    from pathlib import Path

SWEEP = ["evaluate", "-m", "hydra/launcher=joblib", "metrics=[exact]", "bootstrap_samples=0"]


@pytest.mark.slow
def test_jobs_run_in_processes_and_a_failed_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "it's"):
        (tmp_path / name).write_text("one\n" if name == "a" else "two\n")
    sources = """hypothesis=[a],[nothing],["it's"]"""
    done = nmt(*SWEEP, "hydra.launcher.n_jobs=2", sources, "reference=[b]")
    log = done.err.splitlines()
    assert (done.status, log[-1]) == (1, "nmt: 1 of 3 jobs failed")
    assert " 3 jobs, 2 at a time; threads of each: " in log[0]
    failed = "this job failed, the others continue: hypothesis=['nothing'] (exit status 1)"
    assert sum(line.endswith(failed) for line in log) == 1
    out, err = capfd.readouterr()
    assert sorted(line.strip() for line in out.splitlines() if "exact" in line) == ["exact 0.0", "exact 100.0"]
    assert "nmt: nothing does not exist: check the path" in err.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_sweep_ends_its_jobs(tmp_path: Path, number: signal.Signals) -> None:
    pipes = [tmp_path / name for name in ("x", "y", "z")]
    for pipe in pipes:
        os.mkfifo(pipe)
    (tmp_path / "ref").write_text("one\n")
    sources = "hypothesis=" + ",".join(f"[{pipe}]" for pipe in pipes)
    words = [*SWEEP, "hydra.launcher.n_jobs=2", sources, f"reference=[{tmp_path / 'ref'}]"]
    with subprocess.Popen([sys.executable, "-m", "nmt", *words], stderr=subprocess.PIPE, text=True) as sweep:
        writers = [_wait_for_reader(pipe) for pipe in pipes[:2]]
        sweep.send_signal(number)
        _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    for writer in writers:
        _wait_for_broken_pipe(writer)
    assert "started: hypothesis=['" in err
    assert err.count("started: ") == 2, "no job starts after the signal"


def _wait_for_reader(pipe: Path) -> int:
    for _ in range(600):
        with suppress(OSError):  # nobody reads it yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.1)
    raise AssertionError(f"no job reads {pipe}")


def _wait_for_broken_pipe(writer: int) -> None:
    for _ in range(300):
        try:
            os.write(writer, b"x")
        except BrokenPipeError:
            os.close(writer)
            return
        time.sleep(0.1)
    raise AssertionError("a job still runs")


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("value", "shown"), [("0", "0"), ("-2", "-2"), ("1.5", "1.5"), ("two", "'two'"), ("null", "None")]
)
def test_the_number_of_jobs_at_a_time_is_checked(value: str, shown: str) -> None:
    message = error(*SWEEP, f"hydra.launcher.n_jobs={value}", "lowercase=true,false", "hypothesis=[a]", "reference=[b]")
    assert message == (
        f"nmt: hydra.launcher.n_jobs must be a whole number, at least 1, or -1 for all processors, but is {shown}"
    )


@pytest.mark.no_tensors
def test_a_signal_reaches_a_job_that_is_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    start = SpawnProcess.start

    def start_late(process: SpawnProcess) -> None:
        start(process)
        signal.raise_signal(signal.SIGTERM)  # before `run_in_processes` knows of the process

    monkeypatch.setattr(SpawnProcess, "start", start_late)
    begin = time.monotonic()
    with pytest.raises(Stopped):
        run_in_processes([Sleeper("evaluate", CommandLine([], []), "one")], max_at_once=1)
    assert time.monotonic() - begin < Sleeper.seconds


@pytest.mark.no_tensors
def test_jobs_get_the_signals_of_a_terminal_from_the_sweep_alone() -> None:
    assert run_in_processes([InGroupOfItsOwn("evaluate", CommandLine([], []), "one")], max_at_once=1) == 0


class InGroupOfItsOwn(SweepJob):
    """A job that fails in the process group of the sweep, which Ctrl-C would reach twice."""

    def run(self) -> int:
        return int(os.getpgid(0) != os.getpid())


class Sleeper(SweepJob):
    """A job that takes long."""

    seconds = 60

    def run(self) -> int:
        time.sleep(self.seconds)
        return 0


@pytest.mark.no_tensors
def test_an_unknown_launcher_is_refused() -> None:
    message = error("evaluate", "-m", "hydra/launcher=jobs", "lowercase=true,false", "hypothesis=[a]", "reference=[b]")
    assert "hydra/launcher must be one of basic, joblib, submitit_local, submitit_slurm, but is 'jobs'" in message
