"""Random segmentations: other subwords of the same text.

BPE dropout (Provilkov et al. 2020) for BPE, and sampling from all segmentations (Kudo 2018, l = ∞) for unigram models.
All randomness comes from numpy, since SentencePiece's is another in each process.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nmt.choices import SubwordKind
from nmt.text.rows import row_offsets, sum_rows, take_rows
from nmt.text.sentencepiece_proto import ParsedModel, PieceType
from nmt.text.word_table import EncodedTexts

Symbols = tuple[int, ...]
Words = NDArray[np.int32]  # words of one length, a row of symbols or of subwords each

_SPACE = "▁"
_NOTHING = -1  # fills up a row that has fewer subwords than symbols


def can_sample(model: ParsedModel) -> bool:
    """Return whether texts of a model may be segmented at random: the kind allows it, and no piece spans words."""
    return model.kind in (SubwordKind.bpe, SubwordKind.unigram) and all(
        piece.text.rfind(_SPACE) <= 0 for piece in model.pieces
    )


class RandomSegmenter:
    """Segments texts at random, with a model for which `can_sample` is true.

    Words are divided into symbols, then joined again to other subwords. A symbol is the id of a character, or one that
    is never divided: of a byte, a user-defined symbol or an unknown character.
    """

    def __init__(self, model: ParsedModel, ids: Sequence[int], *, alpha: float) -> None:
        """Choose the model.

        Args:
            ids: our id of each piece of the model.
            alpha: p of `BpeDropout`, α of `UnigramSampling`.
        """
        pieces = dict(zip(ids, model.pieces, strict=True))
        normal = {i: piece.text for i, piece in pieces.items() if piece.type == PieceType.normal}
        characters = {text: i for i, text in normal.items() if len(text) == 1}
        symbols: list[Symbols] = [(i,) for i in range(1 + max(ids))]
        for i, text in normal.items():
            if characters.keys() >= set(text):
                symbols[i] = tuple(characters[character] for character in text)
        subwords = {row: i for i, row in enumerate(symbols)}
        scores = {i: piece.score for i, piece in pieces.items()}
        self._segment: Callable[[Words, np.random.Generator], Words] = (
            BpeDropout(subwords, scores, p=alpha)
            if model.kind == SubwordKind.bpe
            else UnigramSampling(subwords, scores, alpha=alpha)
        )
        self._begins_word = np.zeros(len(symbols), np.bool_)
        self._begins_word[[i for i, piece in pieces.items() if piece.text.startswith(_SPACE)]] = True
        self._symbols = np.fromiter((symbol for row in symbols for symbol in row), np.int32)
        self._symbol_lens = np.fromiter(map(len, symbols), np.int32)
        self._symbol_offsets = row_offsets(self._symbol_lens)

    def __call__(self, texts: EncodedTexts, rng: np.random.Generator) -> EncodedTexts:
        """Return a random segmentation of each text; unknown characters stay unknown."""
        begins_word = self._begins_word[texts.ids]
        begins_word[row_offsets(texts.lens)[texts.lens > 0]] = True
        symbol_lens = self._symbol_lens[texts.ids]
        symbols = take_rows(self._symbols, self._symbol_offsets[texts.ids], symbol_lens)
        word_lens = np.add.reduceat(symbol_lens, np.flatnonzero(begins_word))
        word_offsets = row_offsets(word_lens)
        subwords = np.empty_like(symbols)
        for length in np.unique(word_lens).tolist():
            places = word_offsets[word_lens == length, None] + np.arange(length)
            subwords[places] = self._segment(symbols[places], rng)
        is_subword = subwords != _NOTHING
        lens = sum_rows(is_subword, sum_rows(symbol_lens, texts.lens))
        return EncodedTexts(subwords[is_subword], lens)


class BpeDropout:
    """Algorithm 1 of Provilkov et al. (2020).

    Of all merges that are possible, each is left out with probability p, and the best of the others is applied. Then
    all are tried again. A word is finished when no merge is possible or all are left out. With p = 0 this is BPE.
    """

    def __init__(self, subwords: Mapping[Symbols, int], scores: Mapping[int, float], *, p: float) -> None:
        """Take a vocabulary.

        Args:
            subwords: from symbols to the id of their subword.
            scores: by id; of two merges, the one whose result has the higher score is better.
        """
        self._p = p
        results = {
            (subwords[symbols[:place]], subwords[symbols[place:]]): i
            for symbols, i in subwords.items()
            for place in range(1, len(symbols))
            if symbols[:place] in subwords and symbols[place:] in subwords
        }
        best_first = sorted(set(results.values()), key=lambda i: -scores[i])
        ranks = {i: rank for rank, i in enumerate(best_first)}
        self._results = np.array(best_first, np.int32)  # by rank
        self._impossible = len(best_first)
        self._ranks = _PairTable({pair: ranks[i] for pair, i in results.items()}, default=self._impossible)

    def __call__(self, words: Words, rng: np.random.Generator) -> Words:
        """Merge the symbols of words; in each step, every word that is not finished becomes shorter by one."""
        segmented = np.full_like(words, _NOTHING)
        numbers = np.arange(len(words))
        while len(words):
            ranks = np.full(words.shape, self._impossible, np.int32)
            ranks[:, :-1] = self._ranks.find(words[:, :-1], words[:, 1:])
            ranks[rng.random(words.shape, dtype=np.float32) < self._p] = self._impossible
            places = ranks.argmin(axis=1)  # of equal ranks, the leftmost
            best = ranks[np.arange(len(words)), places]
            is_finished = best == self._impossible
            segmented[numbers[is_finished], : words.shape[1]] = words[is_finished]
            goes_on = ~is_finished
            numbers, words, places, best = numbers[goes_on], words[goes_on], places[goes_on], best[goes_on]
            columns = np.arange(words.shape[1] - 1)
            words = np.take_along_axis(words, columns + (columns > places[:, None]), axis=1)
            words[np.arange(len(words)), places] = self._results[best]
        return segmented


class UnigramSampling:
    """Samples segmentation x of a word with probability p(x)^α / Σ p(x')^α, the sum being over all segmentations.

    That is forward-filtering and backward-sampling (Kudo 2018, §3.4), with the directions exchanged.
    """

    def __init__(self, subwords: Mapping[Symbols, int], scores: Mapping[int, float], *, alpha: float) -> None:
        """Take a vocabulary.

        Args:
            subwords: from symbols to the id of their subword.
            scores: the log-probability of each id.
        """
        nodes: dict[Symbols, int] = {(): 1}  # of a trie: the beginnings of subwords; 0 is no node
        for symbols in subwords:
            for end in range(1, len(symbols) + 1):
                nodes.setdefault(symbols[:end], 1 + len(nodes))
        self._next = _PairTable({(nodes[row[:-1]], row[-1]): node for row, node in nodes.items() if row}, default=0)
        self._max_len = max(map(len, subwords))
        self._ids = np.full(1 + len(nodes), _NOTHING, np.int32)
        self._logs = np.full(1 + len(nodes), -np.inf)
        for symbols, i in subwords.items():
            self._ids[nodes[symbols]] = i
            self._logs[nodes[symbols]] = alpha * scores.get(i, 0.0)

    def __call__(self, words: Words, rng: np.random.Generator) -> Words:
        """Segment words."""
        nodes = self._nodes(words)
        max_len, num_words, num_symbols = nodes.shape
        # ln p(x)^α of each subword from each place, plus that of all segmentations of what follows
        logs = self._logs[nodes]
        log_sums = np.full((num_words, num_symbols + max_len), -np.inf)
        log_sums[:, num_symbols] = 0
        for place in reversed(range(num_symbols)):
            logs[:, :, place] += log_sums[:, place + 1 : place + 1 + max_len].T
            log_sums[:, place] = np.logaddexp.reduce(logs[:, :, place])
        limits = np.cumsum(np.exp(logs - log_sums[:, :num_symbols]), axis=0)
        # choose a subword for each place, then go from the first place to the end of its subword, and so on
        chosen = (limits <= rng.random(words.shape) * limits[-1]).sum(axis=0)
        is_begin = np.zeros((num_words, num_symbols + 1), np.bool_)
        is_begin[:, 0] = True
        for place in range(num_symbols):
            numbers = np.flatnonzero(is_begin[:, place])
            is_begin[numbers, place + 1 + chosen[numbers, place]] = True
        ids = self._ids[np.take_along_axis(nodes, chosen[None], axis=0)[0]]
        return np.where(is_begin[:, :-1], ids, _NOTHING)

    def _nodes(self, words: Words) -> NDArray[np.int32]:
        """Return the nodes of the symbols from each place, one more symbol in each row of the first axis."""
        num_symbols = words.shape[1]
        nodes = np.zeros((min(self._max_len, num_symbols), *words.shape), np.int32)
        nodes[0] = self._next.find(np.ones_like(words), words)
        for length in range(1, len(nodes)):
            rest = num_symbols - length
            nodes[length, :, :rest] = self._next.find(nodes[length - 1, :, :rest], words[:, length:])
        return nodes


class _PairTable:
    """A mapping from pairs of integers to integers, for arrays."""

    def __init__(self, values: Mapping[tuple[int, int], int], *, default: int) -> None:
        pairs = sorted(values)
        end = np.iinfo(np.int64).max  # found by what is greater than all pairs
        self._keys = np.array([*(left << 32 | right for left, right in pairs), end])
        self._values = np.array([*(values[pair] for pair in pairs), default], np.int32)
        self._default = default

    def find(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the values of the pairs that two arrays contain."""
        keys = left.astype(np.int64) << 32 | right
        places = np.searchsorted(self._keys, keys)
        return np.where(self._keys[places] == keys, self._values[places], self._default)
