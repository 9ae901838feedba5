"""Paired significance tests: how likely is it that a difference between two systems is due to chance?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sacrebleu import significance
from sacrebleu.metrics.base import Metric as SacrebleuMetric

from nmt.choices import Metric, PairedTest
from nmt.command_config import MAX_SAMPLES
from nmt.errors import ConfigError, DataError
from nmt.evaluation.metrics import (
    SACREBLEU_DEFAULTS,
    MetricOptions,
    build_metric,
    check_aligned,
    check_memory,
    check_metrics,
    fixed_seed,
    interval_within_range,
    without_missing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RANDOMIZATION_INTERVAL_SAMPLES = 1000  # sacreBLEU's default for bootstrap samples


@dataclass(frozen=True)
class PairedResult:
    """The score of one system, and the probability that its difference from the baseline is due to chance."""

    system: str
    metric: Metric
    label: str
    value: float
    mean: float  # over the bootstrap samples
    interval: tuple[float, float]  # 95%, bootstrap: see `interval_within_range`
    p_value: float | None  # None: the baseline itself; 1: the same score as the baseline
    signature: str


def compare_systems(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str],
    test: PairedTest,
    samples: int,
    options: MetricOptions = SACREBLEU_DEFAULTS,
    reference_names: Sequence[str] = (),
) -> list[PairedResult]:
    """Compare systems with the first of them, the baseline: metric by metric, systems in the order given.

    `bootstrap` is Koehn's paired bootstrap resampling (2004); `randomization` is Riezler and Maxwell's approximate
    randomization (2005), whose intervals come from `RANDOMIZATION_INTERVAL_SAMPLES` bootstrap samples; `none` returns
    an empty list. The same input gives the same results.

    Raises:
        DataError: if counts differ, or there is nothing to score, or fewer than two systems.
        ConfigError: if `metrics`, `samples` or an option is invalid.
    """
    if test == PairedTest.none:
        return []
    if not 1 <= samples <= MAX_SAMPLES:
        raise ConfigError(f"samples of the paired test must be from 1 to {MAX_SAMPLES:,}, but is {samples}")
    if len(systems) < 2:
        raise DataError(f"a paired test needs a baseline and at least one other system, but got {len(systems)}")
    names = check_metrics(metrics, options, bootstrap_samples=0)
    check_aligned(systems, references, reference_names)
    check_memory(samples, len(references[0]))
    present = without_missing(references)
    measured: dict[str, SacrebleuMetric] = {name: build_metric(name, present, options) for name in names}
    signatures, columns = _run_test(systems, measured, test=test, samples=samples)
    # after the systems, sacreBLEU returns a column for each metric, by its printed name and in the order given
    labels = [label for label in columns if label != "System"]
    return [
        _paired_result(
            system, name, result, baseline=columns[label][0], signature=signatures[label].format(), label=label
        )
        for name, label in zip(names, labels, strict=True)
        for system, result in zip(systems, columns[label], strict=True)
    ]


def _run_test(
    systems: Mapping[str, Sequence[str]], metrics: dict[str, SacrebleuMetric], *, test: PairedTest, samples: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return sacreBLEU's signatures and columns of results, by the printed names of the metrics."""
    with fixed_seed():
        found: tuple[dict[str, Any], dict[str, Any]] = significance.PairedTest(
            list(systems.items()),
            metrics,
            None,  # the metrics hold the references, processed once for all systems
            test_type="bs" if test == PairedTest.bootstrap else "ar",
            n_samples=samples,
            n_ar_confidence=RANDOMIZATION_INTERVAL_SAMPLES if test == PairedTest.randomization else -1,
            n_jobs=1,
        )()
    return found


def _paired_result(
    system: str,
    metric: Metric,
    result: significance.Result,
    *,
    baseline: significance.Result,
    signature: str,
    label: str,
) -> PairedResult:
    assert result.mean is not None
    assert result.ci is not None
    # For a system that equals the baseline in all samples, sacreBLEU returns the smallest possible p-value: it counts
    # those whose difference is greater than the real one, 0, and there are none. Any difference is at least 0.
    is_equal = result.score == baseline.score
    p_value = None if result.p_value is None else 1.0 if is_equal else float(result.p_value)
    interval = interval_within_range(metric, result.mean, result.ci)
    return PairedResult(system, metric, label, float(result.score), float(result.mean), interval, p_value, signature)
