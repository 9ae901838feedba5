"""Start-up times: help, and the translation of one line, compared with `import torch`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.processes import seconds_of_process
from benchmarks.report import Sample, Table, measure_table
from benchmarks.translate import Job

LINE = "w1 w2 w3\n"


def startup_tables(jobs: Sequence[Job], *, repeats: int) -> list[Table]:
    """Time whole processes of every contender."""
    commands: dict[str, Callable[[Job], list[str]]] = {
        "python": lambda _: ["-c", "pass"],
        "python, import torch": lambda _: ["-c", "import torch"],
        "nmt --help": lambda _: ["-m", "nmt", "--help"],
        "nmt train --help": lambda _: ["-m", "nmt", "train", "--help"],
        "nmt translate, one line": lambda job: ["-m", "nmt", "translate", *job.settings],
    }
    tables = []
    for name, arguments in commands.items():
        actions = {job.contender.name: partial(_measure, job.contender.checkout, arguments(job)) for job in jobs}
        measure_table(name, "s", actions, 1)  # warm-up: the system caches the files
        tables.append(measure_table(f"Start-up, {name}", "s", actions, repeats))
    return tables


def _measure(checkout: Path, arguments: Sequence[str]) -> Sample:
    return Sample(seconds_of_process(checkout, arguments, stdin=LINE))
