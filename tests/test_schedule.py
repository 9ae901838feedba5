"""Learning-rate schedules traced by hand."""

from dataclasses import replace

import pytest

from nmt.choices import BestBy, SamplingSchedule, ScheduleKind
from nmt.config import OptimizerConfig
from nmt.errors import ConfigError
from nmt.training.schedule import PlateauState, check_sampling, learning_rate, sampling_probability
from tests.test_optimizer import SCHEDULE, SGD
from tests.test_trainer import TRAINING


def rate(config: OptimizerConfig, *, update: int = 1, epochs: float = 0.0, num_reductions: int = 0) -> float:
    return learning_rate(config, update=update, epochs=epochs, plateau=PlateauState(num_reductions=num_reductions))


def scheduled(kind: ScheduleKind, *, warmup_updates: int = 0) -> OptimizerConfig:
    return replace(SGD, schedule=replace(SCHEDULE, kind=kind, warmup_updates=warmup_updates))


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (0.0, 0.7),
        (4.99, 0.7),
        (5.0, 0.35),
        (5.49, 0.35),
        (5.5, 0.175),
        (6.0, 0.0875),
        (6.5, 0.04375),
        (7.0, 0.021875),
        (7.49, 0.021875),
    ],
)
def test_the_papers_schedule_halves_five_times(epochs: float, expected: float) -> None:
    assert rate(scheduled(ScheduleKind.halving), update=1000, epochs=epochs) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", list(ScheduleKind))
def test_every_schedule_warms_up_linearly(kind: ScheduleKind) -> None:
    config = scheduled(kind, warmup_updates=4)
    assert [rate(config, update=n) for n in (1, 2, 3, 4)] == pytest.approx([0.7 / 4, 1.4 / 4, 2.1 / 4, 0.7])


def test_inverse_sqrt_peaks_after_the_warm_up_and_falls_with_the_root() -> None:
    config = scheduled(ScheduleKind.inverse_sqrt, warmup_updates=100)
    assert [rate(config, update=n) for n in (50, 100, 400, 900)] == pytest.approx([0.35, 0.7, 0.35, 0.7 / 3])
    without = scheduled(ScheduleKind.inverse_sqrt)
    assert [rate(without, update=n) for n in (1, 4)] == pytest.approx([0.7, 0.35])


def test_the_constant_schedule_is_constant() -> None:
    assert {rate(SGD, update=n, epochs=n, num_reductions=n) for n in (1, 10, 1000)} == {0.7}


def test_plateau_reduces_after_its_patience() -> None:
    config, plateau = scheduled(ScheduleKind.plateau), PlateauState()
    rates = []
    # best 2.0; two not better: halved; better; one not better, better, two not better (a tie is not): halved again
    for nats_per_token in (3.0, 2.0, 2.5, 2.0, 1.9, 2.0, 1.8, 1.8, 1.9):
        plateau.observe({"nats_per_token": nats_per_token}, config.schedule)
        rates.append(learning_rate(config, update=1, epochs=0.0, plateau=plateau))
    assert rates == pytest.approx([0.7, 0.7, 0.7, 0.35, 0.35, 0.35, 0.35, 0.35, 0.175])
    assert plateau.best == 1.8


def test_warm_up_and_schedule_multiply() -> None:
    halving = scheduled(ScheduleKind.halving, warmup_updates=4)
    assert rate(halving, update=2, epochs=5.5) == pytest.approx(0.7 * 2 / 4 * 0.25)
    plateau = scheduled(ScheduleKind.plateau, warmup_updates=4)
    assert rate(plateau, update=1, num_reductions=2) == pytest.approx(0.7 * 1 / 4 * 0.25)


def test_halving_begins_and_repeats_as_configured() -> None:
    schedule = replace(SCHEDULE, kind=ScheduleKind.halving, halve_from_epoch=2.0, halve_every_epochs=3.0)
    config = replace(SGD, lr=0.8, schedule=schedule)
    assert [rate(config, epochs=epochs) for epochs in (1.9, 2.0, 4.9, 5.0, 8.0)] == [0.8, 0.4, 0.4, 0.2, 0.1]


def test_a_plateau_reduces_by_its_factor() -> None:
    config = replace(SGD, lr=0.8, schedule=replace(SCHEDULE, kind=ScheduleKind.plateau, plateau_factor=0.1))
    rates = [rate(config, num_reductions=reductions) for reductions in range(3)]
    assert rates == pytest.approx([0.8, 0.08, 0.008])


