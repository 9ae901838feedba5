"""Seconds until something happens: importing torch, help, and the translation of one line."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.options import Plan
from benchmarks.report import Table, time_row
from benchmarks.workload import write_checkpoint
from nmt.errors import NmtError


def run(plan: Plan) -> list[Table]:
    options, variant = plan.options, plan.training[0]
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        checkpoints = list(options.checkpoints) or [str(write_checkpoint(Path(folder), variant))]
        translate = ["-m", "nmt", "translate", f"checkpoints=[{','.join(checkpoints)}]"]
        translate.append(f"device={variant.settings.device}")
        commands = {
            "python": ["-c", "pass"],
            'python -c "import torch"': ["-c", "import torch"],
            "nmt --help": ["-m", "nmt", "--help"],
            "nmt train --help": ["-m", "nmt", "train", "--help"],
            "nmt translate, one line": translate,
        }
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.repeats + 1):
            for name, command in commands.items():
                seconds = _seconds_of(name, command)
                if turn > 0:  # the first reads from the disk what the others find in memory
                    samples[name].append(seconds)
    model = "the given checkpoints" if options.checkpoints else f"{variant.settings.model.name}, 32 characters"
    rows = [time_row(name, "s", seconds) for name, seconds in samples.items()]
    return [Table("Start-up, wall time of the process", rows, [f"beam 5; {model}; files cached by the system"])]


def _seconds_of(name: str, command: list[str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *command], input="a b c\n", capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise NmtError(f"{name} failed with status {done.returncode}: {done.stderr.strip() or 'it said nothing'}")
    return seconds
