from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from nmt.doctor.association import Association, Floats
from nmt.doctor.shift import Shift, ShiftFinder, _BestRun
from tests.doctor_text import number_pairs


def found_in(src: Sequence[str], tgt: Sequence[str], *, part: int = 700) -> tuple[Shift | None, bool | None]:
    finder = ShiftFinder()
    for begin in range(0, len(src), part):
        finder.add(src[begin : begin + part], tgt[begin : begin + part])
    return finder.finish(), finder.is_related


@pytest.fixture(scope="module")
def sides() -> tuple[list[str], list[str]]:
    pairs = number_pairs(3_000)
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


def test_aligned_text_is_not_shifted(sides: tuple[list[str], list[str]]) -> None:
    assert found_in(*sides) == (None, True)


@pytest.mark.parametrize("line", [1, 40, 1_234, 2_970])
@pytest.mark.parametrize("offset", [-2, -1, 1, 2])
def test_a_shift_is_found_at_its_line(sides: tuple[list[str], list[str]], line: int, offset: int) -> None:
    """Lines that the target has too many or too few."""
    src, tgt = sides
    if offset > 0:
        shifted = [*tgt[: line - 1], *["Un deux trois quatre"] * offset, *tgt[line - 1 :]][: len(src)]
    else:
        shifted = [*tgt[: line - 1], *tgt[line - 1 - offset :]]
    shift, is_related = found_in(src[: len(shifted)], shifted)
    assert is_related
    assert shift is not None
    assert shift.offset == offset
    assert abs(shift.first_line - line) <= 2
    assert shift.last_line >= len(shifted) - 2


def test_a_shift_that_ends_is_found_with_its_end(sides: tuple[list[str], list[str]]) -> None:
    src, tgt = sides
    shifted = [*tgt[:1_000], "Neuf", *tgt[1_000:1_500], *tgt[1_501:]]
    shift, _ = found_in(src, shifted)
    assert shift is not None
    assert shift.offset == 1
    assert abs(shift.first_line - 1_001) <= 2
    assert abs(shift.last_line - 1_500) <= 2


def test_the_result_does_not_depend_on_how_the_text_is_cut(sides: tuple[list[str], list[str]]) -> None:
    src, tgt = sides
    shifted = [*tgt[:2_000], "Neuf", *tgt[2_000:-1]]
    assert len({found_in(src, shifted, part=part) for part in (1, 2, 999, 3_000)}) == 1


def test_text_longer_than_the_sample_is_read_to_its_end(
    sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.doctor.shift._NUM_SAMPLED", 1_000)
    src, tgt = sides
    shift, _ = found_in(src, [*tgt[:2_500], "Neuf", *tgt[2_500:-1]])
    assert shift is not None
    assert abs(shift.first_line - 2_501) <= 2
    assert shift.last_line == 3_000


def test_sides_in_different_orders_are_unrelated(sides: tuple[list[str], list[str]]) -> None:
    src, tgt = sides
    assert found_in(src, random.Random(1).sample(tgt, len(tgt))) == (None, False)


def test_a_few_lines_say_nothing() -> None:
    assert found_in(["a"] * 50, ["b"] * 50) == (None, None)
    assert found_in([], []) == (None, None)


def test_lines_that_are_all_equal_say_nothing() -> None:
    assert found_in(["a b"] * 500, ["c d"] * 500) == (None, False)


def test_the_best_run_is_that_of_an_exhaustive_search() -> None:
    values = np.random.default_rng(1).normal(-0.1, 1, 200)
    run = _BestRun()
    for begin in range(0, 200, 7):
        run.add(values[begin : begin + 7], begin)
    gain, begin, end = max((values[i:j].sum(), i, j) for i in range(200) for j in range(i + 1, 201))
    assert (run.begin, run.end) == (begin, end)
    assert run.gain == pytest.approx(gain)


def _numbers(lines: Sequence[str]) -> Floats:
    return np.array(list(map(float, lines)), np.float32).reshape(-1, 1)


class Product:
    """An association whose score of a pair is the product of its two numbers."""

    src = tgt = staticmethod(_numbers)
    correlations = np.ones(1, np.float32)

    def scores(self, src: Floats, tgt: Floats) -> Floats:
        product: Floats = (src * tgt)[:, 0]
        return product


def shift_of_scores(src: Sequence[float], tgt: Sequence[float]) -> Shift | None:
    finder = ShiftFinder(is_related=True, _association=cast("Association", Product()))
    finder.add(list(map(str, src)), list(map(str, tgt)))
    return finder.finish()


def test_no_single_pair_decides() -> None:
    num_lines, loud = 400, 100
    src = [1e6 if line == loud else 0.0 for line in range(num_lines)]
    tgt = [1.0 if line == loud + 1 else 0.0 for line in range(num_lines)]
    assert shift_of_scores(src, tgt) is None


@pytest.mark.parametrize(("gain", "found"), [(0.4, False), (0.6, True)])
def test_the_lines_of_a_shift_must_gain_enough_on_average(gain: float, found: bool) -> None:
    """Every second line fits the next one better by twice the gain, and the sum is far above the least gain."""
    num_lines = 1_000
    src = [2 * gain * (line % 2) for line in range(num_lines)]
    tgt = [1.0 - line % 2 for line in range(num_lines)]
    shift = shift_of_scores(src, tgt)
    assert (shift is not None) == found
