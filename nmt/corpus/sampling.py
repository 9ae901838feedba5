"""Subword regularization: in each epoch, another random segmentation of the training text.

That is BPE dropout (Provilkov et al. 2020) for BPE, and unigram sampling (Kudo 2018) for unigram models. An epoch is
segmented as a whole before its first batch, so that its batches are planned by the lengths that they have.
"""

import logging
import time
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmt.config import SubwordConfig, SubwordKind, TrainingConfig
from nmt.corpus.binarized import LEN_DTYPE, BinarizedCorpus
from nmt.errors import ConfigError
from nmt.text.subword import SubwordModel

log = logging.getLogger(__name__)

SIDES = ("src", "tgt")


class SubwordSampler:
    """Segments a corpus at random.

    The segmentation of a sentence depends only on its ids, its number in the corpus, its side, the epoch, the seed and
    the settings. So an epoch is the same if a run is interrupted, and for any number of threads.
    """

    def __init__(self, subwords: dict[str, SubwordModel], *, alphas: dict[str, float], max_len: int, seed: int) -> None:
        """Choose how to segment.

        Args:
            subwords: the model of each side.
            alphas: see `SubwordModel.resegment`; for each side that is segmented at random.
            max_len: a sentence whose random segmentation has more subwords is segmented as in the corpus.
        """
        self._subwords = subwords
        self._alphas = alphas
        self._max_len = max_len
        self._seed = seed
        self._has_logged = False

    def sample(self, corpus: BinarizedCorpus, *, epoch: int) -> BinarizedCorpus:
        """Return the corpus as it is segmented in an epoch, in memory."""
        started = time.perf_counter()
        changes: dict[str, Any] = {}
        for side in self._alphas:
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

    def _segment(self, corpus: BinarizedCorpus, side: str, *, epoch: int) -> dict[str, NDArray[Any]]:
        """Return the ids, lengths and offsets of a side, by their names in the corpus."""
        subword, alpha = self._subwords[side], self._alphas[side]
        rng = np.random.Generator(np.random.PCG64([self._seed, epoch, 1 + SIDES.index(side)]))
        seeds = rng.integers(2**32, size=corpus.num_pairs, dtype=np.uint32)
        sentence = corpus.src if side == "src" else corpus.tgt
        id_dtype = (corpus.src_ids if side == "src" else corpus.tgt_ids).dtype
        ids, lens = array(id_dtype.char), array(LEN_DTYPE.char)
        for index, seed in enumerate(seeds.tolist()):
            row: list[int] = sentence(index).tolist()
            sampled = subword.resegment(row, alpha=alpha, seed=seed)
            if len(sampled) <= self._max_len:
                row = sampled
            ids.extend(row)
            lens.append(len(row))
        all_lens = np.asarray(lens)
        ends = np.cumsum(all_lens, dtype=np.int64)
        return {f"{side}_ids": np.asarray(ids), f"{side}_lens": all_lens, f"{side}_offsets": ends - all_lens}


def build_sampler(
    training: TrainingConfig, src: SubwordModel, tgt: SubwordModel, *, max_len: int, seed: int
) -> SubwordSampler | None:
    """Make the sampler of a run; None if neither side is segmented at random.

    Raises:
        ConfigError: if a model has only one segmentation of a text.
    """
    subwords = dict(zip(SIDES, (src, tgt), strict=True))
    alphas = _alphas(training)
    problems = [
        _problem(side, alpha, f"this model of the {'source' if side == 'src' else 'target'}")
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
    kinds = {side: getattr(subword, side).kind or subword.kind for side in SIDES}
    return [
        _problem(side, alpha, f"subword={kinds[side]}")
        for side, alpha in _alphas(training).items()
        if kinds[side] not in (SubwordKind.bpe, SubwordKind.unigram)
    ]


def _alphas(training: TrainingConfig) -> dict[str, float]:
    """Return the settings of the sides that are segmented at random."""
    alphas = dict(zip(SIDES, (training.src_subword_alpha, training.tgt_subword_alpha), strict=True))
    return {side: alpha for side, alpha in alphas.items() if alpha > 0}


def _problem(side: str, alpha: float, model: str) -> str:
    return (
        f"training.{side}_subword_alpha must be 0 for {model}, which has only one segmentation of a text, but is "
        f"{alpha}: leave it out, or use BPE or unigram subwords"
    )
