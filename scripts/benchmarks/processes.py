"""Run the command line of a checkout in a fresh process."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHILD = Path(__file__).with_name("child.py")


class BenchError(Exception):
    """A mistake that a user can fix, in one line."""


class Finished(NamedTuple):
    """What a process did.

    Attributes:
        seconds: of each command, without the start of Python and its imports.
        peak_bytes: the most resident memory.
        log: what the commands wrote to stderr.
        profile: the table of torch.profiler for the last command, if requested.
    """

    seconds: list[float]
    peak_bytes: int
    log: str
    profile: str

    @property
    def precision(self) -> str | None:
        """The precision of the last command, according to its log."""
        found = re.findall(r"\b(fp32|bf16|int8)\b", self.log)
        return found[-1] if found else None


def run_commands(checkout: Path, commands: Sequence[Sequence[str]], *, profile: bool = False) -> Finished:
    """Run commands of nmt such as ["train", "model=lstm_tiny"] in one process, one after the other.

    Raises:
        BenchError: if a command fails, or nmt is not imported from the checkout.
    """
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        job, figures = Path(folder, "job.json"), Path(folder, "figures.json")
        job.write_text(json.dumps({"commands": commands, "profile": profile, "figures": str(figures)}), "utf-8")
        done = _run([sys.executable, "-P", str(CHILD), str(job)], checkout)
        result = json.loads(figures.read_text(encoding="utf-8"))
    if Path(result["package"]) != checkout / "nmt":
        raise BenchError(f"nmt must be imported from {checkout}, but is from {result['package']}")
    return Finished(result["seconds"], result["peak_bytes"], done.stderr, result["profile"])


def resolved_config(checkout: Path, command: Sequence[str]) -> dict[str, Any]:
    """Return all resulting settings of a command of nmt."""
    done = _run([sys.executable, "-m", "nmt", *command, "--cfg", "job", "--resolve"], checkout)
    config: dict[str, Any] = yaml.safe_load(done.stdout)
    return config


def seconds_of_process(checkout: Path, arguments: Sequence[str], *, stdin: str = "") -> float:
    """Return the wall time of `python ARGUMENTS`, its start included."""
    begin = time.perf_counter()
    _run([sys.executable, *arguments], checkout, stdin=stdin)
    return time.perf_counter() - begin


def _run(command: Sequence[str], checkout: Path, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["without a message"]
        raise BenchError(f"nmt of {checkout} failed with exit status {done.returncode}: {reason[0]}")
    return done


def revision(checkout: Path) -> str:
    """Return the commit of a checkout, followed by + if files differ from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown revision"
