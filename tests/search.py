"""A search config, and the ids of hypotheses."""

from collections.abc import Sequence

from nmt.config import EnsembleAverage, LengthPenaltyConfig, LengthPenaltyKind, SearchConfig, SearchPrecision
from nmt.search.hypothesis import Hypothesis


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
