"""Paired tests of systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nmt.choices import PairedTest
from nmt.errors import ConfigError, DataError
from nmt.evaluation.significance import compare_systems

if TYPE_CHECKING:
    pass
from tests.test_metrics import ALL, BAD, GOOD, REFERENCE, score


@pytest.mark.parametrize("test", [PairedTest.bootstrap, PairedTest.randomization])
def test_a_paired_test_detects_a_real_difference(test: PairedTest) -> None:
    systems = {"base": GOOD * 10, "twin": GOOD * 10, "worse": BAD * 10}
    results = compare_systems(systems, [REFERENCE * 10], metrics=["ter", "bleu"], test=test, samples=200)
    assert [(r.metric, r.system) for r in results] == [(m, s) for m in ("ter", "bleu") for s in systems]
    for result in results:
        assert result.interval[0] < result.value < result.interval[1]
        assert result.interval[0] < result.mean < result.interval[1]
        assert f"|{'bs' if test == 'bootstrap' else 'ar'}:200|seed:12345|" in result.signature
        assert result.value == pytest.approx(score(systems[result.system], REFERENCE * 10, metric=result.metric))
    base, twin, worse = results[3:]
    assert base.p_value is None
    assert twin.p_value == 1  # sacreBLEU returns 1/201
    assert worse.p_value == pytest.approx(1 / 201)  # no sample beats the difference: (0 + 1) / (samples + 1)
    assert worse.value < base.value
    assert results == compare_systems(systems, [REFERENCE * 10], metrics=["ter", "bleu"], test=test, samples=200)


@pytest.mark.parametrize("test", [PairedTest.bootstrap, PairedTest.randomization])
def test_a_difference_of_zero_is_not_significant(test: PairedTest) -> None:
    """Whatever the outputs: here neither has a word of the references."""
    references = REFERENCE * 10
    systems = {"base": ["x y z w v"] * len(references), "other": ["p q"] * len(references)}
    [_, other] = compare_systems(systems, [references], metrics=["bleu"], test=test, samples=200)
    assert (other.value, other.p_value) == (0.0, 1.0)


def test_invalid_comparisons_are_refused() -> None:
    with pytest.raises(DataError, match=r"^a paired test needs a baseline and at least one other system, but got 1$"):
        compare_systems({"a": GOOD}, [REFERENCE], metrics=ALL, test=PairedTest.bootstrap, samples=10)
    with pytest.raises(DataError, match=r"^b and the reference must have equally many lines, but have 1 and 4: line n"):
        compare_systems({"a": GOOD, "b": ["x"]}, [REFERENCE], metrics=ALL, test=PairedTest.bootstrap, samples=10)
    for samples in (0, 10**12):
        message = rf"^samples of the paired test must be from 1 to 100,000, but is {samples}$"
        with pytest.raises(ConfigError, match=message):
            compare_systems({"a": GOOD, "b": BAD}, [REFERENCE], metrics=ALL, test=PairedTest.bootstrap, samples=samples)
