"""Scores worked out by hand, and the duties of sacreBLEU's caller: counts, seeds, logs."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING

import pytest
import sacrebleu

from nmt.choices import BleuTokenizer, Metric, PairedTest
from nmt.errors import ConfigError, DataError
from nmt.evaluation import metrics as metrics_module
from nmt.evaluation.groups import score_groups
from nmt.evaluation.metrics import SACREBLEU_DEFAULTS, MetricOptions, score_corpus
from nmt.evaluation.significance import compare_systems

if TYPE_CHECKING:
    from collections.abc import Sequence


ALL = ["bleu", "chrf", "ter"]
REFERENCE = ["the cat sat on the mat", "a dog barks at the red car", "she reads a long book", "we walk home at night"]
GOOD = ["the cat sat on the mat", "a dog barks at the red car", "she reads a large book", "we walk home by night"]
BAD = ["the cat is on a mat", "a dog barks on a car", "she reads", "we go home"]


def score(
    hypotheses: Sequence[str],
    *references: Sequence[str],
    metric: str = "bleu",
    options: MetricOptions = SACREBLEU_DEFAULTS,
) -> float:
    return score_corpus(hypotheses, references, metrics=[metric], options=options)[0].value


def test_a_perfect_translation_scores_100_and_needs_no_edits() -> None:
    bleu, chrf, ter = score_corpus(REFERENCE, [REFERENCE], metrics=ALL, bootstrap_samples=0)
    assert bleu.value == pytest.approx(100)
    assert chrf.value == pytest.approx(100)
    assert ter.value == 0
    assert bleu.details.startswith("100.0/100.0/100.0/100.0 (BP = 1.000 ratio = 1.000 hyp_len = 23 ref_len = 23)")
    assert [s.label for s in (bleu, chrf, ter)] == ["BLEU", "chrF2", "TER"]
    assert [s.interval for s in (bleu, chrf, ter)] == [None, None, None]


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("a b c d e", 100.0),
        # 4 of 5 words, 3 of 4 bigrams, 2 of 3 trigrams, 1 of 2 4-grams
        ("a b c d x", 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)),
        # all n-grams match, and the brevity penalty is exp(1 - 5/4)
        ("a b c d", 100 * math.exp(1 - 5 / 4)),
        # 1 of 5 words; the orders without a match count 1/2, 1/4, 1/8 of one ("exp" smoothing, as mteval-v13a)
        ("a y y y y", 100 * (1 / 5 * 1 / (2 * 4) * 1 / (4 * 3) * 1 / (8 * 2)) ** (1 / 4)),
        ("x y z", 0.0),
        ("", 0.0),
    ],
)
def test_bleu_worked_out_by_hand(hypothesis: str, expected: float) -> None:
    assert score([hypothesis], ["a b c d e"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("a b c d", 0.0),
        ("a b c x", 25.0),  # one substitution for four reference words
        ("a b c", 25.0),  # one insertion
        ("a b c d e f", 50.0),  # two deletions
        ("c d a b", 25.0),  # a shift of a phrase is one edit
        ("A B C D", 0.0),  # TER does not see case
        ("", 100.0),
    ],
)
def test_ter_worked_out_by_hand(hypothesis: str, expected: float) -> None:
    assert score([hypothesis], ["a b c d"], metric="ter") == pytest.approx(expected)


def test_chrf_worked_out_by_hand() -> None:
    # "ab" against "abc": characters P 2/2, R 2/3; bigrams P 1/1, R 1/2; "ab" has no trigram, so two orders count.
    precision, recall = (1 + 1) / 2, (2 / 3 + 1 / 2) / 2
    expected = 100 * (1 + 2**2) * precision * recall / (2**2 * precision + recall)
    assert score(["ab"], ["abc"], metric="chrf") == pytest.approx(expected)
    assert score(["xy"], ["abc"], metric="chrf") == 0


def test_the_best_of_several_references_counts() -> None:
    first, second = ["a b c d", "e f g h"], ["w x y z", "a b c d"]
    assert score(["a b c d", "a b c d"], first) == pytest.approx(50)
    assert score(["a b c d", "a b c d"], first, second) == pytest.approx(100)
    assert score(["a b c d", "a b c d"], first, second, metric="ter") == 0
    several = score_corpus(["a b c d", "a b c d"], [first, second], metrics=["bleu"], bootstrap_samples=0)
    assert several[0].signature.startswith("nrefs:2|")


def test_a_signature_names_what_changes_the_score() -> None:
    signatures = [s.signature for s in score_corpus(GOOD, [REFERENCE], metrics=ALL, bootstrap_samples=0)]
    version = sacrebleu.__version__
    assert signatures == [
        f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}",
        f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}",
        f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:{version}",
    ]


def test_chrf_plus_plus_counts_words_too() -> None:
    chrf, plus_plus = score_corpus(["ab c"], [["ab d"]], metrics=["chrf", "chrf++"], bootstrap_samples=0)
    assert (plus_plus.label, plus_plus.metric) == ("chrF2++", "chrf++")
    assert "|nw:2|" in plus_plus.signature
    # characters without spaces, "abc" and "abd": 2 of 3, 1 of 2 bigrams, no trigram; words: 1 of 2, no bigram
    assert chrf.value == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    assert plus_plus.value == pytest.approx(100 * (2 / 3 + 1 / 2 + 0 + 1 / 2 + 0) / 5)


def test_options_change_score_and_signature() -> None:
    options = MetricOptions(bleu_tokenize=BleuTokenizer.none, lowercase=True)
    hypotheses = [line.upper() for line in REFERENCE]
    bleu, chrf = score_corpus(hypotheses, [REFERENCE], metrics=["bleu", "chrf"], bootstrap_samples=0, options=options)
    assert bleu.value == pytest.approx(100)
    assert "case:lc" in bleu.signature
    assert "tok:none" in bleu.signature
    assert chrf.value == pytest.approx(100)
    assert "case:lc" in chrf.signature
    assert score(hypotheses, REFERENCE) == 0
    # 13a splits off the period, "none" does not: 2 of 3 tokens against 1 of 2
    assert "66.7/" in score_corpus(["a x."], [["a b."]], metrics=["bleu"], bootstrap_samples=0)[0].details
    assert (
        "50.0/" in score_corpus(["a x."], [["a b."]], metrics=["bleu"], bootstrap_samples=0, options=options)[0].details
    )


def test_an_interval_surrounds_the_score_and_repeats() -> None:
    hypotheses, reference = GOOD * 10, REFERENCE * 10
    scores = score_corpus(hypotheses, [reference], metrics=ALL, bootstrap_samples=200)
    for one in scores:
        assert one.interval is not None
        low, high = one.interval
        assert low < one.value < high
        assert "|bs:200|seed:12345|" in one.signature
    assert scores == score_corpus(hypotheses, [reference], metrics=ALL, bootstrap_samples=200)


@pytest.mark.parametrize("before", [None, "99", "none"])
def test_seed_and_log_level_are_restored(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    if before is None:
        monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    else:
        monkeypatch.setenv("SACREBLEU_SEED", before)
    level = logging.getLogger("sacrebleu").level
    [one] = score_corpus(GOOD, [REFERENCE], metrics=["bleu"], bootstrap_samples=10)
    compare_systems({"a": GOOD, "b": BAD}, [REFERENCE], metrics=["bleu"], test=PairedTest.bootstrap, samples=10)
    assert "seed:12345" in one.signature
    assert os.environ.get("SACREBLEU_SEED") == before
    assert logging.getLogger("sacrebleu").level == level


def test_sacrebleu_prints_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    tokenized = ["a b c d ."] * 100
    score_corpus(tokenized, [tokenized], metrics=ALL, bootstrap_samples=2)
    compare_systems({"a": GOOD, "b": BAD}, [REFERENCE], metrics=ALL, test=PairedTest.randomization, samples=2)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_bleu_is_sacrebleus() -> None:
    assert score(BAD, REFERENCE) == pytest.approx(sacrebleu.corpus_bleu(BAD, [REFERENCE]).score)
    options = MetricOptions(bleu_tokenize=BleuTokenizer.char, lowercase=True)
    expected = sacrebleu.corpus_bleu(BAD, [REFERENCE], tokenize="char", lowercase=True).score
    assert score(BAD, REFERENCE, options=options) == pytest.approx(expected)


def test_a_single_reference_may_be_a_plain_list() -> None:
    [bleu] = score_corpus(GOOD, REFERENCE)
    assert bleu == score_corpus(GOOD, [REFERENCE], metrics=["bleu"], bootstrap_samples=0)[0]
    with pytest.raises(DataError, match="equally many lines, but have 4 and 3"):
        score_corpus(GOOD, REFERENCE[:3])


def test_without_spaces_a_perfect_translation_scores_100() -> None:
    lines = ["猫坐在垫子上", "红车旁边有一只狗"]
    options = MetricOptions(bleu_tokenize=BleuTokenizer.zh, lowercase=False)
    assert score(lines, lines, options=options) == pytest.approx(100)
    assert score(lines, lines) == 0


BLANKS = ["", "  ", REFERENCE[2], "\t"]  # a second reference, of one sentence


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("hypotheses", [GOOD, BAD, ["", "", "", ""]], ids=["good", "bad", "blank"])
def test_a_blank_line_of_a_second_reference_is_missing(metric: Metric, hypotheses: list[str]) -> None:
    alone = score(hypotheses, REFERENCE, metric=metric)
    assert score(hypotheses, REFERENCE, ["", "", "", ""], metric=metric) == pytest.approx(alone)
    assert score(hypotheses, ["", "", "", ""], REFERENCE, metric=metric) == pytest.approx(alone)
    assert score(hypotheses, REFERENCE, BLANKS, metric=metric) == pytest.approx(alone)


def test_a_sentence_may_have_fewer_references_than_another() -> None:
    [bleu] = score_corpus(GOOD, [REFERENCE, BLANKS], metrics=["bleu"], bootstrap_samples=0)
    assert bleu.signature.startswith("nrefs:var|")


def test_a_line_blank_in_all_references_needs_a_blank_translation() -> None:
    first, second = ["a b c d", ""], ["", " "]
    assert score(["a b c d", ""], first, second, metric="ter") == 0
    assert score(["a b c d", "x"], first, second, metric="ter") > 0
    assert score(["a b c d", ""], first, second) == pytest.approx(100)


@pytest.mark.parametrize("test", [PairedTest.bootstrap, PairedTest.randomization])
def test_intervals_tests_and_groups_handle_missing_references(test: PairedTest) -> None:
    several, one = [REFERENCE, ["", "", "", ""]], [REFERENCE]
    metrics = list(Metric)
    with_blanks = score_corpus(GOOD, several, metrics=metrics, bootstrap_samples=5)
    assert with_blanks == score_corpus(GOOD, one, metrics=metrics, bootstrap_samples=5)
    systems = {"a": GOOD, "b": BAD}
    compared = [
        compare_systems(systems, references, metrics=metrics, test=test, samples=5) for references in (several, one)
    ]
    assert compared[0] == compared[1]
    groups = [["x"], ["x"], ["y"], []]
    lazy = [*GOOD[:1], "", "", ""]
    assert score_groups(lazy, [["", "", "", ""], REFERENCE], groups) == score_groups(lazy, one, groups)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], [["a", "b"]], "out.fr and ref.fr must have equally many lines, but have 1 and 2: .*"),
        ([], [[]], r"out.fr: there is nothing to score \(0 lines\)"),
        (["a"], [], "there is no reference to score against: give at least one"),
    ],
)
def test_texts_without_a_partner_are_refused(hypotheses: list[str], references: list[list[str]], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        score_corpus(
            hypotheses,
            references,
            metrics=["bleu"],
            bootstrap_samples=0,
            hypotheses_name="out.fr",
            reference_names=["ref.fr"] * len(references),
        )


def test_a_short_second_reference_is_named() -> None:
    message = r"^the hypotheses and reference 2 must have equally many lines, but have 2 and 1: line n"
    with pytest.raises(DataError, match=message):
        score_corpus(["a", "b"], [["a", "b"], ["a"]])
    message = r"^the hypotheses and the reference must have equally many lines, but have 2,000 and 1,000: line n"
    with pytest.raises(DataError, match=message):
        score_corpus(["a"] * 2000, ["a"] * 1000)


NAMES = r"metrics must name some of bleu, chrf, chrf\+\+, ter, exact, cer, wer, each once, but is "


@pytest.mark.parametrize(
    ("metrics", "samples", "message"),
    [
        (["bleu"], 1, r"bootstrap_samples must be 0 \(no interval\) or from 2 to 100,000, but is 1"),
        (["bleu"], -5, r"bootstrap_samples must be 0 \(no interval\) or from 2 to 100,000, but is -5"),
        (["bleu"], 10**12, r"bootstrap_samples must be 0 .* from 2 to 100,000, but is 1000000000000"),
        ([], 0, NAMES + r"\[\]"),
        (
            ["bleu", "bleu"],
            0,
            NAMES + r"\[bleu, bleu\]",
        ),
        (
            ["meteor"],
            0,
            NAMES + r"\[meteor\]",
        ),
    ],
)
def test_invalid_settings_are_refused(metrics: list[str], samples: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        score_corpus(GOOD, [REFERENCE], metrics=metrics, bootstrap_samples=samples, options=SACREBLEU_DEFAULTS)


def test_more_samples_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "_total_memory", lambda: 2**30)
    message = (
        r"^100,000 bootstrap samples of 400 sentences need 4 GiB, but this computer has 1 GiB: lower bootstrap_samples$"
    )
    hypotheses, references = GOOD * 100, [REFERENCE * 100]
    with pytest.raises(ConfigError, match=message):
        score_corpus(hypotheses, references, metrics=ALL, bootstrap_samples=100_000)
    systems = {"a": hypotheses, "b": hypotheses}
    with pytest.raises(ConfigError, match=message):
        compare_systems(systems, references, metrics=ALL, test=PairedTest.bootstrap, samples=100_000)


@pytest.mark.parametrize("metric", [Metric.chrf, Metric.chrf_plus_plus, Metric.ter])
def test_samples_without_a_match_or_a_reference_have_an_interval(metric: Metric) -> None:
    """sacreBLEU's own metrics score them with numbers of another type, and fail."""
    hypotheses, reference = ["x", "x", "a b c d"], ["", "", "a b c e"]
    [score] = score_corpus(hypotheses, reference, metrics=[metric], bootstrap_samples=100)
    assert score.interval is not None
    assert score.interval[0] < score.value < score.interval[1]
