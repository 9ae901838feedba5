"""The training loop: a resumed run equals the uninterrupted one, limits hold, and models learn."""

import errno
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.choices import BatchUnit, BestBy, LossPer, OptimizerKind, SamplingSchedule, ScheduleKind, TrainingPrecision
from nmt.config import BatchingConfig, ModelConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from nmt.corpus.batching import Batch, TrainingBatches, collate, pad_source
from nmt.corpus.binarized import BinarizedCorpus
from nmt.errors import CheckpointError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import BOS_ID, EOS_ID
from nmt.training import checkpoint_store
from nmt.training import optimizer as optimizer_module
from nmt.training import trainer as trainer_module
from nmt.training.checkpoint import (
    CheckpointContent,
    load_checkpoint,
    load_samples,
    load_snapshot,
    save_checkpoint,
)
from nmt.training.dev_set import DevSet, Scores
from nmt.training.limits import EndReason
from nmt.training.loss import perplexity
from nmt.training.samples import Sample
from nmt.training.saver import RunFiles
from nmt.training.schedule import PlateauState
from nmt.training.train_state import TrainState
from nmt.training.trainer import Hardware, Trainer
from tests.checkpoints import edit_json, rehash
from tests.hardware import needs_bf16
from tests.models import MODEL, Pair, corpus_of, random_pairs, tiny_model, tiny_subword

pytestmark = pytest.mark.usefixtures("no_fsync")

CPU = torch.device("cpu")
SUBWORD = tiny_subword()
DROPPING = replace(MODEL, dropout=0.3)
BATCHING = BatchingConfig(unit=BatchUnit.sentences, size=3, min_sentences=1)
TRAIN = corpus_of(random_pairs(23, max_len=5))
DEV = corpus_of(random_pairs(7, max_len=5, seed=2))
TRAINING = TrainingConfig(
    max_updates=12,
    max_epochs=None,
    max_minutes=None,
    patience=None,
    loss_per=LossPer.token,
    label_smoothing=0.1,
    clip_norm=5.0,
    accumulate=1,
    precision=TrainingPrecision.fp32,
    log_every=3,
    validate_every=4,
    bleu_every=1,
    bleu_sentences=None,
    best_by=BestBy.nats_per_token,
    checkpoint_every=5,
    keep_last=1,
    init_from=None,
)
ADAM = OptimizerConfig(
    kind=OptimizerKind.adam,
    lr=0.02,
    momentum=0.0,
    beta1=0.9,
    beta2=0.99,
    eps=1e-8,
    weight_decay=0.0,
    schedule=ScheduleConfig(
        kind=ScheduleKind.plateau,
        halve_from_epoch=1.0,
        halve_every_epochs=0.5,
        warmup_updates=0,
        plateau_factor=0.5,
        plateau_patience=1,
    ),
)
SGD = replace(ADAM, kind=OptimizerKind.sgd, lr=0.5)


def model_of(config: ModelConfig, *, seed: int = 1) -> Seq2Seq:
    size = SUBWORD.vocab_size
    return tiny_model(config, seed=seed, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32)


def build(
    run_dir: Path,
    *,
    model: Seq2Seq | None = None,
    batches: TrainingBatches | None = None,
    dev: BinarizedCorpus = DEV,
    training: TrainingConfig = TRAINING,
    optimizer: OptimizerConfig = ADAM,
    text_scores: Callable[[Seq2Seq], Scores] | None = None,
    seed: int = 1,
) -> Trainer:
    run_dir.mkdir(exist_ok=True)
    model = model or model_of(DROPPING, seed=seed)
    torch.manual_seed(seed)  # as for a real run: dropout uses the global generator
    return Trainer(
        model,
        batches or TrainingBatches(TRAIN, BATCHING, seed=1),
        dev=DevSet(dev, BATCHING, text_scores),
        training=training,
        optimizer=optimizer,
        hardware=Hardware(CPU, TrainingPrecision.fp32),
        files=RunFiles(run_dir, json.dumps({"model": asdict(model.config)}), "c0ffee", SUBWORD, SUBWORD),
    )


def build_resumed(run_dir: Path, **settings: Any) -> Trainer:
    """Resume from `last` as another process would: with other parameters and random numbers until they are read."""
    trainer = build(run_dir, seed=99, **settings)
    checkpoint = load_checkpoint(run_dir / "checkpoints" / "last")
    trainer.model.load_state_dict(checkpoint.model.state_dict())
    trainer.resume(checkpoint.path)
    return trainer


def stop_at(trainer: Trainer, update: int) -> Trainer:
    trainer.stop_requested = lambda: trainer.state.update >= update
    return trainer


def records_of(run_dir: Path, *, with_clock: bool = False) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if with_clock or not (name == "wall_s" or name.endswith("_per_s"))
        }
        for line in lines
    ]


def state_of(trainer: Trainer) -> dict[str, Any]:
    values = trainer.state.to_json()
    del values["wall_s"], values["interval"]["busy_s"]
    return values


def assert_same_parameters(one: Seq2Seq, other: Seq2Seq) -> None:
    for (name, tensor), expected in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, expected), name


def assert_same_run(one: Trainer, other: Trainer) -> None:
    """Compare everything except times, bit by bit."""
    assert_same_parameters(one.model, other.model)
    states = [trainer.optimizer.state_dict()["state"] for trainer in (one, other)]
    assert states[0].keys() == states[1].keys()
    with one.average.in_model(), other.average.in_model():
        assert_same_parameters(one.model, other.model)
    for index, values in states[0].items():
        assert values.keys() == states[1][index].keys()
        assert all(torch.equal(value, states[1][index][key]) for key, value in values.items())
    assert state_of(one) == state_of(other)
    assert records_of(one.files.run_dir) == records_of(other.files.run_dir)


def checkpoints_of(trainer: Trainer) -> dict[str, int]:
    """Return the updates of all checkpoints, and of those that links point to by the name of the link."""
    directory = trainer.files.checkpoints_dir
    return {path.name: load_checkpoint(path).info.update for path in sorted(directory.iterdir())}


# Resuming


