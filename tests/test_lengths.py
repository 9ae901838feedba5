from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor import lengths as module
from nmt.doctor.lengths import Distribution, LengthCounts, Lengths, lengths
from tests.doctor_text import Pairs, block


def found_in(train: Pairs, dev: Pairs) -> Lengths:
    counts = {"train": LengthCounts(), "dev": LengthCounts()}
    for begin in range(0, len(train), 50):
        counts["train"].add(block(train[begin : begin + 50]))
    counts["dev"].add(block(dev, split="dev"))
    return lengths(counts)


def test_percentiles_are_those_of_the_sorted_lengths() -> None:
    found = found_in([(" ".join(["ab"] * number), "") for number in range(1, 101)], [])
    assert found.splits["train"]["src"].words == Distribution(mean=50.5, median=50, p95=95, p99=99, longest=100)
    assert found.splits["train"]["src"].characters.longest == 299
    assert found.splits["train"]["tgt"].words == Distribution(mean=0.0, median=0, p95=0, p99=0, longest=0)
    assert found.splits["dev"]["src"].words == Distribution(mean=0.0, median=0, p95=0, p99=0, longest=0)


def test_very_long_lines_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_COUNTED", 20)
    found = found_in([("a" * 99, "b"), ("a", "b")], []).splits["train"]["src"].characters
    assert found == Distribution(mean=50.0, median=1, p95=20, p99=20, longest=99)


def test_splits_of_the_same_lengths_are_ok() -> None:
    found = found_in([("a" * 50, "b" * 60)] * 9, [("a" * 60, "b" * 50)])
    assert [line.severity for line in found.findings] == [Severity.ok] * 2


def test_a_split_of_other_lengths_is_a_notice() -> None:
    found = found_in([("a" * 50, "b" * 60)] * 9, [("a" * 90, "b" * 20)])
    assert [(line.severity, line.summary) for line in found.findings] == [
        (Severity.notice, "dev src: 90 characters a line on average, the training text 50"),
        (Severity.notice, "dev tgt: 20 characters a line on average, the training text 60"),
    ]
