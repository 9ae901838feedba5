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
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID


class Batch(NamedTuple):
    """Aligned sentences, right-padded with PAD.

    Attributes:
        src_BS: source ids in their natural order, then EOS. The encoder reverses them if the model is configured so.
        src_len_B: source positions, EOS included; always on the CPU, as packing needs them.
        tgt_in_BT: BOS y_1 … y_n, the decoder's input.
        tgt_token_M: y_1 … y_n EOS of all sentences, the decoder's output: real tokens only, time step by time step.
        tgt_position_M: the positions of these tokens in a `(T, B)` array read row by row.
    """

    src_BS: Tensor
    src_len_B: Tensor
    tgt_in_BT: Tensor
    tgt_token_M: Tensor
    tgt_position_M: Tensor

    @property
    def num_sentences(self) -> int:
        return self.src_BS.shape[0]

    @property
    def num_tgt_tokens(self) -> int:
        """Target tokens, EOS included."""
        return self.tgt_token_M.shape[0]

    def to(self, device: torch.device) -> "Batch":
        if device.type == "cpu":
            return self
        src_BS, tgt_in_BT, tgt_token_M, tgt_position_M = (
            tensor.pin_memory().to(device, non_blocking=True)
            for tensor in (self.src_BS, self.tgt_in_BT, self.tgt_token_M, self.tgt_position_M)
        )
        return Batch(src_BS, self.src_len_B, tgt_in_BT, tgt_token_M, tgt_position_M)


def pad_source(sentences: Sequence[npt.ArrayLike]) -> tuple[Tensor, Tensor]:
    """Append EOS to each source sentence and pad: ids `(B, S)` and lengths `(B,)`."""
    arrays = [np.asarray(sentence, dtype=np.int64) for sentence in sentences]
    lengths_B = np.array([len(array) + 1 for array in arrays], dtype=np.int64)
    src_BS = np.full((len(arrays), int(lengths_B.max())), PAD_ID, dtype=np.int64)
    for row_S, array in zip(src_BS, arrays, strict=True):
        row_S[: len(array)] = array
        row_S[len(array)] = EOS_ID
    return torch.from_numpy(src_BS), torch.from_numpy(lengths_B)


def collate(src: Sequence[npt.ArrayLike], tgt: Sequence[npt.ArrayLike]) -> Batch:
    """Make a batch of source and target ids without BOS and EOS."""
    src_BS, src_len_B = pad_source(src)
    tgt_out_BT, tgt_len_B = (tensor.numpy() for tensor in pad_source(tgt))
    tgt_in_BT = np.empty_like(tgt_out_BT)
    tgt_in_BT[:, 0] = BOS_ID
    tgt_in_BT[:, 1:] = tgt_out_BT[:, :-1]
    is_real_TB = np.arange(tgt_out_BT.shape[1])[:, None] < tgt_len_B
    position_M = np.flatnonzero(is_real_TB)
    token_M = tgt_out_BT.T[is_real_TB]
    return Batch(
        src_BS, src_len_B, torch.from_numpy(tgt_in_BT), torch.from_numpy(token_M), torch.from_numpy(position_M)
    )


def _gather(corpus: BinarizedCorpus, indices: Indices) -> Batch:
    return collate([corpus.src(index) for index in indices], [corpus.tgt(index) for index in indices])


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
    ) -> None:
        """Batch the corpus.

        Args:
            sampler: segments the corpus differently in each epoch.
            epochs: the pairs of each; None: all, once.
        """
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
        return _gather(self._sampled, indices)

    def _window(self) -> int:
        return self.epochs.window_at(self.position.pairs)

    def _sample(self) -> None:
        """Segment the corpus for the epoch."""
        if self.sampler is not None and self._sampled_epoch != self.position.epoch:
            self._sampled = self.corpus  # frees the memory of the epoch before
            self._sampled = self.sampler.sample(self.corpus, epoch=self.position.epoch)
            self._sampled_epoch = self.position.epoch


def validation_batches(corpus: BinarizedCorpus, config: BatchingConfig) -> Iterator[Batch]:
    """Yield every pair once, always in the same order."""
    plan = plan_epoch(np.asarray(corpus.src_lens), np.asarray(corpus.tgt_lens), config, seed=0, epoch=0)
    for indices in plan:
        yield _gather(corpus, indices)