ACCUMULATING = replace(TRAINING, accumulate=2)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Train twelve updates of two batches each, with dropout, over several epochs."""
    trainer = build(tmp_path_factory.mktemp("whole"), training=ACCUMULATING)
    assert trainer.run() == "max_updates"
    assert trainer.state.position.epoch >= 2
    return trainer


# mid-epoch all but 4; with a log at 3, a validation at 4, a checkpoint at 5; 7 in the middle of a line of the log
@pytest.mark.parametrize("cut", [3, 4, 5, 7])
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(tmp_path: Path, cut: int, uninterrupted: Trainer) -> None:
    assert stop_at(build(tmp_path, training=ACCUMULATING), cut).run() == "stopped"
    resumed = build_resumed(tmp_path, training=ACCUMULATING)
    assert resumed.state.update == cut
    assert resumed.run() == "max_updates"
    assert_same_run(resumed, uninterrupted)


def test_scheduled_sampling_falls_with_the_updates_and_resumes(tmp_path: Path, uninterrupted: Trainer) -> None:
    training = replace(ACCUMULATING, scheduled_sampling=SamplingSchedule.linear, sampling_slope=0.1)
    whole = build(tmp_path / "whole", training=training)
    whole.run()
    assert stop_at(build(tmp_path / "cut", training=training), 7).run() == "stopped"
    resumed = build_resumed(tmp_path / "cut", training=training)
    resumed.run()
    assert_same_run(resumed, whole)
    assert records_of(whole.files.run_dir) != records_of(uninterrupted.files.run_dir)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD,
        replace(SGD, momentum=0.9, schedule=replace(ADAM.schedule, kind=ScheduleKind.halving)),
        replace(
            ADAM,
            kind=OptimizerKind.adamw,
            weight_decay=0.1,
            schedule=replace(ADAM.schedule, kind=ScheduleKind.inverse_sqrt, warmup_updates=6),
        ),
        replace(ADAM, kind=OptimizerKind.rmsprop, lr=0.001, momentum=0.9),
        replace(ADAM, kind=OptimizerKind.adadelta, lr=1.0, beta2=0.95, eps=1e-6),
        replace(ADAM, kind=OptimizerKind.adagrad, lr=0.1),
        replace(ADAM, weight_decay=0.1, decay_biases=False),
    ],
    ids=["sgd", "momentum, halving", "adamw, warm-up", "rmsprop", "adadelta", "adagrad", "decay without biases"],
)
def test_every_optimizer_and_schedule_resumes(tmp_path: Path, optimizer: OptimizerConfig) -> None:
    # five updates an epoch
    batches = [TrainingBatches(TRAIN, replace(BATCHING, size=100), seed=1) for _ in range(3)]
    training = replace(TRAINING, max_updates=7, validate_every=2, checkpoint_every=100)
    uninterrupted = build(tmp_path / "whole", training=training, optimizer=optimizer, batches=batches[0])
    uninterrupted.run()
    stop_at(build(tmp_path / "cut", training=training, optimizer=optimizer, batches=batches[1]), 5).run()
    resumed = build_resumed(tmp_path / "cut", training=training, optimizer=optimizer, batches=batches[2])
    resumed.run()
    assert_same_run(resumed, uninterrupted)


@pytest.mark.parametrize("optimizer", [ADAM, replace(ADAM, kind=OptimizerKind.adagrad)], ids=["adam", "adagrad"])
def test_a_run_with_frozen_parameters_resumes(tmp_path: Path, optimizer: OptimizerConfig) -> None:
    def frozen() -> Seq2Seq:
        model = model_of(DROPPING)
        model.encoder.embedding.weight.requires_grad_(False)
        return model

    training = replace(TRAINING, max_updates=7, ema=0.9)
    uninterrupted = build(tmp_path / "whole", training=training, optimizer=optimizer, model=frozen())
    uninterrupted.run()
    assert torch.equal(uninterrupted.model.encoder.embedding.weight, frozen().encoder.embedding.weight)
    stop_at(build(tmp_path / "cut", training=training, optimizer=optimizer, model=frozen()), 5).run()
    resumed = build_resumed(tmp_path / "cut", training=training, optimizer=optimizer, model=frozen())
    resumed.run()
    assert_same_run(resumed, uninterrupted)


def test_a_run_may_be_interrupted_many_times(tmp_path: Path, uninterrupted: Trainer) -> None:
    stop_at(build(tmp_path, training=ACCUMULATING), 1).run()
    for cut in (2, 6, 8):
        stop_at(build_resumed(tmp_path, training=ACCUMULATING), cut).run()
    resumed = build_resumed(tmp_path, training=ACCUMULATING)
    resumed.run()
    assert_same_run(resumed, uninterrupted)


@pytest.mark.parametrize("num_batches", [11, 12, 17], ids=["mid-accumulation", "between updates", "later"])
def test_a_killed_and_resumed_run_is_the_uninterrupted_one(
    tmp_path: Path, num_batches: int, uninterrupted: Trainer
) -> None:
    killed = build(tmp_path, training=ACCUMULATING)
    num_seen = 0

    def kill(*_args: object) -> None:
        nonlocal num_seen
        num_seen += killed.model.training
        if num_seen > num_batches:
            raise KeyboardInterrupt

    killed.model.register_forward_pre_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert killed.state.update == num_batches // 2
    resumed = build_resumed(tmp_path, training=ACCUMULATING)
    assert resumed.state.update == {11: 5, 12: 5, 17: 8}[num_batches]
    resumed.run()
    assert_same_run(resumed, uninterrupted)


def test_records_after_the_resumed_update_are_removed(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, log_every=1, validate_every=100))

    def kill_at_9() -> bool:
        if trainer.state.update == 9:
            raise KeyboardInterrupt
        return False

    trainer.stop_requested = kill_at_9
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert [record["update"] for record in records_of(tmp_path)] == list(range(1, 10))
    resumed = build_resumed(tmp_path, training=replace(TRAINING, max_updates=7, log_every=1, validate_every=100))
    assert resumed.state.update == 5
    resumed.run()
    records = [(record["kind"], record["update"]) for record in records_of(tmp_path)]
    assert records == [*(("train", update) for update in range(1, 8)), ("valid", 7)]


def test_a_finished_run_may_be_given_a_higher_limit(tmp_path: Path) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=8)).run()
    uninterrupted = build(tmp_path / "whole")
    uninterrupted.run()
    resumed = build_resumed(tmp_path)
    resumed.run()
    assert_same_run(resumed, uninterrupted)  # the end at 8 was at a scheduled validation


def scripted_losses(trainer: Trainer, losses: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Make validations return these losses, by update."""
    monkeypatch.setattr(trainer.dev, "nats_per_token", lambda _model, **_: losses[trainer.state.update])
    return trainer


