"""Batches: every pair once per epoch, in an order that the seed determines, with little padding."""

from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nmt.corpus.epoch as epoch_module
from nmt.choices import BatchUnit
from nmt.config import BatchingConfig
from nmt.corpus.batching import (
    Batch,
    Position,
    TrainingBatches,
    _cut,
    collate,
    pad_source,
    plan_epoch,
    validation_batches,
)
from nmt.corpus.epoch import Epochs, Indices
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID
from tests.models import corpus_of, random_pairs

TOKENS = BatchingConfig(unit=BatchUnit.tokens, size=400, min_sentences=8)
SENTENCES = BatchingConfig(unit=BatchUnit.sentences, size=16, min_sentences=8)
BOTH_UNITS = pytest.mark.parametrize("config", [TOKENS, SENTENCES], ids=["tokens", "sentences"])


def realistic_lengths(num_pairs: int) -> tuple[Indices, Indices]:
    """Make random lengths like those of captions: sources of about 13 subwords, and slightly longer targets."""
    rng = np.random.default_rng(1)
    src_lens = np.clip(rng.lognormal(2.5, 0.4, num_pairs), 1, 48).astype(np.int64)
    tgt_lens = np.clip(rng.normal(1.1 * src_lens, 0.2 * src_lens), 1, 48).astype(np.int64)
    return src_lens, tgt_lens


def plan(config: BatchingConfig, *, seed: int = 1, epoch: int = 0, num_pairs: int = 2000) -> list[list[int]]:
    src_lens, tgt_lens = realistic_lengths(num_pairs)
    return [batch.tolist() for batch in plan_epoch(src_lens, tgt_lens, config, seed=seed, epoch=epoch)]


