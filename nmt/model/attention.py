"""Attention: the decoder looks at all source positions (Bahdanau et al. 2015; Luong et al. 2015; Vaswani et al. 2017).

A query q, a state of the decoder, is compared with a key k_s of every source position s. The weights α sum to 1; the
context is the weighted mean of the values, the encoder's outputs h_s:

    α = softmax_s score(q, k_s)
    context = Σ_s α_s h_s

    additive, concat    v · tanh(W_q q + W_k h_s)       Bahdanau et al. 2015, §A.1.2; Luong et al. 2015, §3.1, where
                                                        W_q q + W_k h_s is written W [q; h_s]
    dot                 q · h_s                         Luong et al. 2015, §3.1
    general             q · W_k h_s                     the same
    scaled_dot          W_q q · W_k h_s / √A            Vaswani et al. 2017, §3.2.1

Several heads divide query, keys and values into equal parts, each with weights of its own; their contexts are
concatenated.

Keys and values are computed once a sentence and stored once a sentence: a row of search has only the number of its
sentence.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nmt.choices import AttentionScore, Implementation
from nmt.model.cell import LinearMap, MapMaker, PlainMap
from nmt.model.fast import additive_score


class SourceMemory(NamedTuple):
    """What a decoder remembers of the sources of a batch, one entry a sentence.

    Attributes:
        keys_BSA, values_BSD: of attention, in the order in which the source was read; D is the size of an encoder
            output. None without attention.
        padding_BS: 0 at source positions, -inf at padding; None if there is no padding.
        vector_BX: a vector of the whole source (Cho et al. 2014); None if the decoder does not read it.
    """

    keys_BSA: Tensor | None
    values_BSD: Tensor | None
    padding_BS: Tensor | None
    vector_BX: Tensor | None

    @property
    def num_sentences(self) -> int:
        found = self.values_BSD if self.values_BSD is not None else self.vector_BX
        assert found is not None
        return len(found)

    def select(self, sentence_X: Tensor) -> "SourceMemory":
        """Copy the entries of some sentences."""
        return SourceMemory(*(None if part is None else part.index_select(0, sentence_X) for part in self))

    def concat(self, other: "SourceMemory") -> "SourceMemory":
        """Append the sentences of `other`; the shorter memory is padded."""
        first, second = self._with_padding(other), other._with_padding(self)
        return SourceMemory(
            *(None if a is None or b is None else torch.cat((a, b)) for a, b in zip(first, second, strict=True))
        )

    def _with_padding(self, other: "SourceMemory") -> "SourceMemory":
        if self.values_BSD is None or other.values_BSD is None or self.keys_BSA is None:
            return self
        num_positions, wanted = self.values_BSD.shape[1], max(self.values_BSD.shape[1], other.values_BSD.shape[1])
        is_equal = num_positions == other.values_BSD.shape[1]
        if is_equal and self.padding_BS is None and other.padding_BS is None:
            return self
        padding_BS = self.padding_BS
        if padding_BS is None:
            padding_BS = self.values_BSD.new_zeros(self.values_BSD.shape[:2])
        missing = wanted - num_positions
        return SourceMemory(
            F.pad(self.keys_BSA, (0, 0, 0, missing)),
            F.pad(self.values_BSD, (0, 0, 0, missing)),
            F.pad(padding_BS, (0, missing), value=-math.inf),
            self.vector_BX,
        )


class MemoryRows:
    """The sentence of each row of a decoder's state, and the rows of a sentence side by side.

    Attention over many rows of few sentences is one batched matmul: queries are moved to a grid of `width` queries for
    each sentence, and contexts back to rows.
    """

    def __init__(self, sentence_N: Tensor, *, is_identity: bool = False) -> None:
        """Take the sentences of the rows; `is_identity` if row n belongs to sentence n, and there are no others."""
        self.sentence_N = sentence_N
        self._is_identity = is_identity

    @cached_property
    def _places(self) -> tuple[Tensor, int]:
        """The place of each row in the grid, and the grid's width."""
        sorted_N, order_N = self.sentence_N.sort(stable=True)
        rank_N = torch.arange(len(sorted_N), device=sorted_N.device) - torch.searchsorted(sorted_N, sorted_N)
        width = int(rank_N.max()) + 1
        place_N = torch.empty_like(order_N)
        place_N[order_N] = sorted_N * width + rank_N
        return place_N, width

    def to_grid(self, values_NX: Tensor, num_sentences: int) -> Tensor:
        """Move rows to the grid, `(B, Q, …)`; places without a row are zero."""
        if self._is_identity:
            return values_NX.unsqueeze(1)
        place_N, width = self._places
        grid_XX = values_NX.new_zeros(num_sentences * width, values_NX.shape[1])
        return grid_XX.index_copy_(0, place_N, values_NX).view(num_sentences, width, -1)

    def from_grid(self, grid_BQX: Tensor) -> Tensor:
        """Move the values of a grid back to rows, `(N, …)`."""
        rows_XX = grid_BQX.flatten(0, 1)
        return rows_XX if self._is_identity else rows_XX.index_select(0, self._places[0])


class Attended(NamedTuple):
    """The contexts of all queries, and the weights of the source positions; of several heads, their mean."""

    context_BQD: Tensor
    weight_BQS: Tensor


AdditiveScores = Callable[[Tensor, Tensor, Tensor], Tensor]  # query_BQA, keys_BSA, vector_A -> score_BQS


