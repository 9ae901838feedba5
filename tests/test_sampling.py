"""Random segmentations of the training text: the same text, other subwords in each epoch, the same if repeated."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nmt.choices import BatchUnit, SubwordKind
from nmt.command_config import TrainCommand
from nmt.commands.compose import compose_settings, to_settings
from nmt.config import BatchingConfig, TrainingConfig
from nmt.corpus.batching import Batch, Position, TrainingBatches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.sampling import SubwordSampler, build_sampler, sampling_problems
from nmt.errors import ConfigError
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import learn_subword
from tests.models import CHARACTERS, corpus_of, tiny_subword

ROOT = Path(__file__).parents[1]
WORDS = ["baker", "bridge", "candle", "garden", "harbour", "ladder", "lantern", "mountain", "pillow", "teapot"]
TEXTS = [" ".join(random.Random(number).choices(WORDS, k=1 + number % 7)) for number in range(60)]
BATCHING = BatchingConfig(unit=BatchUnit.tokens, size=100, min_sentences=2)


@cache
def subword() -> SubwordModel:
    return learn_subword(TEXTS, replace(CHARACTERS, kind=SubwordKind.bpe, vocab_size=60), lang="en")


@cache
def corpus() -> BinarizedCorpus:
    """Pairs of a sentence and the following one."""
    rows = subword().encode_batch(TEXTS)
    return corpus_of(list(zip(rows, rows[1:] + rows[:1], strict=True)))


def sampler(*, src: float = 0.1, tgt: float = 0.1, max_len: int = 100, seed: int = 1) -> SubwordSampler:
    made = build_sampler(training(src=src, tgt=tgt), subword(), subword(), max_len=max_len, seed=seed)
    assert made is not None
    return made


@cache
def defaults() -> TrainCommand:
    settings: TrainCommand = to_settings(compose_settings("train", []))[0]
    return settings


def training(*, src: float, tgt: float) -> TrainingConfig:
    return replace(defaults().training, src_subword_alpha=src, tgt_subword_alpha=tgt)


def rows_of(corpus: BinarizedCorpus) -> list[tuple[list[int], list[int]]]:
    return [(corpus.src(pair).tolist(), corpus.tgt(pair).tolist()) for pair in range(corpus.num_pairs)]


def texts_of(batch: Batch) -> list[tuple[str, str]]:
    """Return the pairs of a batch as text."""
    tgt: list[list[int]] = [[] for _ in range(batch.num_sentences)]
    for token, position in zip(batch.tgt_token_M.tolist(), batch.tgt_position_M.tolist(), strict=True):
        tgt[position % batch.num_sentences].append(token)
    return list(zip(subword().decode_batch(batch.src_BS.tolist()), subword().decode_batch(tgt), strict=True))


def contents(batch: Batch) -> list[list[int]]:
    return [tensor.tolist() for tensor in batch[:5]]


def test_each_epoch_spells_the_text_in_other_subwords() -> None:
    epochs = [rows_of(sampler().sample(corpus(), epoch=epoch)) for epoch in range(3)]
    usual = rows_of(corpus())
    for rows in epochs:
        for side in (0, 1):
            assert subword().decode_batch([row[side] for row in rows]) == subword().decode_batch(
                [row[side] for row in usual]
            )
    for one, other in [(0, 1), (1, 2), (0, 2)]:
        for side in (0, 1):
            changed = [a[side] != b[side] for a, b in zip(epochs[one], epochs[other], strict=True)]
            assert sum(changed) > len(changed) / 2


def test_seed_and_side_change_the_segmentations() -> None:
    rows = [rows_of(sampler(seed=seed).sample(corpus(), epoch=0)) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    sides = subword().encode_batch(TEXTS)
    twins = sampler().sample(corpus_of(list(zip(sides, sides, strict=True))), epoch=0)
    assert sum(src != tgt for src, tgt in rows_of(twins)) > 30


def test_chunks_are_segmented_independently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.corpus.sampling._NUM_SENTENCES_AT_ONCE", 20)
    usual = rows_of(corpus())
    all_pairs = rows_of(sampler().sample(corpus(), epoch=4))
    others = [(src[:1], tgt[:1]) for src, tgt in usual]
    part = rows_of(sampler().sample(corpus_of([*others[:20], *usual[20:40], *others[40:]]), epoch=4))
    assert part[20:40] == all_pairs[20:40]
    alike = rows_of(sampler().sample(corpus_of(usual[:20] * 2), epoch=4))
    assert alike[:20] == all_pairs[:20] != alike[20:]


_IN_ANOTHER_PROCESS = """
import json
from tests.test_sampling import corpus, rows_of, sampler
print(json.dumps(rows_of(sampler().sample(corpus(), epoch=2))))
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_segmentations_are_the_same_in_another_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", _IN_ANOTHER_PROCESS], capture_output=True, check=True, env=environment, cwd=ROOT
    )
    rows = [(src, tgt) for src, tgt in json.loads(done.stdout)]
    assert rows == rows_of(sampler().sample(corpus(), epoch=2))


def test_the_arrays_of_an_epoch_are_those_of_a_corpus() -> None:
    sampled = sampler().sample(corpus(), epoch=0)
    expected = corpus_of(rows_of(sampled))
    for name in ("src_ids", "tgt_ids", "src_lens", "tgt_lens", "src_offsets", "tgt_offsets"):
        array, other = getattr(sampled, name), getattr(expected, name)
        assert array.dtype == other.dtype
        assert np.array_equal(array, other)
    assert sampled.num_pairs == corpus().num_pairs


