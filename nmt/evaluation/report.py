"""The result of `nmt evaluate`: scores of each system and comparisons between them, as JSON or text."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from nmt.evaluation.groups import LENGTH_BUCKETS, GroupScore, score_groups
from nmt.evaluation.metrics import MetricOptions, Score, score_corpus
from nmt.evaluation.significance import PairedResult, compare_systems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nmt.command_config import EvaluateCommand


@dataclass(frozen=True)
class SystemReport:
    """The scores of one system; `by_group` and `by_length` are empty if not requested."""

    name: str
    num_sentences: int
    scores: list[Score]
    by_group: list[GroupScore]
    by_length: list[GroupScore]


@dataclass(frozen=True)
class Report:
    """The result of an evaluation; its fields are the schema of `json=true`."""

    references: list[str]
    systems: list[SystemReport]
    paired_test: list[PairedResult]


def build_report(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    settings: EvaluateCommand,
    options: MetricOptions,
    groups: Sequence[list[str]],
    lengths: Sequence[list[str]],
) -> Report:
    """Score systems by name, and compare them as the settings request.

    Args:
        groups: the labels of each sentence; empty: no scores by group. `lengths` likewise.

    Raises:
        DataError: if numbers of lines differ, or there is nothing to score.
        ConfigError: if a setting is invalid.
    """
    reports = []
    for name, hypotheses in systems.items():
        scores = _score_system(name, hypotheses, references, settings=settings, options=options)
        by_group = score_groups(hypotheses, references, groups, options=options) if groups else []
        by_length = (
            score_groups(hypotheses, references, lengths, order=LENGTH_BUCKETS, options=options) if lengths else []
        )
        reports.append(SystemReport(name, len(hypotheses), scores, by_group, by_length))
    paired_test = compare_systems(
        systems,
        references,
        metrics=settings.metrics,
        test=settings.paired_test,
        samples=settings.bootstrap_samples,
        options=options,
        reference_names=settings.reference,
    )
    return Report(list(map(printable, settings.reference)), reports, paired_test)


def as_json(report: Report) -> str:
    """Format as a JSON object."""
    return json.dumps(asdict(report), ensure_ascii=False, indent=2) + "\n"


def as_text(report: Report) -> str:
    """Format as lines for people."""
    lines = []
    for system in report.systems:
        lines.append(system.name)
        lines.extend(_score_line(score) for score in system.scores)
        for title, rows in (("BLEU by group", system.by_group), ("BLEU by source length in words", system.by_length)):
            if rows:
                lines.append(f"  {title}")
                lines.extend(f"    {row.bleu:5.1f}  {row.group} ({row.num_sentences})" for row in rows)
    if report.paired_test:
        lines.append("paired test against the first system")
        lines.extend(_paired_line(result) for result in report.paired_test)
    return "\n".join(lines) + "\n"


def printable(name: str) -> str:
    """Return the name of a file as text, for any bytes and locale."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _score_system(
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    settings: EvaluateCommand,
    options: MetricOptions,
) -> list[Score]:
    return score_corpus(
        hypotheses,
        references,
        metrics=settings.metrics,
        bootstrap_samples=settings.bootstrap_samples,
        options=options,
        hypotheses_name=name,
        reference_names=settings.reference,
    )


def _score_line(score: Score) -> str:
    interval = "" if score.interval is None else f" [{score.interval[0]:.1f}, {score.interval[1]:.1f}]"
    details = f" {score.details}" if score.details else ""
    return f"  {score.label} {score.value:.1f}{interval}{details}\n    {score.signature}"


def _paired_line(result: PairedResult) -> str:
    verdict = "baseline" if result.p_value is None else f"p = {result.p_value:.4f}"
    low, high = result.interval
    return f"  {result.label} {result.value:.1f} [{low:.1f}, {high:.1f}] {verdict}  {result.system}"
