"""A search config, the ids of hypotheses, and what teacher forcing says of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nmt.choices import EnsembleAverage, LengthPenaltyKind, SearchPrecision
from nmt.config import LengthPenaltyConfig, SearchConfig
from nmt.corpus.batching import collate
from nmt.model.seq2seq import Seq2Seq
from nmt.search.hypothesis import Hypothesis
from nmt.text.subword import EOS_ID


def search_config(
    beam_size: int = 1, *, n_best: int = 1, alpha: float = 0.0, max_len: int | None = None, window_lines: int = 100
) -> SearchConfig:
    """Return a config under which translations have at most `max_len` subwords, or 5 more than their source."""
    kind = LengthPenaltyKind.wu2016 if alpha else LengthPenaltyKind.none
    return SearchConfig(
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=LengthPenaltyConfig(kind=kind, alpha=alpha),
        max_len_ratio=1.0 if max_len is None else 0.0,
        max_len_extra=5 if max_len is None else max_len,
        min_len=0,
        ensemble_average=EnsembleAverage.prob,
        batch_rows=10_000,
        window_lines=window_lines,
        precision=SearchPrecision.fp32,
    )


def ids_of(results: Sequence[Sequence[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[hypothesis.ids for hypothesis in n_best] for n_best in results]


@torch.no_grad()
def forced_log_probs(model: Seq2Seq, src: Sequence[int], tgt: Sequence[int]) -> Tensor:
    """Read one sentence with teacher forcing; returns log p of the token after each prefix, `(T, V)`."""
    return torch.log_softmax(model.decoder.output(model(collate([src], [tgt]))), dim=1)


def log_prob_of(hypothesis: Hypothesis, log_prob_TV: Tensor) -> float:
    tokens = [*hypothesis.ids, EOS_ID][: len(hypothesis.ids) + hypothesis.finished]
    return sum(float(log_prob_V[token]) for token, log_prob_V in zip(tokens, log_prob_TV, strict=False))
