"""Subword regularization: in each epoch, another random segmentation of the training text.

That is BPE dropout (Provilkov et al. 2020) for BPE, and unigram sampling (Kudo 2018) for unigram models. An epoch is
segmented as a whole before its first batch, so that its batches are planned by the lengths that they have.
"""

import logging
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmt.choices import Side, SubwordKind
from nmt.config import SubwordConfig, TrainingConfig
from nmt.corpus.binarized import BinarizedCorpus
from nmt.errors import ConfigError
from nmt.text.rows import row_offsets, take_rows
from nmt.text.subword import SubwordModel
from nmt.text.word_table import EncodedTexts

log = logging.getLogger(__name__)

_NUM_SENTENCES_AT_ONCE = 1024  # each chunk has its own random numbers: a resumed run depends on this
_UNFIT = "whose subwords are neither BPE nor unigram, or may span several words"


class SubwordSampler:
    """Segments a corpus at random.

    The result depends only on the corpus, the epoch, the seed and the settings. So an epoch is the same in every
    process, for any number of threads, and whatever was sampled before.
    """

    def __init__(
        self, subwords: dict[Side, SubwordModel], *, alphas: dict[Side, float], max_len: int, seed: int
    ) -> None:
        """Choose how to segment.

        Args:
            subwords: the model of each side.
            alphas: see `nmt.text.subword_sampling`; for each side that is segmented at random.
            max_len: a sentence whose random segmentation has more subwords is segmented as in the corpus.
        """
        self._segmenters = {side: subwords[side].resegmenter(alpha=alpha) for side, alpha in alphas.items()}
        self._max_len = max_len
        self._seed = seed
        self._has_logged = False

    def sample(self, corpus: BinarizedCorpus, *, epoch: int) -> BinarizedCorpus:
        """Return the corpus as it is segmented in an epoch, in memory."""
        started = time.perf_counter()
        changes: dict[str, Any] = {}
        for side in self._segmenters:
            changes |= self._segment(corpus, side, epoch=epoch)
        sampled = replace(corpus, **changes)
        if not self._has_logged:
            self._has_logged = True
            log.info(
                "subwords: epoch %d segmented at random in %.1f s: %.2f and %.2f times as many subwords as without",
                epoch + 1,
                time.perf_counter() - started,
                len(sampled.src_ids) / len(corpus.src_ids),
                len(sampled.tgt_ids) / len(corpus.tgt_ids),
            )
        return sampled

    def _segment(self, corpus: BinarizedCorpus, side: Side, *, epoch: int) -> dict[str, NDArray[Any]]:
        """Return the ids, lengths and offsets of a side, by their names in the corpus."""
        segment = self._segmenters[side]
        ids, lens, offsets = (getattr(corpus, f"{side}_{name}") for name in ("ids", "lens", "offsets"))
        chunks = []
        for begin in range(0, corpus.num_pairs, _NUM_SENTENCES_AT_ONCE):
            rng = np.random.default_rng([self._seed, epoch, 1 + list(Side).index(side), begin])
            end = begin + _NUM_SENTENCES_AT_ONCE
            usual = EncodedTexts(take_rows(ids, offsets[begin:end], lens[begin:end]), lens[begin:end])
            chunks.append(_limited(segment(usual, rng), usual, max_len=self._max_len))
        all_lens = np.concatenate([chunk.lens for chunk in chunks])
        return {
            f"{side}_ids": np.concatenate([chunk.ids for chunk in chunks]),
            f"{side}_lens": all_lens,
            f"{side}_offsets": row_offsets(all_lens),
        }


def _limited(sampled: EncodedTexts, usual: EncodedTexts, *, max_len: int) -> EncodedTexts:
    """Replace each sampled text that is too long by the usual one."""
    is_long = sampled.lens > max_len
    lens = np.where(is_long, usual.lens, sampled.lens)
    offsets = np.where(is_long, row_offsets(usual.lens), len(usual.ids) + row_offsets(sampled.lens))
    ids = np.concatenate([usual.ids, sampled.ids.astype(usual.ids.dtype)])
    return EncodedTexts(take_rows(ids, offsets, lens), lens)


def build_sampler(
    training: TrainingConfig, src: SubwordModel, tgt: SubwordModel, *, max_len: int, seed: int
) -> SubwordSampler | None:
    """Make the sampler of a run; None if neither side is segmented at random.

    Raises:
        ConfigError: if the texts of a model may not be segmented at random.
    """
    subwords = dict(zip(Side, (src, tgt), strict=True))
    alphas = _alphas(training)
    problems = [
        _problem(side, alpha, f"this model of the {'source' if side == Side.src else 'target'}", _UNFIT)
        for side, alpha in alphas.items()
        if not subwords[side].can_resegment
    ]
    if problems:
        raise ConfigError("; ".join(problems))
    return SubwordSampler(subwords, alphas=alphas, max_len=max_len, seed=seed) if alphas else None


def sampling_problems(subword: SubwordConfig, training: TrainingConfig) -> list[str]:
    """Return what is wrong with the settings, before subwords are learned; `build_sampler` checks given models."""
    if subword.src_model is not None or training.init_from is not None:
        return []
    kinds = {side: getattr(subword, side).kind or subword.kind for side in Side}
    return [
        _problem(side, alpha, f"subword={kinds[side]}", "which has only one segmentation of a text")
        for side, alpha in _alphas(training).items()
        if kinds[side] not in (SubwordKind.bpe, SubwordKind.unigram)
    ]


def _alphas(training: TrainingConfig) -> dict[Side, float]:
    """Return the settings of the sides that are segmented at random."""
    alphas = dict(zip(Side, (training.src_subword_alpha, training.tgt_subword_alpha), strict=True))
    return {side: alpha for side, alpha in alphas.items() if alpha > 0}


def _problem(side: Side, alpha: float, model: str, reason: str) -> str:
    return (
        f"training.{side}_subword_alpha must be 0 for {model}, {reason}, but is {alpha}: leave it out, or use BPE or "
        "unigram subwords"
    )
