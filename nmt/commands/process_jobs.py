"""Runs the jobs of a sweep side by side on this machine, each in a fresh process.

A signal to the sweep is passed on to its jobs, each of which ends as it would alone: training saves a checkpoint.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import NoReturn

from nmt.commands.main import status_of
from nmt.commands.stop import SIGNALS, Stopped
from nmt.commands.streams import open_standard_streams
from nmt.commands.sweep_job import SweepJob
from nmt.errors import ConfigError
from nmt.processors import num_processors

log = logging.getLogger(__name__)


def run_in_processes(jobs: Sequence[SweepJob], *, max_at_once: int) -> int:
    """Run the jobs, at most `max_at_once` at a time (-1: as many as there are processors); return how many failed.

    Raises:
        ConfigError: if `max_at_once` is neither -1 nor positive.
        Stopped: by a signal, after all running jobs have ended.
    """
    if type(max_at_once) is not int or (max_at_once != -1 and max_at_once < 1):  # Hydra has not checked it
        raise ConfigError(
            "hydra.launcher.n_jobs must be a whole number, at least 1, or -1 for all processors, but is "
            f"{max_at_once!r}"
        )
    num_at_once = min(len(jobs), num_processors() if max_at_once == -1 else max_at_once)
    num_threads = max(1, num_processors() // num_at_once)
    log.info("%d jobs, %d at a time; threads of each: %d, unless threads is given", len(jobs), num_at_once, num_threads)
    spawn = multiprocessing.get_context("spawn")  # a copy of this process would share its threads and streams
    waiting, num_failed = list(jobs), 0
    running: dict[int, tuple[BaseProcess, SweepJob]] = {}  # by sentinel
    with _signals_passed_on(running) as received:
        while running or (waiting and not received):
            while waiting and len(running) < num_at_once and not received:
                job = waiting.pop(0)
                process = spawn.Process(target=_run, args=(job, num_threads))
                process.start()
                running[process.sentinel] = (process, job)
                log.info("started: %s", job.label)
                if received:  # while it was starting
                    _send(received[0], process)
            for sentinel in wait(list(running)):
                ended, job = running.pop(sentinel)  # type: ignore[arg-type]  # sentinels are numbers
                ended.join()
                num_failed += ended.exitcode != 0
                log.log(*_report(ended.exitcode or 0, job))
    if received:
        raise Stopped(received[0])
    return num_failed


def _report(status: int, job: SweepJob) -> tuple[int, str, str]:
    if status == 0:
        return logging.INFO, "ended: %s", job.label
    number = -status if status < 0 else status - 128  # of a signal, that killed it or that it stopped for
    how = f"stopped by {signal.Signals(number).name}" if number in set(signal.Signals) else f"exit status {status}"
    return logging.ERROR, f"this job failed, the others continue: %s ({how})", job.label


@contextmanager
def _signals_passed_on(running: dict[int, tuple[BaseProcess, SweepJob]]) -> Iterator[list[int]]:
    """Send the signals that this process gets to all running jobs; yield the list of those received."""
    received: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        received.append(number)
        for process, _ in list(running.values()):
            _send(number, process)

    previous = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _send(signal_number: int, process: BaseProcess) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal_number)


def _run(job: SweepJob, num_threads: int) -> NoReturn:
    """Run a job in a process that has just started."""
    os.setpgid(0, 0)  # a terminal sends Ctrl-C to this group only through the process of the sweep
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(num_threads))
    open_standard_streams()
    sys.exit(status_of(job.run))


def _end_with_the_sweep() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
