"""What is compared: checkouts and settings."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.processes import BenchError

T = TypeVar("T")
THIS_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Contender:
    """A checkout with settings of nmt (KEY=VALUE)."""

    name: str
    checkout: Path
    settings: tuple[str, ...]


def key_of(word: str) -> str:
    return word.partition("=")[0]


def value_of(words: Sequence[str], key: str, default: str) -> str:
    """Return the value of a setting among words KEY=VALUE; the last one counts."""
    return next((word.partition("=")[2] for word in reversed(words) if key_of(word) == key), default)


def contenders(settings: Sequence[str], *, against: Sequence[Path], compare: Sequence[str]) -> list[Contender]:
    """Combine this checkout and those that it is compared with, and each value of each setting to compare.

    Args:
        compare: words KEY=A,B,C: each value makes a contender, combined with those of the other words.
    """
    for word in (*settings, *compare):
        if "=" not in word:
            raise BenchError(f"settings must be KEY=VALUE, but one is {word!r} (scripts/bench --help)")
    for path in against:
        if not (path / "nmt" / "__init__.py").exists():
            raise BenchError(f"--against must name a checkout of nmt, but {path} has no nmt/__init__.py")
    choices = [[f"{key_of(word)}={value}" for value in word.partition("=")[2].split(",")] for word in compare]
    made = []
    checkouts = {"this checkout" if against else "": THIS_CHECKOUT, **{str(path): path.resolve() for path in against}}
    for (name, checkout), chosen in itertools.product(checkouts.items(), itertools.product(*choices)):
        made.append(Contender(" ".join([name, *chosen]).strip() or "nmt", checkout, (*settings, *chosen)))
    return made


def alternate(actions: Mapping[str, Callable[[], T]], repeats: int) -> Iterator[tuple[str, T]]:
    """Run all actions `repeats` times: A B, B A, A B, …, so that a slow minute affects all of them alike."""
    for repeat in range(repeats):
        names = list(actions) if repeat % 2 == 0 else list(actions)[::-1]
        for name in names:
            yield name, actions[name]()
