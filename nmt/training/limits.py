"""When a run ends: `training.max_updates`, `.max_epochs`, `.max_minutes` and `.patience`, whichever comes first."""

from typing import Literal

from nmt.config import TrainingConfig
from nmt.training.train_state import TrainState

EndReason = Literal["max_updates", "max_epochs", "max_minutes", "patience", "stopped"]


def limit_reached(config: TrainingConfig, state: TrainState, *, epochs: float) -> EndReason | None:
    """Return the limit that a run has reached; None if it continues.

    Args:
        epochs: passes over the corpus so far, with their fraction.
    """
    if config.max_updates is not None and state.update >= config.max_updates:
        return "max_updates"
    if config.max_epochs is not None and epochs >= config.max_epochs:
        return "max_epochs"
    if config.max_minutes is not None and state.wall_s >= 60 * config.max_minutes:
        return "max_minutes"
    if config.patience is not None and state.num_bad_validations >= config.patience:
        return "patience"
    return None


def share_done(config: TrainingConfig, state: TrainState, *, epochs: float) -> float:
    """Return how much of a run is done, from 0 to 1, by its limits other than patience."""
    shares = [0.0]
    if config.max_updates:
        shares.append(state.update / config.max_updates)
    if config.max_epochs:
        shares.append(epochs / config.max_epochs)
    if config.max_minutes:
        shares.append(state.wall_s / (60 * config.max_minutes))
    return min(1.0, max(shares))
