"""Score translations against references: BLEU, chrF and TER with signatures, intervals and paired tests.

All of it is sacreBLEU's own (Post 2018, "A Call for Clarity in Reporting BLEU Scores"): a score is worth as much as the
signature that lets a stranger repeat it. References come reference by reference, as in sacreBLEU: `references[r][i]` is
the r-th reference of sentence i. Where a sentence has several, those that are blank are missing: they would reward a
system that says nothing. The order of the references changes no score.
"""

from __future__ import annotations

import logging
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from sacrebleu import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest, Result

from nmt.config import MAX_SAMPLES
from nmt.errors import ConfigError, DataError
from nmt.evaluation.tokenizer import BleuTokenizer, check_tokenizer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

MetricName = Literal["bleu", "chrf", "chrf++", "ter"]
SignificanceTest = Literal["bootstrap", "randomization"]

RESAMPLING_SEED = "12345"  # sacreBLEU's default; every signature with an interval or a test names it
RANDOMIZATION_INTERVAL_SAMPLES = 1000  # sacreBLEU's default for bootstrap resamples
_BYTES_A_SAMPLED_SENTENCE = 8 + 4 * 24  # sacreBLEU keeps all samples: an index, and chrF++'s 24 counts in float32

# The longest source of each bucket of `length_bucket`, in words; None: no limit.
_LENGTH_BUCKETS: tuple[tuple[int | None, str], ...] = (
    (0, "0"),
    (5, "1-5"),
    (10, "6-10"),
    (15, "11-15"),
    (20, "16-20"),
    (30, "21-30"),
    (None, "31+"),
)
LENGTH_BUCKETS = tuple(label for _, label in _LENGTH_BUCKETS)


@dataclass(frozen=True)
class MetricOptions:
    """What changes a score and is therefore in its signature.

    TER follows sacreBLEU and is case-insensitive always; `lowercase` makes BLEU and chrF so.
    """

    bleu_tokenize: BleuTokenizer
    lowercase: bool


SACREBLEU_DEFAULTS = MetricOptions(bleu_tokenize="13a", lowercase=False)


@dataclass(frozen=True)
class Score:
    """A corpus score, from 0 to 100 (TER: edits per 100 reference words, which may exceed 100; lower is better)."""

    metric: MetricName
    label: str  # as sacreBLEU prints it: BLEU, chrF2, chrF2++, TER
    value: float
    signature: str
    interval: tuple[float, float] | None  # 95%, bootstrap: sacreBLEU's mean ± half width
    details: str  # BLEU: precisions, brevity penalty, lengths; otherwise empty


@dataclass(frozen=True)
class PairedResult:
    """The score of one system, and how likely a difference from the baseline this large is by chance."""

    system: str
    metric: MetricName
    label: str
    value: float
    mean: float  # over the bootstrap resamples
    interval: tuple[float, float]  # 95%, bootstrap
    p_value: float | None  # None: the baseline itself; 1: the same output as the baseline
    signature: str


@dataclass(frozen=True)
class GroupScore:
    """BLEU over the sentences of one group."""

    group: str
    num_sentences: int
    bleu: float


def check_metrics(metrics: Sequence[MetricName], options: MetricOptions, *, bootstrap_samples: int) -> None:
    """Refuse what reached us unchecked from a configuration.

    Raises:
        ConfigError: with every problem in one line.
    """
    known = get_args(MetricName)
    problems = []
    if not metrics or len(set(metrics)) < len(metrics) or not set(metrics) <= set(known):
        problems.append(f"metrics must name some of {', '.join(known)}, each once, but is [{', '.join(metrics)}]")
    try:
        check_tokenizer(options.bleu_tokenize)
    except ConfigError as error:
        problems.append(str(error))
    if bootstrap_samples != 0 and not 2 <= bootstrap_samples <= MAX_SAMPLES:
        problems.append(
            f"bootstrap_samples must be 0 (no interval) or from 2 to {MAX_SAMPLES:,}, but is {bootstrap_samples}"
        )
    if problems:
        raise ConfigError("; ".join(problems))


def corpus_bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, options: MetricOptions = SACREBLEU_DEFAULTS
) -> float:
    """Return BLEU alone, from 0 to 100: what validation follows.

    Raises:
        DataError: counts differ, or there is nothing to score.
        ConfigError: an option is invalid.
    """
    score = score_corpus(hypotheses, references, metrics=["bleu"], bootstrap_samples=0, options=options)
    return score[0].value