@pytest.mark.parametrize("limit", ["stop", "max_updates"])
def test_the_last_validation_counts_when_a_run_resumes(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {4: 1.0, 8: 2.0, 12: 3.0}  # the first is the best
    training = replace(TRAINING, patience=3)
    whole = scripted_losses(build(tmp_path / "whole", training=training), losses, monkeypatch)
    whole.run()
    cut = build(tmp_path / "cut", training=replace(training, max_updates=12 if limit == "stop" else 4))
    scripted_losses(stop_at(cut, 4) if limit == "stop" else cut, losses, monkeypatch).run()
    resumed = scripted_losses(build_resumed(tmp_path / "cut", training=training), losses, monkeypatch)
    resumed.run()
    assert (resumed.state.best, resumed.state.num_bad_validations) == (1.0, 2)
    assert_same_run(resumed, whole)
    assert checkpoints_of(resumed) == checkpoints_of(whole)


def test_lost_links_are_restored_even_without_an_update(tmp_path: Path) -> None:
    ended = build(tmp_path, training=replace(TRAINING, max_updates=8))
    ended.run()
    before = checkpoints_of(ended)
    for name in ("best", "last"):
        (tmp_path / "checkpoints" / name).unlink()
    resumed = build(tmp_path, training=replace(TRAINING, max_updates=8))
    resumed.resume(tmp_path / "checkpoints" / "update_000008")
    resumed.run()
    assert checkpoints_of(resumed) == before


def test_an_unscheduled_validation_does_not_count_when_a_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {4: 2.0, 6: 1.0, 8: 1.5, 12: 1.6, 16: 1.7, 20: 1.2}  # 6 is best, and not scheduled
    training = replace(TRAINING, max_updates=20, patience=2)
    whole = scripted_losses(build(tmp_path / "whole", training=training), losses, monkeypatch)
    assert whole.run() == "patience"
    assert whole.state.update == 16
    ended = build(tmp_path / "cut", training=replace(training, max_updates=6))
    scripted_losses(ended, losses, monkeypatch).run()
    assert checkpoints_of(ended) == {"best": 6, "last": 6, "update_000004": 4, "update_000006": 6}
    assert (ended.state.best, ended.state.best_update) == (2.0, 4)
    assert ended.state.plateau == PlateauState(best=2.0)
    resumed = scripted_losses(build_resumed(tmp_path / "cut", training=training), losses, monkeypatch)
    assert resumed.run() == "patience"
    assert_same_run(resumed, whole)
    assert checkpoints_of(resumed) == checkpoints_of(whole)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=7)).run()

    def contents() -> dict[str, bytes]:
        files = [*(tmp_path / "checkpoints").rglob("*"), tmp_path / "metrics.jsonl"]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    before = contents()
    assert build_resumed(tmp_path, training=replace(TRAINING, max_updates=7)).run() == "max_updates"
    assert contents() == before


def test_a_training_state_with_other_fields_is_refused(tmp_path: Path) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=5)).run()
    file = tmp_path / "checkpoints" / "last" / "training" / "state.json"
    edit_json(file, lambda values: values.update(moon="full"))
    rehash(file.parents[1])
    with pytest.raises(
        CheckpointError, match=r"cannot resume from \S+/training \(PlainError: moon is not known\): start a new r"
    ):
        build_resumed(tmp_path)


def test_the_train_state_survives_json() -> None:
    state = TrainState(update=3, best=1.5, scores={"nats_per_token": 1 / 3}, scored_at=3, wall_s=0.1)
    state.position.pairs, state.plateau.num_reductions = 5, 2
    assert TrainState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_plateau_of_a_state_of_version_0_1_0_is_read() -> None:
    def read(plateau: str) -> PlateauState:
        state = json.loads(json.dumps(TrainState().to_json()))
        return TrainState.from_json(state | {"plateau": json.loads(plateau)}).plateau

    state = '{"num_reductions": 2, "best_nats_per_token": 1.5, "num_bad_validations": 1}'
    assert read(state) == PlateauState(2, 1.5, 1, BestBy.nats_per_token)
    before_the_first = read('{"num_reductions": 0, "best_nats_per_token": Infinity, "num_bad_validations": 0}')
    before_the_first.observe({"nats_per_token": 9.0}, ADAM.schedule)
    assert before_the_first == PlateauState(best=9.0)


def digest(model: Seq2Seq) -> Scores:
    """Replace BLEU by a number that depends on all parameters."""
    return {"bleu": sum(float(parameter.detach().double().sum()) for parameter in model.parameters())}


def sampled(model: Seq2Seq) -> list[Sample]:
    """Replace sample translations by one that depends on all parameters."""
    return [Sample("a", "b", [4], digest(model)["bleu"], finished=True)]


BY_DIGEST = replace(TRAINING, max_updates=10, best_by=BestBy.bleu, patience=3)


@pytest.fixture(scope="module")
def by_digest(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Train ten updates, with validations at 4, 8 and 10, which is not scheduled, and checkpoints at 5 and 10."""
    trainer = build(tmp_path_factory.mktemp("digest"), training=BY_DIGEST, text_scores=digest)
    trainer.dev.samples = sampled
    trainer.run()
    return trainer


@pytest.mark.parametrize("update", [4, 8, 10])
@pytest.mark.parametrize("stage", ["while text is scored", "before the record", "before the scores are saved"])
def test_a_run_killed_at_a_validation_resumes_like_the_uninterrupted(
    tmp_path: Path, update: int, stage: str, by_digest: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = build(tmp_path, training=BY_DIGEST, text_scores=digest)
    killed.dev.samples = sampled

    def killing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if killed.state.update == update:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        if stage == "while text is scored":
            killed.dev.text_scores = killing(digest)
        elif stage == "before the record":
            patch.setattr("nmt.training.trainer.perplexity", killing(perplexity))
        else:
            patch.setattr(killed._saver, "record_validation", killing(killed._saver.record_validation))
        with pytest.raises(KeyboardInterrupt):
            killed.run()
    resumed = build_resumed(tmp_path, training=BY_DIGEST, text_scores=digest)
    resumed.dev.samples = sampled
    assert resumed.state.update == update
    resumed.run()
    assert_same_run(resumed, by_digest)
    assert checkpoints_of(resumed) == checkpoints_of(by_digest)
    scores = [load_checkpoint(t.files.checkpoints_dir / "best").info.scores for t in (resumed, by_digest)]
    assert scores[0] == scores[1] != {}
    samples = [load_samples(t.files.checkpoints_dir / "best") for t in (resumed, by_digest)]
    assert samples[0] == samples[1] != []


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_every_validated_checkpoint_holds_samples_of_its_own_model(tmp_path: Path, ema: float) -> None:
    training = replace(BY_DIGEST, max_updates=10, bleu_every=None, best_by=BestBy.nats_per_token, ema=ema, keep_last=9)
    trainer = build(tmp_path, training=training)
    trainer.dev.samples = sampled
    trainer.run()
    for path in sorted(trainer.files.checkpoints_dir.glob("update_*")):
        is_validated = path.name != "update_000005"
        assert load_samples(path) == (sampled(load_checkpoint(path).model) if is_validated else [])


def test_a_checkpoint_that_is_written_again_keeps_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a run, what could not be written is written again."""
    trainer = build(tmp_path, training=replace(BY_DIGEST, max_updates=4))
    trainer.dev.samples = sampled
    with monkeypatch.context() as patch:
        failing_saves(patch, of="record_validation")
        trainer.run()
    assert load_samples(tmp_path / "checkpoints" / "last") == sampled(trainer.model)


def test_the_machines_that_trained_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, update in (("A, 1 thread", 2), ("B, 2 threads", 4), ("A, 1 thread", 6)):
        monkeypatch.setattr(trainer_module, "describe_machine", lambda _device, name=name: name)
        trainer = build(tmp_path) if update == 2 else build_resumed(tmp_path)
        stop_at(trainer, update).run()
    assert load_snapshot(tmp_path / "checkpoints" / "last").state["machines"] == ["A, 1 thread", "B, 2 threads"]


def test_a_validation_missed_by_a_stop_is_made_up_for_on_resuming(tmp_path: Path) -> None:
    killed = build(tmp_path, training=BY_DIGEST)
    killed.dev.text_scores = scripted([])
    with pytest.raises(StopIteration):
        killed.run()
    resumed = stop_at(build_resumed(tmp_path, training=BY_DIGEST, text_scores=digest), 0)
    assert resumed.run() == "stopped"
    assert load_checkpoint(tmp_path / "checkpoints" / "last").info.scores == {}


def test_the_time_of_a_validation_counts_when_a_run_resumes(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=4))
    trainer.run()
    wall_s = records_of(tmp_path, with_clock=True)[-1]["wall_s"]
    assert load_snapshot(tmp_path / "checkpoints" / "last").state["wall_s"] < wall_s
    assert build_resumed(tmp_path).state.wall_s == wall_s


