"""What happens to the characters of a text before it is segmented.

    nmt_nfkc  SentencePiece's own rule: NFKC, one kind of space, no control characters. What looks alike is read alike,
              which suits a source; a target would lose its `²`, its `…` and its full-width punctuation for good.
    nfc       Characters as they were written, canonically composed; every run of spaces (U+0020) is one.
    identity  Text as it was written.

SentencePiece applies its own rules itself. NFC is Python's, and is done before; it changes no text that is composed.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import takewhile
from typing import Literal, NamedTuple

Normalization = Literal["nmt_nfkc", "nfc", "identity"]


def nfc(text: str) -> str:
    """Compose canonically (Unicode Standard Annex 15); SentencePiece's mark of the space is a space."""
    return unicodedata.normalize("NFC", text).replace("▁", " ")


def rule_name(normalization: Normalization) -> str:
    """Return what of a normalization is left to SentencePiece."""
    return "identity" if normalization == "nfc" else normalization


class NormalizedAlone:
    """A normalization without a subword model, as it is needed before there is one."""

    def __init__(self, normalization: Normalization, *, one_space: bool) -> None:
        """Choose the rule; `one_space`: runs of spaces become one, and none is left at the ends."""
        from sentencepiece import SentencePieceNormalizer

        self._is_nfc = normalization == "nfc"
        self._normalizer = SentencePieceNormalizer(
            rule_name=rule_name(normalization),
            add_dummy_prefix=True,
            escape_whitespaces=True,
            remove_extra_whitespaces=one_space,
        )

    def __call__(self, text: str) -> str:
        normalized: str = self._normalizer.normalize(nfc(text) if self._is_nfc else text)
        return normalized.removeprefix("▁").replace("▁", " ")

    def put_into(self, proto: bytes) -> bytes:
        """Make this the normalization of a serialized SentencePiece model.

        Of serialized messages one behind the other, protobuf makes one in which the later fields take the place of
        the earlier ones; SentencePiece serializes its normalizers as models with nothing else.
        """
        normalizer: bytes = self._normalizer.serialized_model_proto()
        return proto + normalizer


class NormalizationReport(NamedTuple):
    """What a normalization did to a text, spaces (U+0020) left out."""

    num_characters: int
    num_changed: int
    characters: set[str]  # those that are left


def report_normalization(lines: Iterable[str], normalize: Callable[[str], str]) -> NormalizationReport:
    """Count the characters that `normalize` changes; it sees words, most of which come again and again."""
    words: Counter[str] = Counter()
    for line in lines:
        words.update(line.split(" "))
    is_changed_alone = cache(lambda character: normalize(character) != character)
    num_changed = 0
    characters: set[str] = set()
    for word, count in words.items():
        normalized = normalize(word)
        characters.update(normalized)
        if normalized != word:
            num_changed += count * (sum(map(is_changed_alone, word)) or _len_of_difference(word, normalized))
    characters.discard(" ")
    return NormalizationReport(sum(len(word) * count for word, count in words.items()), num_changed, characters)


def _len_of_difference(before: str, after: str) -> int:
    """Count the characters of `before` between what both begin with and what both end with: at least one."""
    prefix = _len_in_common(before, after)
    before, after = before[prefix:], after[prefix:]
    return max(1, len(before) - _len_in_common(before[::-1], after[::-1]))


def _len_in_common(first: str, second: str) -> int:
    """Count the characters that both begin with."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False)))
