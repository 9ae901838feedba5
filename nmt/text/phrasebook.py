"""The built-in corpus: English and French drawn from a seeded grammar of our own, so that nothing is downloaded.

It is true French of some difficulty: words change their order, agree, elide and contract. The English determines the
French: no coin is tossed that the source does not show, so that a perfect translation exists. Each pair names the
phenomena that it exhibits, for scores by phenomenon.
"""

import random
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from nmt.errors import DataError
from nmt.text.phrasebook_grammar import PHENOMENA
from nmt.text.phrasebook_scenes import Scenes

__all__ = ["GENERATOR_VERSION", "PHENOMENA", "PhrasePair", "Split", "generate"]

GENERATOR_VERSION = 1  # raise it when the grammar changes what a seed yields
Split = Literal["train", "dev", "test"]
MIN_WORDS, MAX_WORDS = 3, 30
# Its own text alone puts an English sentence into a split, whatever the seed. A whole tenth for each of test and dev
# keeps the drawing of a test set cheap: only nine draws of ten are thrown away.
_TENTHS: tuple[Split, ...] = ("test", "dev", *("train",) * 8)
_MAX_VAIN_DRAWS = 100_000


class PhrasePair(NamedTuple):
    """An English sentence, its French translation and what the French exhibits."""

    src: str
    tgt: str
    phenomena: frozenset[str]


def split_of(src: str) -> Split:
    """Assign an English sentence to its split."""
    return _TENTHS[zlib.crc32(src.lower().encode()) % 10]


def generate(split: Split, num_pairs: int, *, seed: int) -> Iterator[PhrasePair]:
    """Yield different pairs of one split; more pairs from the same seed begin with the same ones.

    Raises:
        DataError: the grammar does not yield as many different sentences.
    """
    scenes = Scenes(random.Random(f"phrasebook {split} {seed}"))
    seen: set[str] = set()
    sets: dict[int, frozenset[str]] = {}
    vain_draws = 0
    while len(seen) < num_pairs:
        phrase = scenes.sentence()
        vain_draws += 1
        if vain_draws > _MAX_VAIN_DRAWS:
            raise DataError(
                f"the phrasebook must yield {num_pairs} different {split} pairs, but found no new one after {len(seen)}"
                ": ask for fewer pairs"
            )
        if split_of(phrase.en) != split or phrase.en in seen or not _fits(phrase.en) or not _fits(phrase.fr):
            continue
        vain_draws = 0
        seen.add(phrase.en)
        if phrase.bits not in sets:
            sets[phrase.bits] = frozenset(name for index, name in enumerate(PHENOMENA) if phrase.bits >> index & 1)
        yield PhrasePair(phrase.en, phrase.fr, sets[phrase.bits])


def _fits(text: str) -> bool:
    return MIN_WORDS <= text.count(" ") + 1 <= MAX_WORDS
