"""Epochs: each pair of a file equally often, in the proportion of the weights, window by window."""

import re
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

import nmt.corpus.epoch as epoch_module
from nmt.corpus.epoch import Epochs, epochs_of
from nmt.corpus.manifest import SplitReport
from nmt.errors import ConfigError, DataError

pytestmark = pytest.mark.no_tensors


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have windows of at most 100 pairs, from blocks of 8."""
    monkeypatch.setattr(epoch_module, "_PAIRS_A_WINDOW", 100)
    monkeypatch.setattr(epoch_module, "_PAIRS_A_BLOCK", 8)


def pairs_of(epochs: Epochs, epoch: int) -> list[list[int]]:
    return [epochs.pairs(epoch, window).tolist() for window in range(epochs.num_windows)]


def test_a_small_corpus_is_one_window_in_its_own_order() -> None:
    epochs = Epochs([1000], seed=1)
    assert epochs.num_windows == 1
    for epoch in range(3):
        assert np.array_equal(epochs.pairs(epoch, 0), np.arange(1000))


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("size", [101, 200, 205, 999])
def test_without_weights_an_epoch_has_each_pair_once(size: int) -> None:
    epochs = Epochs([size], seed=1)
    for epoch in range(3):
        windows = pairs_of(epochs, epoch)
        assert sorted(chain.from_iterable(windows)) == list(range(size))
        assert len(windows) == -(-size // 100)
        assert max(map(len, windows)) - min(map(len, windows)) <= 1
    assert pairs_of(epochs, 0) == pairs_of(Epochs([size], seed=1), 0)
    assert pairs_of(epochs, 0) != pairs_of(epochs, 1)
    assert pairs_of(epochs, 0) != pairs_of(Epochs([size], seed=2), 0)


@pytest.mark.usefixtures("small_windows")
def test_a_window_comes_from_the_whole_corpus_in_blocks() -> None:
    [first, *_] = pairs_of(Epochs([10_000], seed=1), 0)
    blocks = {index // 8 for index in first}
    assert len(blocks) <= len(first) / 8 + 2
    assert np.histogram(first, bins=4, range=(0, 10_000))[0].min() > 0


@pytest.mark.parametrize("sizes", [[40, 60], [7, 300, 50], [100, 100]])
@pytest.mark.parametrize("with_windows", [False, True])
def test_with_weights_each_pair_of_a_file_comes_equally_often(
    request: pytest.FixtureRequest, sizes: list[int], with_windows: bool
) -> None:
    if with_windows:
        request.getfixturevalue("small_windows")
    weights = [1.0, 3.0, 2.0][: len(sizes)]
    epochs = Epochs(sizes, weights=weights, seed=1)
    begins = np.cumsum([0, *sizes])
    seen: Counter[int] = Counter()
    for epoch in range(5):
        for window, pairs in enumerate(pairs_of(epochs, epoch)):
            seen.update(pairs)
            assert sum(seen.values()) == epoch * sum(sizes) + (
                epochs.begin(window + 1) if window + 1 < epochs.num_windows else sum(sizes)
            )
            for begin, end in pairwise(begins):
                counts = [seen[index] for index in range(begin, end)]
                assert max(counts) - min(counts) <= 1
        for number, weight in enumerate(weights):
            share = sum(seen[index] for index in range(begins[number], begins[number + 1]))
            assert share == pytest.approx((epoch + 1) * sum(sizes) * weight / sum(weights), abs=epoch + 1)


@pytest.mark.usefixtures("small_windows")
def test_files_of_equal_size_have_orders_of_their_own() -> None:
    epochs = Epochs([100, 100], weights=[1, 1], seed=1)
    pairs = epochs.pairs(0, 0)
    assert pairs[pairs < 100].tolist() != (pairs[pairs >= 100] - 100).tolist()


def test_shares_are_rounded_to_whole_pairs_by_largest_remainders() -> None:
    epochs = Epochs([5, 5, 0, 1], weights=[1, 0.5, 0, 0.5], seed=1)
    counts = Counter(min(int(index) // 5, 2) for index in epochs.pairs(0, 0))
    assert counts == {0: 5, 1: 3, 2: 3}  # of 5.5, 2.75 and 2.75


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("weights", [[], [1, 3]])
def test_windows_are_found_by_the_pairs_before_them(weights: list[float]) -> None:
    epochs = Epochs([300, 123], weights=weights, seed=1)
    num_before = 0
    for window, pairs in enumerate(pairs_of(epochs, 2)):
        assert epochs.begin(window) == num_before
        assert epochs.window_at(num_before) == epochs.window_at(num_before + len(pairs) - 1) == window
        num_before += len(pairs)
    assert num_before == 423


def report(kept_by_file: list[int]) -> SplitReport:
    return SplitReport(100, 100, {}, 1, 1, 0, 0, kept_by_file=kept_by_file)


def test_a_corpus_must_know_the_pairs_of_its_files() -> None:
    message = (
        r"^prepared/x must say how many pairs come from each file, for data\.train\.weights, but an earlier version "
        r"wrote it: remove it and run nmt prepare again$"
    )
    with pytest.raises(DataError, match=message):
        epochs_of(report([]), [1, 2], seed=1, directory=Path("prepared/x"))
    for weights in ([], [2.0]):
        assert epochs_of(report([]), weights, seed=1, directory=Path()).num_pairs == 100


def test_a_file_without_pairs_has_no_weight() -> None:
    message = "weight 2 of data.train.weights must be 0, but is 2.5: no pair of that file is left"
    with pytest.raises(ConfigError, match=re.escape(message)):
        epochs_of(report([100, 0]), [1, 2.5], seed=1, directory=Path())
    assert epochs_of(report([100, 0]), [1, 0], seed=1, directory=Path()).pairs(0, 0).tolist() == list(range(100))
