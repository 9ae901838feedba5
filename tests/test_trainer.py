"""The update loop: a resumed run is the uninterrupted one, limits hold, and models learn."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.config import (
    BatchingConfig,
    BatchUnit,
    BestBy,
    LossPer,
    ModelConfig,
    OptimizerConfig,
    OptimizerKind,
    ScheduleConfig,
    ScheduleKind,
    TrainingConfig,
    TrainingPrecision,
)
from nmt.corpus.batching import Batch, TrainingBatches, collate, pad_source
from nmt.corpus.binarized import BinarizedCorpus
from nmt.errors import CheckpointError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import BOS_ID, EOS_ID
from nmt.training.checkpoint import load_checkpoint, load_snapshot
from nmt.training.optimizer import PlateauState
from nmt.training.trainer import EndReason, RunFiles, Trainer, TrainState, perplexity
from tests.checkpoints import edit_json, rehash
from tests.models import MODEL, Pair, corpus_of, random_pairs, tiny_model, tiny_subword

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


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave files to the system's cache: no test pulls the plug, and a busy disk takes long."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def build(
    run_dir: Path,
    *,
    model: Seq2Seq | None = None,
    model_config: ModelConfig = DROPPING,
    batches: TrainingBatches | None = None,
    dev: BinarizedCorpus = DEV,
    training: TrainingConfig = TRAINING,
    optimizer: OptimizerConfig = ADAM,
    dev_bleu: Callable[[Seq2Seq], float] | None = None,
    seed: int = 1,
) -> Trainer:
    run_dir.mkdir(exist_ok=True)
    if model is None:
        size = SUBWORD.vocab_size
        model = tiny_model(model_config, seed=seed, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32)
    torch.manual_seed(seed)  # as the door does: dropout draws from the global generator
    return Trainer(
        model,
        batches or TrainingBatches(TRAIN, BATCHING, seed=1),
        dev=dev,
        dev_batching=BATCHING,
        training=training,
        optimizer=optimizer,
        precision="fp32",
        device=CPU,
        files=RunFiles(run_dir, json.dumps({"model": asdict(model.config)}), "c0ffee", SUBWORD, SUBWORD),
        dev_bleu=dev_bleu,
        stop_requested=lambda: False,
    )


def build_resumed(run_dir: Path, **settings: Any) -> Trainer:
    """Go on from `last` in what could be another process: other parameters and random numbers until they are read."""
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


def assert_same_run(one: Trainer, other: Trainer) -> None:
    """Compare, bit by bit, all but the clock."""
    for (name, tensor), expected in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(tensor, expected), name
    states = [trainer.optimizer.state_dict()["state"] for trainer in (one, other)]
    assert states[0].keys() == states[1].keys()
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
    ],
    ids=["sgd", "momentum, halving", "adamw, warm-up", "rmsprop"],
)
def test_every_optimizer_and_schedule_goes_on_where_it_was(tmp_path: Path, optimizer: OptimizerConfig) -> None:
    # five updates an epoch
    batches = [TrainingBatches(TRAIN, replace(BATCHING, size=100), seed=1) for _ in range(3)]
    training = replace(TRAINING, max_updates=7, validate_every=2, checkpoint_every=100)
    uninterrupted = build(tmp_path / "whole", training=training, optimizer=optimizer, batches=batches[0])
    uninterrupted.run()
    stop_at(build(tmp_path / "cut", training=training, optimizer=optimizer, batches=batches[1]), 5).run()
    resumed = build_resumed(tmp_path / "cut", training=training, optimizer=optimizer, batches=batches[2])
    resumed.run()
    assert_same_run(resumed, uninterrupted)


def test_a_run_may_be_cut_many_times(tmp_path: Path, uninterrupted: Trainer) -> None:
    stop_at(build(tmp_path, training=ACCUMULATING), 1).run()
    for cut in (2, 6, 8):
        stop_at(build_resumed(tmp_path, training=ACCUMULATING), cut).run()
    resumed = build_resumed(tmp_path, training=ACCUMULATING)
    resumed.run()
    assert_same_run(resumed, uninterrupted)


@pytest.mark.parametrize("num_batches", [11, 12, 17], ids=["mid-accumulation", "between updates", "later"])
def test_a_killed_run_goes_on_from_its_last_checkpoint_as_if_nothing_had_been(
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


def test_records_after_the_resumed_update_are_taken_back(tmp_path: Path) -> None:
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
    assert_same_run(resumed, uninterrupted)  # the end at 8 fell on a validation


def test_the_validation_at_a_limit_moves_no_schedule(tmp_path: Path, uninterrupted: Trainer) -> None:
    ended = build(tmp_path, training=replace(ACCUMULATING, max_updates=6))
    ended.run()
    losses = {r["update"]: r["nats_per_token"] for r in records_of(tmp_path) if r["kind"] == "valid"}
    assert losses.keys() == {4, 6}
    assert ended.state.plateau == PlateauState(best_nats_per_token=losses[4])
    resumed = build_resumed(tmp_path, training=ACCUMULATING)
    resumed.run()
    for tensor, expected in zip(resumed.model.parameters(), uninterrupted.model.parameters(), strict=True):
        assert torch.equal(tensor, expected)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=7)).run()

    def contents() -> dict[str, bytes]:
        files = [*(tmp_path / "checkpoints").rglob("*"), tmp_path / "metrics.jsonl"]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    before = contents()
    assert build_resumed(tmp_path, training=replace(TRAINING, max_updates=7)).run() == "max_updates"
    assert contents() == before


def test_a_training_state_of_other_make_is_refused(tmp_path: Path) -> None:
    build(tmp_path, training=replace(TRAINING, max_updates=5)).run()
    file = tmp_path / "checkpoints" / "last" / "training" / "state.json"
    edit_json(file, lambda values: values.update(moon="full"))
    rehash(file.parents[1])
    with pytest.raises(
        CheckpointError, match=r"cannot be resumed from \(PlainError: moon is not known\): start a new r"
    ):
        build_resumed(tmp_path)


def test_the_train_state_survives_json() -> None:
    state = TrainState(update=3, best=1.5, scores={"nats_per_token": 1 / 3}, scored_at=3, wall_s=0.1)
    state.position.pairs, state.plateau.num_reductions = 5, 2
    assert TrainState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert math.isinf(TrainState.from_json(json.loads(json.dumps(TrainState().to_json()))).plateau.best_nats_per_token)


# The update


class FixedBatches(TrainingBatches):
    """Gives the same batches again and again."""

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
    # parts of unlike numbers of sentences and tokens: the divisor is the true count over all of them
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


def test_a_clipped_step_is_as_long_as_the_threshold(tmp_path: Path) -> None:
    training = replace(TRAINING, max_updates=1, log_every=1, clip_norm=0.01)
    trainer = updated(tmp_path, [UNLIKE], training, optimizer=replace(SGD, lr=1.0))
    start = tiny_model(src_vocab_size=SUBWORD.vocab_size, tgt_vocab_size=SUBWORD.vocab_size)
    steps = [(a - b).flatten() for a, b in zip(trainer.model.parameters(), start.parameters(), strict=True)]
    assert float(torch.cat(steps).detach().norm()) == pytest.approx(0.01, rel=1e-9)
    assert records_of(tmp_path)[0]["grad_norm"] > 0.01  # reported as it was


def test_the_learning_rate_halves_by_the_epochs_done(tmp_path: Path) -> None:
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
    """Let every look at the clock take ten seconds."""

    def ticks() -> Iterator[float]:
        now = 1000.0
        while True:
            yield now
            now += 10

    clock = ticks()
    monkeypatch.setattr("nmt.training.trainer.time", SimpleNamespace(perf_counter=lambda: next(clock)))


@pytest.mark.usefixtures("ten_second_clock")
def test_max_minutes_counts_the_whole_run_resumed_parts_included(tmp_path: Path) -> None:
    quiet = replace(TRAINING, max_updates=None, log_every=100, validate_every=100, checkpoint_every=100)
    # an update takes 20 seconds: one look after it, one after what follows
    stop_at(build(tmp_path, training=replace(quiet, max_minutes=2)), 4).run()
    resumed = build_resumed(tmp_path, training=replace(quiet, max_minutes=2))
    assert resumed.state.wall_s == 80
    assert resumed.run() == "max_minutes"
    assert resumed.state.update == 6
    assert records_of(tmp_path, with_clock=True)[-1]["wall_s"] == 130  # with the validation at the end


@pytest.mark.usefixtures("ten_second_clock")
def test_speeds_leave_out_validation_and_checkpoints(tmp_path: Path) -> None:
    training = replace(TRAINING, max_updates=4, log_every=2, validate_every=1, accumulate=1)
    trainer = build(tmp_path, batches=FixedBatches([UNLIKE]), training=training)
    trainer.run()
    speeds = [record for record in records_of(tmp_path, with_clock=True) if record["kind"] == "train"]
    # 14 source and 20 target tokens an update, EOS included; two updates and reading their loss take ten seconds each
    assert [record["src_tokens_per_s"] for record in speeds] == pytest.approx([28 / 30] * 2)
    assert [record["tgt_tokens_per_s"] for record in speeds] == pytest.approx([40 / 30] * 2)


def scripted(scores: Sequence[float], *, seen: list[bool] | None = None) -> Callable[[Seq2Seq], float]:
    rest = iter(scores)

    def measure(model: Seq2Seq) -> float:
        if seen is not None:
            seen.append(model.training)
        return next(rest)

    return measure


BLEU = replace(TRAINING, max_updates=None, validate_every=2, checkpoint_every=100, best_by=BestBy.bleu)


def test_patience_ends_the_run_and_best_is_the_best_by_bleu(tmp_path: Path) -> None:
    bleu = scripted([5.0, 3.0, 9.0, 9.0, 8.0])  # a tie is no improvement
    trainer = build(tmp_path, training=replace(BLEU, patience=2), dev_bleu=bleu)
    assert trainer.run() == "patience"
    assert checkpoints_of(trainer) == {"best": 6, "last": 10, "update_000006": 6, "update_000010": 10}
    assert load_checkpoint(tmp_path / "checkpoints" / "best").info.scores["bleu"] == 9.0
    assert trainer.state.best == 9.0


def test_best_is_the_lowest_loss_by_default(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=20, validate_every=2, checkpoint_every=100))
    trainer.run()
    losses = {r["update"]: r["nats_per_token"] for r in records_of(tmp_path) if r["kind"] == "valid"}
    best = min(losses, key=lambda update: losses[update])
    assert checkpoints_of(trainer)["best"] == best
    assert trainer.state.best == losses[best]


def test_bleu_is_measured_every_so_many_validations_and_at_the_end_in_evaluation_mode(tmp_path: Path) -> None:
    was_training: list[bool] = []
    training = replace(BLEU, max_updates=9, bleu_every=2)
    trainer = build(tmp_path, training=training, dev_bleu=scripted([1.0, 2.0, 3.0], seen=was_training))
    trainer.run()
    bleu = {r["update"]: r.get("bleu") for r in records_of(tmp_path) if r["kind"] == "valid"}
    assert bleu == {2: None, 4: 1.0, 6: None, 8: 2.0, 9: 3.0}
    assert was_training == [False, False, False]
    assert checkpoints_of(trainer)["best"] == 9


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


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_checkpoints_intact(tmp_path: Path) -> None:
    trainer = build(tmp_path)

    def poison() -> bool:
        if trainer.state.update == 6:
            torch.nn.init.constant_(trainer.model.decoder.output.bias, math.nan)
        return False

    trainer.stop_requested = poison
    with pytest.raises(TrainingError, match=r"gradient is not finite at update 7: go on from the last"):
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


@pytest.mark.parametrize("log_every", [1, 100], ids=["seen by the log", "seen by the checkpoint"])
def test_what_a_gradient_that_is_not_finite_left_is_not_saved(
    tmp_path: Path, log_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU no update waits for its norm, and its loss may be finite still."""
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
    build(tmp_path, dev_bleu=lambda _: 12.5).run()
    records = records_of(tmp_path, with_clock=True)
    fields = {kind: {frozenset(r) for r in records if r["kind"] == kind} for kind in ("train", "valid")}
    assert {record["kind"] for record in records} == {"train", "valid"}
    common = {"kind", "update", "epoch", "nats_per_token", "perplexity", "wall_s"}
    assert fields["train"] == {frozenset({*common, "lr", "grad_norm", "src_tokens_per_s", "tgt_tokens_per_s"})}
    assert fields["valid"] == {frozenset({*common, "bleu"})}
    for record in records:
        assert record["perplexity"] == math.exp(record["nats_per_token"])
        assert math.isfinite(record["nats_per_token"])


