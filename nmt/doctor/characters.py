"""The characters of each side: scripts, capitals, signs of a wrong encoding, and what the training text lacks."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from nmt.doctor.blocks import SIDES, Block
from nmt.doctor.finding import Finding, finding, grade, share, show_share

_LETTERS = ("Lu", "Ll", "Lt", "Lo")
_NUM_NAMED = 10


@dataclass(frozen=True)
class SideCharacters:
    """The characters of one side of a split.

    Attributes:
        scripts: the share of each script of Unicode in the letters, the greatest first.
        num_misread: characters that text read in a wrong encoding has: U+FFFD and control characters.
        num_new: characters that are not in the training text, both normalized; `new` are the most frequent ones.
    """

    num_characters: int
    scripts: dict[str, float]
    num_misread: int
    num_new: int
    new: list[str]


@dataclass(frozen=True)
class Characters:
    splits: dict[str, dict[str, SideCharacters]]
    findings: list[Finding]


@dataclass
class CharacterCounts:
    """The characters of a split, spaces included, by side; those of the sides `composed` in canonical composition."""

    composed: Collection[str]
    sides: dict[str, Counter[str]] = field(default_factory=lambda: {side: Counter() for side in SIDES})

    def add(self, block: Block) -> None:
        for side, counts in self.sides.items():
            lines = block.side(side)
            counts.update("".join(map(_composed, lines) if side in self.composed else lines))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@cache
def script_of(character: str) -> str | None:
    """Return the script of a letter by its Unicode name, such as LATIN, and None for other characters."""
    if unicodedata.category(character) not in _LETTERS:
        return None
    usual = unicodedata.normalize("NFKC", character)[0]  # of ª, µ, ﬁ and full-width letters
    return unicodedata.name(usual, "UNKNOWN").partition(" ")[0]


def scripts(counts: Counter[str]) -> dict[str, float]:
    """Return the share of each script in the letters, the greatest first."""
    letters: Counter[str] = Counter()
    for character, count in counts.items():
        if (script := script_of(character)) is not None:
            letters[script] += count
    return {script: round(count / letters.total(), 6) for script, count in letters.most_common()}


def characters(counts: dict[str, CharacterCounts], normalize: Mapping[str, Callable[[str], str]]) -> Characters:
    """Put the splits together and say what is wrong.

    Args:
        normalize: the normalization of each side, which decides whether a character is new.
    """
    known = {side: {*"".join(map(normalize[side], counts["train"].sides[side]))} for side in SIDES}
    splits = {
        split: {side: _side(of_split.sides[side], known=known[side], normalize=normalize[side]) for side in SIDES}
        for split, of_split in counts.items()
    }
    sides = [(split, side, found) for split, of_split in splits.items() for side, found in of_split.items()]
    return Characters(splits, [line for side in sides for line in _findings(*side)])


def _side(counts: Counter[str], *, known: set[str], normalize: Callable[[str], str]) -> SideCharacters:
    new = Counter({text: count for text, count in counts.items() if not known.issuperset(normalize(text))})
    return SideCharacters(
        num_characters=counts.total(),
        scripts=scripts(counts),
        num_misread=sum(count for character, count in counts.items() if _is_misread(character)),
        num_new=new.total(),
        new=[_shown(character) for character, _ in new.most_common(_NUM_NAMED)],
    )


def _is_misread(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) == "Cc" and character != "\t")


def _shown(character: str) -> str:
    return f"{character if character.isprintable() else ''} U+{ord(character):04X}".strip()


def _findings(split: str, side: str, found: SideCharacters) -> Iterable[Finding]:
    if found.num_misread:
        yield finding(
            grade(share(found.num_misread, found.num_characters), notice=0, warning=1e-4),
            f"{split} {side}: {show_share(found.num_misread, found.num_characters)} characters are control characters "
            "or U+FFFD",
            "convert the text from its original encoding again (iconv -f ENCODING -t UTF-8)",
        )
    if found.num_new:
        yield finding(
            grade(share(found.num_new, found.num_characters), notice=0, warning=0.01),
            f"{split} {side}: {show_share(found.num_new, found.num_characters)} characters are not in the training "
            f"text: {', '.join(found.new)}",
            "check that both texts were made in the same way; such characters are unknown to the model",
        )
