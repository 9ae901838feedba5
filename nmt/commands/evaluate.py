"""`nmt evaluate`: hypothesis files against references, or checkpoints on a test set."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

from nmt.commands.output import check_output, open_output, read_files
from nmt.config import EvaluateCommand, PairedTest
from nmt.errors import ConfigError, DataError
from nmt.evaluation.metrics import (
    LENGTH_BUCKETS,
    SACREBLEU_DEFAULTS,
    GroupScore,
    MetricName,
    MetricOptions,
    PairedResult,
    Score,
    SignificanceTest,
    check_metrics,
    compare_systems,
    length_bucket,
    score_corpus,
    score_groups,
)
from nmt.evaluation.plain_text import refuse_markup, warn_of_blank_references, warn_of_odd_text
from nmt.evaluation.tokenizer import AUTO, BleuTokenizer, resolve_tokenizer
from nmt.text.parallel import read_lines

logger = logging.getLogger(__name__)


class Labels(NamedTuple):
    """The groups of each sentence; empty where they are not wanted."""

    by_group: list[list[str]]
    by_length: list[list[str]]


@dataclass(frozen=True)
class SystemReport:
    """What is said of one system; `by_group` and `by_length` are empty where they are not wanted."""

    name: str
    num_sentences: int
    scores: list[Score]
    by_group: list[GroupScore]
    by_length: list[GroupScore]


@dataclass(frozen=True)
class Report:
    """The result, and, field by field, the schema of `json=true`."""

    references: list[str]
    systems: list[SystemReport]
    paired_test: list[PairedResult]


def run(settings: EvaluateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    _check(settings)
    if settings.checkpoints and settings.source is None:
        _take_test_set(settings)
    _check_outputs(settings)
    references = [_read_text(name) for name in settings.reference]
    labels = _read_labels(settings, num_sentences=len(references[0]))
    if settings.checkpoints:
        sources = _read_sources(settings, references)
        options = _metric_options(settings)
        systems = {"+".join(map(_printable, settings.checkpoints)): _translate(settings, sources)}
    else:
        options = _metric_options(settings)
        systems = {_printable(name): _read_text(name) for name in settings.hypothesis}
    report = Report(
        references=list(map(_printable, settings.reference)),
        systems=[
            _report_system(name, lines, references, settings=settings, options=options, labels=labels)
            for name, lines in systems.items()
        ],
        paired_test=_compare(systems, references, settings=settings, options=options),
    )
    _warn(systems, dict(zip(settings.reference, references, strict=True)), options.bleu_tokenize)
    with open_output(None) as stream:
        stream.write((_as_json(report) if settings.json else _as_text(report)).encode())
    return 0


def _check(settings: EvaluateCommand) -> None:
    """Report all that is wrong, at once, and before anything is translated."""
    problems = []
    if bool(settings.hypothesis) == bool(settings.checkpoints):
        problems.append("hypothesis or checkpoints must be given, and not both")
    if settings.checkpoints and not settings.hypothesis and bool(settings.reference) != (settings.source is not None):
        problems.append("checkpoints need source=FILE and reference=FILE, or neither for the test set of their run")
    if not settings.reference and not settings.checkpoints:
        problems.append("reference must name at least one file")
    if settings.by_length and settings.source is None and not settings.checkpoints:
        problems.append("by_length=true needs source=FILE, whose words it counts")
    if len(set(settings.hypothesis)) < len(settings.hypothesis):
        problems.append("hypothesis names a file twice")
    if settings.paired_test != PairedTest.none and len(settings.hypothesis) < 2:
        problems.append(f"paired_test={settings.paired_test} needs two hypothesis files or more")
    if settings.paired_test != PairedTest.none and settings.bootstrap_samples == 0:
        problems.append(f"paired_test={settings.paired_test} needs bootstrap_samples, which is 0")
    if settings.output is not None and not settings.checkpoints:
        problems.append("output is where translations by checkpoints go: it needs checkpoints")
    metrics = cast("list[MetricName]", settings.metrics)
    for check in (
        lambda: check_metrics(metrics, SACREBLEU_DEFAULTS, bootstrap_samples=settings.bootstrap_samples),
        lambda: resolve_tokenizer(settings.bleu_tokenize, lang=settings.tgt_lang),
    ):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))


def _check_outputs(settings: EvaluateCommand) -> None:
    read = read_files(
        source=settings.source,
        reference=settings.reference,
        hypothesis=settings.hypothesis,
        groups=settings.groups,
    )
    for output in (None, settings.output):  # the scores go to stdout
        check_output(output, read=read, checkpoints=settings.checkpoints)


def _take_test_set(settings: EvaluateCommand) -> None:
    """Take `data.test` of the run that wrote the checkpoints as source and reference."""
    # imported here since scoring files needs no torch
    from nmt.training.checkpoint import read_config, read_info
    from nmt.training.checkpoint_store import read_checkpoint

    test_sets = set()
    for path in map(Path, settings.checkpoints):
        read_checkpoint(path, read_info)  # explains what is no checkpoint
        data = read_checkpoint(path, read_config).get("data") or {}
        sides = [(data.get("test") or {}).get(side) or [] for side in ("src", "tgt")]
        if [len(files) for files in sides] != [1, 1]:
            raise ConfigError(
                f"the run of {path} was given no test set (data.test.src and data.test.tgt, one file each): "
                "give source=FILE and reference=FILE"
            )
        test_sets.add(tuple(str(Path(data["dir"], files[0])) for files in sides))
    if len(test_sets) > 1:
        raise ConfigError("the runs of the checkpoints name different test sets: give source=FILE and reference=FILE")
    [(settings.source, reference)] = test_sets
    settings.reference = [reference]
    logger.info("test set: %s, %s", settings.source, reference)


def _read_text(name: str) -> list[str]:
    lines = list(read_lines(Path(name)))
    refuse_markup(lines, name=name)
    return lines


def _printable(name: str) -> str:
    """Return a file's name as text, whatever bytes it holds, and whatever the locale takes them for."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _metric_options(settings: EvaluateCommand) -> MetricOptions:
    lang = settings.tgt_lang or _language_of_run(settings.checkpoints)
    tokenizer = resolve_tokenizer(settings.bleu_tokenize, lang=lang)
    if settings.bleu_tokenize == AUTO and tokenizer != SACREBLEU_DEFAULTS.bleu_tokenize:
        logger.info("BLEU with bleu_tokenize=%s, for tgt_lang=%s", tokenizer, lang)
    return MetricOptions(bleu_tokenize=tokenizer, lowercase=settings.lowercase)


