"""Speed of training: target tokens per second of `nmt train`, compared with the limit of the machine."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.limits import least_seconds, measure_rates, training_work, weights_of
from benchmarks.processes import BenchError, Finished, run_commands
from benchmarks.report import Sample, Table, measure_table

WARM_UP_UPDATES = 3
NEVER = 10**9
# No validation and no checkpoint except the last ones; a record for every update.
QUIET = (f"training.validate_every={NEVER}", f"training.checkpoint_every={NEVER}", "training.bleu_every=null")


def train_table(
    contenders: Sequence[Contender],
    *,
    data: Callable[[Contender], list[str]],
    updates: int,
    repeats: int,
    folder: Path,
) -> Table:
    """Train all contenders alternately; `data` gives the settings of their corpus."""
    for contender in contenders:  # so that no process has to prepare its corpus, or read it from the disk
        run_commands(contender.checkout, [_command(contender, data(contender), folder / "first", updates=1)])
        shutil.rmtree(folder / "first")
    actions = {
        contender.name: partial(_measure, contender, data(contender), folder / "run", updates=updates)
        for contender in contenders
    }
    return measure_table("Training", "target tokens/s", actions, repeats)


def train_profile(contender: Contender, *, data: Callable[[Contender], list[str]], updates: int, folder: Path) -> str:
    """Return the table of torch.profiler for some updates, with the start and the end of training."""
    commands = [_command(contender, data(contender), folder / name, updates=updates) for name in ("first", "run")]
    return run_commands(contender.checkout, commands, profile=True).profile


def _command(contender: Contender, data: Sequence[str], run_dir: Path, *, updates: int) -> list[str]:
    limit = f"training.max_updates={updates}"
    return ["train", *data, *QUIET, "training.log_every=1", *contender.settings, limit, f"run_dir={run_dir}"]


def _measure(contender: Contender, data: Sequence[str], run_dir: Path, *, updates: int) -> Sample:
    command = _command(contender, data, run_dir, updates=WARM_UP_UPDATES + updates)
    done = run_commands(contender.checkout, [command])
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    src_rate, tgt_rate = token_rates(records)
    limit = _limit(contender, done, run_dir, src_rate / tgt_rate)
    shutil.rmtree(run_dir)
    return Sample(tgt_rate, limit, done.peak_bytes)


def token_rates(records: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return source and target tokens per second after the warm-up, from the records of metrics.jsonl.

    The rate of a record is that since the one before it, and counts for as long as that took.
    """
    trained = [record for record in records if record["kind"] == "train"]
    warm = next((number for number, record in enumerate(trained) if record["update"] >= WARM_UP_UPDATES), len(trained))
    spans = [(later["wall_s"] - earlier["wall_s"], later) for earlier, later in pairwise(trained[warm:])]
    whole = sum(seconds for seconds, _ in spans)
    if whole <= 0:
        raise BenchError("there must be records of updates after the warm-up, but are none: raise --updates")
    src, tgt = (
        sum(seconds * record[f"{side}_tokens_per_s"] for seconds, record in spans) / whole for side in ("src", "tgt")
    )
    return src, tgt


def _limit(contender: Contender, done: Finished, run_dir: Path, src_per_tgt: float) -> float | None:
    """Return the limit in target tokens/s."""
    weights = weights_of(run_dir / "checkpoints" / "last")
    work = training_work(weights, src_tokens=src_per_tgt, tgt_tokens=1)
    rates = measure_rates(work, done.precision, contender)
    return None if rates is None else 1 / least_seconds(work, rates)
