"""Words and the ids that they have: what is segmented once is looked up from then on."""

from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NUM_CACHED_WORDS = 1 << 18
# One by one takes SentencePiece twice as long; the lists of many more would keep the garbage collector busy.
_NUM_WORDS_AT_ONCE = 256


class EncodedTexts(NamedTuple):
    """The ids of N texts, one after the other, and the number of ids of each."""

    ids: NDArray[np.int32]
    len_N: NDArray[np.int32]


class WordTable(dict[str, int]):
    """The words met so far: word -> its number, by which `encode` finds its ids. Not for several threads at once."""

    def __init__(self, encode_words: Callable[[list[str]], list[list[int]]]) -> None:
        super().__init__()
        self._encode_words = encode_words
        self._forget()

    def _forget(self) -> None:
        self.clear()
        self._new: list[str] = []  # words that have a number, but no ids yet
        # Word 0 is no word and has no ids: numpy cannot look into an empty array.
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

    def encode(self, words: list[str], num_words_N: list[int]) -> EncodedTexts:
        """Return the ids of N texts that are `words` one after the other, so and so many for each."""
        if len(self) > _NUM_CACHED_WORDS:
            self._forget()
        try:
            index_W = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
            self._learn()
        except BaseException:  # a word must not be known without its ids
            self._forget()
            raise
        len_W = np.frombuffer(self._len, np.int32)[index_W]
        end_W = np.cumsum(len_W, dtype=np.int64)
        # id k of a word stands k after the word's offset in the table, and k after the word's beginning in the result
        shift_W = np.frombuffer(self._offset, np.int64)[index_W] - (end_W - len_W)
        ids = np.frombuffer(self._ids, np.int32)[np.repeat(shift_W, len_W) + np.arange(len_W.sum())]
        last_word_N = np.cumsum(num_words_N, dtype=np.int64)
        end_N = np.concatenate(([0], end_W))[last_word_N]
        return EncodedTexts(ids, np.diff(end_N, prepend=0).astype(np.int32))
