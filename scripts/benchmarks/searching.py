"""Search with clocks in it: scorers that time their parts, and sources to translate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Laps
from benchmarks.workload import draw_corpus, drawn_lengths
from nmt.config import EnsembleAverage, SubwordConfig
from nmt.device import InferencePrecision
from nmt.model.decoder import DecoderState
from nmt.model.seq2seq import Seq2Seq
from nmt.search.scorer import Candidates, EncodedSource, EnsembleScorer, EnsembleState, ModelScorer
from nmt.text.subword import EOS_ID, SubwordModel
from nmt.training.checkpoint import load_checkpoint
from nmt.training.checkpoint_store import read_checkpoint

SEGMENTATION, ENCODER, NETWORK = "segmentation", "encoder", "decoder step"
RANKING, SELECTION, SPELLING = "softmax and top k", "moving states", "spelling"
BOOKKEEPING = "bookkeeping of search"


@dataclass
class Counts:
    """Steps of the decoder, and their rows; of an ensemble, those of all members."""

    steps: int = 0
    step_rows: int = 0

    def minus(self, earlier: "Counts") -> "Counts":
        return Counts(self.steps - earlier.steps, self.step_rows - earlier.step_rows)


class TimedScorer(ModelScorer):
    """A scorer that says where its time goes; an ensemble's members share their laps."""

    def __init__(self, *args: Any, laps: Laps, counts: Counts, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.laps = laps
        self.counts = counts

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        self.laps.start()
        sources = super().encode_sources(lines)
        self.laps.lap(SEGMENTATION)
        return sources

    def start(self, sources: Sequence[EncodedSource]) -> DecoderState:
        self.laps.start()
        state = super().start(sources)
        self.laps.lap(ENCODER)
        return state

    def logits(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.laps.start()
        result = super().logits(prev_N, state)
        self.laps.lap(NETWORK)
        self.counts.steps += 1
        self.counts.step_rows += len(prev_N)
        return result

    def step(self, prev_N: Tensor, state: DecoderState, num_candidates: int) -> Candidates[DecoderState]:
        candidates = super().step(prev_N, state, num_candidates)
        self.laps.lap(RANKING)
        return candidates

    def select(self, state: DecoderState, rows_N: Tensor) -> DecoderState:
        self.laps.start()
        selected = super().select(state, rows_N)
        self.laps.lap(SELECTION)
        return selected

    def concat(self, first: DecoderState, second: DecoderState) -> DecoderState:
        self.laps.start()
        both = super().concat(first, second)
        self.laps.lap(SELECTION)
        return both


class TimedEnsemble(EnsembleScorer):
    """An ensemble whose averaging and ranking are timed too; its members must share their laps."""

    def __init__(self, members: Sequence[TimedScorer], *, average: EnsembleAverage) -> None:
        super().__init__(members, average=average)
        self.laps = members[0].laps

    def step(self, prev_N: Tensor, state: EnsembleState, num_candidates: int) -> Candidates[EnsembleState]:
        candidates = super().step(prev_N, state, num_candidates)
        self.laps.lap(RANKING)
        return candidates


class TimedSpelling:
    """What a translator asks of the target subword model, with a clock."""

    def __init__(self, subword: SubwordModel, laps: Laps) -> None:
        self._subword = subword
        self._laps = laps

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        self._laps.start()
        texts = self._subword.decode_batch(ids)
        self._laps.lap(SPELLING)
        return texts


def scorers_of(
    checkpoints: Sequence[str], *, device: torch.device, precision: InferencePrecision, laps: Laps, counts: Counts
) -> tuple[list[ModelScorer], list[TimedScorer]]:
    """Load checkpoints, each as a scorer and as one with clocks."""
    plain, timed = [], []
    for name in checkpoints:
        checkpoint = read_checkpoint(Path(name), load_checkpoint)
        settings: dict[str, Any] = {
            "src_subword": checkpoint.src_subword,
            "tgt_subword": checkpoint.tgt_subword,
            "device": device,
            "precision": precision,
            "name": name,
        }
        plain.append(ModelScorer(checkpoint.model, **settings))
        timed.append(TimedScorer(checkpoint.model, laps=laps, counts=counts, **settings))
    return plain, timed


@torch.no_grad()
def without_end(model: Seq2Seq) -> Seq2Seq:
    """Keep a model with drawn parameters from ending a sentence, so that maximum lengths decide how long it goes on."""
    model.decoder.output.bias[EOS_ID] = -1e4
    return model


def drawn_sources(count: int, subword: SubwordConfig, src_vocab_size: int, *, seed: int) -> list[EncodedSource]:
    """Draw source sentences, longest first, as a translator would search them."""
    corpus = draw_corpus(
        count, drawn_lengths(subword), src_vocab_size=src_vocab_size, tgt_vocab_size=100, max_len=100, seed=seed
    )
    sources = [EncodedSource((corpus.src(index).tolist(),)) for index in range(count)]
    return sorted(sources, key=lambda source: -source.num_subwords)
