"""The time and the memory that training will take, from a few real updates."""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from nmt.choices import Severity
from nmt.command_config import TrainCommand
from nmt.config import TrainingConfig
from nmt.corpus.batching import Position, TrainingBatches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.epoch import epochs_of
from nmt.corpus.prepare import PreparedCorpus
from nmt.doctor.finding import Finding, finding
from nmt.doctor.trial import Trial, Update, try_updates

_NUM_WARM_UP = 2  # not timed: the first updates reserve memory
_MAX_SECONDS = 60.0  # for large models: fewer updates
_DAY_S = 86_400


@dataclass(frozen=True)
class TrainingCost:
    """What training takes, without validations and checkpoints.

    Attributes:
        tokens_per_s: source and target tokens, EOS included.
        num_epochs: until the first limit of training; None if only patience ends it.
        memory: the bytes at the peak by kind, with the largest batch among the updates.
    """

    num_parameters: int
    device: str
    precision: str
    num_updates: int
    tokens_per_s: float
    s_per_update: float
    updates_per_epoch: int
    s_per_epoch: float
    num_epochs: float | None
    memory: dict[str, int]
    findings: list[Finding]


@dataclass(frozen=True)
class UnknownCost:
    """What is said instead, if the updates fail."""

    findings: list[Finding]


def training_cost(settings: TrainCommand, corpus: PreparedCorpus, *, num_updates: int) -> TrainingCost:
    """Train for some updates, the first of them over the largest batch, and extrapolate.

    Raises:
        ConfigError, TrainingError: as for a run.
    """
    train = corpus.open("train")
    epochs = epochs_of(train.report, settings.data.train.weights, seed=settings.seed, directory=corpus.directory)
    batches = TrainingBatches(train, settings.batching, seed=settings.seed, epochs=epochs)
    plan = batches.plan()
    largest = max(range(len(plan)), key=lambda batch: _num_positions(train, plan[batch]))
    pairs_before = list(accumulate(map(len, plan), initial=0))
    batches.go_to(Position(batch=largest, pairs=pairs_before[largest]))
    trial = try_updates(
        settings,
        corpus,
        is_enough=lambda updates: (
            len(updates) >= _NUM_WARM_UP + num_updates
            or (len(updates) > _NUM_WARM_UP and sum(update.seconds for update in updates) > _MAX_SECONDS)
        ),
        batches=batches,
    )
    num_batches = round(len(plan) * epochs.num_pairs / pairs_before[-1])
    return _extrapolate(trial, settings.training, train, num_batches=num_batches)


def not_finite() -> UnknownCost:
    """Say that the loss does not stay finite."""
    advice = "lower optimizer.lr or training.clip_norm"
    return UnknownCost([Finding(Severity.warning, "the loss is not finite after a few updates", advice)])


def _num_positions(train: BinarizedCorpus, batch: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return the size of a batch with padding: what its memory depends on."""
    return len(batch) * int(train.src_lens[batch].max() + train.tgt_lens[batch].max() + 2)


def _extrapolate(trial: Trial, training: TrainingConfig, train: BinarizedCorpus, *, num_batches: int) -> TrainingCost:
    timed = trial.updates[_NUM_WARM_UP:]
    tokens_per_s = sum(update.num_tokens for update in timed) / sum(update.seconds for update in timed)
    num_tokens = len(train.src_ids) + len(train.tgt_ids) + 2 * train.num_pairs
    updates_per_epoch = max(1, round(num_batches / training.accumulate))
    s_per_epoch = num_tokens / tokens_per_s
    num_epochs = _num_epochs(training, updates_per_epoch=updates_per_epoch, s_per_epoch=s_per_epoch)
    total_s = s_per_epoch * num_epochs if num_epochs is not None else 0.0
    in_all = f", {show_number(num_epochs)} epochs in {show_duration(total_s)}" if num_epochs is not None else ""
    memory = ", ".join(f"{name} {show_bytes(count)}" for name, count in trial.memory.items())
    model = f"{trial.num_parameters:,} parameters on {trial.device} in {trial.precision}"
    findings = [
        finding(
            Severity.notice if total_s > _DAY_S else Severity.ok,
            f"{model}: {tokens_per_s:,.0f} tokens/s, an epoch of {updates_per_epoch:,} updates in about "
            f"{show_duration(s_per_epoch)}{in_all}, without validations",
            "take a smaller model or fewer epochs (training.max_epochs, training.max_minutes)",
        ),
        Finding(Severity.ok, f"memory at the peak: {show_bytes(sum(trial.memory.values()))} ({memory})"),
    ]
    return TrainingCost(
        num_parameters=trial.num_parameters,
        device=trial.device,
        precision=trial.precision,
        num_updates=len(timed),
        tokens_per_s=round(tokens_per_s, 1),
        s_per_update=round(_mean_seconds(timed), 4),
        updates_per_epoch=updates_per_epoch,
        s_per_epoch=round(s_per_epoch, 1),
        num_epochs=num_epochs,
        memory=trial.memory,
        findings=findings,
    )


def _mean_seconds(updates: list[Update]) -> float:
    return sum(update.seconds for update in updates) / len(updates)


def _num_epochs(training: TrainingConfig, *, updates_per_epoch: int, s_per_epoch: float) -> float | None:
    """Return after how many epochs the first limit ends training; None if there is no such limit."""
    limits = [
        training.max_epochs,
        None if training.max_updates is None else training.max_updates / updates_per_epoch,
        None if training.max_minutes is None else 60 * training.max_minutes / s_per_epoch,
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def show_duration(seconds: float) -> str:
    """Format seconds in the unit that suits them."""
    for unit, length in (("days", _DAY_S), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def show_number(value: float) -> str:
    """Format a number with three digits, or all of those before the point."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def show_bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
