"""Scores of translations against references: BLEU, chrF, TER and those of `string_metrics`, with intervals.

All of them are computed by sacreBLEU (Post 2018, "A Call for Clarity in Reporting BLEU Scores"). A score comes with the
signature that lets others reproduce it. `references[r][i]` is the r-th reference of sentence i, as in sacreBLEU. If a
sentence has several references, blank ones count as missing: they would reward empty translations. The order of the
references changes no score.
"""

from __future__ import annotations

import logging
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from nmt.choices import BleuTokenizer, Metric
from nmt.command_config import MAX_SAMPLES
from nmt.errors import ConfigError, DataError, config_problems
from nmt.evaluation.string_metrics import CharacterErrorRate, ExactMatch, WordErrorRate
from nmt.evaluation.tokenizer import check_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sacrebleu.metrics.base import Metric as SacrebleuMetric
    from sacrebleu.metrics.chrf import CHRFScore
    from sacrebleu.metrics.ter import TERScore

EDIT_RATES = frozenset({Metric.ter, Metric.cer, Metric.wer})  # lower is better, and more than 100 is possible
RESAMPLING_SEED = "12345"  # sacreBLEU's default; every signature with an interval or a test names it
_BYTES_A_SAMPLED_SENTENCE = 8 + 4 * 24  # sacreBLEU keeps all samples: an index, and the 24 counts of chrF++ in float32


@dataclass(frozen=True)
class MetricOptions:
    """Options that change a score and are therefore part of its signature.

    `lowercase` makes all metrics case-insensitive; TER always is, as in sacreBLEU.
    """

    bleu_tokenize: BleuTokenizer
    lowercase: bool


SACREBLEU_DEFAULTS = MetricOptions(bleu_tokenize=BleuTokenizer.mteval_13a, lowercase=False)


@dataclass(frozen=True)
class Score:
    """A corpus score, from 0 to 100; an edit rate (TER, CER, WER) may exceed 100, and lower is better."""

    metric: Metric
    label: str  # as it is printed: BLEU, chrF2, chrF2++, TER, exact, CER, WER
    value: float
    signature: str
    interval: tuple[float, float] | None  # 95%, bootstrap: see `interval_within_range`
    details: str  # of BLEU: precisions, brevity penalty, lengths; empty for other metrics


def check_metrics(metrics: Sequence[str], options: MetricOptions, *, bootstrap_samples: int) -> list[Metric]:
    """Check settings and return the metrics that they name.

    Raises:
        ConfigError: if there are problems; it lists all of them.
    """
    problems = []
    if not metrics or len(set(metrics)) < len(metrics) or not set(metrics) <= set(Metric):
        problems.append(f"metrics must name some of {', '.join(Metric)}, each once, but is [{', '.join(metrics)}]")
    problems += config_problems(lambda: check_tokenizer(options.bleu_tokenize))
    if bootstrap_samples != 0 and not 2 <= bootstrap_samples <= MAX_SAMPLES:
        problems.append(
            f"bootstrap_samples must be 0 (no interval) or from 2 to {MAX_SAMPLES:,}, but is {bootstrap_samples}"
        )
    if problems:
        raise ConfigError("; ".join(problems))
    return [Metric(name) for name in metrics]


def score_corpus(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = (Metric.bleu,),
    bootstrap_samples: int = 0,
    options: MetricOptions = SACREBLEU_DEFAULTS,
    hypotheses_name: str = "the hypotheses",
    reference_names: Sequence[str] = (),
) -> list[Score]:
    """Score one system by each of `metrics`, in their order.

    Args:
        references: a list of lines for each reference; of a single reference, the lines themselves.
        bootstrap_samples: for the intervals; 0: no intervals. The same input gives the same intervals.
        hypotheses_name: for messages, such as the name of a file; `reference_names` likewise.

    Raises:
        DataError: if counts differ, or there is nothing to score.
        ConfigError: if `metrics`, `bootstrap_samples` or an option is invalid.
    """
    references = _by_reference(references)
    names = check_metrics(metrics, options, bootstrap_samples=bootstrap_samples)
    check_aligned({hypotheses_name: hypotheses}, references, reference_names)
    check_memory(bootstrap_samples, len(hypotheses))
    present = without_missing(references)
    scores = []
    with fixed_seed():
        for name in names:
            metric = build_metric(name, present, options)
            score = metric.corpus_score(hypotheses, None, n_bootstrap=bootstrap_samples)
            interval = interval_within_range(name, score._mean, score._ci) if bootstrap_samples else None
            signature = metric.get_signature().format()
            scores.append(Score(name, score.name, float(score.score), signature, interval, score._verbose))
    return scores