def as_of_version_0_1_0(checkpoint: Path) -> None:
    """Rewrite a checkpoint's state as version 0.1.0 did: after any validation, and without the new fields."""
    file = checkpoint / "training" / "state.json"
    state = json.loads(file.read_text())
    info = load_checkpoint(checkpoint).info
    state |= {"scores": info.scores, "scored_at": info.update, "best": info.scores["nats_per_token"]}
    state["num_bad_validations"] = 0
    del state["best_update"], state["precision"]
    file.write_text(json.dumps(state))
    rehash(checkpoint)


def test_a_run_of_version_0_1_0_keeps_its_best_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {4: 2.0, 6: 1.0, 8: 1.5, 9: 1.5}
    scripted_losses(build(tmp_path, training=replace(TRAINING, max_updates=6)), losses, monkeypatch).run()
    as_of_version_0_1_0(tmp_path / "checkpoints" / "update_000006")
    resumed = build_resumed(tmp_path, training=replace(TRAINING, max_updates=9))
    assert (resumed.state.best, resumed.state.best_update) == (1.0, 6)
    scripted_losses(resumed, losses, monkeypatch).run()
    assert checkpoints_of(resumed) == {"best": 6, "last": 9, "update_000006": 6, "update_000009": 9}
    assert resumed.state.num_bad_validations == 1


def test_a_validation_of_version_0_1_0_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = build(tmp_path, training=replace(TRAINING, max_updates=8))
    scripted_losses(ended, {4: 1.0, 8: 1.0}, monkeypatch).run()
    as_of_version_0_1_0(tmp_path / "checkpoints" / "update_000008")
    resumed = build_resumed(tmp_path)
    assert (resumed.state.num_bad_validations, resumed.state.best_update) == (0, 4)


def test_the_precision_is_saved_and_a_change_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = replace(TRAINING, max_updates=2, precision=TrainingPrecision.auto)
    build(tmp_path, training=training).run()
    assert load_snapshot(tmp_path / "checkpoints" / "last").state["precision"] == "fp32"
    caplog.set_level(logging.WARNING, "nmt")
    caplog.clear()
    build_resumed(tmp_path, training=training)
    assert caplog.messages == []
    state = tmp_path / "checkpoints" / "last" / "training" / "state.json"
    edit_json(state, lambda values: values.update(precision="bf16"))
    rehash(tmp_path / "checkpoints" / "last")
    resumed = build_resumed(tmp_path, training=training)
    [message] = caplog.messages
    assert message.startswith(
        "this run was trained in bf16 and continues in fp32: it will not equal one that was never"
    )
    assert resumed.state.precision == "fp32"


# The moving average of the parameters


