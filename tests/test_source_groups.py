"""BLEU by length and by word frequency."""

from __future__ import annotations

import pytest

from nmt.evaluation.groups import length_labels, score_groups
from nmt.report.source_groups import length_section, mean_ranks, rank_groups, rank_section
from nmt.report.translations import Translations

SOURCES = ["a b", "a b c d e f", "a", "a b c d e f g", "b c"] * 2
REFERENCE = [f"the first {source} of the long words" for source in SOURCES]
SYSTEMS = {"one": [line.replace("long", "tall") for line in REFERENCE], "two": REFERENCE}
TRANSLATIONS = Translations(SOURCES, [REFERENCE], SYSTEMS, bootstrap_samples=20)


def test_bleu_by_length_is_that_of_nmt_evaluate() -> None:
    [figure] = length_section(TRANSLATIONS).figures
    rows = {(label, name): (number, bleu) for label, number, name, bleu, *_ in figure.numbers.rows}
    for name, lines in SYSTEMS.items():
        for group in score_groups(lines, [REFERENCE], length_labels(SOURCES)):
            assert rows.pop((group.group, name)) == (group.num_sentences, group.bleu)
    assert rows == {}


def test_the_picture_says_the_length_the_number_and_the_score() -> None:
    [figure] = length_section(TRANSLATIONS).figures
    short, *_, long, _ = (row[3] for row in figure.numbers.rows)
    assert figure.alt == (
        f"BLEU by source length; words in the source. one: {short:.1f} at 1-5, {long:.1f} at 6-10; "
        "two: 100.0 at 1-5, 100.0 at 6-10."
    )
    assert ">n=6<" in figure.svg
    assert ">1-5<" in figure.svg


def test_intervals_enclose_the_scores() -> None:
    [figure] = length_section(TRANSLATIONS).figures
    assert figure.numbers.columns[-3:] == ("BLEU", "from", "to")
    for *_, bleu, low, high in figure.numbers.rows:
        assert isinstance(bleu, float)
        assert isinstance(low, float)
        assert isinstance(high, float)
        assert low <= bleu <= high + 1e-9  # sacreBLEU's 100 may be 100.00000000000004


def test_without_samples_there_are_no_intervals() -> None:
    translations = Translations(SOURCES, [REFERENCE], SYSTEMS, bootstrap_samples=0)
    [figure] = length_section(translations).figures
    assert figure.numbers.columns == ("words in the source", "sentences", "system", "BLEU")


def test_the_rank_of_a_word_is_its_place_by_frequency() -> None:
    training = ["the cat , the dog", "the cat"]  # the 3, cat 2, comma and dog 1 in their order
    assert mean_ranks(["the", "the cat", "dog, cat", "bird", "the bird", ""], training) == [1, 1.5, 3, 5, 3, 1]


def test_groups_of_ranks_are_equally_large_and_ordered() -> None:
    groups = rank_groups([float(n % 17) for n in range(61)])
    assert [len(group.sentences) for group in groups] == [10, 10, 10, 10, 10, 11]
    assert sorted(n for group in groups for n in group.sentences) == list(range(61))
    assert [float(group.label) for group in groups] == sorted(float(group.label) for group in groups)


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (9, 1), (10, 2), (1000, 6)])
def test_few_sentences_make_few_groups(number: int, expected: int) -> None:
    assert len(rank_groups([1.0] * number)) == expected


def test_bleu_by_rank_covers_all_sentences() -> None:
    [figure] = rank_section(TRANSLATIONS, ["a a a b b c"]).figures
    numbers = [row[1] for row in figure.numbers.rows if row[2] == "one"]
    assert numbers == [5, 5]
