"""The length penalty and the finished hypotheses of a sentence."""

import math
from dataclasses import replace

import numpy as np

from nmt.choices import LengthPenaltyKind
from nmt.config import LengthPenaltyConfig
from nmt.search.hypothesis import Finished, Hypothesis, length_penalty
from tests.search import search_config


def test_length_penalty_by_hand() -> None:
    config = search_config(2, alpha=1.0, max_len=3)
    assert length_penalty([1, 7, 13], config).tolist() == [1.0, 2.0, 3.0]
    assert length_penalty([1, 7, 13], search_config(2, max_len=3)).tolist() == [1.0, 1.0, 1.0]
    no_penalty = replace(config, length_penalty=LengthPenaltyConfig(kind=LengthPenaltyKind.none, alpha=1.0))
    assert length_penalty([7], no_penalty).tolist() == [1.0]


def finished(*scores: float) -> Finished:
    """Make the hypotheses of one sentence, whose ids are their numbers; a score of -inf means that there is none."""
    ids = np.empty((1, len(scores)), dtype=object)
    for number, score in enumerate(scores):
        ids[0, number] = (number,) if score > -math.inf else None
    return Finished(np.array([scores]), 2 * np.array([scores]), ids)


def test_the_best_come_first_and_of_equals_the_earlier_one() -> None:
    merged = finished(-1.0, -3.0).concat(finished(-1.0, -2.0), axis=1)
    assert merged.best(3).score.tolist() == [[-1.0, -1.0, -2.0]]
    assert merged.best(3).ids.tolist() == [[(0,), (0,), (1,)]]


def test_missing_hypotheses_are_not_listed() -> None:
    assert finished(-1.0, -math.inf).hypotheses() == [[Hypothesis((0,), -2.0, -1.0, True)]]
    assert Finished.none_yet(2, 3).hypotheses() == [[], []]
