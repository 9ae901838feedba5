from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor.finding import Finding
from nmt.doctor.overlap import Overlap, SplitOverlap, overlap
from nmt.doctor.text_hashes import TextHashes
from tests.doctor_text import Pairs, block


def found_in(train: Pairs, dev: Pairs) -> Overlap:
    hashes = {"train": TextHashes(), "dev": TextHashes()}
    hashes["train"].add(block(train))
    hashes["dev"].add(block(dev, split="dev"))
    return overlap(hashes)


def different(count: int, *, first: int = 0) -> Pairs:
    return [(f"source {number}", f"target {number}") for number in range(first, first + count)]


def test_other_text_is_ok() -> None:
    found = found_in(different(50), different(50, first=50))
    assert found.findings == [Finding(Severity.ok, "dev: no source is in the training text")]


def test_pairs_and_sides_are_counted_exactly_and_normalized() -> None:
    train = [("A b", "C"), ("D", "E"), ("F", "G")]
    dev = [("A b", "C"), ("a b!", "c"), ("A b", "x"), ("y", "E"), ("y", "z")]
    assert found_in(train, dev).splits == {
        "dev": SplitOverlap(num_pairs=5, num_exact=1, num_normalized=2, num_sources=3, num_targets=3)
    }


@pytest.mark.parametrize(("count", "severity"), [(1, Severity.ok), (5, Severity.notice), (50, Severity.warning)])
def test_many_known_pairs_are_more_serious_than_few(count: int, severity: Severity) -> None:
    [found] = found_in(different(100), different(1_000, first=100 - count)).findings
    assert found.severity == severity
    assert found.summary.startswith(f"dev: {count} of 1,000 (")


def test_sources_with_other_translations_count_less() -> None:
    train = [(src, "other") for src, _ in different(30)]
    [found] = found_in(train, different(1_000)).findings
    assert found.severity == Severity.notice
