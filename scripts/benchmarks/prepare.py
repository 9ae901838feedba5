"""Speed and memory of preparation: `nmt prepare`, learning subwords included."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.processes import run_commands
from benchmarks.report import Sample, Table, measure_table


def prepare_table(
    contenders: Sequence[Contender], *, data: Callable[[Contender], list[str]], repeats: int, folder: Path
) -> Table:
    """Prepare the corpora of the contenders alternately, from the beginning each time."""
    actions = {
        contender.name: partial(_measure, contender, data(contender), folder / "prepared") for contender in contenders
    }
    return measure_table("Preparation", "s", actions, repeats)


def _measure(contender: Contender, data: Sequence[str], prepared_dir: Path) -> Sample:
    command = ["prepare", *data, *contender.settings, f"data.prepared_dir={prepared_dir}"]
    done = run_commands(contender.checkout, [command])
    shutil.rmtree(prepared_dir)
    return Sample(done.seconds[0], peak_bytes=done.peak_bytes)
