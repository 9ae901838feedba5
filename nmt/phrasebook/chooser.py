"""Random choices."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def weighted(**weights: int) -> tuple[str, ...]:
    """Repeat each word by its weight, to choose from; underscores become spaces."""
    return tuple(word.replace("_", " ") for word, weight in weights.items() for _ in range(weight))


class Chooser:
    """Makes random choices only with `random()`, whose sequence Python guarantees for a seed."""

    def __init__(self, rng: random.Random) -> None:
        self.fraction = rng.random  # uniform in [0, 1)

    def chance(self, probability: float) -> bool:
        """Return true with this probability."""
        return self.fraction() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Choose an item; each has the same probability."""
        return choices[int(self.fraction() * len(choices))]

    def below(self, limit: int) -> int:
        """Choose a number from 0 to `limit` - 1; each has the same probability."""
        return int(self.fraction() * limit)

    def number(self, low: int, high: int) -> int:
        """Choose a number between these two, log-uniformly: small ones are frequent."""
        return min(high, int(low * ((high + 1) / low) ** self.fraction()))