def bleu_signature(references: Sequence[Sequence[str]], *, options: MetricOptions = SACREBLEU_DEFAULTS) -> str:
    """Return the signature of what `corpus_bleu` measures against these references."""
    signature: str = _build_metric("bleu", _without_missing(references), options).get_signature().format()
    return signature


def score_corpus(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[MetricName] = ("bleu",),
    bootstrap_samples: int = 0,
    options: MetricOptions = SACREBLEU_DEFAULTS,
    hypotheses_name: str = "the hypotheses",
    reference_names: Sequence[str] = (),
) -> list[Score]:
    """Score one system by each of `metrics`, in their order; the names (of files, say) serve messages only.

    Args:
        references: a list of lines for each reference; of a single reference, the lines themselves.
        metrics: some of bleu, chrf, chrf++, ter.
        bootstrap_samples: for 95% intervals, 0 for none; equal input gives equal intervals.

    Raises:
        DataError: counts differ, or there is nothing to score.
        ConfigError: `metrics`, `bootstrap_samples` or an option is invalid.
    """
    references = _by_reference(references)
    check_metrics(metrics, options, bootstrap_samples=bootstrap_samples)
    _check_aligned({hypotheses_name: hypotheses}, references, reference_names)
    _check_memory(bootstrap_samples, len(hypotheses))
    present = _without_missing(references)
    scores = []
    with _sacrebleu_settled():
        for name in metrics:
            metric = _build_metric(name, present, options)
            score = metric.corpus_score(hypotheses, None, n_bootstrap=bootstrap_samples)
            # numpy numbers for some metrics, which JSON does not take
            interval = None
            if bootstrap_samples:
                interval = (float(score._mean - score._ci), float(score._mean + score._ci))
            signature = metric.get_signature().format()
            scores.append(Score(name, score.name, float(score.score), signature, interval, score._verbose))
    return scores


def compare_systems(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[MetricName],
    test: SignificanceTest,
    samples: int,
    options: MetricOptions = SACREBLEU_DEFAULTS,
    reference_names: Sequence[str] = (),
) -> list[PairedResult]:
    """Compare systems with the first of them, the baseline: metric by metric, systems in the order given.

    `bootstrap` is Koehn's paired bootstrap resampling (2004), `randomization` Riezler and Maxwell's approximate
    randomization (2005), whose intervals come from `RANDOMIZATION_INTERVAL_SAMPLES` bootstrap resamples.
    Equal input gives equal results.

    Raises:
        DataError: counts differ, there is nothing to score, or fewer than two systems.
        ConfigError: `metrics`, `samples` or an option is invalid.
    """
    if not 1 <= samples <= MAX_SAMPLES:
        raise ConfigError(f"samples of the paired test must be from 1 to {MAX_SAMPLES:,}, but is {samples}")
    if len(systems) < 2:
        raise DataError(f"a paired test needs a baseline and at least one other system, but got {len(systems)}")
    check_metrics(metrics, options, bootstrap_samples=0)
    _check_aligned(systems, references, reference_names)
    _check_memory(samples, len(references[0]))
    present = _without_missing(references)
    with _sacrebleu_settled():
        signatures, columns = PairedTest(
            list(systems.items()),
            {name: _build_metric(name, present, options) for name in metrics},
            None,  # the metrics hold the references, which are thus read once for all systems
            test_type="bs" if test == "bootstrap" else "ar",
            n_samples=samples,
            n_ar_confidence=RANDOMIZATION_INTERVAL_SAMPLES if test == "randomization" else -1,
            n_jobs=1,
        )()
    baseline = next(iter(systems.values()))
    twins = {system: list(hypotheses) == list(baseline) for system, hypotheses in systems.items()}
    # sacreBLEU returns one column for each metric, under its printed name and in the order given, after the systems
    labels = [label for label in columns if label != "System"]
    return [
        _paired_result(system, name, cast("Result", result), signatures[label].format(), label=label, twin=twin)
        for name, label in zip(metrics, labels, strict=True)
        for (system, twin), result in zip(twins.items(), columns[label], strict=True)
    ]


