"""The training loop.

An update is one optimizer step, over `training.accumulate` batches; an epoch is one pass over the corpus.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.choices import LossPer, TrainingPrecision
from nmt.config import OptimizerConfig, TrainingConfig
from nmt.corpus.batching import Batch, TrainingBatches
from nmt.device import describe_machine
from nmt.distributed import ALONE, Group
from nmt.errors import CheckpointError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.training.average import ParameterAverage
from nmt.training.checkpoint import Validation, read_info
from nmt.training.checkpoint_files import first_not_finite
from nmt.training.checkpoint_format import CheckpointInfo
from nmt.training.checkpoint_store import Best, CheckpointStore
from nmt.training.dev_set import TEXT_MEASURES, DevSet
from nmt.training.limits import EndReason, limit_reached, share_done
from nmt.training.loss import batch_loss, perplexity
from nmt.training.memory import MemoryAccount
from nmt.training.metrics_log import MetricsLog, NoMetrics, Record
from nmt.training.optimizer import build_optimizer, clip_gradients
from nmt.training.resume import read_snapshot
from nmt.training.samples import Sample
from nmt.training.saver import IdleSaver, RunFiles, Saver
from nmt.training.schedule import learning_rate, sampling_probability
from nmt.training.snapshot import copies, restore_optimizer, restore_random, take_snapshot
from nmt.training.train_state import Interval, TrainState

log = logging.getLogger(__name__)


class Hardware(NamedTuple):
    """What computes: a device with a precision, in one process or several."""

    device: torch.device
    precision: TrainingPrecision
    group: Group = ALONE


class Trainer:
    """Trains a model until the first of its limits.

    Attributes:
        stop_requested: called after every update; if it returns True, the run saves a checkpoint and ends.

    Several processes that train together call the same methods at the same time. Process 0 decides when the run ends,
    and writes.
    """

    def __init__(
        self,
        model: Seq2Seq,
        batches: TrainingBatches,
        *,
        dev: DevSet,
        training: TrainingConfig,
        optimizer: OptimizerConfig,
        hardware: Hardware,
        files: RunFiles,
    ) -> None:
        self.device, self.precision, self.group = hardware
        self.model = model.to(self.device)
        self.batches = batches
        self.dev = dev
        self.config = training
        self.optimizer_config = optimizer
        self.optimizer = build_optimizer(model.parameters(), optimizer)
        self.average = ParameterAverage(model, training.ema)
        self.files = files
        self.stop_requested: Callable[[], bool] = lambda: False
        self.state = TrainState(precision=self.precision, num_processes=self.group.size)
        self._store = CheckpointStore(files.checkpoints_dir, training)
        self._saver = Saver(self._store) if self.group.is_first else IdleSaver()
        self._scores: dict[str, float] = {}  # of the validation at this update, as its samples
        self._samples: Sequence[Sample] = ()
        self._clock = 0.0

    def run(self) -> EndReason:
        """Train, log, validate and save until a limit is reached or a stop is requested.

        Raises:
            TrainingError: if the loss is not finite; earlier checkpoints are unchanged.
            CheckpointError: if the last checkpoint could not be written.
        """
        self.group.gather(None)  # nobody writes before all have read the checkpoint
        metrics = self._open_metrics()
        memory = MemoryAccount(self.model, self.optimizer, self.average, device=self.device)
        processes = f", {self.group.size} processes" if self.group.size > 1 else ""
        self.state.add_machine(describe_machine(self.device) + processes)
        self._clock = time.perf_counter()
        self.model.train()
        try:
            self._settle(metrics)
            while (reason := self._end_reason()) is None:
                self._update()
                self._count_time(busy=True)
                if self.state.update % self.config.log_every == 0:
                    self._log(metrics)
                    memory.log_once()
                if self._validation_is_due():
                    self._save()
                    self._validate(metrics)
                elif self.state.update % self.config.checkpoint_every == 0:
                    self._save()
                self._count_time(busy=False)
            self._finish(metrics, reason)
            return reason
        finally:
            self._saver.close()
            metrics.close()

    def _update(self) -> None:
        """Take one optimizer step; the gradient is divided by the true count over all its batches."""
        lr = self._learning_rate()
        batches = [next(self.batches) for _ in range(self.config.accumulate)]
        divisor = sum(self._size(batch) for batch in batches)
        nll = torch.zeros((), dtype=torch.float64, device=self.device)
        for batch in batches:
            loss = batch_loss(
                self.model,
                batch.to(self.device),
                precision=self.precision,
                label_smoothing=self.config.label_smoothing,
                scale=1 / divisor,
                sampling=sampling_probability(self.config, update=self.state.update + 1),
            )
            loss.objective.backward()  # type: ignore[no-untyped-call]
            nll += loss.nll
        self.group.sum_gradients(self.model.parameters())
        nll = self.group.sum(nll)
        grad_norm = clip_gradients(self.model.parameters(), self.config.clip_norm)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        if self.device.type == "cpu":  # on a GPU the check would wait for the device; there it is done when logging
            self._check_finite(nll + grad_norm, self.state.update + 1)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.add(self.state.update + 1)
        self._count(batches, nll, grad_norm)

    def _size(self, batch: Batch) -> int:
        return batch.num_sentences if self.config.loss_per == LossPer.sentence else batch.num_tgt_tokens

    def _learning_rate(self) -> float:
        return learning_rate(
            self.optimizer_config,
            update=self.state.update + 1,
            epochs=self.batches.fractional_epochs(),
            plateau=self.state.plateau,
        )

    def _count(self, batches: list[Batch], nll: Tensor, grad_norm: Tensor) -> None:
        """Add an update to the training state."""
        self._scores, self._samples = {}, ()
        self.state.update += 1
        self.state.position = self.batches.position
        interval = self.state.interval
        interval.nll = interval.nll + nll
        interval.grad_norm = interval.grad_norm + grad_norm.double()
        interval.src_tokens += sum(batch.num_src_tokens for batch in batches)
        interval.tgt_tokens += sum(batch.num_tgt_tokens for batch in batches)
        interval.updates += 1

    def _count_time(self, *, busy: bool) -> None:
        now = time.perf_counter()
        self.state.wall_s += now - self._clock
        if busy:
            self.state.interval.busy_s += now - self._clock
        self._clock = now

    def _check_finite(self, value: Tensor | float, update: int, *, what: str = "the loss or its gradient") -> None:
        if not math.isfinite(float(value)):
            raise TrainingError(
                f"{what} is not finite at update {update}: continue from the last checkpoint with "
                "resume=true and a lower optimizer.lr, or start a new run_dir with a lower training.clip_norm"
            )

    def _end_reason(self) -> EndReason | None:
        """Return why training ends now, if it does: because any process is to stop, or of a limit of process 0."""
        reasons = self.group.gather(self._own_end_reason())
        return "stopped" if "stopped" in reasons else reasons[0]

    def _own_end_reason(self) -> EndReason | None:
        if self.stop_requested():
            return "stopped"
        return limit_reached(self.config, self.state, epochs=self.batches.fractional_epochs())

    def _log(self, metrics: MetricsLog | NoMetrics) -> None:
        state, interval = self.state, self.state.interval
        self._check_finite(interval.nll + interval.grad_norm, state.update)
        nats_per_token = float(interval.nll) / interval.tgt_tokens
        self._count_time(busy=True)  # reading the loss has waited for the device
        record: Record = {
            "kind": "train",
            "update": state.update,
            "epoch": self.batches.fractional_epochs(),
            "nats_per_token": nats_per_token,
            "perplexity": perplexity(nats_per_token),
            "lr": self.optimizer.param_groups[0]["lr"],
            "grad_norm": float(interval.grad_norm) / interval.updates,
            "src_tokens_per_s": interval.src_tokens / interval.busy_s,
            "tgt_tokens_per_s": interval.tgt_tokens / interval.busy_s,
            "wall_s": state.wall_s,
        }
        metrics.write(record)
        done = share_done(self.config, state, epochs=self.batches.fractional_epochs())
        metrics.show_progress(record, done=done, left_s=state.wall_s * (1 - done) / done if done else None)
        state.interval = Interval()

    # Validation

    def _validation_is_due(self) -> bool:
        return self.state.update > 0 and self.state.update % self.config.validate_every == 0

    def _validate(self, metrics: MetricsLog | NoMetrics) -> None:
        """Measure the model on the development set, for the checkpoint of this update, which is being written.

        An unscheduled validation, at the end of a run, changes neither the learning rate nor the patience.
        """
        state = self.state
        with self.average.in_model():
            self._scores = scores = self._measure()
        is_best = state.is_best(scores, self.config.best_by)
        if self._validation_is_due():
            state.count_validation(scores, self.config.best_by, self.optimizer_config.schedule)
        self._count_time(busy=False)
        head: Record = {"kind": "valid", "update": state.update, "epoch": self.batches.fractional_epochs()}
        metrics.write(head | scores | {"wall_s": state.wall_s})
        of_text = [f", {label} {scores[name]:.1f}" for name, label in TEXT_MEASURES.items() if name in scores]
        log.info(
            "validation at update %d: loss %.4f, perplexity %.2f%s%s",
            state.update,
            scores["nats_per_token"],
            scores["perplexity"],
            "".join(of_text),
            " (best so far)" if is_best else "",
        )
        validation = Validation(scores, state.wall_s, self._samples)
        self._saver.record_validation(state.update, validation, best=self._best())

    def _measure(self) -> dict[str, float]:
        """Return the loss on the development set; every `bleu_every` validations and at the end also scores of text."""
        self.model.eval()
        nats_per_token = self.dev.nats_per_token(
            self.model, device=self.device, precision=self.precision, group=self.group
        )
        self._check_finite(nats_per_token, self.state.update)
        scores = {"nats_per_token": nats_per_token, "perplexity": perplexity(nats_per_token)}
        nth_validation = self.state.update // self.config.validate_every
        is_scheduled = self._validation_is_due()
        is_due = not is_scheduled or nth_validation % (self.config.bleu_every or 1) == 0
        if self.dev.text_scores is not None and is_due:
            scores |= self.dev.text_scores(self.model)
        if self.dev.samples is not None:
            self._samples = self.dev.samples(self.model)
        self.model.train()
        return scores

    def _best(self) -> Best | None:
        state = self.state
        if state.best is None or state.best_update is None:
            return None
        return Best(state.best_update, state.best)

    # Checkpoints

    def _save(self) -> None:
        """Copy everything that a checkpoint needs to memory; it is written while training continues."""
        self._check_finite(self.state.interval.nll + self.state.interval.grad_norm, self.state.update)
        if not self.group.is_first:
            return
        self._saver.wait()  # before more memory is allocated
        with self.average.in_model() as of_training:
            parameters = copies(self.model.state_dict())
            snapshot = take_snapshot(
                self.model, self.optimizer, device=self.device, state=self.state.to_json(), parameters=of_training
            )
        if first_not_finite(parameters) is not None:  # which the next update would reveal
            self._check_finite(math.nan, self.state.update, what="a parameter")
        content = self.files.checkpoint(
            self.state.update,
            epochs=self.batches.fractional_epochs(),
            scores=self._scores,
            parameters=parameters,
            snapshot=snapshot,
            samples=self._samples,
        )
        self._saver.save(content, best=self._best())

    def _finish(self, metrics: MetricsLog | NoMetrics, reason: EndReason) -> None:
        """Save and validate what has not been saved and validated yet; after a stop, only save.

        Raises:
            CheckpointError: if the last checkpoint still cannot be written.
        """
        update = self.state.update
        if update == 0:
            return
        if self._saver.is_behind(update):
            self._save()
        if reason != "stopped" and not self._scores:
            self._validate(metrics)
            if self._saver.is_behind(update):
                self._save()
        self._saver.finish()

    # Resuming

    def resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint of this run, whose model must already be loaded.

        Raises:
            CheckpointError: if the checkpoint is missing, damaged, or was written by another version.
        """
        info = read_info(checkpoint)
        snapshot = read_snapshot(checkpoint, model=self.model, optimizer=self.optimizer_config, ema=self.config.ema)
        try:
            self.state = TrainState.from_json(snapshot.state)
            self.batches.go_to(self.state.position)
            self.average.restore(snapshot.parameters)
            restore_optimizer(self.optimizer, self.model, snapshot.optimizer)
            restore_random(snapshot.random, device=self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"cannot resume from {checkpoint / 'training'} ({type(error).__name__}: {error}): start a new "
                f"run_dir with training.init_from={checkpoint}"
            ) from error
        self._saver.written = self.state.update
        self._restore_scores(info)
        self._compare_precision()
        self._compare_processes()

    def _restore_scores(self, info: CheckpointInfo) -> None:
        """Restore the validation at this update, which a checkpoint stores outside the training state."""
        state = self.state
        self._scores = info.scores
        state.wall_s = max(state.wall_s, info.wall_s)
        if self._scores and self._validation_is_due() and state.scored_at != state.update:
            state.count_validation(self._scores, self.config.best_by, self.optimizer_config.schedule)
        if state.best is not None and state.best_update is None:  # a state of version 0.1.0
            state.best_update = self._store.update_of(state.best)

    def _compare_precision(self) -> None:
        if self.state.precision not in (None, self.precision):
            log.warning(
                "this run was trained in %s and continues in %s: it will not equal one that was never interrupted "
                "(training.precision=%s means %s on %s)",
                self.state.precision,
                self.precision,
                self.config.precision,
                self.precision,
                self.device,
            )
        self.state.precision = self.precision

    def _compare_processes(self) -> None:
        before, now = self.state.num_processes, self.group.size
        if before != now:
            log.warning(
                "this run was trained by %d process%s and continues with %d: it sees the same batches, but rounding "
                "differs",
                before,
                "es" if before > 1 else "",
                now,
            )
        self.state.num_processes = now

    def _open_metrics(self) -> MetricsLog | NoMetrics:
        if not self.group.is_first:
            return NoMetrics()
        # an unscheduled validation counts only if the run does not continue
        has_validated = bool(self._scores) and (self._validation_is_due() or self._own_end_reason() is not None)
        return MetricsLog(self.files.run_dir, from_update=self.state.update, with_validation=has_validated)

    def _settle(self, metrics: MetricsLog | NoMetrics) -> None:
        """Repair the links of a copied run; validate if the run was killed between a checkpoint and its validation."""
        self._saver.settle(self._best())
        if self._validation_is_due() and not self._scores and not any(self.group.gather(self.stop_requested())):
            self._validate(metrics)
