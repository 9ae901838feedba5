"""Text for the tests of nmt doctor: made-up sentences, some with a planted fault."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmt.commands.compose import compose_settings, to_settings
from nmt.commands.paths import quote_paths
from nmt.doctor.blocks import Block
from tests.commands import CHIFFRES, DIGITS

Pairs = list[tuple[str, str]]


def number_pairs(count: int, *, seed: int = 1, shortest: int = 3, longest: int = 9) -> Pairs:
    """Return pairs of English and French digits, in the same order on both sides."""
    numbers = random.Random(seed)
    rows = [[numbers.randrange(10) for _ in range(numbers.randint(shortest, longest))] for _ in range(count)]
    return [
        (" ".join(DIGITS[digit] for digit in row).capitalize(), " ".join(CHIFFRES[digit] for digit in row).capitalize())
        for row in rows
    ]


def block(pairs: Pairs, *, split: str = "train", first_line: int = 1) -> Block:
    return Block(
        split,
        Path(f"{split}.en"),
        Path(f"{split}.fr"),
        first_line,
        [src for src, _ in pairs],
        [tgt for _, tgt in pairs],
    )


def write_pairs(folder: Path, split: str, pairs: Pairs) -> None:
    for number, lang in enumerate(("en", "fr")):
        (folder / f"{split}.{lang}").write_text("".join(f"{pair[number]}\n" for pair in pairs), encoding="utf-8")


def composed(command: str, overrides: Sequence[str]) -> Any:
    """Return the settings of a command line."""
    return to_settings(compose_settings(command, quote_paths(command, overrides)))[0]
