"""Tiny models, corpora and subword models that several tests share."""

import copy
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmt.choices import BatchUnit, Normalization, SourceOrder, SubwordKind, Tokenizer
from nmt.config import BatchingConfig, ModelConfig
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.manifest import SplitReport
from nmt.model.initialization import initialize
from nmt.model.recurrent import RecurrentState
from nmt.model.seq2seq import Seq2Seq
from nmt.text.parallel import ParallelFiles, TextFiles
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import SubwordSpec, learn_subword

Ids = list[int]
Pair = tuple[Ids, Ids]

MODEL = ModelConfig(
    name="tiny",
    embedding_dim=5,
    hidden_dim=7,
    num_layers=2,
    dropout=0.0,
    source_order=SourceOrder.reversed,
    init_range=0.5,  # far from the linear part of the gates
    forget_bias=0.0,
)
SENTENCES = BatchingConfig(unit=BatchUnit.sentences, size=4, min_sentences=1)
CHARACTERS = SubwordSpec(
    kind=SubwordKind.char,
    vocab_size=100,
    byte_fallback=False,
    normalization=Normalization.nmt_nfkc,
    tokenizer=Tokenizer.none,
    character_coverage=1.0,
    max_sentences=1000,
    seed=1,
)
DIGITS = ["0 1 2 3 4 5 6 7 8 9", "9 8 7 6 5 4 3 2 1 0"]
# source and target ids of different lengths, one source empty
PAIRS: list[Pair] = [
    ([4, 5, 6, 7], [8, 9]),
    ([5], [4, 6, 8, 10, 9, 7]),
    ([9, 8, 7, 6, 5, 4], [5]),
    ([6, 6], [7, 7, 7]),
    ([], [4, 5]),
]


def tiny_model(
    config: ModelConfig = MODEL,
    *,
    seed: int = 1,
    src_vocab_size: int = 11,
    tgt_vocab_size: int = 12,
    dtype: torch.dtype = torch.float64,
) -> Seq2Seq:
    model = Seq2Seq(copy.copy(config), src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size)
    initialize(model, generator=torch.Generator().manual_seed(seed))
    return model.to(dtype)


def aligned(src: Sequence[Path], tgt: Sequence[Path]) -> ParallelFiles:
    """Name aligned files of plain text."""
    return ParallelFiles(TextFiles(tuple(src)), TextFiles(tuple(tgt)))


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def hidden_states(state: RecurrentState) -> Tensor:
    """Stack the hidden states of all layers, which are equally large."""
    return torch.stack([layer[0] for layer in state.layers])


def cell_states(state: RecurrentState) -> Tensor:
    """Stack the cell states of all layers of LSTMs."""
    return torch.stack([layer[1] for layer in state.layers])


def lstm_state(h_LNH: Tensor, c_LNH: Tensor) -> RecurrentState:
    return RecurrentState(tuple(zip(h_LNH, c_LNH, strict=True)))


def corpus_of(pairs: Sequence[Pair]) -> BinarizedCorpus:
    """Make a corpus in memory from ids without BOS and EOS."""
    src_ids, tgt_ids = (np.array([token for pair in pairs for token in pair[side]], np.uint16) for side in (0, 1))
    src_lens, tgt_lens = (np.array([len(pair[side]) for pair in pairs], np.int32) for side in (0, 1))
    return BinarizedCorpus(
        src_ids=src_ids,
        tgt_ids=tgt_ids,
        src_lens=src_lens,
        tgt_lens=tgt_lens,
        src_offsets=np.cumsum(src_lens, dtype=np.int64) - src_lens,
        tgt_offsets=np.cumsum(tgt_lens, dtype=np.int64) - tgt_lens,
        report=SplitReport(len(pairs), len(pairs), {}, len(src_ids), len(tgt_ids), 0, 0),
    )


def as_format_1(corpus_dir: Path, **changes: Any) -> dict[str, Any]:
    """Rewrite the manifest of a prepared corpus as nmt 0.1.0 did; returns its content."""
    path = corpus_dir / "manifest.json"
    content: dict[str, Any] = {**json.loads(path.read_text()), "format_version": 1, **changes}
    content.pop("checksum", None)
    for report in content["splits"].values():
        if isinstance(report, dict):
            report.pop("checksums", None)
    path.write_text(json.dumps(content))
    return content


def random_pairs(num_pairs: int, *, max_len: int, vocab_size: int = 11, seed: int = 1) -> list[Pair]:
    rng = np.random.default_rng(seed)

    def sentence() -> Ids:
        return [int(token) for token in rng.integers(4, vocab_size, rng.integers(1, max_len + 1))]

    return [(sentence(), sentence()) for _ in range(num_pairs)]


@lru_cache
def tiny_subword(lines: tuple[str, ...] = tuple(DIGITS), *, lang: str = "en") -> SubwordModel:
    """Learn single characters: the four specials, the space and those of the lines."""
    return learn_subword(lines, CHARACTERS, lang=lang)


def pieces(model: SubwordModel, ids: Iterable[int]) -> list[str]:
    """Return the subwords of ids; "▁" marks the beginning of a word."""
    all_pieces = model.pieces
    return [all_pieces[i] for i in map(int, ids)]