def _language_of_run(checkpoints: Sequence[str]) -> str | None:
    """Return `data.tgt_lang` of the run that wrote the first checkpoint; the members of an ensemble share a target."""
    if not checkpoints:
        return None
    # imported here since scoring files needs no torch
    from nmt.training.checkpoint import read_config, read_info
    from nmt.training.checkpoint_store import read_checkpoint

    path = Path(checkpoints[0])
    read_checkpoint(path, read_info)  # explains what is no checkpoint
    lang = (read_checkpoint(path, read_config).get("data") or {}).get("tgt_lang")
    return lang if isinstance(lang, str) else None


def _warn(
    systems: Mapping[str, Sequence[str]], references: Mapping[str, Sequence[str]], tokenizer: BleuTokenizer
) -> None:
    warn_of_blank_references(references)
    for name, lines in {**references, **systems}.items():
        warn_of_odd_text(lines, name=name, tokenizer=tokenizer, setting="bleu_tokenize")


def _read_labels(settings: EvaluateCommand, *, num_sentences: int) -> Labels:
    by_group: list[list[str]] = []
    by_length: list[list[str]] = []
    if settings.groups is not None:
        by_group = [_labels(line) for line in read_lines(Path(settings.groups))]
        _check_length(settings.groups, len(by_group), settings, num_sentences)
    if settings.by_length and settings.source is not None:
        by_length = [[length_bucket(len(line.split()))] for line in read_lines(Path(settings.source))]
        _check_length(settings.source, len(by_length), settings, num_sentences)
    return Labels(by_group, by_length)


