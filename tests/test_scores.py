"""The scores of a report are those of nmt.evaluation."""

from __future__ import annotations

import pytest

from nmt.choices import Metric, PairedTest
from nmt.evaluation.metrics import score_corpus
from nmt.evaluation.significance import compare_systems
from nmt.report.scores import scores_section
from nmt.report.section import Section
from nmt.report.translations import Translations

REFERENCE = ["a cat sat on the mat today", "the dog runs in the garden", "it is very hot in here now", "we go home"]
SYSTEMS = {
    "good": ["a cat sat on the mat today", "the dog runs in a garden", "it is very hot in here", "we go home"],
    "bad": ["a cat on mat", "dogs run in the garden", "hot", "we went home"],
}
METRICS = [Metric.bleu, Metric.ter]


def section(systems: dict[str, list[str]], *, samples: int = 50, test: PairedTest = PairedTest.bootstrap) -> Section:
    translations = Translations(["s"] * 4, [REFERENCE], systems, bootstrap_samples=samples)
    return scores_section(translations, metrics=METRICS, paired_test=test)


def test_scores_intervals_and_p_values_are_those_of_the_evaluation() -> None:
    bleu, ter, signatures = section(SYSTEMS).tables
    paired = compare_systems(SYSTEMS, [REFERENCE], metrics=METRICS, test=PairedTest.bootstrap, samples=50)
    p_values = {(result.system, result.metric): result.p_value for result in paired}
    for n, (metric, table) in enumerate(zip(METRICS, (bleu, ter), strict=True)):
        scores = {
            name: score_corpus(lines, [REFERENCE], metrics=METRICS, bootstrap_samples=50)[n]
            for name, lines in SYSTEMS.items()
        }
        assert table.columns == ("system", scores["good"].label, "from", "to", "diff.", "p")
        for name, score in scores.items():
            assert score.interval is not None
            [row] = [row for row in table.rows if row[0] == name]
            diff = None if name == "good" else score.value - scores["good"].value
            assert row == (name, score.value, *score.interval, diff, p_values[name, metric])
        assert signatures.rows[n] == (scores["good"].label, scores["good"].signature)
    assert ter.caption == "TER; lower is better"


def test_one_system_has_nothing_to_be_compared_with() -> None:
    found = section({"good": SYSTEMS["good"]})
    assert found.tables[0].columns == ("system", "BLEU", "from", "to")
    assert not any("Differences" in paragraph for paragraph in found.paragraphs)


def test_without_samples_there_are_no_intervals_and_without_a_test_no_p() -> None:
    found = section(SYSTEMS, samples=0, test=PairedTest.none)
    assert found.tables[0].columns == ("system", "BLEU", "diff.")
    assert "interval" not in found.paragraphs[0]
    assert found.paragraphs[1] == "Differences are from good."


@pytest.mark.parametrize(
    ("test", "words"), [(PairedTest.bootstrap, "Koehn 2004"), (PairedTest.randomization, "Riezler and Maxwell 2005")]
)
def test_the_test_is_named(test: PairedTest, words: str) -> None:
    assert words in section(SYSTEMS, test=test).paragraphs[1]
