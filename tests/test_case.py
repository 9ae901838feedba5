from __future__ import annotations

from nmt.choices import Severity
from nmt.doctor.case import Case, CaseCounts, SideCase, case
from tests.doctor_text import Pairs, block

PAIR = ("Zero one", "Un deux")


def found_in(train: Pairs, dev: Pairs) -> Case:
    counts = {"train": CaseCounts(), "dev": CaseCounts()}
    counts["train"].add(block(train))
    counts["dev"].add(block(dev, split="dev"))
    return case(counts)


def serious(found: Case) -> list[tuple[Severity, str]]:
    return [(line.severity, line.summary) for line in found.findings if line.severity != Severity.ok]


def test_lines_are_counted_by_case() -> None:
    found = found_in([PAIR, ("zero", "UN"), ("12", "漢字"), ("ZERO", "")], [])
    assert found.splits["train"] == {
        "src": SideCase(num_cased=3, num_lower=1, num_upper=1),
        "tgt": SideCase(num_cased=2, num_lower=0, num_upper=1),
    }


def test_the_same_case_everywhere_is_ok() -> None:
    assert serious(found_in([PAIR] * 100, [PAIR] * 10)) == []


def test_a_split_in_lower_case_is_a_warning() -> None:
    lower = (PAIR[0].lower(), PAIR[1])
    assert serious(found_in([PAIR] * 100, [lower] * 10)) == [
        (Severity.warning, "dev src: 100% of the lines have no capitals, of the training text 0%")
    ]


def test_a_few_more_lines_in_lower_case_are_ok() -> None:
    lower = (PAIR[0].lower(), PAIR[1])
    assert serious(found_in([PAIR] * 100, [lower] * 30 + [PAIR] * 70)) == []
    assert len(serious(found_in([PAIR] * 100, [lower] * 31 + [PAIR] * 69))) == 1


def test_a_source_in_lower_case_beside_a_target_with_capitals_is_a_notice() -> None:
    lower = (PAIR[0].lower(), PAIR[1])
    assert serious(found_in([lower] * 100, [lower] * 10)) == [
        (Severity.notice, "train: the source is in lower case, the target is not")
    ]


def test_lines_in_capitals_are_counted() -> None:
    found = found_in([PAIR] * 90 + [("ZERO", "Un")] * 10, [])
    assert serious(found) == [(Severity.notice, "train src: 10 of 100 (10.00%) lines are in capitals")]
