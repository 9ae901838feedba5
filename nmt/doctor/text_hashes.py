"""Hashes of the pairs of a split, exact and normalized, from which copies are found without keeping any text.

Normalized texts are equal if they differ only in case, punctuation, symbols, spaces, or in how a character is encoded.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from nmt.doctor.blocks import Block

Hashes = NDArray[np.uint64]


@dataclass
class TextHashes:
    """The hashes of each pair, of each normalized pair, and of its normalized sides, as parts of successive pairs."""

    pair: list[Hashes] = field(default_factory=list)
    normalized_pair: list[Hashes] = field(default_factory=list)
    normalized_src: list[Hashes] = field(default_factory=list)
    normalized_tgt: list[Hashes] = field(default_factory=list)

    def add(self, block: Block) -> None:
        src, tgt = ([normalized(line) for line in lines] for lines in (block.src, block.tgt))
        self.pair.append(_hashes(list(map("\n".join, zip(block.src, block.tgt, strict=True)))))
        self.normalized_pair.append(_hashes(list(map("\n".join, zip(src, tgt, strict=True)))))
        self.normalized_src.append(_hashes(src))
        self.normalized_tgt.append(_hashes(tgt))


def joined(parts: Sequence[Hashes]) -> Hashes:
    return np.concatenate([np.empty(0, np.uint64), *parts])


def normalized(text: str) -> str:
    """Return a text without case, punctuation and extra spaces; one that has nothing else stays as it is."""
    words = unicodedata.normalize("NFKC", text).casefold().translate(_WITHOUT_PUNCTUATION).split()
    return " ".join(words) or text.strip()


class _WithoutPunctuation(dict[int, str]):
    """The characters so far, for str.translate: punctuation and symbols become spaces."""

    def __missing__(self, code: int) -> str:
        self[code] = character = " " if unicodedata.category(chr(code))[0] in "PS" else chr(code)
        return character


_WITHOUT_PUNCTUATION = _WithoutPunctuation()


def _hashes(texts: Sequence[str]) -> Hashes:
    return np.fromiter((xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts), np.uint64)