EMA = replace(BY_DIGEST, ema=0.9)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Train ten updates as `by_digest`."""
    trainer = build(tmp_path_factory.mktemp("averaged"), training=EMA, text_scores=digest)
    trainer.run()
    return trainer


def test_training_continues_from_its_own_parameters(tmp_path: Path) -> None:
    constant = replace(ADAM, schedule=replace(ADAM.schedule, kind=ScheduleKind.constant))
    models = []
    for ema in (0.0, 0.9):
        trainer = build(tmp_path / str(ema), training=replace(TRAINING, ema=ema), optimizer=constant)
        trainer.run()
        models.append(trainer.model)
    assert_same_parameters(*models)


def test_a_checkpoint_holds_the_average_of_the_updates_and_the_last_parameters(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=4, ema=0.2))
    averages: list[Tensor] = []

    def add() -> bool:
        if trainer.state.update:
            parameters = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).double()
            decay = min(0.2, (trainer.state.update - 1) / (trainer.state.update + 8))
            averages.append(decay * averages[-1] + (1 - decay) * parameters if averages else parameters)
        return False

    trainer.stop_requested = add
    trainer.run()
    checkpoint = tmp_path / "checkpoints" / "last"
    saved = torch.cat([p.detach().flatten() for p in load_checkpoint(checkpoint).model.parameters()])
    torch.testing.assert_close(saved.double(), averages[3], rtol=1e-6, atol=1e-7)
    parameters = load_snapshot(checkpoint).parameters
    assert parameters.keys() == dict(trainer.model.named_parameters()).keys()
    assert all(torch.equal(trainer.model.get_parameter(name), tensor) for name, tensor in parameters.items())


def test_the_average_is_validated(averaged: Trainer) -> None:
    for name in ("best", "last"):
        checkpoint = load_checkpoint(averaged.files.checkpoints_dir / name)
        assert digest(checkpoint.model).items() <= checkpoint.info.scores.items()
        loss = averaged.dev.nats_per_token(checkpoint.model, device=CPU, precision=TrainingPrecision.fp32)
        assert checkpoint.info.scores["nats_per_token"] == loss
    assert digest(averaged.model) != digest(checkpoint.model)


@pytest.mark.parametrize("cut", [1, 4, 5, 7])
def test_a_run_with_an_average_resumes(tmp_path: Path, cut: int, averaged: Trainer) -> None:
    stop_at(build(tmp_path, training=EMA, text_scores=digest), cut).run()
    resumed = build_resumed(tmp_path, training=EMA, text_scores=digest)
    assert resumed.state.update == cut
    resumed.run()
    assert_same_run(resumed, averaged)
    checkpoints = [load_checkpoint(trainer.files.checkpoints_dir / "last") for trainer in (resumed, averaged)]
    assert_same_parameters(checkpoints[0].model, checkpoints[1].model)


def test_an_average_whose_parameters_are_not_finite_is_not_saved(tmp_path: Path) -> None:
    """A parameter that overflows stays in the average."""
    trainer = build(tmp_path, training=replace(TRAINING, ema=0.9, validate_every=100, checkpoint_every=100))

    def overflow() -> bool:
        if trainer.state.update == 5:
            torch.nn.init.constant_(trainer.model.decoder.output.bias, math.inf)
            trainer.average.add(5)
            torch.nn.init.zeros_(trainer.model.decoder.output.bias)
        return trainer.state.update == 6

    trainer.stop_requested = overflow
    with pytest.raises(TrainingError, match="a parameter is not finite at update 6: continue from the last checkpoint"):
        trainer.run()


@pytest.mark.parametrize(("written", "ema"), [(0.0, 0.9), (0.9, 0.0)])
def test_an_average_needs_the_parameters_of_training(tmp_path: Path, written: float, ema: float) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=4, ema=written)).run()
    with pytest.raises(CheckpointError, match=r"parameters\.safetensors does not fit the settings: "):
        build_resumed(tmp_path, training=replace(TRAINING, ema=ema))


# Full disks


def failing_saves(monkeypatch: pytest.MonkeyPatch, *, until: int = 100, of: str = "save_checkpoint") -> list[int]:
    """Make the disk full until some update; returns the updates of all attempts to write."""
    attempts: list[int] = []
    function: Callable[..., Any] = getattr(checkpoint_store, of)

    def write(*args: Any, **kwargs: Any) -> Any:
        update = args[1].info.update if of == "save_checkpoint" else int(args[0].name.removeprefix("update_"))
        attempts.append(update)
        if update < until:
            raise CheckpointError(f"update_{update:06d} could not be written (No space left on device)")
        return function(*args, **kwargs)

    monkeypatch.setattr(checkpoint_store, of, write)
    return attempts


def test_a_failed_checkpoint_is_reported_at_once_and_the_run_continues(
    tmp_path: Path, by_digest: Trainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build(tmp_path, training=BY_DIGEST, text_scores=digest)
    reported_at: list[int] = []

    def look() -> bool:
        trainer._saver.wait()
        reported_at.extend([trainer.state.update] * (len(caplog.messages) - len(reported_at)))
        return False

    trainer.stop_requested = look
    attempts = failing_saves(monkeypatch, until=8)
    with caplog.at_level(logging.WARNING):
        assert trainer.run() == "max_updates"
    assert attempts == [4, 5, 8, 10]
    assert reported_at == [4, 5]
    assert caplog.messages[0] == (
        "update_000004 could not be written (No space left on device): free some space; "
        "the next attempts are at the next checkpoint and at the end"
    )
    assert_same_run(trainer, by_digest)
    assert checkpoints_of(trainer)["last"] == 10


def test_a_failed_checkpoint_is_written_at_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = stop_at(build(tmp_path), 5)
    attempts: list[int] = []

    def fail_once(folder: Path, content: CheckpointContent) -> Path:
        attempts.append(content.info.update)
        if attempts == [4, 5]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save_checkpoint(folder, content)

    monkeypatch.setattr(checkpoint_store, "save_checkpoint", fail_once)
    assert trainer.run() == "stopped"
    assert attempts == [4, 5, 5]
    assert load_checkpoint(tmp_path / "checkpoints" / "last").info.update == 5


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_run_whose_last_checkpoint_fails_ends_in_one_line(
    tmp_path: Path, is_stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build(tmp_path)
    if is_stopped:
        stop_at(trainer, 7)
    build(tmp_path, training=replace(TRAINING, max_updates=2)).run()
    failing_saves(monkeypatch)
    with pytest.raises(
        CheckpointError,
        match=r"update_0000(07|12) could not be written \(No space .*\): free some space, then continue with resume",
    ):
        trainer.run()
    assert checkpoints_of(trainer) == {"best": 2, "last": 2, "update_000002": 2}


def test_scores_that_were_not_saved_are_measured_again_or_saved_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = replace(BY_DIGEST, best_by=BestBy.nats_per_token)
    losses = {4: 1.0, 8: 2.0, 10: 3.0}
    with monkeypatch.context() as patch:
        failing_saves(patch, of="record_validation")
        trainer = stop_at(build(tmp_path / "cut", training=training, text_scores=digest), 5)
        scripted_losses(trainer, losses, patch).run()
        assert checkpoints_of(trainer) == {"best": 4, "last": 5, "update_000004": 4, "update_000005": 5}
        resumed = build_resumed(tmp_path / "cut", training=training, text_scores=digest)
        scripted_losses(resumed, losses, patch).run()  # ends with a complete checkpoint, including scores
    assert checkpoints_of(resumed)["best"] == 4
    whole = build(tmp_path / "whole", training=training, text_scores=digest)
    scripted_losses(whole, losses, monkeypatch).run()
    assert_same_run(resumed, whole)
    scores = [load_checkpoint(t.files.checkpoints_dir / "last").info.scores for t in (resumed, whole)]
    assert scores[0] == scores[1]


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk takes root on Linux")
def test_a_temporarily_full_disk_loses_only_records_and_checkpoints(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = replace(TRAINING, log_every=1)
    whole = build(tmp_path / "whole", training=training)
    whole.run()
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "nmt-test", str(tmp_path / "disk")]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this container may not mount")
    try:
        trainer = build(tmp_path / "disk" / "run", training=training)

        def fill() -> bool:
            trainer._saver.wait()
            filler = tmp_path / "disk" / "filler"
            if trainer.state.update == 4:
                with suppress(OSError), filler.open("wb", buffering=0) as stream:
                    while stream.write(bytes(4096)):
                        pass
            if trainer.state.update == 9:
                filler.unlink()
            return False

        trainer.stop_requested = fill
        assert trainer.run() == "max_updates"
        run_dir = trainer.files.run_dir
        assert {record["update"] for record in records_of(run_dir)} < set(range(13))
        assert checkpoints_of(trainer) == checkpoints_of(whole)
        assert not [*run_dir.rglob("*.tmp")]
        for tensor, expected in zip(trainer.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(tensor, expected)
        unwritten = [message.split(" ")[0] for message in caplog.messages if "No space left on device" in message]
        assert {Path(name).name.split(".")[0] for name in unwritten} >= {"update_000005", "update_000008"}
        assert len([name for name in unwritten if name.endswith("metrics.jsonl")]) <= 1
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


# The update


class FixedBatches(TrainingBatches):
    """Repeats the same batches."""

    def __init__(self, batches: Sequence[Sequence[Pair]]) -> None:
        super().__init__(corpus_of([pair for batch in batches for pair in batch]), BATCHING, seed=1)
        self.contents = [collate([src for src, _ in batch], [tgt for _, tgt in batch]) for batch in batches]
        self.num_given = 0

    def __next__(self) -> Batch:
        self.num_given += 1
        return self.contents[(self.num_given - 1) % len(self.contents)]


UNLIKE: list[Pair] = [([5, 6, 7], [8]), ([4], [9, 9]), ([7, 7], [4, 5, 6, 7, 8, 9]), ([8], [5] * 5), ([9, 4], [6])]


def updated(run_dir: Path, batches: list[list[Pair]], training: TrainingConfig, **settings: Any) -> Trainer:
    model = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    trainer = build(run_dir, model=model, batches=FixedBatches(batches), training=training, **settings)
    trainer.run()
    return trainer


@pytest.mark.parametrize("loss_per", list(LossPer))
@pytest.mark.parametrize("clip_norm", [1e9, 1e-3], ids=["unclipped", "clipped"])
def test_accumulation_is_one_large_batch(tmp_path: Path, loss_per: LossPer, clip_norm: float) -> None:
    training = replace(TRAINING, max_updates=2, log_every=1, loss_per=loss_per, clip_norm=clip_norm)
    one = updated(tmp_path / "one", [UNLIKE], training, optimizer=SGD)
    # parts with different numbers of sentences and tokens: the divisor is the true count over all of them
    parts = [UNLIKE[:1], UNLIKE[1:3], UNLIKE[3:]]
    accumulated = updated(tmp_path / "parts", parts, replace(training, accumulate=3), optimizer=SGD)
    for tensor, expected in zip(accumulated.model.parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-12)
    for name in ("nats_per_token", "grad_norm"):
        values = [[record.get(name) for record in records_of(tmp_path / run)] for run in ("parts", "one")]
        assert [v for v in values[0] if v] == pytest.approx([v for v in values[1] if v], rel=1e-9)


@pytest.mark.parametrize(("loss_per", "divisor"), [(LossPer.sentence, 5), (LossPer.token, 20)])
def test_the_gradient_is_that_of_the_summed_loss_over_its_count(
    tmp_path: Path, loss_per: LossPer, divisor: int
) -> None:
    training = replace(TRAINING, max_updates=1, loss_per=loss_per, clip_norm=1e9)
    trainer = updated(tmp_path, [UNLIKE], training, optimizer=SGD)
    assert divisor == (len(UNLIKE) if loss_per == LossPer.sentence else sum(len(tgt) + 1 for _, tgt in UNLIKE))
    model = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    batch = collate([src for src, _ in UNLIKE], [tgt for _, tgt in UNLIKE])
    logits_MV = model.decoder.output(model(batch))
    loss = F.cross_entropy(logits_MV, batch.tgt_token_M, reduction="sum", label_smoothing=0.1) / divisor
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for tensor, start, gradient in zip(trainer.model.parameters(), model.parameters(), gradients, strict=True):
        torch.testing.assert_close(tensor, start - SGD.lr * gradient, rtol=0, atol=1e-12)


def test_the_norm_of_a_clipped_step_is_the_threshold(tmp_path: Path) -> None:
    training = replace(TRAINING, max_updates=1, log_every=1, clip_norm=0.01)
    trainer = updated(tmp_path, [UNLIKE], training, optimizer=replace(SGD, lr=1.0))
    start = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    steps = [(a - b).flatten() for a, b in zip(trainer.model.parameters(), start.parameters(), strict=True)]
    assert float(torch.cat(steps).detach().norm()) == pytest.approx(0.01, rel=1e-9)
    assert records_of(tmp_path)[0]["grad_norm"] > 0.01  # before clipping


def test_the_learning_rate_halves_by_completed_epochs(tmp_path: Path) -> None:
    batches = TrainingBatches(corpus_of(random_pairs(8, max_len=1)), replace(BATCHING, size=2), seed=1)
    halving = replace(SGD, lr=0.8, schedule=replace(SGD.schedule, kind=ScheduleKind.halving))
    build(tmp_path, batches=batches, optimizer=halving, training=replace(TRAINING, max_updates=10, log_every=1)).run()
    rates = [record["lr"] for record in records_of(tmp_path) if record["kind"] == "train"]
    # four updates an epoch; halved from epoch 1.0, every half epoch
    assert rates == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


# Limits


def test_max_updates_ends_the_run_with_a_validation_and_a_checkpoint(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=7))
    assert trainer.run() == "max_updates"
    assert [(record["kind"], record["update"]) for record in records_of(tmp_path)] == [
        ("train", 3),
        ("valid", 4),
        ("train", 6),
        ("valid", 7),
    ]
    assert checkpoints_of(trainer)["last"] == 7


@pytest.mark.parametrize(("max_epochs", "num_updates"), [(0.25, 2), (1.5, 12)])
def test_max_epochs_may_be_fractional(tmp_path: Path, max_epochs: float, num_updates: int) -> None:
    pairs = [([4] * 3, [5] * 3)] * 16  # eight batches of two
    batches = TrainingBatches(corpus_of(pairs), replace(BATCHING, size=2), seed=1)
    trainer = build(tmp_path, batches=batches, training=replace(TRAINING, max_updates=None, max_epochs=max_epochs))
    assert trainer.run() == "max_epochs"
    assert trainer.state.update == num_updates
    assert records_of(tmp_path)[-1]["epoch"] == max_epochs


@pytest.fixture
def ten_second_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ten seconds pass whenever the clock is read."""

    def ticks() -> Iterator[float]:
        now = 1000.0
        while True:
            yield now
            now += 10

    clock = ticks()
    monkeypatch.setattr("nmt.training.trainer.time", SimpleNamespace(perf_counter=lambda: next(clock)))


