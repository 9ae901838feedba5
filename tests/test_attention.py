"""Attention: scores and contexts by hand, and a memory of the sources that is stored once a sentence."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionScore
from nmt.model.attention import Attention, MemoryRows, SourceMemory, source_padding
from nmt.model.decoder_state import DecoderState
from nmt.model.recurrent import RecurrentState
from tests.models import normal

B, S, H, D, A = 3, 5, 4, 6, 8  # as many units as make two heads of each
SCORES = [score for score in AttentionScore if score != AttentionScore.none]
LENGTHS = torch.tensor([5, 2, 4])


def attention_of(score: AttentionScore, *, num_heads: int = 1) -> Attention:
    query_dim = D if score == AttentionScore.dot else H
    attention = Attention(score, query_dim=query_dim, value_dim=D, dim=A, num_heads=num_heads).double()
    with torch.no_grad():
        for number, parameter in enumerate(attention.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=number))
    return attention


def memory_of(attention: Attention, values_BSD: Tensor, lengths_B: Tensor = LENGTHS) -> SourceMemory:
    return SourceMemory(attention.keys(values_BSD), values_BSD, source_padding(lengths_B, values_BSD), None)


def queries_of(attention: Attention, *shape: int) -> Tensor:
    return normal(*shape, D if attention.score == AttentionScore.dot else H, seed=50)


def score_by_hand(attention: Attention, q: Tensor, h_s: Tensor, head: slice) -> float:
    """Score one query and one encoder output, of the units of a head."""
    W_q, W_k = (None if linear is None else linear.weight for linear in (attention.query, attention.key))
    match attention.score:
        case AttentionScore.dot:
            return float(q[head] @ h_s[head])
        case AttentionScore.general:
            assert W_k is not None
            return float(q[head] @ (W_k @ h_s)[head])
        case AttentionScore.scaled_dot:
            assert W_q is not None
            assert W_k is not None
            units = (W_q @ q)[head]
            return float(units @ (W_k @ h_s)[head]) / math.sqrt(len(units))
        case _:  # additive and concat
            assert W_q is not None
            assert W_k is not None
            assert attention.vector is not None
            return sum(
                float(attention.vector[unit]) * math.tanh(float(W_q[unit] @ q + W_k[unit] @ h_s))
                for unit in range(A)[head]
            )


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_scores_weights_and_context_by_hand(score: AttentionScore, num_heads: int) -> None:
    attention, values_BSD = attention_of(score, num_heads=num_heads), normal(B, S, D, seed=60)
    query_BQH = queries_of(attention, B, 2)
    context_BQD, weight_BQS = attention.over()(query_BQH, memory_of(attention, values_BSD))
    score_dim = {AttentionScore.dot: D, AttentionScore.general: H}.get(score, A)
    for row, length in enumerate(LENGTHS.tolist()):
        for column in range(2):
            mean_weights, context = [0.0] * length, []
            for head in range(num_heads):
                part, of_score = D // num_heads, score_dim // num_heads
                units = slice(head * of_score, (head + 1) * of_score)
                exps = [
                    math.exp(score_by_hand(attention, query_BQH[row, column], values_BSD[row, s], units))
                    for s in range(length)
                ]
                weights = [value / sum(exps) for value in exps]
                mean_weights = [mean + weight / num_heads for mean, weight in zip(mean_weights, weights, strict=True)]
                context += [
                    sum(weight * float(values_BSD[row, s, unit]) for s, weight in enumerate(weights))
                    for unit in range(head * part, (head + 1) * part)
                ]
            assert weight_BQS[row, column].tolist() == pytest.approx(mean_weights + [0.0] * (S - length), abs=1e-12)
            assert context_BQD[row, column].tolist() == pytest.approx(context, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_weights_are_a_distribution_over_the_source(score: AttentionScore, dtype: torch.dtype) -> None:
    attention = attention_of(score).to(dtype)
    values_BSD = normal(B, S, D, seed=60).to(dtype)
    memory = memory_of(attention, values_BSD)
    weight_BQS = attention.over()(queries_of(attention, B, 7).to(dtype), memory).weight_BQS
    torch.testing.assert_close(weight_BQS.sum(2).double(), torch.ones(B, 7).double(), rtol=0, atol=1e-6)
    for row, length in enumerate(LENGTHS.tolist()):
        assert not weight_BQS[row, :, length:].any()
        assert weight_BQS[row, :, :length].min() > 0


@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_what_is_at_padding_is_not_read(score: AttentionScore) -> None:
    attention, values_BSD = attention_of(score), normal(B, S, D, seed=60)
    query_BQH = queries_of(attention, B, 2)
    expected = attention.over()(query_BQH, memory_of(attention, values_BSD))
    values_BSD[1, 2:] = 100.0
    assert torch.equal(attention.over()(query_BQH, memory_of(attention, values_BSD)).context_BQD, expected.context_BQD)


def test_padding_is_minus_infinity_and_absent_if_lengths_are_equal() -> None:
    inf = math.inf
    padding_BS = source_padding(torch.tensor([3, 1]), torch.zeros(2, 3, 1))
    assert padding_BS is not None
    assert padding_BS.tolist() == [[0, 0, 0], [0, -inf, -inf]]
    assert source_padding(torch.tensor([3, 3]), torch.zeros(2, 3, 1)) is None


# --- rows ---


def test_rows_go_to_the_grid_and_back() -> None:
    rows, values_NX = MemoryRows(torch.tensor([2, 0, 2, 3, 2, 0])), normal(6, 2)
    grid_BQX = rows.to_grid(values_NX, 5)
    # the rows of each sentence in their order, zeros elsewhere
    zeros_X = torch.zeros(2, dtype=torch.float64)
    expected = {(0, 0): 1, (0, 1): 5, (2, 0): 0, (2, 1): 2, (2, 2): 4, (3, 0): 3}
    assert grid_BQX.shape == (5, 3, 2)
    for place in itertools.product(range(5), range(3)):
        assert torch.equal(grid_BQX[place], values_NX[expected[place]] if place in expected else zeros_X)
    assert torch.equal(rows.from_grid(grid_BQX), values_NX)


def test_rows_that_are_the_sentences_make_a_grid_of_one_column() -> None:
    values_NX, grids = normal(3, 2), []
    for is_identity in (True, False):
        rows = MemoryRows(torch.arange(3), is_identity=is_identity)
        grids.append(rows.to_grid(values_NX, 3))
        assert torch.equal(rows.from_grid(grids[-1]), values_NX)
    assert torch.equal(*grids)


# --- the memory of a decoder's state ---


def state_of(lengths: list[int], *, seed: int = 60, **parts: Any) -> DecoderState:
    """Make a state with a row for each sentence; each row holds the number of its sentence as its hidden state."""
    values_BSD = normal(len(lengths), max(lengths), D, seed=seed)
    attention = attention_of(AttentionScore.general)
    memory = memory_of(attention, values_BSD, torch.tensor(lengths))._replace(**parts)
    number_B1 = torch.arange(float(len(lengths))).unsqueeze(1)
    return DecoderState(RecurrentState(((number_B1,),)), memory, MemoryRows(torch.arange(len(lengths))))


def contexts_of(state: DecoderState) -> Tensor:
    """Attend from every row with the same query; returns the contexts, and the vectors if there are any."""
    assert state.memory is not None
    assert state.rows is not None
    query_NH = normal(1, H, seed=51).expand(len(state.rows.sentence_N), -1)
    grid_BQH = state.rows.to_grid(query_NH, state.memory.num_sentences)
    attended = attention_of(AttentionScore.general).over()(grid_BQH, state.memory)
    context_ND = state.rows.from_grid(attended.context_BQD)
    if state.memory.vector_BX is None:
        return context_ND
    return torch.cat((context_ND, state.memory.vector_BX.index_select(0, state.rows.sentence_N)), dim=1)


@torch.no_grad()
def test_the_memory_is_not_copied_until_half_of_the_sentences_have_ended() -> None:
    state = state_of([5, 2, 4, 3, 1])
    assert state.memory is not None
    assert state.memory.keys_BSA is not None
    expected_ND = contexts_of(state)
    for rows, num_sentences in (([0, 0, 3, 2, 4, 3], 5), ([3, 1, 2, 2, 1], 5), ([4, 2, 2, 3], 5), ([3, 2, 3], 2)):
        selected = state.select(torch.tensor(rows))
        assert selected.memory is not None
        assert selected.memory.keys_BSA is not None
        assert selected.memory.num_sentences == num_sentences
        is_same = selected.memory.keys_BSA.data_ptr() == state.memory.keys_BSA.data_ptr()
        assert is_same == (num_sentences == 5)
        torch.testing.assert_close(contexts_of(selected), expected_ND[rows], rtol=0, atol=1e-12)
        assert selected.recurrent.layers[0][0].flatten().tolist() == rows


@pytest.mark.parametrize(
    ("lengths", "others"),
    [([5, 2, 4], [7, 1]), ([7, 1], [5, 2, 4]), ([3, 3], [3]), ([3, 3], [3, 2]), ([3, 2], [3]), ([2, 2], [4])],
)
@torch.no_grad()
def test_joined_memories_are_each_alone(lengths: list[int], others: list[int]) -> None:
    def make(lengths: list[int], seed: int) -> DecoderState:
        return state_of(lengths, seed=seed, vector_BX=normal(len(lengths), 3, seed=seed + 1))

    first, second = make(lengths, 60), make(others, 70)
    expected_ND = torch.cat((contexts_of(first), contexts_of(second)))
    joined = first.concat(second)
    torch.testing.assert_close(contexts_of(joined), expected_ND, rtol=0, atol=1e-12)
    rows_N = torch.tensor([len(expected_ND) - 1, 0, len(lengths), 0])
    torch.testing.assert_close(contexts_of(joined.select(rows_N)), expected_ND[rows_N], rtol=0, atol=1e-12)
    twice = joined.select(rows_N).concat(first)
    torch.testing.assert_close(
        contexts_of(twice), torch.cat((expected_ND[rows_N], expected_ND[: len(lengths)])), rtol=0, atol=1e-12
    )


@torch.no_grad()
def test_a_memory_of_vectors_alone_is_selected_and_joined() -> None:
    def make(vector_BX: Tensor) -> DecoderState:
        memory = SourceMemory(None, None, None, vector_BX)
        state = RecurrentState(((vector_BX,),))
        return DecoderState(state, memory, MemoryRows(torch.arange(len(vector_BX))))

    def vectors(state: DecoderState) -> Tensor:
        assert state.memory is not None
        assert state.memory.vector_BX is not None
        assert state.rows is not None
        return state.memory.vector_BX[state.rows.sentence_N]

    joined = make(normal(3, 2)).concat(make(normal(2, 2, seed=2)))
    expected_NX = torch.cat((normal(3, 2), normal(2, 2, seed=2)))
    assert torch.equal(vectors(joined), expected_NX)
    for rows in ([4, 0, 4, 1, 2], [3, 3, 1]):
        assert torch.equal(vectors(joined.select(torch.tensor(rows))), expected_NX[rows])
