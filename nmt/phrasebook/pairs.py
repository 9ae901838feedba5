"""Sentence pairs: each belongs to one split, and lists the phenomena that it exhibits."""

import random
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from nmt.choices import Generator
from nmt.errors import DataError
from nmt.phrasebook.long_sentences import LongSentences
from nmt.phrasebook.phrases import PHENOMENA, Phrase
from nmt.phrasebook.sentences import Sentences

GENERATOR_VERSION = 1  # raise it when a seed yields different sentences than before
Split = Literal["train", "dev", "test"]
# Only the text of an English sentence decides its split, for any seed. Test and dev get a tenth each, so that nine of
# ten sentences are discarded when one of these is generated.
_TENTHS: tuple[Split, ...] = ("test", "dev", *("train",) * 8)
_MAX_FAILED_ATTEMPTS = 100_000


class _Grammar(NamedTuple):
    """What chooses the sentences of a corpus, and the range of their words in both languages."""

    sentences: type[Sentences | LongSentences]
    min_words: int
    max_words: int

    def fits(self, phrase: Phrase) -> bool:
        return all(self.min_words <= text.count(" ") + 1 <= self.max_words for text in (phrase.en, phrase.fr))


_GRAMMARS = {
    Generator.phrasebook: _Grammar(Sentences, 3, 30),
    Generator.phrasebook_long: _Grammar(LongSentences, 8, 40),
}


class PhrasePair(NamedTuple):
    """An English sentence, its French translation and what the French exhibits."""

    src: str
    tgt: str
    phenomena: frozenset[str]


def split_of(src: str) -> Split:
    """Assign an English sentence to its split."""
    return _TENTHS[zlib.crc32(src.lower().encode()) % 10]


def generate(
    split: Split, num_pairs: int, *, seed: int, generator: Generator = Generator.phrasebook
) -> Iterator[PhrasePair]:
    """Yield distinct pairs of one split; a larger number of pairs from the same seed begins with the same ones.

    Raises:
        DataError: if the grammar does not yield that many distinct sentences.
    """
    grammar = _GRAMMARS[generator]
    sentences = grammar.sentences(random.Random(f"{generator} {split} {seed}"))
    seen: set[str] = set()
    sets: dict[int, frozenset[str]] = {}
    failed_attempts = 0
    while len(seen) < num_pairs:
        phrase = sentences.sentence()
        failed_attempts += 1
        if failed_attempts > _MAX_FAILED_ATTEMPTS:
            raise DataError(
                f"the phrasebook must yield {num_pairs} different {split} pairs, but found no new one after {len(seen)}"
                ": ask for fewer pairs"
            )
        if split_of(phrase.en) != split or phrase.en in seen or not grammar.fits(phrase):
            continue
        failed_attempts = 0
        seen.add(phrase.en)
        if phrase.bits not in sets:
            sets[phrase.bits] = frozenset(name for index, name in enumerate(PHENOMENA) if phrase.bits >> index & 1)
        yield PhrasePair(phrase.en, phrase.fr, sets[phrase.bits])