@pytest.mark.usefixtures("ten_second_clock")
def test_max_minutes_counts_all_parts_of_a_run(tmp_path: Path) -> None:
    quiet = replace(TRAINING, max_updates=None, log_every=100, validate_every=100, checkpoint_every=100)
    # an update takes 20 seconds: the clock is read after it, and after what follows
    stop_at(build(tmp_path, training=replace(quiet, max_minutes=2)), 4).run()
    resumed = build_resumed(tmp_path, training=replace(quiet, max_minutes=2))
    assert resumed.state.wall_s == 80
    assert resumed.run() == "max_minutes"
    assert resumed.state.update == 6
    assert records_of(tmp_path, with_clock=True)[-1]["wall_s"] == 130  # with the validation at the end


@pytest.mark.usefixtures("ten_second_clock")
def test_speeds_exclude_validation_and_checkpoints(tmp_path: Path) -> None:
    training = replace(TRAINING, max_updates=4, log_every=2, validate_every=1, accumulate=1)
    trainer = build(tmp_path, batches=FixedBatches([UNLIKE]), training=training)
    trainer.run()
    speeds = [record for record in records_of(tmp_path, with_clock=True) if record["kind"] == "train"]
    # 14 source and 20 target tokens an update, EOS included; two updates and reading their loss take ten seconds each
    assert [record["src_tokens_per_s"] for record in speeds] == pytest.approx([28 / 30] * 2)
    assert [record["tgt_tokens_per_s"] for record in speeds] == pytest.approx([40 / 30] * 2)


def scripted(
    scores: Sequence[float], *, seen: list[bool] | None = None, measure: str = "bleu"
) -> Callable[[Seq2Seq], Scores]:
    rest = iter(scores)

    def scores_of(model: Seq2Seq) -> Scores:
        if seen is not None:
            seen.append(model.training)
        return {measure: next(rest)}

    return scores_of


BLEU = replace(TRAINING, max_updates=None, validate_every=2, checkpoint_every=100, best_by=BestBy.bleu)


@pytest.mark.parametrize("measure", [BestBy.bleu, BestBy.chrf, BestBy.exact])
def test_patience_ends_the_run_and_best_is_the_best_by_its_measure(tmp_path: Path, measure: BestBy) -> None:
    scores = scripted([5.0, 3.0, 9.0, 9.0, 8.0], measure=measure)  # a tie is no improvement
    trainer = build(tmp_path, training=replace(BLEU, patience=2, best_by=measure), text_scores=scores)
    assert trainer.run() == "patience"
    assert checkpoints_of(trainer) == {"best": 6, "last": 10, "update_000006": 6, "update_000010": 10}
    assert load_checkpoint(tmp_path / "checkpoints" / "best").info.scores[measure] == 9.0
    assert trainer.state.best == 9.0


