"""A cache of words and their ids: each word is segmented once, then looked up."""

from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.text.rows import sum_rows, take_rows

_NUM_CACHED_WORDS = 1 << 18
# One by one takes SentencePiece twice as long; lists of many more would keep the garbage collector busy.
_NUM_WORDS_AT_ONCE = 256


class EncodedTexts(NamedTuple):
    """The ids of several texts, one after the other, and the number of ids of each text."""

    ids: NDArray[np.int32]
    lens: NDArray[np.int32]


class WordTable(dict[str, int]):
    """The words so far: word -> its number, by which `encode` finds its ids. Not thread-safe."""

    def __init__(self, encode_words: Callable[[list[str]], list[list[int]]]) -> None:
        super().__init__()
        self._encode_words = encode_words
        self._forget()

    def _forget(self) -> None:
        self.clear()
        self._new: list[str] = []  # words that have a number, but no ids yet
        # Word 0 is a placeholder without ids: numpy cannot index an empty array.
        self._offset, self._len, self._ids = array("q", [0]), array("i", [0]), array("i", [0])

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self._len) + len(self._new)
        self._new.append(word)
        return number

    def _learn(self) -> None:
        """Find the ids of the new words."""
        for begin in range(0, len(self._new), _NUM_WORDS_AT_ONCE):
            for ids in self._encode_words(self._new[begin : begin + _NUM_WORDS_AT_ONCE]):
                self._offset.append(len(self._ids))
                self._len.append(len(ids))
                self._ids.extend(ids)
        self._new = []

    def encode(self, words: list[str], num_words: list[int]) -> EncodedTexts:
        """Return the ids of several texts.

        Args:
            words: of all texts, one after the other.
            num_words: of each text.
        """
        if len(self) > _NUM_CACHED_WORDS:
            self._forget()
        try:
            numbers = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
            self._learn()
        except BaseException:  # no word may stay in the table without its ids
            self._forget()
            raise
        word_lens = np.frombuffer(self._len, np.int32)[numbers]
        offsets = np.frombuffer(self._offset, np.int64)[numbers]
        ids = take_rows(np.frombuffer(self._ids, np.int32), offsets, word_lens)
        return EncodedTexts(ids, sum_rows(word_lens, num_words))