def sentences_of(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the pairs of a batch, without BOS and EOS."""
    tgt: list[list[int]] = [[] for _ in range(batch.num_sentences)]
    for token, position in zip(batch.tgt_token_M.tolist(), batch.tgt_position_M.tolist(), strict=True):
        tgt[position % batch.num_sentences].append(token)
    assert all(row.pop() == EOS_ID for row in tgt)
    src = [row[: length - 1] for row, length in zip(batch.src_BS.tolist(), batch.src_len_B.tolist(), strict=True)]
    return [(tuple(s), tuple(t)) for s, t in zip(src, tgt, strict=True)]


def test_source_gets_eos_and_padding() -> None:
    src_BS, src_len_B = pad_source([[5, 6], [], [7]])
    assert src_BS.tolist() == [[5, 6, EOS_ID], [EOS_ID, PAD_ID, PAD_ID], [7, EOS_ID, PAD_ID]]
    assert src_len_B.tolist() == [3, 1, 2]


def test_a_batch_by_hand() -> None:
    batch = collate([[5, 6], [7]], [[8], [9, 10, 11]])
    assert batch.src_BS.tolist() == [[5, 6, EOS_ID], [7, EOS_ID, PAD_ID]]
    assert batch.src_len_B.tolist() == [3, 2]
    assert batch.tgt_in_BT[:, 0].tolist() == [BOS_ID, BOS_ID]
    assert batch.tgt_in_BT[0, :2].tolist() == [BOS_ID, 8]
    assert batch.tgt_in_BT[1].tolist() == [BOS_ID, 9, 10, 11]
    # (T, B), row by row: 8 9 | EOS 10 | . 11 | . EOS
    assert batch.tgt_token_M.tolist() == [8, 9, EOS_ID, 10, 11, EOS_ID]
    assert batch.tgt_position_M.tolist() == [0, 1, 2, 3, 5, 7]
    assert (batch.num_sentences, batch.num_tgt_tokens) == (2, 6)


def test_a_batch_is_not_copied_on_a_cpu() -> None:
    batch = collate([[5]], [[6]])
    assert batch.to(torch.device("cpu")) is batch


@BOTH_UNITS
def test_each_pair_comes_exactly_once_per_epoch(config: BatchingConfig) -> None:
    for epoch in range(3):
        assert sorted(pair for batch in plan(config, epoch=epoch) for pair in batch) == list(range(2000))


@BOTH_UNITS
def test_same_seed_same_order(config: BatchingConfig) -> None:
    assert plan(config, seed=3, epoch=2) == plan(config, seed=3, epoch=2)


@BOTH_UNITS
def test_other_epochs_and_seeds_have_other_orders(config: BatchingConfig) -> None:
    orders = [plan(config, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    for number, order in enumerate(orders):
        assert all(order != other for other in orders[:number])
    # not only the order of the batches: pairs meet other pairs
    partitions = [{frozenset(batch) for batch in order} for order in orders]
    assert partitions[0] != partitions[1]


def test_the_order_of_batches_is_independent_of_length() -> None:
    src_lens, _ = realistic_lengths(2000)
    mean_lengths = [float(src_lens[batch].mean()) for batch in plan(TOKENS)]
    correlation = np.corrcoef(mean_lengths, np.arange(len(mean_lengths)))[0, 1]
    assert abs(correlation) < 0.3


def test_a_batch_never_exceeds_its_tokens() -> None:
    src_lens, tgt_lens = realistic_lengths(2000)
    for batch in plan(TOKENS):
        longest = max(src_lens[batch].max(), tgt_lens[batch].max()) + 1
        assert len(batch) * longest <= TOKENS.size


def test_a_pair_too_long_for_any_batch_is_a_batch() -> None:
    src_lens, tgt_lens = np.array([3, 3, 30, 3]), np.array([3, 50, 3, 3])
    batches = plan_epoch(src_lens, tgt_lens, replace(TOKENS, size=20, min_sentences=4), seed=1, epoch=0)
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 3], [1], [2]]


def test_batches_are_as_large_as_their_tokens_allow() -> None:
    rng = np.random.default_rng(1)
    order, costs = rng.permutation(500), rng.integers(1, 40, 500)  # in no order, as leftovers of several lengths
    batches = _cut(order, costs, 100)
    assert np.array_equal(np.concatenate(batches), order)
    for batch, following in pairwise(batches):
        with_next = np.append(batch, following[0])
        assert len(batch) == 1 or len(batch) * costs[batch].max() <= 100
        assert len(with_next) * costs[with_next].max() > 100


def test_a_batch_never_exceeds_its_sentences() -> None:
    sizes = Counter(len(batch) for batch in plan(SENTENCES))
    assert max(sizes) == SENTENCES.size
    assert sizes[SENTENCES.size] > sum(sizes.values()) / 2


@pytest.mark.parametrize("config", [replace(TOKENS, size=49 * 9), SENTENCES], ids=["tokens", "sentences"])
def test_source_lengths_are_equal_in_all_but_merged_leftovers(config: BatchingConfig) -> None:
    src_lens, _ = realistic_lengths(2000)
    batches = plan(config)
    mixed = [batch for batch in batches if len(set(src_lens[batch].tolist())) > 1]
    assert 0 < len(mixed) < len(batches) / 4
    leftovers = Counter(int(src_lens[pair]) for batch in mixed for pair in batch)
    # the budget lets every length fill a batch, so that only the last batch of a length can be too small
    assert max(leftovers.values()) < config.min_sentences
    for batch in mixed:  # of neighbouring lengths: none between them is missing
        lengths = sorted(set(src_lens[batch].tolist()))
        assert not [length for length in leftovers if lengths[0] < length < lengths[-1] and length not in lengths]


def test_a_full_batch_may_have_few_sentences() -> None:
    """Batches of four sentences are not leftovers because of `min_sentences=8`: they keep one length."""
    src_lens, tgt_lens = np.array([3] * 6 + [5] * 6), np.arange(12)
    batches = plan_epoch(src_lens, tgt_lens, replace(SENTENCES, size=4, min_sentences=8), seed=1, epoch=0)
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 1, 2, 3], [4, 5, 10, 11], [6, 7, 8, 9]]
    # three of a length are too few for a batch: they merge
    src_lens = np.array([3, 3, 3, 5, 5, 5, 9, 9, 9])
    batches = plan_epoch(src_lens, np.arange(9), replace(SENTENCES, size=4, min_sentences=8), seed=1, epoch=0)
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


LENGTHS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(
    lengths=LENGTHS,
    unit=st.sampled_from(list(BatchUnit)),
    size=st.integers(1, 40),
    min_sentences=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_for_any_lengths_each_pair_comes_once_in_batches_within_size(
    lengths: list[tuple[int, int]], unit: BatchUnit, size: int, min_sentences: int, seed: int
) -> None:
    src_lens, tgt_lens = (np.array(side, dtype=np.int64) for side in zip(*lengths, strict=True))
    config = BatchingConfig(unit=unit, size=size, min_sentences=min_sentences)
    batches = plan_epoch(src_lens, tgt_lens, config, seed=seed, epoch=0)
    assert sorted(pair for batch in batches for pair in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = 1 + int(max(src_lens[batch].max(), tgt_lens[batch].max()))
        cost = len(batch) * (longest if unit == BatchUnit.tokens else 1)
        assert len(batch) == 1 or cost <= size
        assert (np.diff(src_lens[batch]) >= 0).all()  # shorter sources first, leftovers of several lengths included


def test_padding_is_a_small_share() -> None:
    src_lens, tgt_lens = realistic_lengths(20_000)
    real = positions = 0
    config = BatchingConfig(unit=BatchUnit.tokens, size=2600, min_sentences=16)
    for batch in plan_epoch(src_lens, tgt_lens, config, seed=1, epoch=0):
        for lens in (src_lens, tgt_lens):
            real += int((lens[batch] + 1).sum())
            positions += len(batch) * int(lens[batch].max() + 1)
    assert 1 - real / positions < 0.05


@BOTH_UNITS
def test_a_stream_gives_each_pair_once_per_epoch(config: BatchingConfig) -> None:
    pairs = random_pairs(100, max_len=6, vocab_size=60)
    expected = Counter((tuple(src), tuple(tgt)) for src, tgt in pairs)
    batches = TrainingBatches(corpus_of(pairs), config, seed=1)
    for epoch in range(3):
        seen: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
        while batches.position.epoch == epoch:
            seen.update(sentences_of(next(batches)))
        assert seen == expected


@BOTH_UNITS
def test_cut_and_resumed_order_is_the_uncut_order(config: BatchingConfig) -> None:
    corpus = corpus_of(random_pairs(60, max_len=6))
    config = replace(config, size=config.size // 8)
    uncut = TrainingBatches(corpus, config, seed=1)
    positions, contents = [], []
    while uncut.position.epoch < 3:
        positions.append(Position(**asdict(uncut.position)))
        contents.append(sentences_of(next(uncut)))
    for cut in range(0, len(positions), 3):
        resumed = TrainingBatches(corpus, config, seed=1, position=positions[cut])
        assert [sentences_of(next(resumed)) for _ in range(min(8, len(contents) - cut))] == contents[cut : cut + 8]


@pytest.mark.parametrize("weights", [[], [1, 0.5]])
@BOTH_UNITS
def test_windows_are_cut_and_resumed_like_one(
    monkeypatch: pytest.MonkeyPatch, config: BatchingConfig, weights: list[float]
) -> None:
    monkeypatch.setattr(epoch_module, "_PAIRS_A_WINDOW", 25)
    monkeypatch.setattr(epoch_module, "_PAIRS_A_BLOCK", 3)
    corpus = corpus_of(random_pairs(90, max_len=6))
    config = replace(config, size=config.size // 4)

    def stream(position: Position | None = None) -> TrainingBatches:
        epochs = Epochs([60, 30], weights=weights, seed=1)
        return TrainingBatches(corpus, config, seed=1, epochs=epochs, position=position)

    uncut = stream()
    positions, contents = [], []
    while uncut.position.epoch < 2:
        positions.append(Position(**asdict(uncut.position)))
        contents.append(sentences_of(next(uncut)))
    assert len([position for position in positions if position.batch == 0]) == 2 * 4  # windows
    assert sum(map(len, contents)) == 2 * 90
    for cut in range(len(positions)):
        resumed = stream()
        resumed.go_to(Position(**asdict(positions[cut])))
        assert [sentences_of(next(resumed)) for _ in range(min(5, len(contents) - cut))] == contents[cut : cut + 5]
    for position in (Position(batch=0, pairs=3), Position(batch=1, pairs=0), Position(batch=0, pairs=90)):
        with pytest.raises(ValueError, match=r"no epoch of this corpus begins with \d batches of \d+ pairs"):
            stream().go_to(position)


def test_one_window_has_the_batches_of_version_0_1_0() -> None:
    """So that its runs resume: these were planned for the whole corpus at once."""
    pairs = random_pairs(200, max_len=9)
    src_lens, tgt_lens = (np.array([len(pair[side]) for pair in pairs], np.int64) for side in (0, 1))
    for epoch in range(2):
        batches = TrainingBatches(corpus_of(pairs), TOKENS, seed=5, position=Position(epoch=epoch)).plan()
        planned = plan_epoch(src_lens, tgt_lens, TOKENS, seed=5, epoch=epoch)
        assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in planned]
    assert planned[0].tolist()[:6] == [127, 67, 190, 176, 122, 75]  # what version 0.1.0 planned


def test_an_epoch_is_counted_by_its_pairs() -> None:
    batches = TrainingBatches(corpus_of(random_pairs(10, max_len=3)), replace(SENTENCES, size=4), seed=1)
    assert batches.fractional_epochs() == 0
    num_seen = 0
    for _ in range(2):
        num_seen += next(batches).num_sentences
        assert batches.fractional_epochs() == num_seen / 10
    while batches.position.epoch == 0:
        next(batches)
    assert batches.fractional_epochs() == 1
    assert Position(epoch=5, batch=3, pairs=25).fractional_epochs(100) == 5.25


@BOTH_UNITS
def test_validation_has_every_pair_once_in_a_fixed_order(config: BatchingConfig) -> None:
    pairs = random_pairs(50, max_len=6)
    runs = [[sentences_of(batch) for batch in validation_batches(corpus_of(pairs), config)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert Counter(pair for batch in runs[0] for pair in batch) == Counter((tuple(s), tuple(t)) for s, t in pairs)