def test_best_is_the_lowest_loss_by_default(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=20, validate_every=2, checkpoint_every=100))
    trainer.run()
    losses = {r["update"]: r["nats_per_token"] for r in records_of(tmp_path) if r["kind"] == "valid"}
    best = min(losses, key=lambda update: losses[update])
    assert checkpoints_of(trainer)["best"] == best
    assert trainer.state.best == losses[best]


def test_bleu_is_measured_every_nth_validation_and_at_the_end(tmp_path: Path) -> None:
    was_training: list[bool] = []
    training = replace(BLEU, max_updates=9, bleu_every=2)
    trainer = build(tmp_path, training=training, text_scores=scripted([1.0, 2.0, 3.0], seen=was_training))
    trainer.run()
    bleu = {r["update"]: r.get("bleu") for r in records_of(tmp_path) if r["kind"] == "valid"}
    assert bleu == {2: None, 4: 1.0, 6: None, 8: 2.0, 9: 3.0}
    assert was_training == [False, False, False]
    assert checkpoints_of(trainer)["best"] == 9


def test_a_plateau_of_bleu_reduces_the_rate_at_validations_that_measure_it(tmp_path: Path) -> None:
    schedule = replace(ADAM.schedule, plateau_by=BestBy.bleu)
    training = replace(TRAINING, max_updates=16, validate_every=2, bleu_every=2, log_every=1)
    scores = scripted([5.0, 4.0, 6.0, 6.0])  # at updates 4, 8, 12 and 16
    trainer = build(tmp_path, training=training, optimizer=replace(ADAM, schedule=schedule), text_scores=scores)
    trainer.run()
    rates = {r["update"]: r["lr"] for r in records_of(tmp_path) if r["kind"] == "train"}
    assert rates == {update: 0.02 if update <= 8 else 0.01 for update in range(1, 17)}
    assert trainer.state.plateau == PlateauState(2, 6.0, 0, BestBy.bleu)


@pytest.mark.parametrize("cut", [4, 6, 9])
def test_a_plateau_of_bleu_resumes_bit_for_bit(tmp_path: Path, cut: int) -> None:
    optimizer = replace(ADAM, schedule=replace(ADAM.schedule, plateau_by=BestBy.bleu))
    training = replace(TRAINING, validate_every=2, bleu_every=2)
    settings: dict[str, Any] = {"training": training, "optimizer": optimizer}
    falling = {4: 3.0, 8: 2.0, 12: 1.0}

    def trained(trainer: Trainer) -> Trainer:
        trainer.dev.text_scores = lambda _model: {"bleu": falling[trainer.state.update]}
        trainer.run()
        return trainer

    whole = trained(build(tmp_path / "whole", **settings))
    assert whole.state.plateau == PlateauState(2, 3.0, 0, BestBy.bleu)
    trained(stop_at(build(tmp_path / "cut", **settings), cut))
    assert_same_run(trained(build_resumed(tmp_path / "cut", **settings)), whole)


def test_a_validation_is_one_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nmt")
    scores = {"bleu": 12.34, "chrf": 45.67, "exact": 8.9}
    build(tmp_path, training=replace(TRAINING, max_updates=1), text_scores=lambda _: scores).run()
    [line] = [message for message in caplog.messages if message.startswith("validation at update 1: loss ")]
    assert line.endswith(", BLEU 12.3, chrF 45.7, exact 8.9 (best so far)")


def test_validation_does_not_disturb_training(tmp_path: Path) -> None:
    constant = replace(ADAM, schedule=replace(ADAM.schedule, kind=ScheduleKind.constant))
    models = []
    for validate_every in (1, 100):
        training = replace(TRAINING, max_updates=5, validate_every=validate_every)
        trainer = build(tmp_path / str(validate_every), training=training, optimizer=constant)
        trainer.run()
        models.append(trainer.model)
    for tensor, expected in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(tensor, expected)


def test_a_requested_stop_saves_without_validating_and_ends(tmp_path: Path) -> None:
    trainer = stop_at(build(tmp_path), 2)
    assert trainer.run() == "stopped"
    assert not (tmp_path / "metrics.jsonl").read_text()
    assert checkpoints_of(trainer) == {"best": 2, "last": 2, "update_000002": 2}
    assert load_checkpoint(tmp_path / "checkpoints" / "last").info.scores == {}


def test_a_stop_before_the_first_update_saves_nothing(tmp_path: Path) -> None:
    trainer = stop_at(build(tmp_path), 0)
    assert trainer.run() == "stopped"
    assert not trainer.files.checkpoints_dir.exists()


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    trainer = build(tmp_path)

    def poison() -> bool:
        if trainer.state.update == 6:
            torch.nn.init.constant_(trainer.model.decoder.output.bias, math.nan)
        return False

    trainer.stop_requested = poison
    with pytest.raises(TrainingError, match=r"gradient is not finite at update 7: continue from the last"):
        trainer.run()
    assert trainer.state.update == 6
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last")
    assert checkpoint.info.update == 5
    assert all(torch.isfinite(parameter).all() for parameter in checkpoint.model.parameters())
    load_snapshot(checkpoint.path)


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_step(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    weight = trainer.model.encoder.embedding.weight
    weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingError, match="the loss or its gradient is not finite at update 1"):
        trainer.run()
    for parameter, before in zip(trainer.model.parameters(), start, strict=True):
        assert torch.equal(parameter, before)


def test_parameters_that_are_not_finite_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = build(tmp_path)
    update = trainer._update

    def overflow() -> None:
        update()
        if trainer.state.update == 5:
            torch.nn.init.constant_(trainer.model.decoder.output.bias, math.inf)

    monkeypatch.setattr(trainer, "_update", overflow)
    with pytest.raises(TrainingError, match="a parameter is not finite at update 5: continue from the last checkpoint"):
        trainer.run()
    assert checkpoints_of(trainer) == {"best": 4, "last": 4, "update_000004": 4}


def test_a_run_starts_if_its_links_cannot_be_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=5)).run()
    resumed = build_resumed(tmp_path)
    (tmp_path / "checkpoints" / "last").unlink()
    caplog.clear()
    with monkeypatch.context() as patch:
        denied = PermissionError(errno.EACCES, "Permission denied", "checkpoints/last")
        patch.setattr(checkpoint_store, "atomic_link", lambda *_: (_ for _ in ()).throw(denied))
        patch.setattr(checkpoint_store, "atomic_write", lambda *_: (_ for _ in ()).throw(denied))
        resumed._saver.settle(None)
    assert caplog.messages == ["checkpoints/last could not be written (Permission denied)"]


