"""Exact match and edit rates, worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import sacrebleu

import nmt
from nmt.choices import BleuTokenizer, PairedTest
from nmt.evaluation.metrics import EDIT_RATES, SACREBLEU_DEFAULTS, MetricOptions, Score, score_corpus
from nmt.evaluation.significance import PairedResult, compare_systems

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = ["exact", "cer", "wer"]
LOWERCASE = MetricOptions(bleu_tokenize=BleuTokenizer.mteval_13a, lowercase=True)


def scores(
    hypotheses: Sequence[str], *references: Sequence[str], options: MetricOptions = SACREBLEU_DEFAULTS
) -> list[float]:
    """Return exact match, character and word error rate."""
    return [score.value for score in score_corpus(hypotheses, references, metrics=ALL, options=options)]


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("ab cd", [100, 0, 0]),
        ("ab cx", [0, 100 * 1 / 5, 50]),  # a substitution
        ("ab c", [0, 100 * 1 / 5, 50]),  # a deletion
        ("abcd", [0, 100 * 1 / 5, 100]),  # the space is a character; "abcd" replaces one word, the other is missing
        ("ab cd ef", [0, 100 * 3 / 5, 50]),  # insertions
        ("xy zw uv st", [0, 100 * 10 / 5, 200]),  # more edits than there is text
        ("", [0, 100, 100]),
    ],
)
def test_scores_worked_out_by_hand(hypothesis: str, expected: list[float]) -> None:
    assert scores([hypothesis], ["ab cd"]) == pytest.approx(expected)


def test_edits_and_lengths_are_summed_over_the_corpus() -> None:
    # 1 of 2 characters, 0 of 8; the mean of the sentences' rates would be 25
    assert scores(["ax", "abc defg"], ["ab", "abc defg"]) == pytest.approx([50, 100 * 1 / 10, 100 * 1 / 3])


def test_of_several_references_the_best_counts_and_blank_ones_are_missing() -> None:
    hypotheses = ["a b d", "x y", "m n"]
    first, second = ["a b c", "x y", "k l m n"], ["a c d b", "", "m n"]
    # the first line is nearest to "a b c": 1 edit of 5 characters, 1 of 3 words; the others are right
    expected = [100 * 2 / 3, 100 * 1 / (5 + 3 + 3), 100 * 1 / (3 + 2 + 2)]
    assert scores(hypotheses, first, second) == pytest.approx(expected)
    assert scores(hypotheses, second, first) == pytest.approx(expected)


def test_of_equally_near_references_the_longest_counts() -> None:
    for references in (["ab"], ["abcd"]), (["abcd"], ["ab"]):
        assert scores(["abc"], *references)[1] == pytest.approx(100 * 1 / 4)


def test_a_blank_reference_is_matched_by_a_blank_line_only() -> None:
    assert scores(["", "a"], ["", "a"]) == [100, 0, 0]
    assert scores([""], [" "]) == [100, 0, 0]
    assert scores(["abc"], [""]) == [0, 100, 100]


def test_spaces_and_the_encoding_of_accents_do_not_matter() -> None:
    assert scores([" e\u0301t\u00e9\u00a0 fini "], ["\u00e9te\u0301 fini"]) == [100, 0, 0]
    assert scores(["e\u0301"], ["e"])[1] == 100  # one substitution


def test_case_matters_unless_it_is_ignored() -> None:
    assert scores(["Ab CD"], ["ab cd"]) == pytest.approx([0, 100 * 3 / 5, 100])
    assert scores(["Ab CD"], ["ab cd"], options=LOWERCASE) == [100, 0, 0]


def test_a_signature_names_what_changes_the_score() -> None:
    found = score_corpus(["a b"], [["a b"], ["c"]], metrics=ALL, options=LOWERCASE)
    assert [(score.label, score.signature) for score in found] == [
        (label, f"nrefs:2|case:lc|unit:{unit}|norm:nfc|version:nmt-{nmt.__version__}")
        for label, unit in (("exact", "line"), ("CER", "char"), ("WER", "word"))
    ]
    [exact] = score_corpus(["a", "b"], [["a", "c"]], metrics=["exact"], bootstrap_samples=10)
    assert exact.signature.startswith("nrefs:1|bs:10|seed:12345|case:mixed|unit:line|")


def test_an_interval_is_that_of_sacrebleus_samples() -> None:
    is_right = np.arange(40) % 4 > 0
    hypotheses = ["a" if right else "b" for right in is_right]
    [exact] = score_corpus(hypotheses, ["a"] * 40, metrics=["exact"], bootstrap_samples=200)
    samples = np.random.default_rng(12345).choice(40, size=(200, 40))
    means = np.sort(100 * is_right[samples].mean(axis=1))
    half_width = (means[200 - 5 - 1] - means[5]) / 2
    assert exact.value == 75
    assert exact.interval == pytest.approx((means.mean() - half_width, means.mean() + half_width), rel=1e-6)
    ter, wer = score_corpus(hypotheses, ["a"] * 40, metrics=["ter", "wer"], bootstrap_samples=200)
    assert wer.interval == ter.interval


@pytest.mark.parametrize("test", [PairedTest.bootstrap, PairedTest.randomization])
def test_an_interval_has_possible_scores_only(test: PairedTest) -> None:
    reference = [f"a b c d {n}" for n in range(10)]
    nearly_right = ["x", *reference[1:]]
    hardly_right = [*["x"] * 9, reference[9]]
    systems = {"nearly right": nearly_right, "hardly right": hardly_right, "too long": [f"{'x ' * 9}"] * 10}
    metrics = [*ALL, "ter", "bleu", "chrf"]
    for hypotheses in systems.values():
        for score in score_corpus(hypotheses, reference, metrics=metrics, bootstrap_samples=200):
            check_possible(score)
    for result in compare_systems(systems, [reference], metrics=metrics, test=test, samples=200):
        check_possible(result)


def check_possible(score: Score | PairedResult) -> None:
    assert score.interval is not None
    low, high = score.interval
    assert 0 <= low <= high
    if score.metric not in EDIT_RATES:
        assert high <= 100
    elif score.value > 85:  # of nine lines that are wrong, or of ten that are too long
        assert high > 100


@pytest.mark.parametrize("test", [PairedTest.bootstrap, PairedTest.randomization])
def test_systems_are_compared_whether_higher_or_lower_is_better(test: PairedTest) -> None:
    reference = ["a b", "c d", "e f", "g h"] * 10
    worse = ["a b", "c x", "x y", "x"] * 10
    systems = {"base": worse, "better": reference, "twin": worse}
    results = compare_systems(systems, [reference], metrics=ALL, test=test, samples=200)
    assert [(result.label, result.system) for result in results] == [
        (label, system) for label in ("exact", "CER", "WER") for system in systems
    ]
    for base, better, twin in (results[:3], results[3:6], results[6:]):
        assert base.p_value is None
        assert better.p_value == pytest.approx(1 / 201)
        assert twin.p_value == 1
        assert base.interval[0] < base.value < base.interval[1]
    assert [result.value for result in results[1::3]] == [100, 0, 0]


def test_wer_is_ter_if_nothing_moves_and_nothing_is_split() -> None:
    hypotheses, reference = ["a b x", "", "d"], ["a b c", "e f", "d g"]
    assert scores(hypotheses, reference)[2] == pytest.approx(sacrebleu.corpus_ter(hypotheses, [reference]).score)
