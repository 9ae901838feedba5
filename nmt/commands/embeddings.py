"""`nmt embeddings`: neighbours and analogies of words, from a checkpoint, a corpus or a file; writes the vectors."""

import logging
from functools import partial
from pathlib import Path

from nmt.choices import Side
from nmt.command_config import EmbeddingsCommand
from nmt.commands.output import check_output, open_output, read_files
from nmt.corpus.manifest import read_manifest
from nmt.corpus.prepare import PreparedCorpus
from nmt.corpus.word2vec import Word2VecSpec, learn_vectors
from nmt.errors import ConfigError, config_problems
from nmt.text.word_vector_file import read_vectors, write_vectors
from nmt.text.word_vectors import WordVectors, parse_analogy

log = logging.getLogger(__name__)


def run(settings: EmbeddingsCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Print neighbours and analogies, one tab-separated line per answer, and write the vectors."""
    _check(settings)
    vectors = _vectors(settings)
    if settings.output is not None:  # first: learning may have taken long, and a word may be missing
        with open_output(settings.output) as stream:
            write_vectors(vectors, stream, settings.format)
    answers = [(word, vectors.neighbours(word, settings.k)) for word in settings.neighbours]
    answers += [(text, vectors.analogy(text, settings.k)) for text in settings.analogies]
    log.info("%s: %s vectors of size %d", vectors.name, f"{len(vectors.words):,}", vectors.values.shape[1])
    with open_output(None) as stream:
        for query, nearest in answers:
            stream.writelines(f"{query}\t{word}\t{cosine:.4f}\n".encode() for word, cosine in nearest)
    return 0


def _check(settings: EmbeddingsCommand) -> None:
    """Report everything that is wrong with the settings in one line."""
    problems = []
    if [settings.checkpoint, settings.corpus, settings.vectors].count(None) != 2:
        problems.append("one of checkpoint, corpus and vectors must be given, and only one")
    if not (settings.neighbours or settings.analogies or settings.output):
        problems.append("neighbours, analogies or output must be given: say what to do with the vectors")
    problems += config_problems(*(partial(parse_analogy, text) for text in settings.analogies))
    if problems:
        raise ConfigError("; ".join(problems))
    checkpoints = [] if settings.checkpoint is None else [settings.checkpoint]
    for output in {settings.output, None}:
        check_output(output, read=read_files(vectors=settings.vectors), checkpoints=checkpoints)


def _vectors(settings: EmbeddingsCommand) -> WordVectors:
    """Read or learn the vectors."""
    if settings.checkpoint is not None:
        return _of_checkpoint(settings.checkpoint, settings.side)
    if settings.corpus is not None:
        directory = Path(settings.corpus)
        spec = Word2VecSpec(
            settings.method, settings.dim, settings.window, settings.epochs, settings.seed, settings.threads
        )
        corpus = PreparedCorpus(directory, read_manifest(directory).fingerprint)
        return learn_vectors(corpus, settings.side, spec=spec)
    assert settings.vectors is not None, "see _check"
    return read_vectors(Path(settings.vectors))


def _of_checkpoint(checkpoint: str, side: Side) -> WordVectors:
    """Return the embeddings of all subwords but PAD."""
    # imported here because vectors of a file or a corpus need no torch
    from nmt.search.loading import load_checkpoint
    from nmt.training.pretrained_embeddings import embedding_of

    loaded = load_checkpoint(checkpoint)
    subword = loaded.src_subword if side == Side.src else loaded.tgt_subword
    values = embedding_of(loaded.model, side).detach().numpy()
    return WordVectors(subword.pieces[1:], values[1:], f"{checkpoint} ({side})")
