"""Word vectors: nearest neighbours and analogies by cosine.

The words may be subwords, in which "▁" marks the beginning of a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError

WORD_START = "▁"  # SentencePiece's


class Neighbour(NamedTuple):
    """A word, and the cosine of its vector and that of the query."""

    word: str
    cosine: float


def parse_analogy(text: str) -> tuple[str, ...]:
    """Split an analogy into its three words.

    Raises:
        ConfigError: if it is not written `a:b::c`.
    """
    words = re.fullmatch(r"(.+?):(.+?)::(.+)", text)
    if words is None:
        raise ConfigError(f"an analogy must have the form man:king::woman, but is {text!r}")
    return words.groups()


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors, one row each.

    Attributes:
        name: of the file or checkpoint, for messages.
    """

    words: Sequence[str]
    values: NDArray[np.float32]
    name: str

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _unit(self) -> NDArray[np.float32]:
        """All vectors, scaled to length 1."""
        return _to_unit(self.values)

    def neighbours(self, word: str, k: int) -> list[Neighbour]:
        """Return the k words with the largest cosine to a word, without the word itself.

        Raises:
            ConfigError: if the word has no vector.
        """
        [row] = self._find([word])
        return self._nearest(self._unit[row], k, without=[row])

    def analogy(self, text: str, k: int) -> list[Neighbour]:
        """Answer "a is to b as c is to what?", written `a:b::c`: the words nearest to b - a + c, without these three.

        The three vectors have length 1 (Mikolov, Yih & Zweig 2013, §4; 3CosAdd in Levy & Goldberg 2014).

        Raises:
            ConfigError: if the text has another form, or a word has no vector.
        """
        rows = self._find(parse_analogy(text))
        a, b, c = self._unit[rows]
        return self._nearest(_to_unit(b - a + c), k, without=rows)

    def _find(self, words: Sequence[str]) -> list[int]:
        """Find the row of each word: that of a subword that begins a word, or else of the word as it is written."""
        rows = [self.row_of.get(WORD_START + word, self.row_of.get(word)) for word in words]
        if missing := [word for word, row in zip(words, rows, strict=True) if row is None]:
            raise ConfigError(
                f"{self.name} has no vector of {', '.join(map(repr, missing))}: name words that are a single subword "
                "there (output=FILE lists all)"
            )
        return [row for row in rows if row is not None]

    def _nearest(self, unit: NDArray[np.float32], k: int, *, without: Sequence[int]) -> list[Neighbour]:
        cosines = self._unit @ unit
        cosines[list(without)] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(k, len(cosines) - len(set(without)))]
        return [Neighbour(self.words[row], float(cosines[row])) for row in best.tolist()]


def _to_unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors to length 1; a vector of zeros stays."""
    lengths: NDArray[np.float32] = np.linalg.norm(values, axis=-1, keepdims=True)
    lengths[lengths == 0] = 1
    return values / lengths