def test_a_uniform_model_is_reported_at_log_v(tmp_path: Path) -> None:
    uniform = replace(MODEL, init_range=0.0)
    training = replace(TRAINING, max_updates=1, log_every=1)
    build(tmp_path, model_config=uniform, training=training, optimizer=replace(SGD, lr=1e-30)).run()
    log_v = math.log(SUBWORD.vocab_size)
    assert [record["nats_per_token"] for record in records_of(tmp_path)] == pytest.approx([log_v, log_v], rel=1e-6)


def test_the_validation_loss_is_that_of_forced_decoding(tmp_path: Path) -> None:
    trainer = build(tmp_path, training=replace(TRAINING, max_updates=3))
    trainer.run()
    model = load_checkpoint(tmp_path / "checkpoints" / "last").model
    pairs = [(DEV.src(p).tolist(), DEV.tgt(p).tolist()) for p in range(DEV.num_pairs)]
    with torch.no_grad():
        log_probs = [model.log_probs(collate([src], [tgt])) for src, tgt in pairs]
    expected = -float(torch.cat(log_probs).double().mean())  # label smoothing has no part in it
    assert records_of(tmp_path)[-1]["nats_per_token"] == pytest.approx(expected, rel=1e-6)


def test_a_checkpoint_says_what_it_was_trained_on_and_how_far(tmp_path: Path) -> None:
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
    assert {f"update_{update:06d}" for update in (8, 10, 12)} <= checkpoints_of(trainer).keys()
    assert checkpoints_of(trainer).keys() & {"update_000002", "update_000006"} <= {
        f"update_{checkpoints_of(trainer)['best']:06d}"
    }


def test_a_perplexity_too_large_for_a_float_is_infinite() -> None:
    assert perplexity(0.0) == 1.0
    assert perplexity(1e4) == math.inf


def test_bf16_trains(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    trainer.precision = "bf16"
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
