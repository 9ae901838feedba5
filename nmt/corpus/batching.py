"""Binarized pairs -> batches: bucketed by length, seeded, resumable.

S and T, the source and target positions, include EOS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nmt.choices import BatchUnit
from nmt.config import BatchingConfig
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.epoch import Epochs, Indices
from nmt.corpus.sampling import SubwordSampler
from nmt.corpus.share import BatchShare
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID
from nmt.transfer import to_device


class Batch(NamedTuple):
    """Aligned sentences, right-padded with PAD.

    Attributes:
        src_BS: source ids in their natural order, then EOS. The encoder reverses them if the model is configured so.
        src_len_B: source positions, EOS included; always on the CPU, as packing needs them.
        tgt_in_BT: BOS y_1 … y_n, the decoder's input.
        tgt_token_M: y_1 … y_n EOS of all sentences, the decoder's output: real tokens only, time step by time step.
        tgt_position_M: the positions of these tokens in a `(T, B)` array read row by row.
        share: which rows of a larger batch these are, if several processes share that one out.
    """

    src_BS: Tensor
    src_len_B: Tensor
    tgt_in_BT: Tensor
    tgt_token_M: Tensor
    tgt_position_M: Tensor
    share: BatchShare | None = None

    @property
    def num_sentences(self) -> int:
        """Sentence pairs, those of the other processes included."""
        return self.src_BS.shape[0] if self.share is None else self.share.num_sentences

    @property
    def num_src_tokens(self) -> int:
        """Source tokens, EOS and those of the other processes included."""
        return int(self.src_len_B.sum()) if self.share is None else self.share.num_src_tokens

    @property
    def num_tgt_tokens(self) -> int:
        """Target tokens, EOS and those of the other processes included."""
        return self.tgt_token_M.shape[0] if self.share is None else self.share.num_tgt_tokens

    def to(self, device: torch.device) -> "Batch":
        if device.type == "cpu":
            return self
        src_BS, tgt_in_BT, tgt_token_M, tgt_position_M = (
            to_device(tensor, device) for tensor in (self.src_BS, self.tgt_in_BT, self.tgt_token_M, self.tgt_position_M)
        )
        return Batch(src_BS, self.src_len_B, tgt_in_BT, tgt_token_M, tgt_position_M, self.share)


def pad_source(sentences: Sequence[npt.ArrayLike], *, positions: int = 0) -> tuple[Tensor, Tensor]:
    """Append EOS to each source sentence and pad: ids `(B, S)` and lengths `(B,)`; S is at least `positions`."""
    arrays = [np.asarray(sentence, dtype=np.int64) for sentence in sentences]
    lengths_B = np.array([len(array) + 1 for array in arrays], dtype=np.int64)
    src_BS = np.full((len(arrays), max(positions, int(lengths_B.max()))), PAD_ID, dtype=np.int64)
    for row_S, array in zip(src_BS, arrays, strict=True):
        row_S[: len(array)] = array
        row_S[len(array)] = EOS_ID
    return torch.from_numpy(src_BS), torch.from_numpy(lengths_B)


def collate(src: Sequence[npt.ArrayLike], tgt: Sequence[npt.ArrayLike], *, share: BatchShare | None = None) -> Batch:
    """Make a batch of source and target ids without BOS and EOS; with `share`, of its rows only."""
    src_BS, src_len_B = pad_source(src, positions=share.src_positions if share is not None else 0)
    padded = pad_source(tgt, positions=share.tgt_positions if share is not None else 0)
    tgt_out_BT, tgt_len_B = (tensor.numpy() for tensor in padded)
    tgt_in_BT = np.empty_like(tgt_out_BT)
    tgt_in_BT[:, 0] = BOS_ID
    tgt_in_BT[:, 1:] = tgt_out_BT[:, :-1]
    is_real_TB = np.arange(tgt_out_BT.shape[1])[:, None] < tgt_len_B
    if share is not None and share.is_idle:
        is_real_TB[:] = False
    position_M = np.flatnonzero(is_real_TB)
    token_M = tgt_out_BT.T[is_real_TB]
    return Batch(
        src_BS, src_len_B, torch.from_numpy(tgt_in_BT), torch.from_numpy(token_M), torch.from_numpy(position_M), share
    )


def _gather(corpus: BinarizedCorpus, indices: Indices, *, rank: int = 0, num_ranks: int = 1) -> Batch:
    """Make the batch of some pairs; of several processes, each makes its share."""
    share = None
    if num_ranks > 1:
        src_lens, tgt_lens = (lens[indices].astype(np.int64) for lens in (corpus.src_lens, corpus.tgt_lens))
        share = BatchShare(src_lens, tgt_lens, rank=rank, num_ranks=num_ranks)
        indices = indices[share.row_B.numpy()]
    src, tgt = ([read(index) for index in indices] for read in (corpus.src, corpus.tgt))
    return collate(src, tgt, share=share)


def _cut(order: Indices, costs: Indices, budget: int) -> list[Indices]:
    """Cut `order` into batches whose number of sentences × largest cost is within the budget, or of one sentence."""
    batches: list[Indices] = []
    costs = costs[order]
    start = 0
    while start < len(order):
        window = costs[start : start + max(1, budget // int(costs[start]))]  # no batch can be longer
        total_by_size = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
        end = start + max(1, int(np.count_nonzero(total_by_size <= budget)))
        batches.append(order[start:end])
        start = end
    return batches


def plan_epoch(
    src_lens: Indices, tgt_lens: Indices, config: BatchingConfig, *, seed: int, epoch: int, window: int = 0
) -> list[Indices]:
    """Assign each pair to exactly one batch; the result depends only on the arguments.

    Pairs of equal source length are sorted by target length (ties in random order) and cut into batches, so that the
    encoder needs no packing. Batches smaller than `min_sentences` are merged with those of neighbouring lengths. The
    order of the batches is random.

    Args:
        src_lens: source subwords of each pair, without EOS; `tgt_lens` likewise.
        window: of the epoch, if these are its pairs.
    """
    rng = np.random.Generator(np.random.PCG64([seed, epoch, window] if window else [seed, epoch]))
    order = rng.permutation(len(src_lens))
    order = order[np.lexsort((tgt_lens[order], src_lens[order]))]
    if config.unit == BatchUnit.tokens:
        costs = np.maximum(src_lens, tgt_lens).astype(np.int64) + 1
    else:
        costs = np.ones(len(src_lens), dtype=np.int64)
    min_sentences = (
        min(config.min_sentences, config.size) if config.unit == BatchUnit.sentences else config.min_sentences
    )
    boundaries = np.flatnonzero(np.diff(src_lens[order])) + 1
    batches: list[Indices] = []
    leftovers: list[Indices] = []
    for bucket in np.split(order, boundaries):
        for batch in _cut(bucket, costs, config.size):
            (batches if len(batch) >= min_sentences else leftovers).append(batch)
    if leftovers:
        batches.extend(_cut(np.concatenate(leftovers), costs, config.size))
    return [batches[position] for position in rng.permutation(len(batches))]


@dataclass
class Position:
    """A position in the training data: whole epochs, pairs of the current epoch, batches of its current window."""

    epoch: int = 0
    batch: int = 0
    pairs: int = 0

    def fractional_epochs(self, num_pairs: int) -> float:
        return self.epoch + self.pairs / num_pairs


class TrainingBatches:
    """An endless, seeded stream of batches that continues from `position`."""

    def __init__(
        self,
        corpus: BinarizedCorpus,
        config: BatchingConfig,
        *,
        seed: int,
        sampler: SubwordSampler | None = None,
        epochs: Epochs | None = None,
        position: Position | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Batch the corpus.

        Args:
            sampler: segments the corpus differently in each epoch.
            epochs: the pairs of each; None: all, once.
            rank: the number of this process, if `num_ranks` processes share out each batch.
        """
        self.rank, self.num_ranks = rank, num_ranks
        self.corpus = corpus
        self.config = config
        self.seed = seed
        self.sampler = sampler
        self.epochs = epochs or Epochs([corpus.num_pairs], seed=seed)
        self.position = position or Position()
        self._sampled = corpus  # in the segmentation of an epoch
        self._sampled_epoch: int | None = None
        self._plan: list[Indices] | None = None

    def fractional_epochs(self) -> float:
        return self.position.fractional_epochs(self.epochs.num_pairs)

    def go_to(self, position: Position) -> None:
        """Continue from a position of an earlier stream over the same corpus.

        Raises:
            ValueError: if no stream over this corpus has such a position.
        """
        self.position, self._plan = position, None
        plan = self.plan()
        num_pairs = self.epochs.begin(self._window()) + sum(len(indices) for indices in plan[: position.batch])
        if position.batch >= len(plan) or num_pairs != position.pairs:
            raise ValueError(f"no epoch of this corpus begins with {position.batch} batches of {position.pairs} pairs")

    def plan(self) -> list[Indices]:
        """Return the pairs of each batch of the current window of the epoch."""
        if self._plan is None:
            self._sample()
            pairs = self.epochs.pairs(self.position.epoch, self._window())
            batches = plan_epoch(
                np.asarray(self._sampled.src_lens[pairs]),
                np.asarray(self._sampled.tgt_lens[pairs]),
                self.config,
                seed=self.seed,
                epoch=self.position.epoch,
                window=self._window(),
            )
            self._plan = [pairs[batch] for batch in batches]
        return self._plan

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch and advance `position` past it."""
        plan = self.plan()
        indices = plan[self.position.batch]
        self.position.batch += 1
        self.position.pairs += len(indices)
        if self.position.batch == len(plan):
            self._plan = None
            self.position.batch = 0
            if self.position.pairs == self.epochs.num_pairs:
                self.position = Position(epoch=self.position.epoch + 1)
        return _gather(self._sampled, indices, rank=self.rank, num_ranks=self.num_ranks)

    def _window(self) -> int:
        return self.epochs.window_at(self.position.pairs)

    def _sample(self) -> None:
        """Segment the corpus for the epoch."""
        if self.sampler is not None and self._sampled_epoch != self.position.epoch:
            self._sampled = self.corpus  # frees the memory of the epoch before
            self._sampled = self.sampler.sample(self.corpus, epoch=self.position.epoch)
            self._sampled_epoch = self.position.epoch


def validation_batches(
    corpus: BinarizedCorpus, config: BatchingConfig, *, rank: int = 0, num_ranks: int = 1
) -> Iterator[Batch]:
    """Yield every pair once, always in the same order; of `num_ranks` processes, each one gets some of the batches."""
    plan = plan_epoch(np.asarray(corpus.src_lens), np.asarray(corpus.tgt_lens), config, seed=0, epoch=0)
    for indices in plan[rank::num_ranks]:
        yield _gather(corpus, indices)
