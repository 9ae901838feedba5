"""Normalization: how the characters of a text change before it is segmented.

    nmt_nfkc  SentencePiece's own rule: NFKC, one kind of space, no control characters. Characters that look alike
              become equal, which helps with a source; a target would lose its `²`, `…` and full-width punctuation.
    nfc       Characters as they were written, canonically composed; every run of spaces (U+0020) becomes one.
    nfd       The same, decomposed: a Hangul syllable becomes its letters, and an accent a character of its own, which
              helps a model of characters. Translations are composed again.
    identity  Text as it was written.

SentencePiece applies its own rules. NFC and NFD are applied before, by Python; NFC leaves composed text unchanged.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import takewhile
from typing import Literal, NamedTuple

from nmt.choices import Normalization

FORMS: Mapping[Normalization | None, Literal["NFC", "NFD"]] = {Normalization.nfc: "NFC", Normalization.nfd: "NFD"}


def canonical(text: str, normalization: Normalization | None) -> str:
    """Compose or decompose (Unicode Standard Annex 15), and replace SentencePiece's space marker "▁" by a space.

    Under other rules than `nfc` and `nfd` the text is unchanged.
    """
    form = FORMS.get(normalization)
    return text if form is None else unicodedata.normalize(form, text).replace("▁", " ")


def rule_name(normalization: Normalization) -> str:
    """Return the name of SentencePiece's rule for what it has to do."""
    return str(Normalization.identity if normalization in FORMS else normalization)


class StandaloneNormalizer:
    """A normalization without a subword model, for use before there is one."""

    def __init__(self, normalization: Normalization, *, one_space: bool) -> None:
        """Choose the rule.

        Args:
            one_space: replace runs of spaces by one, and strip spaces at both ends.
        """
        from sentencepiece import SentencePieceNormalizer

        self._normalization = normalization
        self._normalizer = SentencePieceNormalizer(
            rule_name=rule_name(normalization),
            add_dummy_prefix=True,
            escape_whitespaces=True,
            remove_extra_whitespaces=one_space,
        )

    def __call__(self, text: str) -> str:
        normalized: str = self._normalizer.normalize(canonical(text, self._normalization))
        return normalized.removeprefix("▁").replace("▁", " ")

    def put_into(self, proto: bytes) -> bytes:
        """Make this the normalization of a serialized SentencePiece model.

        Protobuf parses concatenated messages as one, in which later fields replace earlier ones, and SentencePiece
        serializes a normalizer as a model that holds nothing else.
        """
        normalizer: bytes = self._normalizer.serialized_model_proto()
        return proto + normalizer


class NormalizationReport(NamedTuple):
    """How a normalization changed a text; spaces (U+0020) are not counted."""

    num_characters: int
    num_changed: int
    characters: set[str]  # after normalization


def report_normalization(lines: Iterable[str], normalize: Callable[[str], str]) -> NormalizationReport:
    """Count the characters that `normalize` changes; it is called once for each distinct word."""
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
            num_changed += count * (sum(map(is_changed_alone, word)) or _len_of_change(word, normalized))
    characters.discard(" ")
    return NormalizationReport(sum(len(word) * count for word, count in words.items()), num_changed, characters)


def _len_of_change(before: str, after: str) -> int:
    """Count the characters of `before` between the common prefix and the common suffix: at least one."""
    prefix = _len_of_prefix(before, after)
    before, after = before[prefix:], after[prefix:]
    return max(1, len(before) - _len_of_prefix(before[::-1], after[::-1]))


def _len_of_prefix(first: str, second: str) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False)))
