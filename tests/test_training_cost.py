from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmt.choices import Severity
from nmt.command_config import TrainCommand
from nmt.corpus.batching import TrainingBatches, plan_epoch
from nmt.corpus.prepare import prepare
from nmt.doctor import training_cost as module
from nmt.doctor.training_cost import show_bytes, show_duration, show_number, training_cost
from nmt.doctor.trial import Trial, Update
from tests.commands import train_settings
from tests.doctor_text import composed


@pytest.fixture
def settings(digits: Path) -> TrainCommand:
    settings: TrainCommand = composed("train", train_settings(digits))
    return settings


def with_updates(monkeypatch: pytest.MonkeyPatch, *updates: Update) -> list[TrainingBatches]:
    """Let a trial have these updates, instead of training; return the batches of each trial."""
    memory = {"parameters": 10**9, "activations and other": 10**9}
    trial = Trial(num_parameters=250_000_000, device="cpu", precision="fp32", updates=[*updates], memory=memory)
    given: list[TrainingBatches] = []

    def try_updates(*_: object, batches: TrainingBatches, **__: object) -> Trial:
        given.append(batches)
        return trial

    monkeypatch.setattr(module, "try_updates", try_updates)
    return given


def test_an_epoch_takes_as_long_as_its_tokens(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two updates, which are slow, do not count."""
    slow, usual = Update(9.0, 100, 3.0), Update(0.5, 100, 3.0)
    with_updates(monkeypatch, slow, slow, usual, Update(1.5, 300, 3.0))
    corpus = prepare(settings.data, settings.subword)
    train = corpus.open("train")
    num_tokens = len(train.src_ids) + len(train.tgt_ids) + 2 * train.num_pairs
    settings = replace(settings, training=replace(settings.training, max_epochs=4.0, max_updates=None))
    found = training_cost(settings, corpus, num_updates=2)
    assert found.tokens_per_s == 200.0
    assert found.s_per_update == 1.0
    assert found.s_per_epoch == pytest.approx(num_tokens / 200, abs=0.1)
    assert found.num_epochs == 4.0
    assert [line.severity for line in found.findings] == [Severity.ok, Severity.ok]
    assert found.findings[1].summary.startswith("memory at the peak: 2.0 GB (parameters 1.0 GB, ")


def test_an_update_over_several_batches_counts_once(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    with_updates(monkeypatch, *[Update(1.0, 10, 3.0)] * 3)
    corpus = prepare(settings.data, settings.subword)
    training = replace(settings.training, accumulate=4, max_epochs=None, max_updates=13)
    one = training_cost(settings, corpus, num_updates=1)
    four = training_cost(replace(settings, training=training), corpus, num_updates=1)
    assert four.updates_per_epoch == round(one.updates_per_epoch / 4)
    assert four.num_epochs == 13 / four.updates_per_epoch
    assert four.s_per_epoch == one.s_per_epoch


def test_a_training_of_days_is_a_notice(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    with_updates(monkeypatch, *[Update(60.0, 10, 3.0)] * 3)
    settings = replace(settings, training=replace(settings.training, max_epochs=100.0, max_updates=None))
    found = training_cost(settings, prepare(settings.data, settings.subword), num_updates=1)
    assert found.findings[0].severity == Severity.notice
    assert "days, without validations" in found.findings[0].summary


def test_patience_alone_has_no_known_end(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    with_updates(monkeypatch, *[Update(1.0, 10, 3.0)] * 3)
    training = replace(settings.training, max_epochs=None, max_updates=None, max_minutes=None, patience=3)
    found = training_cost(replace(settings, training=training), prepare(settings.data, settings.subword), num_updates=1)
    assert found.num_epochs is None
    assert " epochs in " not in found.findings[0].summary


def test_the_first_update_is_over_the_largest_batch(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    given = with_updates(monkeypatch, *[Update(1.0, 10, 3.0)] * 3)
    corpus = prepare(settings.data, settings.subword)
    train = corpus.open("train")
    training_cost(settings, corpus, num_updates=1)
    sizes = [
        len(rows) * int(train.src_lens[rows].max() + train.tgt_lens[rows].max() + 2)
        for rows in plan_epoch(
            np.asarray(train.src_lens), np.asarray(train.tgt_lens), settings.batching, seed=settings.seed, epoch=0
        )
    ]
    first = next(given[0])
    assert first.src_BS.numel() + first.tgt_in_BT.numel() == max(sizes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (90, "90 s"), (150, "2.5 min"), (7_200, "2.0 h"), (200_000, "2.3 days")],
)
def test_durations_have_a_unit_that_suits_them(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.123"), (1.5, "1.5"), (20.0, "20"), (999.6, "1,000"), (7_142.9, "7,143")]
)
def test_numbers_are_without_exponent(value: float, text: str) -> None:
    assert show_number(value) == text


def test_bytes_have_a_unit_that_suits_them() -> None:
    assert (show_bytes(12_600_000), show_bytes(2_000_000_000)) == ("13 MB", "2.0 GB")
