"""A few real updates, by the trainer itself, which are measured and leave nothing behind."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

from nmt.command_config import TrainCommand
from nmt.corpus.batching import TrainingBatches
from nmt.corpus.prepare import PreparedCorpus
from nmt.errors import TrainingError
from nmt.training.memory import MemoryAccount
from nmt.training.run import build_trainer, run_files
from nmt.training.train_state import Interval
from nmt.training.trainer import Trainer

_NEVER = 2**31


@dataclass(frozen=True)
class Update:
    """One update: the seconds that it took, its source and target tokens, EOS included, and its loss."""

    seconds: float
    num_tokens: int
    nats_per_token: float


@dataclass(frozen=True)
class Trial:
    """Some updates of a training run, and the bytes that they took, by kind."""

    num_parameters: int
    device: str
    precision: str
    updates: list[Update]
    memory: dict[str, int]


class _EnoughError(Exception):
    """Ends a training run without a checkpoint."""


def try_updates(
    settings: TrainCommand,
    corpus: PreparedCorpus,
    *,
    is_enough: Callable[[list[Update]], bool],
    batches: TrainingBatches | None = None,
) -> Trial:
    """Train a new model until `is_enough`, which gets the updates so far.

    Args:
        batches: instead of those that a run of these settings would have.

    Raises:
        ConfigError, TrainingError: as for a run.
    """
    training = replace(
        settings.training,
        max_updates=None,
        max_epochs=None,
        max_minutes=None,
        patience=None,
        log_every=_NEVER,
        validate_every=_NEVER,
        checkpoint_every=_NEVER,
    )
    with TemporaryDirectory(prefix="nmt-doctor-") as folder:
        settings = replace(settings, training=training, run_dir=folder)
        files = run_files(settings, corpus, config_yaml="")
        trainer = build_trainer(settings, corpus, files, text_scores=None, samples=None, last=None)
        trainer.batches = batches or trainer.batches
        memory = MemoryAccount(trainer.model, trainer.optimizer, trainer.average, device=trainer.device)
        watch = _Watch(trainer, is_enough)
        trainer.stop_requested = watch
        with suppress(_EnoughError):
            trainer.run()
        return Trial(
            num_parameters=trainer.model.num_parameters(),
            device=str(trainer.device),
            precision=str(trainer.precision),
            updates=watch.updates,
            memory=memory.by_kind(),
        )


class _Watch:
    """Measures each update; the trainer calls it before the first one and after each."""

    def __init__(self, trainer: Trainer, is_enough: Callable[[list[Update]], bool]) -> None:
        self.updates: list[Update] = []
        self._trainer = trainer
        self._is_enough = is_enough
        self._before = Interval()
        self._clock = time.perf_counter()

    def __call__(self) -> bool:
        before, now = self._before, self._trainer.state.interval
        if now.updates > before.updates:
            nll, num_tgt = float(now.nll) - float(before.nll), now.tgt_tokens - before.tgt_tokens  # waits for a GPU
            if not math.isfinite(nll):  # the trainer checks it in each update only on a CPU
                raise TrainingError(f"the loss is not finite after {now.updates} updates: lower optimizer.lr")
            num_src = now.src_tokens - before.src_tokens
            self.updates.append(Update(time.perf_counter() - self._clock, num_src + num_tgt, nll / num_tgt))
        if self._is_enough(self.updates):
            raise _EnoughError
        self._before = replace(now)
        self._clock = time.perf_counter()
        return False
