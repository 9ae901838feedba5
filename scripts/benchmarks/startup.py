"""Seconds until something happens: help, and the translation of one line, beside `import torch`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.processes import seconds_of_process
from benchmarks.report import Sample, Table, measure_table
from benchmarks.translate import Job

LINE = "w1 w2 w3\n"


def startup_table(jobs: Sequence[Job], *, repeats: int) -> Table:
    """Time whole processes, once to warm the caches of the system, and `repeats` times to count."""
    checkout = jobs[0].contender.checkout
    actions = {
        "python": partial(_measure, checkout, ["-c", "pass"]),
        "python, import torch": partial(_measure, checkout, ["-c", "import torch"]),
    }
    for job in jobs:
        commands = {
            "nmt --help": ["--help"],
            "nmt train --help": ["train", "--help"],
            "nmt translate, one line": ["translate", *job.settings],
        }
        for name, command in commands.items():
            action = partial(_measure, job.contender.checkout, ["-m", "nmt", *command])
            actions[f"{name}, {job.contender.name}"] = action
    measure_table("", "", actions, 1)
    return measure_table("Start-up, wall time of the process", "s", actions, repeats)


def _measure(checkout: Path, arguments: Sequence[str]) -> Sample:
    return Sample(seconds_of_process(checkout, arguments, stdin=LINE))
