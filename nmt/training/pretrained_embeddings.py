"""Embeddings that start from word vectors, and embeddings that training does not change."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nmt.choices import FrozenEmbeddings, Side
from nmt.config import ModelConfig, TrainingConfig
from nmt.corpus.binarized import BinarizedCorpus
from nmt.errors import ConfigError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import SubwordModel
from nmt.text.word_vector_file import read_dim, read_vectors
from nmt.text.word_vectors import WORD_START, WordVectors

log = logging.getLogger(__name__)

_TOKENS_AT_ONCE = 1 << 24


def embedding_of(model: Seq2Seq, side: Side) -> nn.Parameter:
    """Return the embedding of one side, a row per subword."""
    embedding = model.encoder.embedding if side == Side.src else model.decoder.embedding
    weight_VE = embedding.weight
    assert isinstance(weight_VE, nn.Parameter)
    return weight_VE


def freeze_embeddings(model: Seq2Seq, frozen: FrozenEmbeddings) -> None:
    """Exclude embeddings from training: they get no gradient, and nothing is stored for them in the optimizer."""
    for side in Side:
        if frozen in (side.value, FrozenEmbeddings.both):
            embedding_of(model, side).requires_grad_(False)


def check_vector_files(training: TrainingConfig, model: ModelConfig) -> None:
    """Check that the files of word vectors can be read and fit the model, before anything large is done.

    Raises:
        ConfigError: if the vectors have another size than the embeddings.
        DataError: if a file cannot be read.
    """
    for side, path in _files(training).items():
        own_dim = model.src_embedding_dim if side == Side.src else model.tgt_embedding_dim
        key, wanted = (f"{side}_embedding_dim", own_dim) if own_dim else ("embedding_dim", model.embedding_dim)
        if (dim := read_dim(path)) != wanted:
            raise ConfigError(
                f"model.{key} must be {dim}, as in training.{side}_embeddings={path}, but is {wanted}: set "
                f"model.{key}={dim}, or name another file"
            )


def load_embeddings(
    model: Seq2Seq, training: TrainingConfig, *, subwords: Mapping[Side, SubwordModel], corpus: BinarizedCorpus
) -> None:
    """Replace the embeddings of all subwords that have word vectors, and log how many there are.

    Args:
        corpus: the training text.

    Raises:
        ConfigError: if no subword has a vector.
        DataError: if a file cannot be read.
    """
    files = _files(training)
    for side, path in files.items():
        ids = corpus.src_ids if side == Side.src else corpus.tgt_ids
        pieces = subwords[side].pieces
        vectors = read_vectors(path, only={*pieces, *(piece.removeprefix(WORD_START) for piece in pieces)})
        found = match_subwords(pieces, vectors)
        coverage = measure_coverage(found, ids)
        if coverage.num_found == 0:
            raise ConfigError(
                f"training.{side}_embeddings={path} must have vectors of the {side} subwords, but has none: "
                "is it of another language?"
            )
        rows_N = torch.from_numpy(np.flatnonzero(found >= 0))
        values_NE = torch.from_numpy(vectors.values[found[found >= 0]])
        with torch.no_grad():
            weight_VE = embedding_of(model, side)
            weight_VE[rows_N.to(weight_VE.device)] = values_NE.to(weight_VE)
        log.info(
            "%s embeddings: %s of %s subwords (%.1f%% of the training tokens) have a vector in %s",
            side,
            f"{coverage.num_found:,}",
            f"{coverage.num_subwords:,}",
            100 * coverage.token_share,
            path,
        )


def match_subwords(pieces: Sequence[str], vectors: WordVectors) -> NDArray[np.int64]:
    """Find the row of word vectors for each subword; -1: none.

    In a file of subwords, they are written as in the vocabulary, with "▁" at the beginning of a word. In a file of
    words, a subword that begins a word has the vector of that word; one that continues a word has none, since a word
    spelled like it is another word. It is a file of words if more subwords are found so.
    """
    initial = {
        piece: piece.removeprefix(WORD_START)
        for piece in pieces
        if piece.startswith(WORD_START) and piece != WORD_START
    }
    num_as_written = sum(piece in vectors.row_of for piece in initial)
    num_as_words = sum(word in vectors.row_of for word in initial.values())
    spelling = initial if num_as_words > num_as_written else dict(zip(pieces, pieces, strict=True))
    found = np.full(len(pieces), -1)
    for subword, piece in enumerate(pieces):
        if piece in spelling:
            found[subword] = vectors.row_of.get(spelling[piece], -1)
    return found


class Coverage(NamedTuple):
    """How many subwords have vectors, and which share of the tokens of a text these are."""

    num_found: int
    num_subwords: int
    token_share: float


def measure_coverage(found: NDArray[np.int64], ids: NDArray[np.uint16] | NDArray[np.uint32]) -> Coverage:
    """Measure the coverage of a text.

    Args:
        found: the result of `match_subwords`.
        ids: all tokens of the text.
    """
    counts = np.zeros(len(found), np.int64)
    for begin in range(0, len(ids), _TOKENS_AT_ONCE):  # bincount copies its input as int64
        counts += np.bincount(ids[begin : begin + _TOKENS_AT_ONCE], minlength=len(found))
    return Coverage(int((found >= 0).sum()), len(found), float(counts[found >= 0].sum() / max(1, counts.sum())))


def _files(training: TrainingConfig) -> dict[Side, Path]:
    names = {Side.src: training.src_embeddings, Side.tgt: training.tgt_embeddings}
    return {side: Path(name) for side, name in names.items() if name is not None}
