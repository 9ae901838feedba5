"""Which of several processes this one is, as torchrun describes it in the environment."""

import os
from typing import NamedTuple

from nmt.errors import ConfigError
from nmt.processors import num_processors


class Place(NamedTuple):
    """Which of several processes this one is; `local` counts those on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def threads(self) -> int:
        """The share of this process in the processors of the machine; torchrun's default is one thread."""
        return max(1, num_processors() // self.local_size)


def is_first() -> bool:
    """Return whether this process is the only one, or the first of several."""
    return not os.environ.get("WORLD_SIZE") or os.environ.get("RANK", "") in ("", "0")


def find_place() -> Place:
    """Read from the environment which process this is: the only one, unless torchrun has started several.

    Raises:
        ConfigError: if the environment contradicts itself.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [os.environ.get(name, "") for name in names]
    if not all(values[:2]):
        return Place()
    try:
        rank, size, local_rank, local_size = (int(value) for value in (*values[:2], *(v or "x" for v in values[2:])))
    except ValueError:
        raise ConfigError(
            f"{', '.join(names)} must be numbers, as torchrun sets them, but are {', '.join(map(repr, values))}: "
            "start with torchrun, or unset them"
        ) from None
    if not (0 <= local_rank < local_size <= size and 0 <= rank < size):
        raise ConfigError(
            f"{', '.join(names)} must be the places of one of several processes, as torchrun sets them, but are "
            f"{', '.join(values)}: start with torchrun, or unset them"
        )
    return Place(rank, size, local_rank, local_size)
