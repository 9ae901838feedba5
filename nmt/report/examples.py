"""Examples: a source, its translations and its reference, with the differences marked."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

from nmt.choices import ExampleOrder, Metric
from nmt.evaluation.metrics import build_metric
from nmt.report.section import Cell, Section, Span, Table
from nmt.report.translations import Translations


class Example(NamedTuple):
    """A sentence of the test set, by number, and the chrF of its translation by each system."""

    sentence: int
    scores: tuple[float, ...]

    @property
    def difference(self) -> float:
        return max(self.scores) - min(self.scores)


def examples_section(translations: Translations, *, number: int, order: ExampleOrder) -> Section:
    """Return the first examples in an order, a table each.

    `difference`: of several systems, those whose translations differ most in chrF come first; of one, the worst.
    `length`: the longest sources come first.
    """
    examples = _sorted(_score(translations), translations, order)[:number]
    if order == ExampleOrder.length:
        first = "The longest source sentences come first"
    elif len(translations.systems) > 1:
        first = "Sentences whose translations differ most in chrF come first"
    else:
        first = "The translations with the lowest chrF come first"
    about = (
        f"{first}. Words of a translation that differ from the reference are marked, and words of a reference that no "
        "translation has."
    )
    return Section("Examples", (about,), tables=tuple(_table(example, translations) for example in examples))


def mark_differences(text: str, reference: str) -> tuple[Span, ...]:
    """Split a text into pieces; those whose words do not match the reference, in order, are marked."""
    return _spans(text.split(), _matches(reference.split(), text.split())[1])


def mark_missing(reference: str, hypotheses: Sequence[str]) -> tuple[Span, ...]:
    """Split a reference into pieces; those whose words match no translation are marked."""
    words = reference.split()
    matches = [_matches(words, hypothesis.split())[0] for hypothesis in hypotheses]
    return _spans(words, [any(found) for found in zip(*matches, strict=True)])


def _matches(first: list[str], second: list[str]) -> tuple[list[bool], list[bool]]:
    """Return which words of two sentences match those of the other."""
    of_first, of_second = [False] * len(first), [False] * len(second)
    for block in SequenceMatcher(a=first, b=second, autojunk=False).get_matching_blocks():
        for n in range(block.size):
            of_first[block.a + n] = of_second[block.b + n] = True
    return of_first, of_second


def _spans(words: list[str], matches: list[bool]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for is_match, group in groupby(zip(words, matches, strict=True), lambda pair: pair[1]):
        spans += [Span(" ")] if spans else []
        spans.append(Span(" ".join(word for word, _ in group), not is_match))
    return tuple(spans)


def _score(translations: Translations) -> list[Example]:
    """Score all sentences; blank references count as missing if there are others."""
    metric = build_metric(Metric.chrf, None, translations.options)
    return [
        Example(
            number,
            tuple(
                float(metric.sentence_score(hypotheses[number], translations.references_of(number)).score)
                for hypotheses in translations.systems.values()
            ),
        )
        for number in range(len(translations.sources))
    ]


def _sorted(examples: Sequence[Example], translations: Translations, order: ExampleOrder) -> list[Example]:
    if order == ExampleOrder.length:
        return sorted(examples, key=lambda example: -len(translations.sources[example.sentence].split()))
    if len(translations.systems) > 1:
        return sorted(examples, key=lambda example: -example.difference)
    return sorted(examples, key=lambda example: example.scores)


def _table(example: Example, translations: Translations) -> Table:
    number = example.sentence
    source = translations.sources[number]
    references = translations.references_of(number)
    rows: list[tuple[Cell, ...]] = [("source", None, source)]
    found = [hypotheses[number] for hypotheses in translations.systems.values()]
    rows += [("reference", None, mark_missing(reference, found)) for reference in references]
    for name, score, text in zip(translations.systems, example.scores, found, strict=True):
        rows.append((name, score, mark_differences(text, references[0])))
    num_words = len(source.split())
    caption = f"Sentence {number + 1:,}, {num_words} word{'' if num_words == 1 else 's'}"
    if len(example.scores) > 1:
        caption += f", difference {example.difference:.1f}"
    return Table(caption, ("text", "chrF", "sentence"), tuple(rows), {"chrF": 1})