def _labels(line: str) -> list[str]:
    return [label for part in line.split(",") if (label := part.strip())]


def _check_length(name: str, num_lines: int, settings: EvaluateCommand, num_sentences: int) -> None:
    if num_lines != num_sentences:
        raise DataError(
            f"{name} must hold one line for each line of {settings.reference[0]}, "
            f"but there are {num_lines} against {num_sentences}"
        )


def _read_sources(settings: EvaluateCommand, references: Sequence[Sequence[str]]) -> list[str]:
    assert settings.source is not None
    sources = _read_text(settings.source)
    for name, reference in zip(settings.reference, references, strict=True):  # found out now, not after translating
        if len(reference) != len(sources):
            raise DataError(
                f"{name} must hold one line for each line of {settings.source}, "
                f"but there are {len(reference)} against {len(sources)}"
            )
    return sources


def _translate(settings: EvaluateCommand, sources: Sequence[str]) -> list[str]:
    # imported here since scoring files needs no torch
    from nmt.commands.translate import progress_bar
    from nmt.search.translator import Translator

    translator = Translator.load(
        settings.checkpoints,
        search=settings.search,
        device=settings.device,
        threads=settings.threads,
        implementation=settings.implementation,
    )
    with progress_bar(len(sources)) as bar:
        hypotheses = [translation.text for translation in translator.translate(sources, progress=bar.update)]
    if settings.output is not None:
        with open_output(settings.output) as stream:
            stream.writelines(f"{line}\n".encode() for line in hypotheses)
    return hypotheses


def _report_system(
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    settings: EvaluateCommand,
    options: MetricOptions,
    labels: Labels,
) -> SystemReport:
    scores = score_corpus(
        hypotheses,
        references,
        metrics=cast("list[MetricName]", settings.metrics),
        bootstrap_samples=settings.bootstrap_samples,
        options=options,
        hypotheses_name=name,
        reference_names=settings.reference,
    )
    by_group = score_groups(hypotheses, references, labels.by_group, options=options) if labels.by_group else []
    by_length = []
    if labels.by_length:
        by_length = score_groups(hypotheses, references, labels.by_length, order=LENGTH_BUCKETS, options=options)
    return SystemReport(name, len(hypotheses), scores, by_group, by_length)


def _compare(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    settings: EvaluateCommand,
    options: MetricOptions,
) -> list[PairedResult]:
    if settings.paired_test == PairedTest.none:
        return []
    return compare_systems(
        systems,
        references,
        metrics=cast("list[MetricName]", settings.metrics),
        test=cast("SignificanceTest", settings.paired_test.value),
        samples=settings.bootstrap_samples,
        options=options,
        reference_names=settings.reference,
    )


def _as_json(report: Report) -> str:
    return json.dumps(asdict(report), ensure_ascii=False, indent=2) + "\n"


def _as_text(report: Report) -> str:
    lines = []
    for system in report.systems:
        lines.append(system.name)
        lines.extend(_score_line(score) for score in system.scores)
        for title, rows in (
            ("BLEU by group", system.by_group),
            ("BLEU by source length in words", system.by_length),
        ):
            if rows:
                lines.append(f"  {title}")
                lines.extend(f"    {row.bleu:5.1f}  {row.group} ({row.num_sentences})" for row in rows)
    if report.paired_test:
        lines.append("paired test against the first system")
        lines.extend(_paired_line(result) for result in report.paired_test)
    return "\n".join(lines) + "\n"


def _score_line(score: Score) -> str:
    interval = "" if score.interval is None else f" [{score.interval[0]:.1f}, {score.interval[1]:.1f}]"
    details = f" {score.details}" if score.details else ""
    return f"  {score.label} {score.value:.1f}{interval}{details}\n    {score.signature}"


def _paired_line(result: PairedResult) -> str:
    verdict = "baseline" if result.p_value is None else f"p = {result.p_value:.4f}"
    low, high = result.interval
    return f"  {result.label} {result.value:.1f} [{low:.1f}, {high:.1f}] {verdict}  {result.system}"
