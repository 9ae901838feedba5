"""Lines in the wrong script or language: foreign letters, mixed alphabets, untranslated sentences, swapped sides.

The languages are learned from the first block of the training text: the scripts of each side, and the words that one
side has often and the other hardly ever.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nmt.choices import Severity
from nmt.doctor.blocks import SIDES, Block
from nmt.doctor.characters import script_of, scripts
from nmt.doctor.finding import Finding, finding, grade, share, share_finding

_MAIN_SHARE = 0.05  # of the letters of a side: Japanese has several scripts
_LOOK_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK"})  # a word in two of them is mostly a mistake
_TYPICAL_SHARE = 0.005  # of the lines of its side
_TYPICAL_RATIO = 20  # as many times as frequent as on the other side
_MANY_TYPICAL = 3  # words of the other language make a line foreign, if it has none of its own
_WORD = re.compile(r"[^\W\d_]+")


@dataclass
class SideLanguages:
    """The lines of one side of a split.

    Attributes:
        num_foreign_script: lines with letters, but none of the scripts of this side.
        num_mixed_words: words with letters of two alphabets that look alike, such as Latin and Cyrillic.
        num_other_language: lines in the words of the other side.
    """

    num_foreign_script: int = 0
    num_mixed_words: int = 0
    num_other_language: int = 0


@dataclass
class SplitLanguages:
    """The lines of a split; `num_identical` pairs have a source that equals its target and contains letters."""

    num_pairs: int = 0
    num_identical: int = 0
    sides: dict[str, SideLanguages] = field(default_factory=lambda: {side: SideLanguages() for side in SIDES})


@dataclass(frozen=True)
class Languages:
    """`scripts` are those that the lines of a side may have."""

    scripts: dict[str, list[str]]
    splits: dict[str, SplitLanguages]
    findings: list[Finding]


@dataclass(frozen=True)
class _Language:
    scripts: frozenset[str]
    typical: frozenset[str]


class LanguageExamination:
    """Reads the blocks of all splits, the training text first."""

    def __init__(self) -> None:
        self._languages: dict[str, _Language] = {}
        self._splits: dict[str, SplitLanguages] = {}

    def add(self, block: Block) -> None:
        self._languages = self._languages or _learn(block)
        split = self._splits.setdefault(block.split, SplitLanguages())
        split.num_pairs += block.num_pairs
        for src, tgt in zip(block.src, block.tgt, strict=True):
            split.num_identical += src.strip() == tgt.strip() and any(map(str.isalpha, src))
        for side, other in zip(SIDES, reversed(SIDES), strict=True):
            own_language, other_language = self._languages[side], self._languages[other]
            for line in block.side(side):
                _count(line, split.sides[side], own_language, other_language)

    def result(self) -> Languages:
        """Say what is wrong, after all blocks have been added."""
        return Languages(
            {side: sorted(language.scripts) for side, language in self._languages.items()},
            self._splits,
            [line for split, found in self._splits.items() for line in _findings(split, found)],
        )


def _learn(block: Block) -> dict[str, _Language]:
    words = {side: Counter[str]() for side in SIDES}
    for side in SIDES:
        for line in block.side(side):
            words[side].update(set(line.lower().split()))
    least = max(_MANY_TYPICAL, _TYPICAL_SHARE * block.num_pairs)
    languages = {}
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        shares = scripts(Counter("".join(block.side(side))))
        typical = (
            word
            for word, count in words[side].items()
            if count >= least and count >= _TYPICAL_RATIO * words[other][word]
        )
        main = (script for script, of_letters in shares.items() if of_letters >= _MAIN_SHARE)
        languages[side] = _Language(frozenset(main), frozenset(typical))
    return languages


def _count(line: str, side: SideLanguages, own: _Language, other: _Language) -> None:
    found = {script_of(character) for character in set(line)} - {None}
    side.num_foreign_script += bool(found) and not found & own.scripts
    if len(found & _LOOK_ALIKE) > 1:
        side.num_mixed_words += sum(map(_is_mixed, _WORD.findall(line)))
    words = {*line.lower().split()}
    side.num_other_language += not words & own.typical and len(words & other.typical) >= _MANY_TYPICAL


def _is_mixed(word: str) -> bool:
    return len({script_of(character) for character in word} & _LOOK_ALIKE) > 1


def _findings(split: str, found: SplitLanguages) -> Sequence[Finding]:
    problems = []
    if found.num_identical:
        problems.append(
            share_finding(
                split,
                "sources equal their target",
                found.num_identical,
                found.num_pairs,
                notice=0.002,
                warning=0.05,
                advice="remove them if they are sentences that nobody translated",
            )
        )
    for name, side in found.sides.items():
        problems += _of_side(f"{split} {name}", side, found.num_pairs)
    return problems or [Finding(Severity.ok, f"{split}: one language and its scripts on each side")]


def _of_side(place: str, side: SideLanguages, num_pairs: int) -> list[Finding]:
    problems = []
    if side.num_foreign_script:
        what, advice = "lines are in another script", "remove them if they are in another language"
        problems.append(
            share_finding(place, what, side.num_foreign_script, num_pairs, notice=0.0005, warning=0.01, advice=advice)
        )
    if side.num_mixed_words:
        problems.append(
            finding(
                grade(share(side.num_mixed_words, num_pairs), notice=0.0005, warning=0.05),
                f"{place}: {side.num_mixed_words:,} words mix letters of Latin, Cyrillic or Greek that look alike",
                "replace the letters of the wrong alphabet",
            )
        )
    if side.num_other_language:
        is_swapped = 2 * side.num_other_language > num_pairs
        advice = "the sides are swapped: swap the files" if is_swapped else "remove these pairs, or swap their sides"
        what = "lines are in the other side's language"
        problems.append(
            share_finding(place, what, side.num_other_language, num_pairs, notice=0.0005, warning=0.01, advice=advice)
        )
    return problems
