"""What an examination finds, how serious it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from nmt.choices import Severity


@dataclass(frozen=True)
class Finding:
    """One line about a corpus or a model, and one of advice unless the severity is ok."""

    severity: Severity
    summary: str
    advice: str = ""


def finding(severity: Severity, summary: str, advice: str) -> Finding:
    """Make a finding; it has no advice if it is ok."""
    return Finding(severity, summary, "" if severity == Severity.ok else advice)


def share_finding(
    place: str, what: str, count: int, total: int, *, notice: float, warning: float, advice: str
) -> Finding:
    """Say how many things of a place are a problem, graded by their share."""
    severity = grade(share(count, total), notice=notice, warning=warning)
    return finding(severity, f"{place}: {show_share(count, total)} {what}", advice)


def grade(value: float, *, notice: float, warning: float) -> Severity:
    """Return the severity of a value that should be low: above `notice` and above `warning` it is worth mentioning."""
    if value > warning:
        return Severity.warning
    return Severity.notice if value > notice else Severity.ok


def worst(severities: Iterable[Severity]) -> Severity:
    """Return the highest severity, ok if there is none."""
    return max(severities, key=list(Severity).index, default=Severity.ok)


def share(count: int, total: int) -> float:
    return count / total if total else 0.0


def show_share(count: int, total: int) -> str:
    """Format a count with its share: `12 of 3,400 (0.35%)`."""
    return f"{count:,} of {total:,} ({100 * share(count, total):.2f}%)"