def interval_within_range(metric: Metric, mean: float, half_width: float) -> tuple[float, float]:
    """Return sacreBLEU's interval, the mean of the samples ± half their central 95%, cut off where no score can be.

    The scores of the samples themselves, whose percentiles would not need this, are not available from its paired test.
    """
    highest = math.inf if metric in EDIT_RATES else 100.0
    return max(float(mean - half_width), 0.0), min(float(mean + half_width), highest)


def build_metric(metric: Metric, references: Sequence[Sequence[str]] | None, options: MetricOptions) -> SacrebleuMetric:
    """Make sacreBLEU's object for a metric."""
    match metric:
        case Metric.bleu:
            # force: `plain_text` warns of tokenized text instead of sacreBLEU
            tokenize = options.bleu_tokenize.value
            return BLEU(lowercase=options.lowercase, tokenize=tokenize, force=True, references=references)
        case Metric.chrf:
            return _Chrf(lowercase=options.lowercase, references=references)
        case Metric.chrf_plus_plus:
            return _Chrf(lowercase=options.lowercase, word_order=2, references=references)  # Popović 2017
        case Metric.ter:
            return _Ter(references=references)
        case Metric.exact:
            return ExactMatch(references, lowercase=options.lowercase)
        case Metric.cer:
            return CharacterErrorRate(references, lowercase=options.lowercase)
        case Metric.wer:
            return WordErrorRate(references, lowercase=options.lowercase)


# The scores of sacreBLEU's samples are numpy's numbers, but some that are 0 or 100 are Python's; it computes no mean of
# a mixture.


class _Chrf(CHRF):
    def _compute_score_from_stats(self, stats: Sequence[float]) -> CHRFScore:
        return super()._compute_score_from_stats([float(count) for count in stats])  # type: ignore[misc]


class _Ter(TER):
    def _compute_score_from_stats(self, stats: Sequence[float]) -> TERScore:
        return super()._compute_score_from_stats([float(count) for count in stats])


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Fix the seed that sacreBLEU reads from the environment, and silence its progress lines."""
    sacrebleu_log = logging.getLogger("sacrebleu")
    level, seed = sacrebleu_log.level, os.environ.get("SACREBLEU_SEED")
    sacrebleu_log.setLevel(logging.WARNING)
    os.environ["SACREBLEU_SEED"] = RESAMPLING_SEED
    try:
        yield
    finally:
        sacrebleu_log.setLevel(level)
        if seed is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = seed


def check_aligned(
    systems: Mapping[str, Sequence[object]], references: Sequence[Sequence[str]], reference_names: Sequence[str] = ()
) -> None:
    """Compare the numbers of lines: sacreBLEU would silently truncate to the shortest.

    Raises:
        DataError: if they differ, or there is nothing to score.
    """
    if not references:
        raise DataError("there is no reference to score against: give at least one")
    names = reference_names or (
        ["the reference"] if len(references) == 1 else [f"reference {n}" for n in range(1, len(references) + 1)]
    )
    for system, lines in systems.items():
        if not lines:
            raise DataError(f"{system}: there is nothing to score (0 lines)")
        for name, reference in zip(names, references, strict=True):
            check_num_lines(system, len(lines), reference=name, expected=len(reference))


def check_num_lines(name: str, number: int, *, reference: str, expected: int) -> None:
    """Compare the number of lines of one text with that of another.

    Raises:
        DataError: if they differ.
    """
    if number != expected:
        raise DataError(
            f"{name} and {reference} must have equally many lines, but have {number:,} and {expected:,}: "
            "line n of one must belong to line n of the other"
        )


def _by_reference(references: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    lines = [line for line in references if isinstance(line, str)]  # a str is a sequence of str, too
    return [lines] if lines else references


def check_memory(samples: int, num_sentences: int) -> None:
    """Refuse more samples than fit into memory, for which the system might kill the process without a message.

    Raises:
        ConfigError: if they do not fit.
    """
    needed = samples * num_sentences * _BYTES_A_SAMPLED_SENTENCE
    if needed > _total_memory():
        raise ConfigError(
            f"{samples:,} bootstrap samples of {num_sentences:,} sentences need {math.ceil(needed / 2**30):,} GiB, "
            f"but this computer has {_total_memory() // 2**30:,} GiB: lower bootstrap_samples"
        )


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def without_missing(references: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Replace blank lines by None, sacreBLEU's missing reference, if another reference is not blank."""
    if len(references) == 1:
        return references
    rows = []
    for row in zip(*references, strict=True):
        present = tuple(reference if reference.strip() else None for reference in row)
        rows.append(present if any(present) else row)  # blank in all: the translation must be blank, too
    return cast("Sequence[Sequence[str]]", list(zip(*rows, strict=True)))
