"""When a run ends, and how much of it is done."""

from dataclasses import replace

import pytest

from nmt.config import TrainingConfig
from nmt.training.limits import limit_reached, share_done
from nmt.training.train_state import TrainState
from tests.test_trainer import TRAINING

NONE = replace(TRAINING, max_updates=None)
STATE = TrainState(update=30, wall_s=90.0, num_bad_validations=2)


@pytest.mark.parametrize(
    ("limits", "reason", "share"),
    [
        (NONE, None, 0.0),
        (replace(NONE, max_updates=31), None, 30 / 31),
        (replace(NONE, max_updates=30), "max_updates", 1.0),
        (replace(NONE, max_epochs=1.3), None, 1.25 / 1.3),
        (replace(NONE, max_epochs=1.25), "max_epochs", 1.0),
        (replace(NONE, max_minutes=3), None, 0.5),
        (replace(NONE, max_minutes=1.5), "max_minutes", 1.0),
        (replace(NONE, patience=3), None, 0.0),
        (replace(NONE, patience=2), "patience", 0.0),
        (replace(NONE, max_updates=60, max_minutes=1), "max_minutes", 1.0),
    ],
)
def test_the_first_limit_reached_ends_a_run(limits: TrainingConfig, reason: str | None, share: float) -> None:
    assert limit_reached(limits, STATE, epochs=1.25) == reason
    assert share_done(limits, STATE, epochs=1.25) == pytest.approx(share)
