from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor.finding import Finding, finding, grade, share, share_finding, show_share, worst


@pytest.mark.parametrize(
    ("value", "severity"),
    [(0.0, Severity.ok), (0.1, Severity.ok), (0.11, Severity.notice), (0.5, Severity.notice), (0.51, Severity.warning)],
)
def test_values_above_the_limits_are_graded(value: float, severity: Severity) -> None:
    assert grade(value, notice=0.1, warning=0.5) == severity


def test_the_worst_severity_is_not_the_last_of_the_alphabet() -> None:
    assert worst([Severity.ok, Severity.notice]) == Severity.notice
    assert worst([Severity.notice, Severity.warning, Severity.ok]) == Severity.warning
    assert worst([]) == Severity.ok


def test_what_is_ok_needs_no_advice() -> None:
    assert finding(Severity.ok, "fine", "do something").advice == ""
    assert finding(Severity.notice, "odd", "do something").advice == "do something"


def test_shares_of_nothing_are_zero() -> None:
    assert share(0, 0) == 0.0
    assert show_share(12, 3_400) == "12 of 3,400 (0.35%)"


@pytest.mark.parametrize(
    ("count", "severity", "advice"), [(1, Severity.ok, ""), (2, Severity.notice, "a"), (6, Severity.warning, "a")]
)
def test_a_share_is_graded_and_said(count: int, severity: Severity, advice: str) -> None:
    found = share_finding("dev src", "lines are odd", count, 10, notice=0.1, warning=0.5, advice="a")
    assert found == Finding(severity, f"dev src: {count} of 10 ({count}0.00%) lines are odd", advice)