def score_groups(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Sequence[Collection[str]],
    *,
    order: Sequence[str] = (),
    options: MetricOptions = SACREBLEU_DEFAULTS,
) -> list[GroupScore]:
    """Return the BLEU of each group of sentences, where `groups[i]` names the groups of sentence i, if any.

    Groups that `order` names come first, in its order, where they hold a sentence; the others follow as they appear
    (alphabetically within a sentence). The BLEU of a group is corpus BLEU over its sentences alone.

    Raises:
        DataError: counts differ, or there is nothing to score.
        ConfigError: an option is invalid.
    """
    check_tokenizer(options.bleu_tokenize)
    _check_aligned({"the hypotheses": hypotheses, "the groups": groups}, references, ())
    present = _without_missing(references)
    members: dict[str, list[int]] = {group: [] for group in order}
    for i, sentence_groups in enumerate(groups):
        for group in sorted(set(sentence_groups)):
            members.setdefault(group, []).append(i)
    bleu = _build_metric("bleu", None, options)
    return [
        GroupScore(
            group,
            len(rows),
            float(bleu.corpus_score([hypotheses[i] for i in rows], [[ref[i] for i in rows] for ref in present]).score),
        )
        for group, rows in members.items()
        if rows
    ]


def length_bucket(num_words: int) -> str:
    """Return the bucket of `LENGTH_BUCKETS` in which a source sentence of `num_words` words falls."""
    assert num_words >= 0
    return next(label for longest, label in _LENGTH_BUCKETS if longest is None or num_words <= longest)


def _build_metric(
    name: MetricName, references: Sequence[Sequence[str]] | None, options: MetricOptions
) -> BLEU | CHRF | TER:
    match name:
        case "bleu":
            # force: sacreBLEU's warning about tokenized text is replaced by ours
            return BLEU(lowercase=options.lowercase, tokenize=options.bleu_tokenize, force=True, references=references)
        case "chrf":
            return CHRF(lowercase=options.lowercase, references=references)
        case "chrf++":
            return CHRF(lowercase=options.lowercase, word_order=2, references=references)  # Popović 2017
        case "ter":
            return TER(references=references)


def _paired_result(
    system: str, name: MetricName, result: Result, signature: str, *, label: str, twin: bool
) -> PairedResult:
    assert result.mean is not None
    assert result.ci is not None
    mean, half_width = float(result.mean), float(result.ci)
    # sacreBLEU gives a system with the very output of the baseline the smallest p-value there is: it counts the samples
    # whose difference is greater than the real one, and none of them is greater than 0.
    p_value = None if result.p_value is None else 1.0 if twin else float(result.p_value)
    interval = (mean - half_width, mean + half_width)
    return PairedResult(system, name, label, float(result.score), mean, interval, p_value, signature)


@contextmanager
def _sacrebleu_settled() -> Iterator[None]:
    """Fix the seed that sacreBLEU reads from the environment and silence its progress lines; restore both after."""
    logger = logging.getLogger("sacrebleu")
    level, seed = logger.level, os.environ.get("SACREBLEU_SEED")
    logger.setLevel(logging.WARNING)
    os.environ["SACREBLEU_SEED"] = RESAMPLING_SEED
    try:
        yield
    finally:
        logger.setLevel(level)
        if seed is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = seed


def _check_aligned(
    systems: Mapping[str, Sequence[object]], references: Sequence[Sequence[str]], reference_names: Sequence[str]
) -> None:
    """Refuse what sacreBLEU would silently cut to the shortest."""
    if not references:
        raise DataError("there is no reference to score against: give at least one")
    names = reference_names or [f"reference {n} of {len(references)}" for n in range(1, len(references) + 1)]
    for system, lines in systems.items():
        if not lines:
            raise DataError(f"{system}: there is nothing to score (0 lines)")
        for name, reference in zip(names, references, strict=True):
            if len(reference) != len(lines):
                raise DataError(
                    f"{system} must hold one line for each line of {name}, "
                    f"but there are {len(lines)} against {len(reference)}"
                )


def _by_reference(references: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    lines = [line for line in references if isinstance(line, str)]  # a str is a sequence of str, too
    return [lines] if lines else references


def _check_memory(samples: int, num_sentences: int) -> None:
    """Refuse what would end without a word where the system kills a process that takes too much memory."""
    needed = samples * num_sentences * _BYTES_A_SAMPLED_SENTENCE
    if needed > _total_memory():
        raise ConfigError(
            f"{samples:,} bootstrap samples of {num_sentences:,} sentences need {math.ceil(needed / 2**30):,} GiB, "
            f"but this computer has {_total_memory() // 2**30:,} GiB: lower bootstrap_samples"
        )


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _without_missing(references: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Put None, sacreBLEU's mark of a missing reference, for each blank line that another reference translates."""
    if len(references) == 1:
        return references
    rows = []
    for row in zip(*references, strict=True):
        present = tuple(reference if reference.strip() else None for reference in row)
        rows.append(present if any(present) else row)  # blank in all: the translation is blank, too
    return cast("Sequence[Sequence[str]]", list(zip(*rows, strict=True)))
