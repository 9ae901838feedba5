"""Trains the models that are missing, by sweeps of `nmt train`."""

import ctypes
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nmt.errors import TrainingError
from nmt.processors import num_processors
from table1.plan import Kind, Model

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before the fork


def key_of(word: str) -> str:
    """Return the key of a word KEY=VALUE."""
    return word.partition("=")[0].lstrip("+")


def with_changes(words: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return settings and changes to them; of one key only the change."""
    changed = {*map(key_of, changes)}
    return [*(word for word in words if key_of(word) not in changed), *changes]


def has_ended(run_dir: Path) -> bool:
    """Return whether a run has reached its limit: the last line of its log says so after everything is written."""
    try:
        lines = (run_dir / "train.log").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return bool(lines) and "training ended (" in lines[-1]


def divide(models: Sequence[Model], num_jobs: int) -> list[list[Model]]:
    """Divide models among jobs as evenly as possible; the models of a kind follow each other."""
    return [part for part in (list(models[first::num_jobs]) for first in range(num_jobs)) if part]


def sweeps(models: Sequence[Model], folder: Path, words: Sequence[str], attention: Sequence[str]) -> list[list[str]]:
    """Return command lines of `nmt` that train the models of one job, one sweep for each kind."""
    lines = []
    for kind, of_kind in itertools.groupby(models, lambda model: model.kind):
        changes = attention if kind == Kind.attention else [f"model.source_order={kind}"]
        seeds = ",".join(str(model.seed) for model in of_kind)
        quote = '"' if "'" in str(folder) else "'"  # a sweep would split the name at its commas
        fixed = [f"seed={seeds}", f"run_dir={quote}{folder}/{kind}-seed${{seed}}{quote}", "resume=true"]
        lines.append(["train", "-m", *with_changes(with_changes(words, changes), fixed)])
    return lines


def train_missing(
    models: Sequence[Model], folder: Path, words: Sequence[str], *, attention: Sequence[str], num_jobs: int
) -> None:
    """Train the models whose runs have not ended; runs that have begun are resumed.

    Raises:
        TrainingError: if a sweep fails; its log says why.
    """
    missing = [model for model in models if not has_ended(folder / model.name)]
    if not missing:
        return
    jobs = divide(missing, num_jobs)
    if "threads" not in map(key_of, words):  # as many for the last model as for the first: rounding depends on them
        words = [*words, f"threads={max(1, num_processors() // min(num_jobs, len(models)))}"]
    folder.mkdir(parents=True, exist_ok=True)
    waiting = {}
    for number, job in enumerate(jobs, start=1):
        log = folder / f"training{number}.log"
        waiting[log] = sweeps(job, folder, words, attention)
        print(f"training {', '.join(model.name for model in job)}: see {log}", file=sys.stderr)
    if failed := _run(waiting):
        last = failed[0].read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        raise TrainingError(f"training failed, see {' and '.join(map(str, failed))}: {''.join(last)}")


def _run(waiting: dict[Path, list[list[str]]]) -> list[Path]:
    """Run each job's command lines in turn, the jobs at the same time; return the logs of those that failed."""
    running: dict[Path, subprocess.Popen[bytes]] = {}
    failed = []
    try:
        while waiting or running:
            for log in [log for log in waiting if log not in running]:
                running[log] = _start(waiting[log].pop(0), log)
                if not waiting[log]:
                    del waiting[log]
            time.sleep(0.1)
            for log in [log for log, process in running.items() if process.poll() is not None]:
                if running.pop(log).returncode != 0:
                    failed.append(log)
                    waiting.pop(log, None)
    finally:
        for process in running.values():
            process.terminate()  # the run saves a checkpoint
        for process in running.values():
            process.wait()
    return failed


def _start(line: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "nmt", *line],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,  # Ctrl-C reaches only this script, which stops the sweeps once: a second signal would kill
            preexec_fn=_die_with_parent if _LIBC is not None else None,
        )


def _die_with_parent() -> None:
    """Let Linux kill this process if this script is killed: otherwise it would go on, and keep its run locked."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
