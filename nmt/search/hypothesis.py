"""Hypotheses, and their score: the log-probability over the length penalty, plus the coverage penalty."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nmt.choices import LengthPenaltyKind
from nmt.config import SearchConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]


class Hypothesis(NamedTuple):
    """A translation found by search.

    Attributes:
        ids: target subwords without EOS.
        log_prob: log-probability in nats, that of EOS included if it is finished.
        score: log_prob over the length penalty, plus the coverage penalty if it is finished; hypotheses are ranked by
            it.
        finished: whether it ends in EOS; otherwise the maximum length cut it short.
    """

    ids: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


def length_penalty(num_tokens: npt.ArrayLike, config: SearchConfig) -> Floats:
    """Return lp(Y) = ((5 + |Y|) / 6)^alpha, EOS counted in |Y| (Wu et al. 2016, §7); 1 without a penalty."""
    alpha = 0.0 if config.length_penalty.kind == LengthPenaltyKind.none else config.length_penalty.alpha
    penalty: Floats = ((5.0 + np.asarray(num_tokens, dtype=np.float64)) / 6.0) ** alpha
    return penalty


@dataclass
class Finished:
    """The best finished hypotheses of every sentence, best first; of equal scores, the one that finished first.

    All arrays have the shape `(sentences, n_best)`. If there is no hypothesis yet, scores are -inf and ids None.
    """

    score: Floats
    log_prob: Floats
    ids: Objects  # tuples of subwords without EOS

    @classmethod
    def none_yet(cls, num_sentences: int, n_best: int) -> "Finished":
        shape = (num_sentences, n_best)
        return cls(np.full(shape, -np.inf), np.full(shape, -np.inf), np.full(shape, None))

    def select(self, sentences: Ints) -> "Finished":
        """Take some of the sentences."""
        return Finished(self.score[sentences], self.log_prob[sentences], self.ids[sentences])

    def concat(self, other: "Finished", *, axis: int = 0) -> "Finished":
        """Append the sentences of `other`, or with `axis=1` more hypotheses of the same sentences."""
        return Finished(
            np.concatenate((self.score, other.score), axis),
            np.concatenate((self.log_prob, other.log_prob), axis),
            np.concatenate((self.ids, other.ids), axis),
        )

    def best(self, n_best: int) -> "Finished":
        """Keep the n best of every sentence."""
        order = np.argsort(-self.score, axis=1, kind="stable")[:, :n_best]
        return Finished(*(np.take_along_axis(array, order, axis=1) for array in vars(self).values()))

    def hypotheses(self) -> list[list[Hypothesis]]:
        """List the hypotheses of each sentence, at most n_best."""
        arrays = (self.ids, self.log_prob, self.score)
        return [
            [
                Hypothesis(ids, log_prob, score, True)
                for ids, log_prob, score in zip(*rows, strict=True)
                if score > -np.inf
            ]
            for rows in zip(*(array.tolist() for array in arrays), strict=True)
        ]
