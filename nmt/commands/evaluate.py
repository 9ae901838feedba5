"""`nmt evaluate`: hypothesis files against references, or checkpoints on a test set."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from nmt.config import EvaluateCommand, PairedTest
from nmt.errors import ConfigError, DataError
from nmt.evaluation.metrics import (
    LENGTH_BUCKETS,
    SACREBLEU_DEFAULTS,
    BleuTokenizer,
    GroupScore,
    MetricName,
    MetricOptions,
    PairedResult,
    Score,
    SignificanceTest,
    compare_systems,
    length_bucket,
    score_corpus,
    score_groups,
)
from nmt.text.parallel import read_lines


def run(settings: EvaluateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    _check(settings)
    references = [list(read_lines(Path(name))) for name in settings.reference]
    if settings.checkpoints:
        systems = {"+".join(settings.checkpoints): _translate(settings)}
    else:
        systems = {name: list(read_lines(Path(name))) for name in settings.hypothesis}
    report: dict[str, Any] = {"systems": {}}
    options = MetricOptions(
        bleu_tokenize=cast("BleuTokenizer", settings.bleu_tokenize),
        lowercase=SACREBLEU_DEFAULTS.lowercase,
        chrf_word_order=SACREBLEU_DEFAULTS.chrf_word_order,
    )
    for name, hypotheses in systems.items():
        scores = score_corpus(
            hypotheses,
            references,
            metrics=cast("list[MetricName]", settings.metrics),
            bootstrap_samples=settings.bootstrap_samples,
            options=options,
            hypotheses_name=name,
            reference_names=settings.reference,
        )
        report["systems"][name] = {"scores": scores, **_group_scores(settings, hypotheses, references, options)}
    if settings.paired_test != PairedTest.none:
        report["paired_test"] = compare_systems(
            systems,
            references,
            metrics=cast("list[MetricName]", settings.metrics),
            test=cast("SignificanceTest", settings.paired_test.value),
            samples=settings.bootstrap_samples,
            options=options,
            reference_names=settings.reference,
        )
    sys.stdout.write(_as_json(report) if settings.json else _as_text(report))
    return 0


def _check(settings: EvaluateCommand) -> None:
    problems = []
    if bool(settings.hypothesis) == bool(settings.checkpoints):
        problems.append("either hypothesis or checkpoints must be given, not both")
    if not settings.reference:
        problems.append("reference must name at least one file")
    if settings.checkpoints and settings.source is None:
        problems.append("checkpoints need source=FILE, the text to translate")
    if settings.by_length and settings.source is None:
        problems.append("by_length=true needs source=FILE, whose words it counts")
    if len(set(settings.hypothesis)) < len(settings.hypothesis):
        problems.append("hypothesis names a file twice")
    if settings.paired_test != PairedTest.none and len(settings.hypothesis) < 2:
        problems.append(f"paired_test={settings.paired_test} needs two hypothesis files or more")
    if settings.output is not None and not settings.checkpoints:
        problems.append("output is where translations by checkpoints go: it needs checkpoints")
    if problems:
        raise ConfigError("; ".join(problems))


def _translate(settings: EvaluateCommand) -> list[str]:
    # imported here since scoring files needs no torch
    from nmt.commands.translate import build_translator, progress_bar, write_aside

    translator = build_translator(
        settings.checkpoints, settings.search, device_name=settings.device, threads=settings.threads
    )
    sources = list(read_lines(Path(settings.source or "")))
    with progress_bar(len(sources)) as bar:
        hypotheses = [translation.text for translation in translator.translate(sources, progress=bar.update)]
    if settings.output is not None:
        with write_aside(settings.output) as stream:
            stream.writelines(f"{line}\n" for line in hypotheses)
    return hypotheses


def _group_scores(
    settings: EvaluateCommand, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricOptions
) -> dict[str, list[GroupScore]]:
    scores = {}
    if settings.groups is not None:
        labels = [[label for label in line.split(",") if label] for line in read_lines(Path(settings.groups))]
        _check_length(labels, hypotheses, settings.groups)
        scores["by_group"] = score_groups(hypotheses, references, labels, options=options)
    if settings.by_length and settings.source is not None:
        buckets = [[length_bucket(len(line.split()))] for line in read_lines(Path(settings.source))]
        _check_length(buckets, hypotheses, settings.source)
        scores["by_length"] = score_groups(hypotheses, references, buckets, order=LENGTH_BUCKETS, options=options)
    return scores


def _check_length(lines: Sequence[object], hypotheses: Sequence[str], name: str) -> None:
    if len(lines) != len(hypotheses):
        raise DataError(f"{name} must have a line for each of the {len(hypotheses)} hypotheses, but has {len(lines)}")


def _as_json(report: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        return asdict(value)

    return json.dumps(report, default=plain, ensure_ascii=False, indent=2) + "\n"


def _as_text(report: dict[str, Any]) -> str:
    lines = []
    for name, scores in report["systems"].items():
        lines.append(name)
        lines.extend(_score_line(score) for score in scores["scores"])
        for title, key in (("BLEU by group", "by_group"), ("BLEU by source length in words", "by_length")):
            if key in scores:
                lines.append(f"  {title}")
                lines.extend(f"    {row.bleu:5.1f}  {row.group} ({row.num_sentences})" for row in scores[key])
    for result in report.get("paired_test", []):
        lines.append(_paired_line(result))
    return "\n".join(lines) + "\n"


def _score_line(score: Score) -> str:
    interval = "" if score.interval is None else f" [{score.interval[0]:.1f}, {score.interval[1]:.1f}]"
    details = f" {score.details}" if score.details else ""
    return f"  {score.label} {score.value:.1f}{interval}{details}\n    {score.signature}"


def _paired_line(result: PairedResult) -> str:
    verdict = "baseline" if result.p_value is None else f"p = {result.p_value:.4f}"
    low, high = result.interval
    return f"{result.label} {result.value:.1f} [{low:.1f}, {high:.1f}] {verdict}  {result.system}"
