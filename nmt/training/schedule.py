"""What changes from update to update: the learning rate, and the share of sampled tokens."""

import math
from dataclasses import dataclass

from nmt.choices import BestBy, SamplingSchedule, ScheduleKind
from nmt.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from nmt.errors import ConfigError
from nmt.training.dev_set import Scores, is_better


@dataclass
class PlateauState:
    """The state of the plateau schedule: reductions so far, the best score, and validations since then.

    Attributes:
        best: in `measure`; None before the first validation that counts.
    """

    num_reductions: int = 0
    best: float | None = None
    num_bad_validations: int = 0
    measure: BestBy = BestBy.nats_per_token

    def observe(self, scores: Scores, schedule: ScheduleConfig) -> None:
        """Count a validation; reduce the rate after `plateau_patience` of them in a row without improvement.

        A validation that has not measured `plateau_by` does not count. If a run resumes with another `plateau_by`, the
        count starts again.
        """
        measure = schedule.plateau_by
        if measure.value not in scores:
            return
        if measure != self.measure:
            self.measure, self.best, self.num_bad_validations = measure, None, 0
        score = scores[measure.value]
        if self.best is None or is_better(score, self.best, measure):
            self.best, self.num_bad_validations = score, 0
            return
        self.num_bad_validations += 1
        if self.num_bad_validations >= schedule.plateau_patience:
            self.num_reductions, self.num_bad_validations = self.num_reductions + 1, 0


def learning_rate(config: OptimizerConfig, *, update: int, epochs: float, plateau: PlateauState) -> float:
    """Compute the learning rate of an update.

    Args:
        update: 1 for the first.
        epochs: epochs completed before it, with their fraction.

    `halving` halves at `halve_from_epoch` and every `halve_every_epochs` after that (Sutskever et al. 2014, §3.4);
    `inverse_sqrt` decays with the square root of the update after the warm-up (Vaswani et al. 2017, §5.3, scaled so
    that `lr` is the peak). Every schedule warms up linearly over `warmup_updates`.
    """
    schedule = config.schedule
    factor = 1.0
    if update < schedule.warmup_updates:
        factor = update / schedule.warmup_updates
    elif schedule.kind == ScheduleKind.inverse_sqrt:
        factor = math.sqrt(max(1, schedule.warmup_updates) / update)
    if schedule.kind == ScheduleKind.halving and epochs >= schedule.halve_from_epoch:
        factor *= 0.5 ** (1 + math.floor((epochs - schedule.halve_from_epoch) / schedule.halve_every_epochs))
    if schedule.kind == ScheduleKind.plateau:
        factor *= schedule.plateau_factor**plateau.num_reductions
    return config.lr * factor


def sampling_probability(config: TrainingConfig, *, update: int) -> float:
    """Return the probability with which the decoder reads a predicted token instead of the true one.

    It is 1 - ε of Bengio et al. 2015, §2.4, where i is the number of updates before this one:

        linear            ε = k - slope · i
        exponential       ε = k^i
        inverse_sigmoid   ε = k / (k + exp(i / k))

    and never less than `sampling_floor`. That of inverse_sigmoid is one half after k ln(k) updates.

    Args:
        update: 1 for the first.
    """
    k, i = config.sampling_k, update - 1
    match config.scheduled_sampling:
        case SamplingSchedule.none:
            return 0.0
        case SamplingSchedule.linear:
            true_token = k - config.sampling_slope * i
        case SamplingSchedule.exponential:
            true_token = k**i
        case SamplingSchedule.inverse_sigmoid:
            true_token = k / (k + math.exp(min(i / k, 700.0)))  # exp of more overflows
    return 1.0 - max(true_token, config.sampling_floor)


def check_sampling(config: TrainingConfig) -> None:
    """Refuse a k that its schedule does not allow, and a linear schedule that never falls.

    With k = 1, inverse_sigmoid would sample half of the tokens of the first update, and nearly all of the sixth.

    Raises:
        ConfigError: if there is one.
    """
    k = config.sampling_k
    if config.scheduled_sampling == SamplingSchedule.linear and config.sampling_slope == 0:
        raise ConfigError("training.sampling_slope must be above 0 for training.scheduled_sampling=linear, but is 0.0")
    allowed = {
        SamplingSchedule.linear: (k <= 1, "at most 1", "no token is sampled at first if it is 1"),
        SamplingSchedule.exponential: (k < 1, "below 1", "no token is ever sampled if it is 1"),
        SamplingSchedule.inverse_sigmoid: (k > 1, "above 1", "half of the tokens are sampled after k ln(k) updates"),
    }
    is_allowed, wanted, meaning = allowed.get(config.scheduled_sampling, (True, "", ""))
    if not is_allowed:
        raise ConfigError(
            f"training.sampling_k must be {wanted} for training.scheduled_sampling={config.scheduled_sampling}, "
            f"but is {k}: {meaning}"
        )
