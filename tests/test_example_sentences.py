"""Examples of different lengths."""

import pytest

from nmt.report.example_sentences import choose_examples
from nmt.text.parallel import SentencePair
from tests.models import tiny_subword

# of 1 to 9 digits, the spaces between which are subwords, too
PAIRS = [SentencePair(" ".join("1" * length), "2") for length in (3, 1, 4, 2, 9, 5, 8, 6, 7)]


def lengths(pairs: list[SentencePair]) -> list[int]:
    return [len(pair.src.split()) for pair in pairs]


@pytest.mark.parametrize(
    ("number", "expected"), [(1, [5]), (3, [2, 5, 8]), (9, [*range(1, 10)]), (20, [*range(1, 10)])]
)
def test_they_are_spread_over_the_lengths(number: int, expected: list[int]) -> None:
    assert lengths(choose_examples(PAIRS, tiny_subword(), number=number, max_subwords=100)) == expected


def test_long_and_blank_ones_are_left_out() -> None:
    subword = tiny_subword()
    limit = len(subword.encode(" ".join("1" * 6)))
    pairs = [*PAIRS, SentencePair("", "2"), SentencePair("1", " ")]
    assert lengths(choose_examples(pairs, subword, number=20, max_subwords=limit)) == [1, 2, 3, 4, 5, 6]
    assert choose_examples(pairs, subword, number=3, max_subwords=0) == []
    assert choose_examples([], subword, number=3, max_subwords=9) == []


def test_of_equal_lengths_the_order_decides() -> None:
    pairs = [SentencePair(src, "2") for src in ("3 4", "1 2", "5 6")]
    assert choose_examples(pairs, tiny_subword(), number=3, max_subwords=9) == pairs
