"""What is measured on: a prepared corpus or drawn ids, a model with drawn parameters, a trainer, a checkpoint.

Shapes: P pairs.
"""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch

from benchmarks.options import Options, Variant
from nmt.config import SubwordConfig, SubwordKind
from nmt.corpus.batching import Batch, TrainingBatches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.manifest import SplitReport
from nmt.corpus.prepare import prepare, subword_spec
from nmt.device import resolve_precision
from nmt.model.seq2seq import Seq2Seq, initialize
from nmt.text.subword import EOS_ID, SubwordModel, learn_subword
from nmt.training.checkpoint import CheckpointInfo, TrainingSnapshot, save_checkpoint
from nmt.training.saver import RunFiles
from nmt.training.trainer import Trainer

_NEVER = sys.maxsize
_FIRST_WORD_ID = EOS_ID + 1


class Lengths(NamedTuple):
    """Sentence lengths without EOS: log-normal on the source side, and so is the ratio of target to source."""

    src_mean: float
    tgt_mean: float
    src_log_deviation: float
    ratio_log_deviation: float


# Multi30k English-German, joint BPE of 8,000: captions, short and even.
SUBWORD_LENGTHS = Lengths(14.3, 14.8, 0.32, 0.18)
# Sutskever et al. 2014, §3.1: 304M English and 348M French words in 12M pairs; spread as in Europarl English-French.
WORD_LENGTHS = Lengths(304 / 12, 348 / 12, 0.55, 0.18)


@dataclass(frozen=True)
class Workload:
    """Training data and the vocabularies behind it."""

    corpus: BinarizedCorpus
    src_vocab_size: int
    tgt_vocab_size: int
    origin: str


def build_workload(variant: Variant, options: Options) -> Workload:
    """Prepare and open the corpus of the settings, or draw one where they name none."""
    settings = variant.settings
    if variant.has_data:
        prepared = prepare(settings.data, settings.subword)
        src_subword, tgt_subword = prepared.subwords()
        corpus = prepared.open("train")
        origin = f"{settings.data.name}, {corpus.num_pairs:,} pairs"
        return Workload(corpus, src_subword.vocab_size, tgt_subword.vocab_size, origin)
    subword = settings.subword
    src_vocab_size, tgt_vocab_size = vocab_sizes(subword)
    lengths = drawn_lengths(subword)
    corpus = draw_corpus(
        options.pairs,
        lengths,
        src_vocab_size=src_vocab_size,
        tgt_vocab_size=tgt_vocab_size,
        max_len=settings.data.max_len_subwords,
        seed=settings.seed,
    )
    origin = f"drawn ids, means {lengths.src_mean:.1f} and {lengths.tgt_mean:.1f} a sentence"
    return Workload(corpus, src_vocab_size, tgt_vocab_size, origin)


def vocab_sizes(subword: SubwordConfig) -> tuple[int, int]:
    """Return the sizes of the vocabularies that would be learned with these settings."""
    if subword.joint:
        return subword.vocab_size, subword.vocab_size
    return subword.src_vocab_size, subword.tgt_vocab_size


def drawn_lengths(subword: SubwordConfig) -> Lengths:
    return WORD_LENGTHS if subword.kind == SubwordKind.word else SUBWORD_LENGTHS


def draw_corpus(
    num_pairs: int, lengths: Lengths, *, src_vocab_size: int, tgt_vocab_size: int, max_len: int, seed: int
) -> BinarizedCorpus:
    """Draw pairs of realistic lengths; ids follow Zipf's law, frequent ones first, as vocabularies order them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    noise_P, ratio_noise_P = rng.standard_normal(num_pairs), rng.standard_normal(num_pairs)
    # the mean of a log-normal is exp(mu + sigma²/2)
    log_src_P = np.log(lengths.src_mean) - lengths.src_log_deviation**2 / 2 + lengths.src_log_deviation * noise_P
    log_ratio_P = np.log(lengths.tgt_mean / lengths.src_mean) - lengths.ratio_log_deviation**2 / 2
    log_tgt_P = log_src_P + log_ratio_P + lengths.ratio_log_deviation * ratio_noise_P
    src_len_P, tgt_len_P = (
        np.exp(log_len_P).round().clip(1, max_len).astype(np.int32) for log_len_P in (log_src_P, log_tgt_P)
    )

    def draw_ids(count: int, vocab_size: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        num_words = vocab_size - _FIRST_WORD_ID
        rank = (num_words + 1) ** rng.random(count)  # log-uniform from 1: the n-th id comes up about 1/n times
        return (_FIRST_WORD_ID - 1 + rank.astype(np.int64).clip(1, num_words)).astype(np.uint32)

    num_src, num_tgt = int(src_len_P.sum()), int(tgt_len_P.sum())
    return BinarizedCorpus(
        src_ids=draw_ids(num_src, src_vocab_size),
        tgt_ids=draw_ids(num_tgt, tgt_vocab_size),
        src_len_P=src_len_P,
        tgt_len_P=tgt_len_P,
        src_offset_P=np.cumsum(src_len_P, dtype=np.int64) - src_len_P,
        tgt_offset_P=np.cumsum(tgt_len_P, dtype=np.int64) - tgt_len_P,
        report=SplitReport(num_pairs, num_pairs, {}, num_src, num_tgt, 0, 0),
    )


class BatchShape(NamedTuple):
    """Means over the batches of an epoch; positions include padding, tokens do not, and both include EOS."""

    sentences: float
    src_positions: float
    tgt_positions: float
    src_tokens: float
    tgt_tokens: float
    packed_share: float  # of the batches: those whose source lengths differ, so that the encoder packs them

    @property
    def src_padding_share(self) -> float:
        return 1 - self.src_tokens / self.src_positions

    @property
    def tgt_padding_share(self) -> float:
        return 1 - self.tgt_tokens / self.tgt_positions

    @property
    def computed_padding_share(self) -> float:
        """Of the positions of both sides that are computed: packing spares the source's padding."""
        return (self.tgt_positions - self.tgt_tokens) / (self.src_tokens + self.tgt_positions)