@pytest.mark.parametrize("log_every", [1, 100], ids=["seen by the log", "seen by the checkpoint"])
def test_nothing_is_saved_after_a_gradient_that_is_not_finite(
    tmp_path: Path, log_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU no update waits for its norm, and its loss may still be finite."""
    trainer = build(tmp_path, training=replace(TRAINING, log_every=log_every, checkpoint_every=1))
    update = trainer._update

    def overflow() -> None:
        update()
        trainer.state.interval.grad_norm = torch.tensor(math.inf)

    monkeypatch.setattr(trainer, "_update", overflow)
    with pytest.raises(TrainingError, match="the loss or its gradient is not finite at update 1"):
        trainer.run()
    assert not trainer.files.checkpoints_dir.exists()


# What a run writes


def test_metrics_have_the_documented_fields(tmp_path: Path) -> None:
    build(tmp_path, text_scores=lambda _: {"bleu": 12.5, "chrf": 34.5, "exact": 6.7}).run()
    records = records_of(tmp_path, with_clock=True)
    fields = {kind: {frozenset(r) for r in records if r["kind"] == kind} for kind in ("train", "valid")}
    assert {record["kind"] for record in records} == {"train", "valid"}
    common = {"kind", "update", "epoch", "nats_per_token", "perplexity", "wall_s"}
    assert fields["train"] == {frozenset({*common, "lr", "grad_norm", "src_tokens_per_s", "tgt_tokens_per_s"})}
    assert fields["valid"] == {frozenset({*common, "bleu", "chrf", "exact"})}
    for record in records:
        assert record["perplexity"] == math.exp(record["nats_per_token"])
        assert math.isfinite(record["nats_per_token"])


def test_a_uniform_model_is_reported_at_log_v(tmp_path: Path) -> None:
    uniform = replace(MODEL, init_range=0.0)
    training = replace(TRAINING, max_updates=1, log_every=1)
    build(tmp_path, model=model_of(uniform), training=training, optimizer=replace(SGD, lr=1e-30)).run()
    log_v = math.log(SUBWORD.vocab_size)
    assert [record["nats_per_token"] for record in records_of(tmp_path)] == pytest.approx([log_v, log_v], rel=1e-6)


def test_the_validation_loss_is_that_of_forced_decoding(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=3))
    trainer.run()
    model = load_checkpoint(tmp_path / "checkpoints" / "last").model
    pairs = [(DEV.src(p).tolist(), DEV.tgt(p).tolist()) for p in range(DEV.num_pairs)]
    with torch.no_grad():
        log_probs = [model.log_probs(collate([src], [tgt])) for src, tgt in pairs]
    expected = -float(torch.cat(log_probs).double().mean())  # without label smoothing
    assert records_of(tmp_path)[-1]["nats_per_token"] == pytest.approx(expected, rel=1e-6)


def test_a_checkpoint_records_its_corpus_and_progress(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=4))
    trainer.run()
    info = load_checkpoint(tmp_path / "checkpoints" / "last").info
    assert (info.update, info.corpus_fingerprint) == (4, "c0ffee")
    assert info.src_subword_fingerprint == info.tgt_subword_fingerprint == SUBWORD.fingerprint
    assert info.epochs == trainer.batches.fractional_epochs() == records_of(tmp_path)[-1]["epoch"]
    assert info.scores == {
        name: value for name, value in records_of(tmp_path)[-1].items() if name in ("nats_per_token", "perplexity")
    }


def test_old_checkpoints_are_pruned(tmp_path: Path) -> None:
    training = replace(TRAINING, max_updates=12, validate_every=100, checkpoint_every=2, keep_last=3)
    trainer = build(tmp_path, training=training)
    trainer.run()
    assert checkpoints_of(trainer).keys() == {"best", "last", "update_000008", "update_000010", "update_000012"}


def test_a_perplexity_too_large_for_a_float_is_infinite() -> None:
    assert perplexity(0.0) == 1.0
    assert perplexity(1e4) == math.inf


@needs_bf16
def test_bf16_trains(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    trainer.precision = TrainingPrecision.bf16
    trainer.run()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    reference = build(tmp_path / "fp32")
    reference.run()
    losses = [records_of(run)[0]["nats_per_token"] for run in (tmp_path, tmp_path / "fp32")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


# Learning


def test_it_overfits_one_batch(tmp_path: Path) -> None:
    size = SUBWORD.vocab_size
    config = replace(MODEL, embedding_dim=16, hidden_dim=40, num_layers=1)
    model = tiny_model(config, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32)
    training = replace(
        TRAINING, max_updates=100, log_every=100, validate_every=1000, checkpoint_every=1000, label_smoothing=0.0
    )
    constant = replace(ADAM, schedule=replace(ADAM.schedule, kind=ScheduleKind.constant))
    build(
        tmp_path,
        model=model,
        batches=FixedBatches([UNLIKE]),
        dev=corpus_of(UNLIKE),
        training=training,
        optimizer=constant,
    ).run()
    assert records_of(tmp_path)[-1]["nats_per_token"] < 0.01


def digit_strings(num: int, *, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 14, rng.integers(1, 6)).tolist() for _ in range(num)]


@torch.no_grad()
def greedy(model: Seq2Seq, sources: list[list[int]]) -> list[list[int]]:
    state = model.decoder.start(model.encode(*pad_source(sources)))
    prev_B = torch.full((len(sources),), BOS_ID)
    columns: list[Tensor] = []
    for _ in range(8):
        logits_BV, state = model.decoder.step(prev_B, state)
        prev_B = logits_BV.argmax(1)
        columns.append(prev_B)
    rows = torch.stack(columns, 1).tolist()
    return [row[: row.index(EOS_ID)] if EOS_ID in row else row for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["copy", "reverse"])
def test_it_learns_to_copy_and_to_reverse_digits(tmp_path: Path, task: str) -> None:
    def pairs_of(strings: list[list[int]]) -> list[Pair]:
        return [(digits, digits[::-1] if task == "reverse" else digits) for digits in strings]

    train, test = digit_strings(4000, seed=1), digit_strings(200, seed=2)
    config = replace(MODEL, embedding_dim=32, hidden_dim=96, num_layers=1, init_range=0.1)
    model = tiny_model(
        config, src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size, dtype=torch.float32
    )
    reason: EndReason = build(
        tmp_path,
        model=model,
        batches=TrainingBatches(corpus_of(pairs_of(train)), replace(BATCHING, size=64, min_sentences=32), seed=1),
        dev=corpus_of(pairs_of(test)),
        training=replace(TRAINING, max_updates=1200, log_every=100, validate_every=200, label_smoothing=0.0),
        optimizer=replace(ADAM, lr=0.005),
    ).run()
    assert reason == "max_updates"
    expected = [tgt for _, tgt in pairs_of(test)]
    num_right = sum(a == b for a, b in zip(greedy(model.eval(), test), expected, strict=True))
    assert num_right >= 0.95 * len(expected)


def test_the_logged_gradient_norm_is_the_mean_before_clipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    clip = optimizer_module.clip_gradients

    def record(*arguments: Any) -> Any:
        norm = clip(*arguments)
        norms.append(float(norm))
        return norm

    monkeypatch.setattr(trainer_module, "clip_gradients", record)
    build(tmp_path, training=replace(TRAINING, max_updates=6, clip_norm=0.01)).run()
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [record["grad_norm"] for record in logged if record["kind"] == "train"]
    assert found == pytest.approx([sum(norms[:3]) / 3, sum(norms[3:6]) / 3])
    assert min(found) > 0.01