class Attend:
    """Attention over given maps; the memory holds projected keys already."""

    def __init__(
        self,
        query_map: LinearMap | None,
        *,
        vector_A: Tensor | None,
        scale: float,
        num_heads: int,
        additive: AdditiveScores,
    ) -> None:
        self._query_map, self._vector_A = query_map, vector_A
        self._scale, self._num_heads = scale, num_heads
        self._additive = additive

    def __call__(self, query_BQH: Tensor, memory: SourceMemory) -> Attended:
        """Attend to the sentence of each query; Q queries a sentence."""
        keys_BSA, values_BSD = memory.keys_BSA, memory.values_BSD
        assert keys_BSA is not None
        assert values_BSD is not None
        query_BQA = query_BQH if self._query_map is None else self._query_map(query_BQH)
        query_BQA = query_BQA.to(keys_BSA.dtype)
        query_XQA, keys_XSA, values_XSD = map(self._split, (query_BQA, keys_BSA, values_BSD))
        if self._vector_A is None:
            score_XQS = torch.bmm(query_XQA, keys_XSA.transpose(1, 2))
        else:
            score_XQS = self._additive_scores(query_XQA, keys_XSA, self._vector_A)
        if self._scale != 1:
            score_XQS = score_XQS * self._scale
        if memory.padding_BS is not None:
            score_XQS = score_XQS + memory.padding_BS.repeat_interleave(self._num_heads, 0).unsqueeze(1)
        weight_XQS = torch.softmax(score_XQS.to(torch.promote_types(score_XQS.dtype, torch.float32)), dim=-1)
        context_XQD = torch.bmm(weight_XQS.to(values_XSD.dtype), values_XSD)
        weight_BQS = weight_XQS
        if self._num_heads > 1:
            weight_BQS = weight_XQS.view(-1, self._num_heads, *weight_XQS.shape[1:]).mean(1)
        return Attended(self._join(context_XQD), weight_BQS)

    def _additive_scores(self, query_XQA: Tensor, keys_XSA: Tensor, vector_A: Tensor) -> Tensor:
        """Score with v, of which each head has its part."""
        if self._num_heads == 1:
            return self._additive(query_XQA, keys_XSA, vector_A)
        heads = [
            self._additive(query_XQA[head :: self._num_heads], keys_XSA[head :: self._num_heads], vector_X)
            for head, vector_X in enumerate(vector_A.chunk(self._num_heads))
        ]
        return torch.stack(heads, dim=1).flatten(0, 1)

    def _split(self, values_BXA: Tensor) -> Tensor:
        """Give each head its part: a batch of B · heads."""
        if self._num_heads == 1:
            return values_BXA
        num_sentences, num_positions, _ = values_BXA.shape
        parts = values_BXA.view(num_sentences, num_positions, self._num_heads, -1).transpose(1, 2)
        return parts.reshape(num_sentences * self._num_heads, num_positions, -1)

    def _join(self, parts_XQD: Tensor) -> Tensor:
        if self._num_heads == 1:
            return parts_XQD
        return parts_XQD.view(-1, self._num_heads, *parts_XQD.shape[1:]).transpose(1, 2).flatten(2)


def additive_scores(query_BQA: Tensor, keys_BSA: Tensor, vector_A: Tensor) -> Tensor:
    """Return v · tanh(q + k) of each query with each key, `(B, Q, S)`."""
    score_BQS: Tensor = torch.tanh(query_BQA.unsqueeze(2) + keys_BSA.unsqueeze(1)) @ vector_A
    return score_BQS


class Attention(nn.Module):
    """Attention with parameters."""

    def __init__(self, score: AttentionScore, *, query_dim: int, value_dim: int, dim: int, num_heads: int) -> None:
        super().__init__()
        self.score, self.num_heads = score, num_heads
        self.implementation = Implementation.fast
        has_query_map = score in (AttentionScore.additive, AttentionScore.concat, AttentionScore.scaled_dot)
        key_dim = {AttentionScore.dot: value_dim, AttentionScore.general: query_dim}.get(score, dim)
        self.query = nn.Linear(query_dim, key_dim, bias=False) if has_query_map else None
        self.key = None if score == AttentionScore.dot else nn.Linear(value_dim, key_dim, bias=False)
        has_vector = score in (AttentionScore.additive, AttentionScore.concat)
        self.vector = nn.Parameter(torch.zeros(key_dim)) if has_vector else None
        self.scale = 1 / math.sqrt(key_dim / num_heads) if score == AttentionScore.scaled_dot else 1.0

    def keys(self, values_BSD: Tensor) -> Tensor:
        """Return the keys of all source positions, `(B, S, A)`."""
        return values_BSD if self.key is None else self.key(values_BSD)

    def over(self, make: MapMaker = PlainMap) -> Attend:
        """Return attention over maps of these parameters."""
        query_map = None if self.query is None else make(self.query.weight, None)
        is_fast = self.implementation == Implementation.fast and self.vector is not None and not self.vector.is_cuda
        return Attend(
            query_map,
            vector_A=self.vector,
            scale=self.scale,
            num_heads=self.num_heads,
            additive=additive_score.additive_scores if is_fast else additive_scores,
        )


def source_padding(lengths_B: Tensor, like_BSD: Tensor) -> Tensor | None:
    """Return 0 at source positions and -inf at padding, `(B, S)`; None if there is none."""
    num_positions = like_BSD.shape[1]
    if int(lengths_B.min()) == num_positions:
        return None
    is_padding_BS = torch.arange(num_positions) >= lengths_B.unsqueeze(1)
    zeros_BS = torch.zeros(is_padding_BS.shape, dtype=torch.promote_types(like_BSD.dtype, torch.float32))
    return zeros_BS.masked_fill_(is_padding_BS, -math.inf).to(like_BSD.device)
