"""Greedy translations of a few sentences: the sample translations of a checkpoint."""

from collections.abc import Callable, Sequence

import torch

from nmt.choices import EnsembleAverage, Implementation, LengthPenaltyKind, SearchPrecision
from nmt.command_config import TrainCommand
from nmt.config import LengthPenaltyConfig, SearchConfig
from nmt.corpus.prepare import split_files
from nmt.device import exact_float32, resolve_device
from nmt.model.seq2seq import Seq2Seq
from nmt.search.beam import beam_search
from nmt.search.scorer import EncodedSource, ModelScorer
from nmt.text.parallel import read_pairs
from nmt.text.subword import BOS_ID
from nmt.training.samples import Sample, choose_sources
from nmt.training.saver import RunFiles

# Fixed, since checkpoints hold what it found; the maximum length must not fall.
_GREEDY = SearchConfig(
    beam_size=1,
    n_best=1,
    length_penalty=LengthPenaltyConfig(kind=LengthPenaltyKind.none, alpha=0.0),
    max_len_ratio=2.0,
    max_len_extra=10,
    min_len=0,
    ensemble_average=EnsembleAverage.prob,
    batch_rows=64,
    window_lines=64,
    precision=SearchPrecision.fp32,  # not used here: a scorer computes as it was made
)


def build_dev_samples(settings: TrainCommand, files: RunFiles) -> Callable[[Seq2Seq], Sequence[Sample]] | None:
    """Make the function that translates a few development sentences for a checkpoint; None if it holds none."""
    if settings.training.samples == 0:
        return None
    pairs = read_pairs(split_files(settings.data, settings.data.dev))
    sources = choose_sources([pair.src for pair in pairs], settings.training.samples)
    device = resolve_device(settings.device)

    def translate(model: Seq2Seq) -> Sequence[Sample]:
        model.implementation = Implementation.reference  # which needs no copy of the parameters
        try:
            with exact_float32(device):
                scorer = ModelScorer(
                    model,
                    src_subword=files.src_subword,
                    tgt_subword=files.tgt_subword,
                    device=device,
                    precision=SearchPrecision.fp32,
                )
                return translate_samples(scorer, sources)
        finally:
            model.implementation = settings.implementation

    return translate


def translate_samples(scorer: ModelScorer, sources: Sequence[str]) -> list[Sample]:
    """Translate sentences greedily."""
    best = [hypotheses[0] for hypotheses in beam_search(scorer, scorer.encode_sources(sources), _GREEDY)]
    texts = scorer.tgt_subword.decode_batch([hypothesis.ids for hypothesis in best])
    return [
        Sample(source, text, list(hypothesis.ids), hypothesis.log_prob, hypothesis.finished)
        for source, text, hypothesis in zip(sources, texts, best, strict=True)
    ]


def gap_between(scorer: ModelScorer, source: EncodedSource, prefix: Sequence[int], one: int, other: int) -> float:
    """Return by how many nats the token `one` is more probable than `other` after a source and a prefix."""
    state = scorer.start([source])
    for token in (BOS_ID, *prefix):
        logits_NV, state = scorer.logits(torch.tensor([token]), state)
    return float(logits_NV[0, one]) - float(logits_NV[0, other])
