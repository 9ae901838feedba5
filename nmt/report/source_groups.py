"""BLEU by properties of the source sentences: their length, and how rare their words are.

Figure 3 of Sutskever et al. 2014, left and right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from nmt.choices import Metric
from nmt.evaluation.groups import LENGTH_BUCKETS, length_bucket
from nmt.evaluation.metrics import Score, score_corpus
from nmt.report.drawing import DASHES, SERIES, drawing, svg_of
from nmt.report.section import Cell, Figure, Section, Table
from nmt.report.translations import Translations

_NUM_RANK_GROUPS = 6
_MIN_GROUP = 5  # sentences that a group of ranks must have


@dataclass(frozen=True)
class Group:
    """The sentences that a point of the picture stands for, by number."""

    label: str
    sentences: Sequence[int]


def length_section(translations: Translations) -> Section:
    """Return BLEU by the length of the source in words, in the buckets of `nmt evaluate by_length=true`."""
    members: dict[str, list[int]] = {label: [] for label in LENGTH_BUCKETS}
    for number, source in enumerate(translations.sources):
        members[length_bucket(len(source.split()))].append(number)
    groups = [Group(label, sentences) for label, sentences in members.items() if sentences]
    about = "BLEU over the sentences of each length, with 95% intervals; n is their number."
    return _section("BLEU by source length", "words in the source", about, groups, translations)


def rank_section(translations: Translations, training_sources: Iterable[str]) -> Section:
    """Return BLEU by the mean frequency rank of the words of the source, in groups of equal size.

    Args:
        training_sources: the source side of the training text, in which words are counted.
    """
    ranks = mean_ranks(translations.sources, training_sources)
    about = (
        "The most frequent word of the training text has rank 1, and a word that is not in it the next rank after the "
        "last. The sentences are sorted by the mean rank of their words and divided into groups of equal size."
    )
    return _section("BLEU by word frequency", "mean rank of source words", about, rank_groups(ranks), translations)


def mean_ranks(sources: Sequence[str], training_sources: Iterable[str]) -> list[float]:
    """Return the mean frequency rank of the words of each sentence, 1 for one without words."""
    counts = Counter(word for line in training_sources for word in _words(line))
    rank_of = {word: rank for rank, (word, _) in enumerate(counts.most_common(), start=1)}
    unknown = len(rank_of) + 1
    return [fmean([rank_of.get(word, unknown) for word in _words(source)] or [1]) for source in sources]


def rank_groups(ranks: Sequence[float]) -> list[Group]:
    """Divide sentences, sorted by rank, into groups of equal size; a label is the mean rank of its group."""
    order = sorted(range(len(ranks)), key=lambda number: ranks[number])
    num_groups = max(1, min(_NUM_RANK_GROUPS, len(order) // _MIN_GROUP))
    ends = [len(order) * n // num_groups for n in range(num_groups + 1)]
    parts = [order[begin:end] for begin, end in pairwise(ends) if end > begin]
    return [Group(f"{fmean(ranks[number] for number in part):,.0f}", part) for part in parts]


def _words(line: str) -> list[str]:
    """Split a line into words and signs, so that a word counts the same before a comma."""
    return re.findall(r"\w+|[^\w\s]", line)


def _section(title: str, axis: str, about: str, groups: Sequence[Group], translations: Translations) -> Section:
    scores = {name: [_score(group, name, translations) for group in groups] for name in translations.systems}
    return Section(title, (about,), (_figure(title, axis, groups, scores),))


def _score(group: Group, system: str, translations: Translations) -> Score:
    hypotheses = translations.systems[system]
    [score] = score_corpus(
        [hypotheses[number] for number in group.sentences],
        [[reference[number] for number in group.sentences] for reference in translations.references],
        metrics=[Metric.bleu],
        bootstrap_samples=translations.bootstrap_samples,
        options=translations.options,
    )
    return score


def _figure(title: str, axis: str, groups: Sequence[Group], scores: dict[str, list[Score]]) -> Figure:
    with drawing() as figure:
        axes = figure.subplots()
        for number, (name, found) in enumerate(scores.items()):
            places = [place + 0.08 * (number - (len(scores) - 1) / 2) for place in range(len(groups))]
            axes.errorbar(
                places,
                [score.value for score in found],
                yerr=_error_bars(found),
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number % len(DASHES)],
                marker="o",
                markersize=5,
                elinewidth=1,
                capsize=2,
                label=name,
            )
        ticks = [f"{group.label}\nn={len(group.sentences):,}" for group in groups]
        axes.set_xticks(range(len(groups)), ticks, fontsize=10)
        axes.set_xlabel(axis)
        axes.set_ylabel("BLEU")
        axes.legend(fontsize=10)
        svg = svg_of(figure)
    return Figure(svg, f"{title}: {axis}.", _alt(title, axis, groups, scores), _numbers(title, axis, groups, scores))


def _error_bars(scores: Sequence[Score]) -> tuple[list[float], list[float]] | None:
    """Return the lengths of error bars below and above; None without intervals."""
    found = [(score.value, *score.interval) for score in scores if score.interval is not None]
    # the middle of an interval is the mean of the samples, which of a few sentences may be far from the score
    below = [max(0.0, value - low) for value, low, _ in found]
    above = [max(0.0, high - value) for value, _, high in found]
    return (below, above) if found else None


def _alt(title: str, axis: str, groups: Sequence[Group], scores: dict[str, list[Score]]) -> str:
    parts = [
        f"{name}: "
        + ", ".join(f"{score.value:.1f} at {group.label}" for group, score in zip(groups, found, strict=True))
        for name, found in scores.items()
    ]
    return f"{title}; {axis}. {'; '.join(parts)}."


def _numbers(title: str, axis: str, groups: Sequence[Group], scores: dict[str, list[Score]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (group.label, len(group.sentences), name, found[number].value, *(found[number].interval or ()))
        for number, group in enumerate(groups)
        for name, found in scores.items()
    ]
    columns = (axis, "sentences", "system", "BLEU", "from", "to")[: len(rows[0])]
    decimals = {column: 1 for column in columns if column in ("BLEU", "from", "to")}
    return Table(title, columns, tuple(rows), decimals)