def test_after_a_reduction_a_plateau_waits_its_whole_patience_again() -> None:
    plateau, reductions = PlateauState(), []
    for nats_per_token in (1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        plateau.observe({"nats_per_token": nats_per_token}, replace(SCHEDULE, plateau_patience=3))
        reductions.append(plateau.num_reductions)
    assert reductions == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("measure", [BestBy.bleu, BestBy.chrf, BestBy.exact])
def test_a_plateau_of_translations_waits_for_higher_scores(measure: BestBy) -> None:
    schedule, plateau, reductions = replace(SCHEDULE, plateau_by=measure), PlateauState(), []
    for score in (10.0, 20.0, 19.0, 20.0, 21.0, 20.5, 20.5):  # a tie is not better
        plateau.observe({"nats_per_token": -score, measure: score}, schedule)
        reductions.append(plateau.num_reductions)
    assert reductions == [0, 0, 0, 1, 1, 1, 2]
    assert plateau.best == 21


def test_a_validation_without_the_measure_of_the_plateau_does_not_count() -> None:
    schedule, plateau = replace(SCHEDULE, plateau_by=BestBy.bleu), PlateauState()
    for scores in ({"bleu": 10.0}, {"bleu": 9.0}, {}, {}):
        plateau.observe({"nats_per_token": 1.0, **scores}, schedule)
    assert plateau == PlateauState(0, 10.0, 1, BestBy.bleu)


def test_a_plateau_of_another_measure_starts_again_after_its_reductions() -> None:
    plateau = PlateauState(num_reductions=3, best=1.5, num_bad_validations=1)
    plateau.observe({"nats_per_token": 1.4, "exact": 0.5}, replace(SCHEDULE, plateau_by=BestBy.exact))
    assert plateau == PlateauState(3, 0.5, 0, BestBy.exact)


def sampled(schedule: SamplingSchedule, k: float, update: int, *, slope: float = 0.0, floor: float = 0.0) -> float:
    config = replace(TRAINING, scheduled_sampling=schedule, sampling_k=k, sampling_slope=slope, sampling_floor=floor)
    return sampling_probability(config, update=update)


def test_scheduled_sampling_by_hand() -> None:
    assert sampled(SamplingSchedule.none, 1.0, 10**6) == 0.0
    assert sampled(SamplingSchedule.linear, 0.9, 1, slope=0.01) == pytest.approx(0.1)
    assert sampled(SamplingSchedule.linear, 0.9, 31, slope=0.01) == pytest.approx(0.4)
    assert sampled(SamplingSchedule.linear, 0.9, 10**6, slope=0.01) == 1.0
    assert sampled(SamplingSchedule.exponential, 0.5, 1) == 0.0
    assert sampled(SamplingSchedule.exponential, 0.5, 4) == pytest.approx(1 - 0.125)
    assert sampled(SamplingSchedule.inverse_sigmoid, 2.0, 1) == pytest.approx(1 - 2 / 3)
    assert sampled(SamplingSchedule.inverse_sigmoid, 2.0, 5) == pytest.approx(1 - 2 / (2 + 7.38905609893065))
    assert sampled(SamplingSchedule.inverse_sigmoid, 2.0, 10**6) == pytest.approx(1.0)


def test_inverse_sigmoid_samples_half_of_the_tokens_after_k_ln_k_updates() -> None:
    assert sampled(SamplingSchedule.inverse_sigmoid, 100.0, 461) == pytest.approx(0.5, abs=1e-2)
    config = replace(TRAINING, scheduled_sampling=SamplingSchedule.inverse_sigmoid)
    with pytest.raises(ConfigError, match=r"but is 1\.0: half of the tokens are sampled after k ln\(k\) updates$"):
        check_sampling(config)
    check_sampling(replace(config, sampling_k=100.0))


@pytest.mark.parametrize("schedule", [one for one in SamplingSchedule if one != SamplingSchedule.none])
def test_the_floor_keeps_some_true_tokens(schedule: SamplingSchedule) -> None:
    assert sampled(
        schedule, 0.5 if schedule == SamplingSchedule.exponential else 1.0, 10**6, slope=1.0, floor=0.25
    ) == (0.75)


@pytest.mark.parametrize(
    ("schedule", "k", "wanted"),
    [
        (SamplingSchedule.linear, 1.5, "at most 1"),
        (SamplingSchedule.exponential, 1.0, "below 1"),
        (SamplingSchedule.inverse_sigmoid, 1.0, "above 1"),  # the default
    ],
)
def test_a_k_outside_its_schedule_is_refused(schedule: SamplingSchedule, k: float, wanted: str) -> None:
    config = replace(TRAINING, scheduled_sampling=schedule, sampling_k=k, sampling_slope=0.1)
    with pytest.raises(ConfigError, match=rf"^training\.sampling_k must be {wanted} for .*={schedule}, but is {k}: "):
        check_sampling(config)
    check_sampling(replace(config, scheduled_sampling=SamplingSchedule.none))


def test_a_linear_schedule_must_fall() -> None:
    config = replace(TRAINING, scheduled_sampling=SamplingSchedule.linear)
    with pytest.raises(ConfigError, match=r"^training\.sampling_slope must be above 0 for .*=linear, but is 0\.0$"):
        check_sampling(config)
