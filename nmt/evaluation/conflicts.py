"""Conflicts between the settings of `nmt evaluate`, found before anything is translated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmt.choices import PairedTest
from nmt.command_config import EvaluateCommand
from nmt.errors import ConfigError, config_problems
from nmt.evaluation.metrics import SACREBLEU_DEFAULTS, check_metrics
from nmt.evaluation.tokenizer import resolve_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_conflicts(settings: EvaluateCommand) -> None:
    """Check everything about the settings that types and ranges do not cover.

    Raises:
        ConfigError: if there are problems; it lists all of them.
    """
    problems = [
        *_conflicts(settings),
        *config_problems(
            lambda: check_metrics(settings.metrics, SACREBLEU_DEFAULTS, bootstrap_samples=settings.bootstrap_samples),
            lambda: resolve_tokenizer(settings.bleu_tokenize, lang=settings.tgt_lang),
        ),
    ]
    if problems:
        raise ConfigError("; ".join(problems))


def _conflicts(settings: EvaluateCommand) -> Iterator[str]:
    if bool(settings.hypothesis) == bool(settings.checkpoints):
        yield "hypothesis or checkpoints must be given, and not both"
    yield from _conflicts_of_texts(settings)
    if len(set(settings.hypothesis)) < len(settings.hypothesis):
        yield "hypothesis names a file twice"
    if settings.paired_test != PairedTest.none and len(settings.hypothesis) < 2:
        yield f"paired_test={settings.paired_test} needs two hypothesis files or more"
    if settings.paired_test != PairedTest.none and settings.bootstrap_samples == 0:
        yield f"paired_test={settings.paired_test} needs bootstrap_samples, which is 0"
    if settings.output is not None and not settings.checkpoints:
        yield "output is the file for translations by checkpoints: it needs checkpoints"


def _conflicts_of_texts(settings: EvaluateCommand) -> Iterator[str]:
    """Yield what is wrong with the choice of source, reference and columns."""
    has_source = settings.source is not None
    if settings.tsv is not None:
        if not settings.checkpoints:
            yield "tsv needs checkpoints, whose run says which columns are read"
        if settings.reference or has_source:
            yield "tsv replaces source and reference: give one or the other"
    elif settings.checkpoints and not settings.hypothesis and bool(settings.reference) != has_source:
        yield "checkpoints need source=FILE and reference=FILE, or neither for the test set of their run"
    if not settings.reference and not settings.checkpoints:
        yield "reference must name at least one file"
    if settings.by_length and not has_source and not settings.checkpoints:
        yield "by_length=true needs source=FILE, whose words it counts"
