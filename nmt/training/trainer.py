"""The update loop.

An update is one optimizer step, over `accumulate` batches; an epoch is one pass over the corpus.
"""

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nmt.config import BatchingConfig, LossPer, OptimizerConfig, TrainingConfig
from nmt.corpus.batching import Batch, TrainingBatches, validation_batches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.device import Precision
from nmt.errors import CheckpointError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.training.checkpoint import CheckpointInfo, TrainingSnapshot, read_info
from nmt.training.checkpoint_files import first_not_finite
from nmt.training.checkpoint_store import Best, CheckpointStore
from nmt.training.loss import token_loss
from nmt.training.memory import MemoryAccount
from nmt.training.metrics_log import MetricsLog, Record
from nmt.training.optimizer import build_optimizer, clip_gradients, learning_rate
from nmt.training.resume import read_snapshot
from nmt.training.saver import RunFiles, Saver
from nmt.training.train_state import Interval, TrainState

logger = logging.getLogger(__name__)

EndReason = Literal["max_updates", "max_epochs", "max_minutes", "patience", "stopped"]


class Trainer:
    """Trains a model until the first of its limits.

    Args:
        dev_bleu: translates the development set with the model and returns BLEU; None where BLEU is not wanted.
        stop_requested: asked after every update; True saves and ends.
    """

    def __init__(
        self,
        model: Seq2Seq,
        batches: TrainingBatches,
        *,
        dev: BinarizedCorpus,
        dev_batching: BatchingConfig,
        training: TrainingConfig,
        optimizer: OptimizerConfig,
        precision: Precision,
        device: torch.device,
        files: RunFiles,
        dev_bleu: Callable[[Seq2Seq], float] | None,
        stop_requested: Callable[[], bool],
    ) -> None:
        self.model = model.to(device)
        self.batches = batches
        self.dev = dev
        self.dev_batching = dev_batching
        self.config = training
        self.optimizer_config = optimizer
        self.optimizer = build_optimizer(model.parameters(), optimizer)
        self.precision = precision
        self.device = device
        self.files = files
        self.dev_bleu = dev_bleu
        self.stop_requested = stop_requested
        self.state = TrainState(precision=precision)
        self._store = CheckpointStore(files.checkpoints_dir, training)
        self._saver = Saver(self._store, files)
        self._scores: dict[str, float] = {}  # of the validation at this update
        self._clock = 0.0

    def run(self) -> EndReason:
        """Train, validate, log and save until a limit is reached or a stop is requested.

        Raises:
            TrainingError: where the loss is not finite; the checkpoints written before stay as they are.
        """
        metrics = self._open_metrics()
        memory: MemoryAccount | None = MemoryAccount(self.model, self.optimizer, self.device)
        self._clock = time.perf_counter()
        self.model.train()
        try:
            self._settle(metrics)
            while (reason := self._limit_reached()) is None:
                self._update()
                self._count_time(busy=True)
                if self.state.update % self.config.log_every == 0:
                    self._log(metrics)
                    if memory is not None:  # once
                        logger.info("%s", memory.describe())
                        memory = None
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

    def resume(self, checkpoint: Path) -> None:
        """Go on where a checkpoint of this run was written; the model must hold its parameters already.

        Raises:
            CheckpointError: where the checkpoint is missing, damaged, or was written by another version.
        """
        info = read_info(checkpoint)
        snapshot = read_snapshot(checkpoint, model=self.model, optimizer=self.optimizer_config)
        try:
            self.state = TrainState.from_json(snapshot.state)
            self.batches.go_to(self.state.position)
            self._restore_optimizer(snapshot.optimizer)
            torch.set_rng_state(snapshot.random["cpu"])
            if self.device.type == "cuda" and "cuda" in snapshot.random:
                torch.cuda.set_rng_state(snapshot.random["cuda"], self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{checkpoint / 'training'} cannot be resumed from ({type(error).__name__}: {error}): start a new "
                f"run_dir with training.init_from={checkpoint}"
            ) from error
        self._saver.written = self.state.update
        self._restore_scores(info)
        self._compare_precision()

    def _restore_scores(self, info: CheckpointInfo) -> None:
        """Take in the validation at this update, which a checkpoint keeps beside the state that it was written with."""
        state = self.state
        self._scores = info.scores
        state.wall_s = max(state.wall_s, info.wall_s)
        if self._scores and self._validation_is_due() and state.scored_at != state.update:
            state.take_in(self._scores, self.config.best_by, self.optimizer_config.schedule)
        if state.best is not None and state.best_update is None:  # a state of version 0.1.0
            state.best_update = self._store.update_of(state.best)

    def _compare_precision(self) -> None:
        if self.state.precision not in (None, self.precision):
            logger.warning(
                "this run was trained in %s and goes on in %s: it will not equal one that was never interrupted "
                "(training.precision=%s comes to %s on %s)",
                self.state.precision,
                self.precision,
                self.config.precision,
                self.precision,
                self.device,
            )
        self.state.precision = self.precision

    def _open_metrics(self) -> MetricsLog:
        # a validation that was not scheduled counts only if the run does not go on
        has_validated = bool(self._scores) and (self._validation_is_due() or self._limit_reached() is not None)
        return MetricsLog(self.files.run_dir, from_update=self.state.update, with_validation=has_validated)

    def _settle(self, metrics: MetricsLog) -> None:
        """Bring in order what a copy, or a kill between a checkpoint and its validation, has left."""
        self._saver.settle(self._best())
        if self._validation_is_due() and not self._scores and not self.stop_requested():
            self._validate(metrics)

    def _validation_is_due(self) -> bool:
        return self.state.update > 0 and self.state.update % self.config.validate_every == 0

    def _limit_reached(self) -> EndReason | None:
        config, state = self.config, self.state
        if self.stop_requested():
            return "stopped"
        if config.max_updates is not None and state.update >= config.max_updates:
            return "max_updates"
        if config.max_epochs is not None and self.batches.fractional_epochs() >= config.max_epochs:
            return "max_epochs"
        if config.max_minutes is not None and state.wall_s >= 60 * config.max_minutes:
            return "max_minutes"
        if config.patience is not None and state.num_bad_validations >= config.patience:
            return "patience"
        return None

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _update(self) -> None:
        """Take one optimizer step; the gradient is divided by the true count over all its batches."""
        state = self.state
        lr = self._learning_rate()
        batches = [next(self.batches) for _ in range(self.config.accumulate)]
        per_sentence = self.config.loss_per == LossPer.sentence
        divisor = sum(batch.num_sentences if per_sentence else batch.num_tgt_tokens for batch in batches)
        nll = self._backward(batches, scale=1 / divisor)
        grad_norm = clip_gradients(self.model.parameters(), self.config.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.device.type == "cpu":  # on a GPU the look would wait for the device; there it comes with the log
            self._check_finite(nll + grad_norm, state.update + 1)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._scores = {}
        state.update += 1
        state.position = self.batches.position
        interval = state.interval
        interval.nll = interval.nll + nll
        interval.grad_norm = interval.grad_norm + grad_norm.double()
        interval.src_tokens += sum(int(batch.src_len_B.sum()) for batch in batches)
        interval.tgt_tokens += sum(batch.num_tgt_tokens for batch in batches)
        interval.updates += 1

    def _backward(self, batches: list[Batch], *, scale: float) -> Tensor:
        nll = torch.zeros((), dtype=torch.float64, device=self.device)
        for batch in batches:
            batch = batch.to(self.device)
            with self._autocast():
                loss = token_loss(
                    self.model(batch),
                    self.model.decoder.output,
                    batch.tgt_token_M,
                    label_smoothing=self.config.label_smoothing,
                    scale=scale,
                )
            loss.objective.backward()  # type: ignore[no-untyped-call]
            nll += loss.nll
        return nll

    def _learning_rate(self) -> float:
        return learning_rate(
            self.optimizer_config,
            update=self.state.update + 1,
            epochs=self.batches.fractional_epochs(),
            plateau=self.state.plateau,
        )

    def _check_finite(self, value: Tensor | float, update: int, *, what: str = "the loss or its gradient") -> None:
        if not math.isfinite(float(value)):
            raise TrainingError(
                f"{what} is not finite at update {update}: go on from the last checkpoint with "
                "resume=true and a lower optimizer.lr, or start a new run_dir with a lower training.clip_norm"
            )

    def _count_time(self, *, busy: bool) -> None:
        now = time.perf_counter()
        self.state.wall_s += now - self._clock
        if busy:
            self.state.interval.busy_s += now - self._clock
        self._clock = now

    def _log(self, metrics: MetricsLog) -> None:
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
        done = self._share_done()
        metrics.show_progress(record, done=done, left_s=state.wall_s * (1 - done) / done if done else None)
        state.interval = Interval()

    def _share_done(self) -> float:
        config, state = self.config, self.state
        shares = [0.0]
        if config.max_updates:
            shares.append(state.update / config.max_updates)
        if config.max_epochs:
            shares.append(self.batches.fractional_epochs() / config.max_epochs)
        if config.max_minutes:
            shares.append(state.wall_s / (60 * config.max_minutes))
        return min(1.0, max(shares))

    @torch.no_grad()
    def _dev_nats_per_token(self) -> float:
        nll, num_tokens = 0.0, 0
        for batch in validation_batches(self.dev, self.dev_batching):
            batch = batch.to(self.device)
            with self._autocast():
                loss = token_loss(
                    self.model(batch), self.model.decoder.output, batch.tgt_token_M, label_smoothing=0.0, scale=1.0
                )
            nll += float(loss.nll)
            num_tokens += batch.num_tgt_tokens
        return nll / num_tokens

    def _validate(self, metrics: MetricsLog) -> None:
        """Measure the development set, for the checkpoint of this update, which is being written.

        One that is not scheduled, at the end of a run, moves neither schedules nor patience.
        """
        state = self.state
        self._scores = scores = self._measure()
        is_best = state.is_best(scores, self.config.best_by)
        if self._validation_is_due():
            state.take_in(scores, self.config.best_by, self.optimizer_config.schedule)
        self._count_time(busy=False)
        head: Record = {"kind": "valid", "update": state.update, "epoch": self.batches.fractional_epochs()}
        metrics.write(head | scores | {"wall_s": state.wall_s})
        bleu = f", BLEU {scores['bleu']:.1f}" if "bleu" in scores else ""
        logger.info(
            "validation at update %d: loss %.4f, perplexity %.2f%s%s",
            state.update,
            scores["nats_per_token"],
            scores["perplexity"],
            bleu,
            " (best so far)" if is_best else "",
        )
        self._saver.record_scores(state.update, scores, wall_s=state.wall_s, best=self._best())

    def _measure(self) -> dict[str, float]:
        """Return the loss on the development set, and BLEU every so many validations and at the end."""
        self.model.eval()
        nats_per_token = self._dev_nats_per_token()
        self._check_finite(nats_per_token, self.state.update)
        scores = {"nats_per_token": nats_per_token, "perplexity": perplexity(nats_per_token)}
        nth_validation = self.state.update // self.config.validate_every
        is_scheduled = self._validation_is_due()
        if self.dev_bleu is not None and (not is_scheduled or nth_validation % (self.config.bleu_every or 1) == 0):
            scores["bleu"] = self.dev_bleu(self.model)
        self.model.train()
        return scores

    def _finish(self, metrics: MetricsLog, reason: EndReason) -> None:
        """Save and validate what is not saved and validated yet; a stop only saves.

        Raises:
            CheckpointError: the disk still refuses the last checkpoint.
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

    def _save(self) -> None:
        """Copy all that a checkpoint needs to memory, to be written while training goes on."""
        self._check_finite(self.state.interval.nll + self.state.interval.grad_norm, self.state.update)
        self._saver.wait()  # before more memory is taken
        info = CheckpointInfo(
            update=self.state.update,
            epochs=self.batches.fractional_epochs(),
            corpus_fingerprint=self.files.corpus_fingerprint,
            src_subword_fingerprint=self.files.src_subword.fingerprint,
            tgt_subword_fingerprint=self.files.tgt_subword.fingerprint,
            scores=self._scores,
        )
        parameters = {name: _copy(tensor) for name, tensor in self.model.state_dict().items()}
        if first_not_finite(parameters) is not None:  # which the next update would find out
            self._check_finite(math.nan, self.state.update, what="a parameter")
        self._saver.save(info, parameters=parameters, snapshot=self._snapshot(), best=self._best())

    def _best(self) -> Best | None:
        state = self.state
        if state.best is None or state.best_update is None:
            return None
        return Best(state.best_update, state.best)

    def _snapshot(self) -> TrainingSnapshot:
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        optimizer = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                optimizer[f"{name}/{key}"] = _copy(value)
        return TrainingSnapshot(optimizer, random, self.state.to_json())

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        saved = self.optimizer.state_dict()
        for index, (name, _) in enumerate(self.model.named_parameters()):
            prefix = f"{name}/"
            entries = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if entries:
                saved["state"][index] = entries
        self.optimizer.load_state_dict(saved)


def perplexity(nats_per_token: float) -> float:
    """exp of the loss in nats per token; infinite where that is too large for a float."""
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
