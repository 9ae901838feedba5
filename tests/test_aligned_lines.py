from __future__ import annotations

from pathlib import Path

import pytest

from nmt.choices import Severity
from nmt.doctor.aligned_lines import Alignment, AlignmentExamination, UnequalPair, alignment
from nmt.doctor.finding import Finding
from tests.doctor_text import Pairs, block, number_pairs

LONG = "x" * 60


def examined(pairs: Pairs, unequal: tuple[str, ...] = ()) -> Alignment:
    examination = AlignmentExamination()
    for begin in range(0, len(pairs), 1_000):
        examination.add(block(pairs[begin : begin + 1_000], first_line=begin + 1))
    return alignment({"train": examination.result(list(unequal))})


def test_aligned_text_is_ok() -> None:
    found = examined(number_pairs(2_000))
    assert found.findings == [Finding(Severity.ok, "train: no line is shifted, blank or of an unusual length")]
    assert found.splits["train"].num_pairs == 2_000


def test_shifted_lines_are_named() -> None:
    src, tgt = zip(*number_pairs(2_000), strict=True)
    found = examined(list(zip(src, [*tgt[:1_500], "Neuf", *tgt[1_500:-1]], strict=True)))
    [shift] = found.splits["train"].shifted
    first = f"{shift.first_line:,}"
    assert (shift.src_file, shift.tgt_file, shift.offset) == ("train.en", "train.fr", 1)
    assert found.findings[0] == Finding(
        Severity.warning,
        f"train: the translations of lines {first} to 2,000 of train.en are one line after their place",
        f"look for one line too many near line {first} of train.fr",
    )


def test_a_missing_line_is_described_as_such() -> None:
    src, tgt = zip(*number_pairs(2_000), strict=True)
    found = examined(list(zip(src[:-2], [*tgt[:1_500], *tgt[1_502:]], strict=True))).findings[0]
    assert "are 2 lines before their place" in found.summary
    assert "2 lines too few near line 1,50" in found.advice


def test_unrelated_files_are_named() -> None:
    pairs, other = number_pairs(2_000), number_pairs(2_000, seed=2)
    found = examined([(src, tgt) for (src, _), (_, tgt) in zip(pairs, other, strict=True)]).findings[0]
    assert found.severity == Severity.warning
    assert found.summary == "train: the lines of train.fr do not look like translations of the source lines"


def test_each_file_is_examined_by_itself() -> None:
    """The second file is shifted from its beginning."""
    first, second = number_pairs(2_000), number_pairs(1_000, seed=2)
    src, tgt = zip(*second, strict=True)
    examination = AlignmentExamination()
    for pairs in (first, list(zip(src, ["Neuf", *tgt[:-1]], strict=True))):
        examination.add(block(pairs))
    [shift] = examination.result([]).shifted
    assert (shift.first_line, shift.last_line) == (1, 1_000)


def test_unequal_pairs_are_counted_and_named() -> None:
    pairs = [(LONG, LONG[:50])] * 1_996 + [(LONG, "y" * 10), (LONG, "y" * 25), ("Yes", "y" * 15), (LONG, "y" * 400)]
    found = examined(pairs).splits["train"]
    assert found.median_ratio == pytest.approx(50 / 60, abs=0.01)
    assert found.num_long == 1_999  # a short pair may be as unequal as it likes
    assert found.num_unequal == 2
    assert found.most_unequal == [
        UnequalPair("train.en", 2_000, 60, 400),
        UnequalPair("train.en", 1_997, 60, 10),
    ]


def test_pairs_are_named_by_the_rule_that_counts_them() -> None:
    """A ratio of 3 : 1 is just within the limit, one of 304 : 100 is not."""
    for src_chars in (30, 100):
        for tgt_chars in range(3 * src_chars - 2, 3 * src_chars + 5):
            found = examined([(LONG, LONG)] * 200 + [("x" * src_chars, "y" * tgt_chars)]).splits["train"]
            assert found.num_unequal == len(found.most_unequal)
    assert found.num_unequal == 1


def test_pairs_are_named_that_looked_usual_when_they_were_read() -> None:
    found = examined([(LONG, "y" * 300)] * 900 + [(LONG, LONG)] * 4_100).splits["train"]
    assert found.num_unequal == 900
    assert [pair.line for pair in found.most_unequal] == [1, 2, 3, 4, 5]


def test_the_lines_that_are_named_are_those_of_one_file() -> None:
    examination = AlignmentExamination()
    examination.add(block([(LONG, LONG)] * 99 + [(LONG, "y" * 10)]))
    examination.add(block([(LONG, "y" * 3), *[(LONG, LONG)] * 99])._replace(src_file=Path("more.en")))
    [found] = alignment({"train": examination.result([])}).findings
    assert found.advice == "look at them: lines 1 of more.en are the most unequal"


@pytest.mark.parametrize(("count", "severity"), [(1, Severity.ok), (4, Severity.notice), (60, Severity.warning)])
def test_many_unequal_pairs_are_more_serious_than_few(count: int, severity: Severity) -> None:
    findings = examined([(LONG, LONG)] * 2_000 + [(LONG, "y")] * count).findings
    [found] = [line for line in findings if "length" in line.summary]
    assert found.severity == severity
    assert bool(found.advice) == (severity != Severity.ok)


@pytest.mark.parametrize(("count", "severity"), [(1, Severity.notice), (60, Severity.warning)])
def test_blank_sides_are_counted(count: int, severity: Severity) -> None:
    found = examined(number_pairs(2_000) + [("Zero one", " ")] * count)
    assert found.splits["train"].num_blank == count
    assert [line.severity for line in found.findings if "blank side" in line.summary] == [severity]


def test_files_of_different_lengths_are_a_warning() -> None:
    found = examined(number_pairs(300), ("a ends at line 300, b continues",)).findings
    assert [(line.severity, line.summary) for line in found] == [
        (Severity.warning, "train: a ends at line 300, b continues")
    ]
