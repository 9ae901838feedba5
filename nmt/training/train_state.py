"""The state of training other than parameters, optimizer tensors and random states."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from nmt.choices import BestBy, ScheduleKind
from nmt.config import ScheduleConfig
from nmt.corpus.batching import Position
from nmt.plain import from_plain
from nmt.training.dev_set import Scores, is_better
from nmt.training.schedule import PlateauState


@dataclass
class Interval:
    """Sums since the last line of the log; times exclude validation and checkpoints."""

    nll: float | Tensor = 0.0
    grad_norm: float | Tensor = 0.0
    src_tokens: int = 0
    tgt_tokens: int = 0
    updates: int = 0
    busy_s: float = 0.0


@dataclass
class TrainState:
    """The counters, scores and schedules of a run, which are saved in a checkpoint.

    Attributes:
        position: in the batches.
        best: the best score of a scheduled validation so far, in the measure of `training.best_by`.
        best_update: its update; None if there was none, and in states of version 0.1.0.
        num_bad_validations: scheduled validations in a row without a better score, for `training.patience`.
        scores: of the last scheduled validation.
        scored_at: its update.
        wall_s: seconds that the run has taken, including earlier parts.
        precision: None in states of version 0.1.0.
        machines: that trained so far, in order; empty in states that record none.
        num_processes: that train together; see `nmt.distributed`.
    """

    update: int = 0
    position: Position = field(default_factory=Position)
    plateau: PlateauState = field(default_factory=PlateauState)
    best: float | None = None
    best_update: int | None = None
    num_bad_validations: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    scored_at: int | None = None
    interval: Interval = field(default_factory=Interval)
    wall_s: float = 0.0
    precision: str | None = None
    machines: list[str] = field(default_factory=list)
    num_processes: int = 1

    def add_machine(self, machine: str) -> None:
        """Record the machine that trains from here on."""
        if machine not in self.machines:
            self.machines.append(machine)

    def is_best(self, scores: Scores, measure: BestBy) -> bool:
        """Return whether scores are better than those of all scheduled validations so far; a tie is not better."""
        if measure.value not in scores:
            return False
        return self.best is None or is_better(scores[measure.value], self.best, measure)

    def count_validation(self, scores: Scores, measure: BestBy, schedule: ScheduleConfig) -> None:
        """Count a scheduled validation at the current update for the learning rate and patience."""
        self.scores, self.scored_at = dict(scores), self.update
        if schedule.kind == ScheduleKind.plateau:
            self.plateau.observe(scores, schedule)
        if self.is_best(scores, measure):
            self.best, self.best_update, self.num_bad_validations = scores[measure.value], self.update, 0
        elif measure.value in scores:
            self.num_bad_validations += 1

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        values["interval"] |= {"nll": float(self.interval.nll), "grad_norm": float(self.interval.grad_norm)}
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainState":
        return from_plain(cls, _with_new_names(values))


def _with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what version 0.1.0 named otherwise."""
    plateau = values.get("plateau")
    if not isinstance(plateau, dict):
        return dict(values)
    new_names = {"best_nats_per_token": "best"}
    return {**values, "plateau": {new_names.get(name, name): value for name, value in plateau.items()}}
