from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nmt.errors import ConfigError
from nmt.text.word_vectors import WordVectors, parse_analogy

if TYPE_CHECKING:
    from collections.abc import Mapping

PLANE = {  # lengths differ on purpose: only the angle counts
    "▁east": (2, 0),
    "▁north": (0, 3),
    "▁northeast": (1, 1),
    "▁west": (-1, 0),
    "ing": (3, 4),
    "nothing": (0, 0),
}


def vectors(table: Mapping[str, tuple[int, int]] = PLANE) -> WordVectors:
    return WordVectors(list(table), np.array(list(table.values()), np.float32), "plane.vec")


def test_neighbours_are_ordered_by_cosine_and_leave_out_the_word() -> None:
    found = vectors().neighbours("▁east", 10)
    assert [word for word, _ in found] == ["▁northeast", "ing", "▁north", "nothing", "▁west"]
    assert [cosine for _, cosine in found] == pytest.approx([1 / sqrt(2), 3 / 5, 0, 0, -1])


def test_only_k_neighbours_are_returned() -> None:
    [(word, cosine)] = vectors().neighbours("▁north", 1)
    assert word == "ing"
    assert cosine == pytest.approx(4 / 5)


def test_a_word_is_the_subword_that_begins_a_word_or_else_as_it_is_written() -> None:
    assert vectors().neighbours("east", 3) == vectors().neighbours("▁east", 3)
    [(word, cosine)] = vectors().neighbours("ing", 1)
    assert word == "▁northeast"
    assert cosine == pytest.approx(7 / (5 * sqrt(2)))
    both = vectors({"ing": (1, 0), "▁ing": (0, 1), "up": (0, 2)})
    assert both.neighbours("ing", 1) == [("up", 1)]


def test_an_analogy_adds_vectors_of_length_one() -> None:
    """west is to east as north is to (1, 0) - (-1, 0) + (0, 1) = (2, 1); 2 · east - west would be (5, …)."""
    found = vectors().analogy("west:east::north", 2)
    assert [word for word, _ in found] == ["▁northeast", "ing"]
    assert [cosine for _, cosine in found] == pytest.approx([3 / sqrt(10), 10 / (5 * sqrt(5))])


def test_an_analogy_leaves_out_its_own_words() -> None:
    answers = {word for word, _ in vectors().analogy("west:east::north", 10)}
    assert answers == {"▁northeast", "ing", "nothing"}


def test_a_word_of_an_analogy_may_occur_twice() -> None:
    assert len(vectors().analogy("west:east::west", 10)) == len(PLANE) - 2


def test_colons_separate_the_words_of_an_analogy() -> None:
    assert parse_analogy("man:king::woman") == ("man", "king", "woman")
    assert parse_analogy("Straße:l'été::▁x") == ("Straße", "l'été", "▁x")


@pytest.mark.parametrize("text", ["", "man", "man:king", "man:king:woman", "man::king:woman", ":king::woman", "a:b::"])
def test_another_form_of_an_analogy_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^an analogy must have the form man:king::woman, but is '"):
        parse_analogy(text)


def test_words_without_a_vector_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^plane\.vec has no vector of 'south': name words that are a single"):
        vectors().neighbours("south", 3)
    with pytest.raises(ConfigError, match=r"no vector of 'south', 'up': name"):
        vectors().analogy("south:east::up", 3)
