from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor.duplicates import Duplicates, SplitDuplicates, duplicates
from nmt.doctor.finding import Finding
from nmt.doctor.text_hashes import TextHashes
from tests.doctor_text import Pairs, block


def found_in(pairs: Pairs) -> Duplicates:
    hashes = TextHashes()
    hashes.add(block(pairs))
    return duplicates({"train": hashes})


def different(count: int) -> Pairs:
    return [(f"source {number}", f"target {number}") for number in range(count)]


def test_different_pairs_are_ok() -> None:
    assert found_in(different(50)).findings == [Finding(Severity.ok, "train: no pair is repeated")]


def test_copies_are_counted() -> None:
    pairs = [("A b", "C"), ("A b", "C"), ("a b.", "c"), ("A b", "D"), ("E", "D"), ("F", "D")]
    assert found_in(pairs).splits["train"] == SplitDuplicates(
        num_pairs=6, num_exact=1, num_normalized=2, num_further_targets=1, num_further_sources=2
    )


@pytest.mark.parametrize(("count", "severity"), [(2, Severity.ok), (10, Severity.notice), (50, Severity.warning)])
def test_many_copies_are_more_serious_than_few(count: int, severity: Severity) -> None:
    copies = [(f"{src.upper()}!", tgt) for src, tgt in different(count)]
    [found] = found_in(different(100) + copies).findings
    assert found.severity == severity
    assert found.summary.startswith(f"train: {count} of {100 + count} (")
    assert found.summary.endswith("an earlier one, 0 of them exactly")
