"""Batches shared out to several processes: their gradients add up to those of one process, dropout included."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from nmt.choices import DropoutMask, TrainingPrecision
from nmt.config import BatchingConfig, ModelConfig
from nmt.corpus.batching import Batch, TrainingBatches, collate
from nmt.corpus.share import BatchShare, packed_positions
from nmt.training.loss import batch_loss
from tests.family import FAMILY
from tests.models import PAIRS, SENTENCES, Pair, corpus_of, random_pairs, tiny_model

DROPOUT: dict[str, Any] = {
    "dropout": 0.3,
    "dropout_src_embedding": 0.2,
    "dropout_tgt_embedding": 0.2,
    "dropout_encoder_output": 0.4,
    "dropout_readout": 0.3,
    "dropout_src_word": 0.2,
    "dropout_tgt_word": 0.3,
}
EQUAL: list[Pair] = [([4, 5, 6], [8, 9]), ([7, 5, 8], [4]), ([6, 6, 6], [5, 7, 7, 9]), ([9, 4, 5], [6, 8])]


def lens(pairs: list[Pair]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    src, tgt = (np.array([len(pair[side]) for pair in pairs], dtype=np.int64) for side in (0, 1))
    return src, tgt


def shares(pairs: list[Pair], num_ranks: int) -> list[Batch]:
    """Return the batch of each of `num_ranks` processes."""
    batches = []
    for rank in range(num_ranks):
        share = BatchShare(*lens(pairs), rank=rank, num_ranks=num_ranks)
        own = [pairs[row] for row in share.row_B.tolist()]
        batches.append(collate([src for src, _ in own], [tgt for _, tgt in own], share=share))
    return batches


def gradients(config: ModelConfig, batches: list[Batch], *, sampling: float = 0.0) -> tuple[list[Tensor], Tensor]:
    """Return the sum of the gradients of some batches, and of their losses; the same random numbers serve all."""
    model = tiny_model(config, src_vocab_size=12)
    model.train()
    nll, after = torch.zeros((), dtype=torch.float64), []
    for batch in batches:
        torch.manual_seed(5)
        loss = batch_loss(
            model,
            batch,
            precision=TrainingPrecision.fp32,
            label_smoothing=0.1,
            scale=1 / batch.num_tgt_tokens,
            sampling=sampling,
        )
        loss.objective.backward()  # type: ignore[no-untyped-call]
        nll += loss.nll
        after.append(torch.get_rng_state())
    assert all(torch.equal(state, after[0]) for state in after)
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], nll


def assert_shares_add_up(config: ModelConfig, pairs: list[Pair], num_ranks: int, *, sampling: float = 0.0) -> None:
    whole = collate([src for src, _ in pairs], [tgt for _, tgt in pairs])
    expected, expected_nll = gradients(config, [whole], sampling=sampling)
    found, nll = gradients(config, shares(pairs, num_ranks), sampling=sampling)
    torch.testing.assert_close(nll, expected_nll, rtol=1e-12, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mask", list(DropoutMask))
@pytest.mark.parametrize("name", FAMILY)
def test_the_gradients_of_shares_add_up_for_every_model(name: str, mask: DropoutMask) -> None:
    recurrent = 0.2 if mask == DropoutMask.sentence else 0.0
    config = replace(FAMILY[name], **DROPOUT, dropout_mask=mask, dropout_recurrent=recurrent)
    for pairs in (PAIRS, EQUAL):
        assert_shares_add_up(config, pairs, 2)


@pytest.mark.parametrize("num_ranks", [2, 3, 7])
@pytest.mark.parametrize("sampling", [0.0, 0.5])
def test_any_number_of_processes_with_and_without_scheduled_sampling(num_ranks: int, sampling: float) -> None:
    config = replace(FAMILY["gru, attention"], **DROPOUT)
    assert_shares_add_up(config, PAIRS, num_ranks, sampling=sampling)


@pytest.mark.parametrize("mask", list(DropoutMask))
def test_many_sentences_of_equal_length_have_the_dropout_of_one_process(mask: DropoutMask) -> None:
    config = replace(FAMILY["residual"], **DROPOUT, dropout_mask=mask)
    assert_shares_add_up(config, random_pairs(60, max_len=4), 3)


def test_each_row_belongs_to_one_process_and_the_costs_are_about_equal() -> None:
    rng = np.random.default_rng(1)
    src_lens, tgt_lens = (rng.integers(0, 40, size=100) for _ in range(2))
    parts = [BatchShare(src_lens, tgt_lens, rank=rank, num_ranks=4) for rank in range(4)]
    assert sorted(row for part in parts for row in part.row_B.tolist()) == list(range(100))
    costs = [int((src_lens + tgt_lens + 2)[part.row_B.numpy()].sum()) for part in parts]
    assert max(costs) - min(costs) <= 2 * 80
    assert not any(part.is_idle for part in parts)


def test_a_process_without_rows_learns_from_none() -> None:
    batches = shares(EQUAL, 6)
    assert sum(batch.share.is_idle for batch in batches if batch.share is not None) >= 2
    assert all(batch.src_BS.shape[0] >= 1 for batch in batches)
    assert sum(len(batch.tgt_token_M) for batch in batches) == sum(len(tgt) + 1 for _, tgt in EQUAL)
    assert {batch.num_tgt_tokens for batch in batches} == {sum(len(tgt) + 1 for _, tgt in EQUAL)}
    assert {batch.num_src_tokens for batch in batches} == {sum(len(src) + 1 for src, _ in EQUAL)}
    assert {batch.num_sentences for batch in batches} == {len(EQUAL)}


def test_the_positions_of_rows_among_those_of_all() -> None:
    # the rows 1 and 2 of three, of 3, 2 and 1 steps
    assert packed_positions([2, 1], torch.tensor([1, 2]), of=[3, 2, 1]).tolist() == [1, 2, 4]
    assert BatchShare(*lens(PAIRS), rank=0, num_ranks=2).batch_sizes == [5, 4, 3, 2, 2, 1, 1]


def test_a_stream_of_shares_is_the_stream_of_batches() -> None:
    corpus, config = corpus_of(PAIRS * 5), BatchingConfig(unit=SENTENCES.unit, size=4, min_sentences=2)
    whole = TrainingBatches(corpus, config, seed=1)
    parts = [TrainingBatches(corpus, config, seed=1, rank=rank, num_ranks=3) for rank in range(3)]
    for _ in range(20):
        batch, own = next(whole), [next(part) for part in parts]
        assert {part.position.pairs for part in parts} == {whole.position.pairs}
        tokens = sorted(token for part in own for token in part.tgt_token_M.tolist())
        assert tokens == sorted(batch.tgt_token_M.tolist())
