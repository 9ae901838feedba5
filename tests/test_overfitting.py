from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nmt.choices import ScheduleKind, Severity
from nmt.command_config import TrainCommand
from nmt.corpus.prepare import prepare
from nmt.doctor import overfitting as module
from nmt.doctor.overfitting import Overfitting, overfitting
from nmt.doctor.trial import Trial, Update
from nmt.errors import TrainingError
from tests.commands import train_settings
from tests.doctor_text import composed


@pytest.fixture
def settings(digits: Path) -> TrainCommand:
    settings: TrainCommand = composed("train", train_settings(digits))
    return settings


def with_losses(monkeypatch: pytest.MonkeyPatch, settings: TrainCommand, *losses: float) -> Overfitting:
    """Judge these losses, instead of training."""
    updates = [Update(1.0, 10, loss) for loss in losses]
    trial = Trial(num_parameters=1, device="cpu", precision="fp32", updates=updates, memory={})
    monkeypatch.setattr(module, "try_updates", lambda *_, **__: trial)
    return overfitting(settings, prepare(settings.data, settings.subword), num_updates=len(losses))


def test_a_model_that_learns_fits_one_batch(settings: TrainCommand) -> None:
    """Dropout and smoothing of the settings do not prevent it."""
    settings = replace(
        settings,
        model=replace(settings.model, hidden_dim=64, embedding_dim=64, dropout=0.5, dropout_src_embedding=0.9),
        optimizer=replace(settings.optimizer, lr=0.02),
    )
    found = overfitting(settings, prepare(settings.data, settings.subword), num_updates=200)
    assert found.num_pairs == 32
    assert found.first is not None
    assert found.first > 2
    assert found.last is not None
    assert found.last < 0.1
    assert found.num_updates < 200  # it ends as soon as the batch is fitted
    assert [line.severity for line in found.findings] == [Severity.ok]


@pytest.mark.parametrize(
    ("losses", "severity"),
    [((3.0, 0.05), Severity.ok), ((3.0, 1.2), Severity.notice), ((3.0, 2.9), Severity.warning)],
)
def test_a_loss_that_stays_high_is_a_finding(
    settings: TrainCommand, monkeypatch: pytest.MonkeyPatch, losses: tuple[float, float], severity: Severity
) -> None:
    found = with_losses(monkeypatch, settings, *losses)
    assert [line.severity for line in found.findings] == [severity]
    assert (found.first, found.last) == losses


def test_a_loss_that_is_not_finite_is_a_warning(settings: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Trial:
        raise TrainingError("not finite")

    monkeypatch.setattr(module, "try_updates", fail)
    found = overfitting(settings, prepare(settings.data, settings.subword), num_updates=9)
    assert [line.severity for line in found.findings] == [Severity.warning]
    assert found.last is None


def test_the_batch_has_pairs_of_the_usual_length(settings: TrainCommand) -> None:
    train = prepare(settings.data, settings.subword).open("train")
    chosen = module._usual_pairs(train)
    spread = [lens.max() - lens.min() for lens in (chosen.src_lens, train.src_lens)]
    assert chosen.num_pairs == 32
    assert spread[0] < spread[1]
    originals = {(tuple(train.src(row)), tuple(train.tgt(row))) for row in range(train.num_pairs)}
    assert {(tuple(chosen.src(row)), tuple(chosen.tgt(row))) for row in range(32)} <= originals


def test_nothing_random_keeps_the_loss_up(settings: TrainCommand) -> None:
    quiet = module._without_noise(settings)
    rates = {
        name: rate for name, rate in vars(quiet.model).items() if name.startswith("dropout") and "mask" not in name
    }
    assert len(rates) > 5
    assert set(rates.values()) == {0.0}
    assert quiet.optimizer.schedule.kind == ScheduleKind.constant
    assert (quiet.training.label_smoothing, quiet.training.accumulate) == (0.0, 1)
