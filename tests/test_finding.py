from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor.finding import finding, grade, share, show_share, worst


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
