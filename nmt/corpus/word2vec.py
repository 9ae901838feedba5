"""Skip-gram and CBOW vectors (Mikolov et al. 2013) of the subwords of a prepared corpus, learned by gensim."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from nmt.choices import Side, VectorMethod
from nmt.corpus.binarized import BinarizedCorpus
from nmt.corpus.prepare import PreparedCorpus
from nmt.errors import ConfigError
from nmt.text.word_vectors import WordVectors

log = logging.getLogger(__name__)


class Word2VecSpec(NamedTuple):
    """How vectors are learned; one thread gives the same vectors each time.

    Attributes:
        window: the largest distance of two subwords of one context.
    """

    method: VectorMethod
    dim: int
    window: int
    epochs: int
    seed: int
    threads: int


def learn_vectors(corpus: PreparedCorpus, side: Side, *, spec: Word2VecSpec) -> WordVectors:
    """Learn vectors of all subwords that occur on one side of the training text, the most frequent first.

    What `spec` does not say has gensim's defaults, which are those of Mikolov's tool.

    Raises:
        ConfigError: if gensim is not installed.
    """
    word2vec = _import_word2vec()
    src_subword, tgt_subword = corpus.subwords()
    pieces = (src_subword if side == Side.src else tgt_subword).pieces
    sentences = _Sentences(corpus.open("train"), side, pieces)
    log.info(
        "learning %s vectors of size %d from %s sentences in %d passes",
        spec.method,
        spec.dim,
        f"{sentences.corpus.num_pairs:,}",
        spec.epochs,
    )
    learned = word2vec(
        sentences,
        sg=int(spec.method == VectorMethod.skip_gram),
        vector_size=spec.dim,
        window=spec.window,
        epochs=spec.epochs,
        seed=spec.seed,
        workers=spec.threads,
        min_count=1,  # a subword is never rare: gensim's default of 5 is for words
    )
    return WordVectors(learned.wv.index_to_key, learned.wv.vectors, f"{corpus.directory} ({side})")


def _import_word2vec() -> Any:
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise ConfigError(
            "learning word vectors needs gensim, which is not installed: pip install gensim, or install nmt with its "
            "extra 'embeddings'"
        ) from None
    return Word2Vec


@dataclass
class _Sentences:
    """One side of a corpus as lists of subwords, read once per epoch."""

    corpus: BinarizedCorpus
    side: Side
    pieces: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        ids_of = self.corpus.src if self.side == Side.src else self.corpus.tgt
        for number in range(self.corpus.num_pairs):
            yield [self.pieces[i] for i in ids_of(number).tolist()]
