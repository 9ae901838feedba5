from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nmt.command_config import TrainCommand
from nmt.corpus.prepare import PreparedCorpus, prepare
from nmt.doctor.trial import _Watch, try_updates
from nmt.errors import TrainingError
from nmt.training.train_state import Interval
from tests.commands import nmt, train_settings
from tests.doctor_text import composed


@pytest.fixture
def run(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainCommand, PreparedCorpus]:
    """The settings of a run, and its prepared corpus; temporary files are in tmp_path/temporary."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    settings: TrainCommand = composed("train", train_settings(digits))
    return settings, prepare(settings.data, settings.subword)


def test_a_trial_is_as_long_as_asked(run: tuple[TrainCommand, PreparedCorpus]) -> None:
    """The limits of the run do not end it."""
    trial = try_updates(*run, is_enough=lambda updates: len(updates) >= 9)
    assert len(trial.updates) == 9
    assert all(update.seconds > 0 and update.nats_per_token > 0 for update in trial.updates)
    assert trial.num_parameters * 4 == trial.memory["parameters"]
    assert trial.memory["optimizer"] > trial.memory["parameters"]


def test_the_updates_are_those_of_a_run(run: tuple[TrainCommand, PreparedCorpus], digits: Path, tmp_path: Path) -> None:
    settings = [*train_settings(digits), "training.log_every=1", f"run_dir={tmp_path / 'run'}"]
    assert nmt("train", *settings).status == 0
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [record["nats_per_token"] for record in records if record["kind"] == "train"]
    trial = try_updates(*run, is_enough=lambda updates: len(updates) >= len(losses))
    assert [update.nats_per_token for update in trial.updates] == pytest.approx(losses)


def test_a_trial_leaves_nothing_behind(run: tuple[TrainCommand, PreparedCorpus], tmp_path: Path) -> None:
    settings, corpus = run
    trial = try_updates(
        replace(settings, run_dir=str(tmp_path / "run")), corpus, is_enough=lambda updates: len(updates) >= 1
    )
    assert len(trial.updates) == 1
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_a_trial_on_any_device() -> None:
    """On a GPU the trainer does not look at it before it writes a line of the log."""
    trainer: Any = SimpleNamespace(state=SimpleNamespace(interval=Interval()))
    watch = _Watch(trainer, lambda updates: False)  # noqa: ARG005
    watch()
    trainer.state.interval.updates, trainer.state.interval.tgt_tokens, trainer.state.interval.nll = 1, 5, math.nan
    with pytest.raises(TrainingError, match="the loss is not finite after 1 updates: lower"):
        watch()
