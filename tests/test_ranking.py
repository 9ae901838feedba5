"""The k best of every row are those of torch's own top k and log-softmax."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nmt.search.ranking import SLICE, log_sum_exp, rank, rank_plainly, top_k
from nmt.text.subword import BOS_ID, PAD_ID
from tests.models import normal

Rank = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@pytest.mark.parametrize("vocab_size", [5, 64, 640, 641, 1000])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_top_k_by_slices_is_top_k(vocab_size: int, k: int) -> None:
    value_NV = normal(8, vocab_size, seed=vocab_size + k, dtype=torch.float32)
    value_NV[0] = torch.arange(vocab_size)  # the greatest are together at the end
    value_NV[1, 4:] = -math.inf
    value_NV[2] = 0.5  # nothing but ties
    value_NV[3] = value_NV[3].round()
    expected_NC, _ = value_NV.topk(min(k, vocab_size))
    found_NC, index_NC = top_k(value_NV, k)
    assert torch.equal(found_NC, expected_NC)
    is_there_NC = found_NC > -math.inf  # the index of -inf is meaningless
    assert torch.equal(value_NV.gather(1, index_NC)[is_there_NC], expected_NC[is_there_NC])
    rows = [row[there].tolist() for row, there in zip(index_NC, is_there_NC, strict=True)]
    assert all(len(set(row)) == len(row) for row in rows)


def test_top_k_if_denormals_are_flushed_to_zero() -> None:
    torch.set_flush_denormal(True)
    try:
        value_NC, index_NC = top_k(torch.zeros(2, 300), 3)
    finally:
        torch.set_flush_denormal(False)
    assert value_NC.tolist() == [[0.0] * 3] * 2
    assert [len(set(row)) for row in index_NC.tolist()] == [3, 3]


@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
def test_the_normalizer_is_right_for_logits_of_any_size(shift: float) -> None:
    logits_NV = 3 * normal(70, 50, dtype=torch.float32)
    logits_NV[3] += shift
    expected = torch.logsumexp(logits_NV.double(), dim=1, keepdim=True)
    torch.testing.assert_close(log_sum_exp(logits_NV).double(), expected, atol=2e-5, rtol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
@pytest.mark.parametrize(("vocab_size", "k"), [(4, 6), (60, 1), (700, 13), (2000, 6)])
@pytest.mark.parametrize("rank", [rank, rank_plainly])
def test_ranks_are_log_probabilities_without_pad_and_bos(rank: Rank, vocab_size: int, k: int, shift: float) -> None:
    logits_NV = 3 * normal(40, vocab_size, seed=k, dtype=torch.float32)
    logits_NV[3] += shift
    logits_NV[4, PAD_ID] = 200.0  # has nearly all of the probability, but is not a candidate
    logits_NV[5, BOS_ID] = -math.inf
    logits_NV[6, 3] = 500.0
    expected_NV = torch.log_softmax(logits_NV.double(), dim=1)
    expected_NV[:, [PAD_ID, BOS_ID]] = -math.inf
    expected_NC, _ = expected_NV.topk(min(k, vocab_size))
    log_prob_NC, token_NC = rank(logits_NV, k)
    torch.testing.assert_close(log_prob_NC.double(), expected_NC, atol=5e-5, rtol=1e-6)
    assert float(log_prob_NC.max()) <= 0.0
    possible_NC = log_prob_NC > -math.inf
    assert not torch.isin(token_NC[possible_NC], torch.tensor([PAD_ID, BOS_ID])).any()
    torch.testing.assert_close(expected_NV.gather(1, token_NC)[possible_NC], expected_NC[possible_NC])


@pytest.mark.parametrize("shift", [0.0, 300.0])
@pytest.mark.parametrize("vocab_size", [60, 650])
@pytest.mark.parametrize("rank", [rank, rank_plainly])
def test_logits_in_bf16_are_ranked_in_float32(rank: Rank, vocab_size: int, shift: float) -> None:
    logits_NV = (3 * normal(70, vocab_size, dtype=torch.float32)).bfloat16()
    logits_NV[3] += shift
    expected_NC, _ = rank(logits_NV.float(), 3)
    log_prob_NC, _ = rank(logits_NV, 3)
    assert torch.equal(log_prob_NC, expected_NC)


def test_a_likely_pad_displaces_no_candidate() -> None:
    logits_NV = torch.zeros(1, 20 * SLICE)
    logits_NV[0, PAD_ID], logits_NV[0, 5 * SLICE], logits_NV[0, 9 * SLICE] = 50.0, 3.0, 2.0
    _, token_NC = rank(logits_NV, 2)
    assert token_NC.tolist() == [[5 * SLICE, 9 * SLICE]]