def batch_shape(batches: list[Batch]) -> BatchShape:
    """Describe batches, of which there must be one at least."""
    sizes = np.array(
        [
            (
                batch.num_sentences,
                batch.src_BS.numel(),
                batch.tgt_in_BT.numel(),
                int(batch.src_len_B.sum()),
                batch.num_tgt_tokens,
                int(batch.src_len_B.min()) < batch.src_BS.shape[1],
            )
            for batch in batches
        ],
        dtype=np.float64,
    )
    return BatchShape(*sizes.mean(axis=0).tolist())


def draw_batches(variant: Variant, workload: Workload, count: int) -> list[Batch]:
    """Take the first batches of an epoch, which stand in random order, or all where there are fewer."""
    batches = TrainingBatches(workload.corpus, variant.settings.batching, seed=variant.settings.seed)
    taken: list[Batch] = []
    while len(taken) < count and batches.position.epoch == 0:
        taken.append(next(batches))
    return taken


def new_model(variant: Variant, *, src_vocab_size: int, tgt_vocab_size: int) -> Seq2Seq:
    model = Seq2Seq(variant.settings.model, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size)
    initialize(model, generator=torch.Generator().manual_seed(variant.settings.seed))
    return model


class IdsOnly:
    """Stands in for a subword model where there is no text; only its size is ever asked for."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.fingerprint = f"drawn-{vocab_size}"


def ids_only(vocab_size: int) -> SubwordModel:
    return cast("SubwordModel", IdsOnly(vocab_size))


def build_trainer(
    variant: Variant,
    workload: Workload,
    *,
    batches: TrainingBatches,
    run_dir: Path,
    stop_requested: Callable[[], bool],
) -> Trainer:
    """Make nmt's own trainer, which logs as in any run, but neither validates nor saves, and ends only when told."""
    settings = variant.settings
    src_vocab_size, tgt_vocab_size = workload.src_vocab_size, workload.tgt_vocab_size
    training = dataclasses.replace(
        settings.training,
        max_updates=None,
        max_epochs=None,
        max_minutes=None,
        patience=None,
        validate_every=_NEVER,
        checkpoint_every=_NEVER,
    )
    torch.manual_seed(settings.seed)  # dropout
    return Trainer(
        new_model(variant, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size),
        batches,
        dev=workload.corpus,
        dev_batching=settings.batching,
        training=training,
        optimizer=settings.optimizer,
        precision=resolve_precision(settings.training.precision, variant.device),
        device=variant.device,
        files=RunFiles(run_dir, variant.config_yaml, "drawn", ids_only(src_vocab_size), ids_only(tgt_vocab_size)),
        dev_bleu=None,
        stop_requested=stop_requested,
    )


def write_checkpoint(folder: Path, variant: Variant) -> Path:
    """Write a checkpoint of the settings' model with drawn parameters, which spells in characters."""
    config = dataclasses.replace(variant.settings.subword, kind=SubwordKind.char, byte_fallback=False)
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz.,")]
    subword = learn_subword(letters, subword_spec(config, 100, "nfc"), lang="en")
    model = new_model(variant, src_vocab_size=subword.vocab_size, tgt_vocab_size=subword.vocab_size)
    return save_checkpoint(
        folder,
        CheckpointInfo(1, 0.0, "drawn", subword.fingerprint, subword.fingerprint),
        parameters=model.state_dict(),
        config_yaml=variant.config_yaml,
        src_subword=subword,
        tgt_subword=subword,
        snapshot=TrainingSnapshot({}, {}, {}),
    )
