"""Sentences to show: of different lengths, and short enough for a picture."""

from collections.abc import Sequence

from nmt.text.parallel import SentencePair
from nmt.text.subword import SubwordModel


def choose_examples(
    pairs: Sequence[SentencePair], src_subword: SubwordModel, *, number: int, max_subwords: int
) -> list[SentencePair]:
    """Choose pairs from the shortest to the longest source of at most `max_subwords`, at equal distances in rank.

    A single one has the median length. Pairs with a blank side are left out.
    """
    whole = [pair for pair in pairs if pair.src.strip() and pair.tgt.strip()]
    lengths = map(len, src_subword.encode_batch([pair.src for pair in whole]))
    short = [(length, pair) for length, pair in zip(lengths, whole, strict=True) if length <= max_subwords]
    short.sort(key=lambda item: item[0])  # stable: of equal lengths the first
    number = min(number, len(short))
    return [short[(2 * index + 1) * len(short) // (2 * number)][1] for index in range(number)]
