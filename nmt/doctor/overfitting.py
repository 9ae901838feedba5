"""Whether a model can fit one batch: one that cannot will not learn a corpus either (conf/debug/overfit.yaml)."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from nmt.choices import BatchUnit, SamplingSchedule, ScheduleKind, Severity
from nmt.command_config import TrainCommand
from nmt.config import BatchingConfig, ModelConfig
from nmt.corpus.batching import TrainingBatches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.prepare import PreparedCorpus
from nmt.doctor.finding import Finding, finding
from nmt.doctor.trial import Update, try_updates
from nmt.errors import TrainingError

_NUM_PAIRS = 32
_FITTED = 0.1  # nats per token, as in conf/debug/overfit.yaml
_LEARNS = 0.5  # of the first loss
_MAX_SECONDS = 120.0


@dataclass(frozen=True)
class Overfitting:
    """The loss of the first and the last update over one batch, in nats per token; None if it was not finite."""

    num_pairs: int
    num_updates: int
    first: float | None
    last: float | None
    findings: list[Finding]


def overfitting(settings: TrainCommand, corpus: PreparedCorpus, *, num_updates: int) -> Overfitting:
    """Train a new model on one batch of pairs of the usual length, without dropout or other noise.

    Raises:
        ConfigError: as for a run.
    """
    batch = _usual_pairs(corpus.open("train"))
    batching = BatchingConfig(unit=BatchUnit.sentences, size=_NUM_PAIRS, min_sentences=_NUM_PAIRS)
    try:
        trial = try_updates(
            _without_noise(settings),
            corpus,
            is_enough=lambda updates: (
                len(updates) >= num_updates
                or bool(updates and updates[-1].nats_per_token < _FITTED)
                or sum(update.seconds for update in updates) > _MAX_SECONDS
            ),
            batches=TrainingBatches(batch, batching, seed=settings.seed),
        )
    except TrainingError:
        advice = "lower optimizer.lr or training.clip_norm"
        problem = Finding(Severity.warning, "the loss of one batch is not finite", advice)
        return Overfitting(batch.num_pairs, 0, None, None, [problem])
    return _judge(trial.updates, num_pairs=batch.num_pairs)


def _judge(updates: list[Update], *, num_pairs: int) -> Overfitting:
    first, last = updates[0].nats_per_token, updates[-1].nats_per_token
    severity = Severity.ok
    if last >= _FITTED:
        severity = Severity.notice if last < _LEARNS * first else Severity.warning
    found = finding(
        severity,
        f"the loss of one batch of {num_pairs} pairs goes from {first:.2f} to {last:.2f} nats per token in "
        f"{len(updates)} updates",
        f"below {_FITTED} was expected: try other values of optimizer.lr, more overfit_updates, or a larger model",
    )
    return Overfitting(num_pairs, len(updates), round(first, 4), round(last, 4), [found])


def _usual_pairs(train: BinarizedCorpus) -> BinarizedCorpus:
    """Take the pairs whose lengths are nearest to the medians."""
    distance = np.abs(train.src_lens - np.median(train.src_lens)) + np.abs(train.tgt_lens - np.median(train.tgt_lens))
    chosen = np.argsort(distance, kind="stable")[:_NUM_PAIRS]
    return replace(
        train,
        src_lens=train.src_lens[chosen],
        tgt_lens=train.tgt_lens[chosen],
        src_offsets=train.src_offsets[chosen],
        tgt_offsets=train.tgt_offsets[chosen],
    )


def _without_noise(settings: TrainCommand) -> TrainCommand:
    """Turn off what keeps a loss up: dropout, smoothing, decay, sampling, and a learning rate that changes."""
    names = (part.name for part in fields(ModelConfig) if part.name.startswith("dropout"))
    rates: dict[str, Any] = {name: 0.0 for name in names if name != "dropout_mask"}
    schedule = replace(settings.optimizer.schedule, kind=ScheduleKind.constant, warmup_updates=0)
    return replace(
        settings,
        model=replace(settings.model, **rates),
        optimizer=replace(settings.optimizer, weight_decay=0.0, schedule=schedule),
        training=replace(
            settings.training,
            label_smoothing=0.0,
            ema=0.0,
            accumulate=1,
            scheduled_sampling=SamplingSchedule.none,
            src_subword_alpha=0.0,
            tgt_subword_alpha=0.0,
        ),
    )