@pytest.mark.parametrize(("src", "tgt"), [(0.2, 0.0), (0.0, 0.2)])
def test_either_side_may_stay_as_it_is(src: float, tgt: float) -> None:
    sampled = sampler(src=src, tgt=tgt).sample(corpus(), epoch=0)
    assert (sampled.src_ids is corpus().src_ids, sampled.tgt_ids is corpus().tgt_ids) == (src == 0, tgt == 0)
    both = sampler(src=0.2, tgt=0.2).sample(corpus(), epoch=0)
    side = 0 if src else 1
    assert [row[side] for row in rows_of(sampled)] == [row[side] for row in rows_of(both)]


def test_without_alpha_there_is_no_sampler() -> None:
    assert build_sampler(training(src=0, tgt=0), tiny_subword(), tiny_subword(), max_len=9, seed=1) is None


def test_a_sentence_that_would_become_too_long_stays_as_it_is() -> None:
    free = sampler(src=0.5).sample(corpus(), epoch=0)
    limit = sorted(free.src_lens.tolist())[30]
    limited = sampler(src=0.5, max_len=limit).sample(corpus(), epoch=0)
    for pair in range(corpus().num_pairs):
        expected = free if free.src_lens[pair] <= limit else corpus()
        assert limited.src(pair).tolist() == expected.src(pair).tolist()


def test_the_first_epoch_says_what_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ours = sampler(tgt=0.0)
    sampled = ours.sample(corpus(), epoch=3)
    ours.sample(corpus(), epoch=4)
    [message] = caplog.messages
    assert message.startswith("subwords: epoch 4 segmented at random in 0.")
    ratio = len(sampled.src_ids) / len(corpus().src_ids)
    assert message.endswith(f" s: {ratio:.2f} and 1.00 times as many subwords as without")


def test_a_stream_has_each_pair_once_an_epoch_in_batches_within_size() -> None:
    batches = TrainingBatches(corpus(), BATCHING, seed=1, sampler=sampler())
    expected = Counter(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True))
    epochs: list[list[list[list[int]]]] = []
    for epoch in range(3):
        seen: Counter[tuple[str, str]] = Counter()
        epochs.append([])
        while batches.position.epoch == epoch:
            batch = next(batches)
            seen.update(texts_of(batch))
            longest = max(int(batch.src_len_B.max()), batch.tgt_in_BT.shape[1])
            assert batch.num_sentences == 1 or batch.num_sentences * longest <= BATCHING.size
            epochs[epoch].append(contents(batch))
        assert seen == expected
    assert sorted(epochs[0]) != sorted(epochs[1]) != sorted(epochs[2])


def test_a_cut_and_resumed_stream_is_the_uncut_one() -> None:
    uncut = TrainingBatches(corpus(), BATCHING, seed=1, sampler=sampler())
    positions, batches = [], []
    while uncut.position.epoch < 3:
        positions.append(Position(**asdict(uncut.position)))
        batches.append(contents(next(uncut)))
    for cut in range(0, len(batches), 5):
        resumed = TrainingBatches(corpus(), BATCHING, seed=1, sampler=sampler())
        resumed.go_to(positions[cut])
        assert [contents(next(resumed)) for _ in batches[cut : cut + 20]] == batches[cut : cut + 20]


def test_models_with_one_segmentation_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build_sampler(training(src=0.1, tgt=0.2), subword(), tiny_subword(), max_len=9, seed=1)
    assert str(caught.value) == (
        "training.tgt_subword_alpha must be 0 for this model of the target, whose subwords are neither BPE nor "
        "unigram, or may span several words, but is 0.2: leave it out, or use BPE or unigram subwords"
    )
    with pytest.raises(ConfigError, match=r"src_subword_alpha .* model of the source, .*; .*tgt_subword_alpha"):
        build_sampler(training(src=0.1, tgt=0.2), tiny_subword(), tiny_subword(), max_len=9, seed=1)


def test_settings_for_which_there_is_one_segmentation_are_refused() -> None:
    bpe = defaults().subword
    both, src = training(src=0.1, tgt=0.2), training(src=0.1, tgt=0.0)
    for kind in (SubwordKind.bpe, SubwordKind.unigram):
        assert sampling_problems(replace(bpe, kind=kind), both) == []
    for kind in (SubwordKind.char, SubwordKind.word, SubwordKind.token):
        assert sampling_problems(replace(bpe, kind=kind), src) == [
            f"training.src_subword_alpha must be 0 for subword={kind}, which has only one segmentation of a text, "
            "but is 0.1: leave it out, or use BPE or unigram subwords"
        ]
        assert len(sampling_problems(replace(bpe, kind=kind), both)) == 2
        assert sampling_problems(replace(bpe, kind=kind), training(src=0, tgt=0)) == []
    mixed = replace(bpe, tgt=replace(bpe.tgt, kind=SubwordKind.token))
    assert sampling_problems(mixed, src) == []
    assert [problem.partition(",")[0] for problem in sampling_problems(mixed, both)] == [
        "training.tgt_subword_alpha must be 0 for subword=token"
    ]
    word = replace(bpe, kind=SubwordKind.word)
    assert sampling_problems(replace(word, src_model="a", tgt_model="b"), both) == []  # of a kind not yet known
    assert sampling_problems(word, replace(both, init_from="runs/first/checkpoints/best")) == []
