"""BLEU of groups of sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nmt.errors import DataError
from nmt.evaluation.groups import LENGTH_BUCKETS, GroupScore, length_bucket, score_groups
from nmt.evaluation.metrics import score_corpus

if TYPE_CHECKING:
    pass


def test_groups_overlap_and_keep_their_order() -> None:
    hypotheses = ["a b c d", "a b c x", "x y z w", "a b c d"]
    references = [["a b c d"] * 4]
    groups = [{"plural", "question"}, ["question"], ["negation"], []]
    by_appearance = score_groups(hypotheses, references, groups)
    assert [(g.group, g.num_sentences) for g in by_appearance] == [("plural", 1), ("question", 2), ("negation", 1)]
    assert by_appearance[0].bleu == pytest.approx(100)
    assert by_appearance[1].bleu == pytest.approx(score_corpus(hypotheses[:2], references[0][:2])[0].value)
    assert by_appearance[2] == GroupScore("negation", 1, 0.0)
    ordered = score_groups(hypotheses, references, groups, order=["negation", "absent", "question"])
    assert [g.group for g in ordered] == ["negation", "question", "plural"]


@pytest.mark.parametrize(
    ("words", "bucket"),
    [
        (0, "0"),
        (1, "1-5"),
        (5, "1-5"),
        (6, "6-10"),
        (10, "6-10"),
        (11, "11-15"),
        (15, "11-15"),
        (16, "16-20"),
        (20, "16-20"),
        (21, "21-30"),
        (30, "21-30"),
        (31, "31+"),
    ],
)
def test_length_buckets_have_no_gaps(words: int, bucket: str) -> None:
    assert length_bucket(words) == bucket
    assert bucket in LENGTH_BUCKETS


def test_every_sentence_needs_a_line_of_groups() -> None:
    with pytest.raises(
        DataError, match=r"^the groups and the reference must have equally many lines, but have 1 and 2: line n"
    ):
        score_groups(["a", "b"], [["a", "b"]], [["x"]])
