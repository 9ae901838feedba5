"""An output that several processes write together: each a part, which the first process joins.

torchrun starts the processes, and ends all if one fails. They need a common file system.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nmt.commands.output import open_output
from nmt.distributed import open_store
from nmt.files import temporary_folder
from nmt.place import Place

_BETWEEN_LOOKS_S = 0.1


class Store(Protocol):
    """Text that all processes see by its key."""

    def set(self, key: str, value: str, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...
    def check(self, keys: list[str], /) -> bool: ...


def write_in_parts(place: Place, output: str, write: Callable[[Path], int]) -> int | None:
    """Write a part of the output; the first process then waits for the others, and joins the parts.

    Args:
        write: writes the part of this process to a file, and returns the number of its lines.

    Returns:
        The number of lines of all parts in the first process, None in the others.
    """
    store: Store = open_store(place)
    if place.rank > 0:
        num_lines = write(Path(_await(store, "folder")) / str(place.rank))
        store.set(f"lines/{place.rank}", str(num_lines))
        return None
    with temporary_folder(Path(os.path.realpath(output))) as folder:
        store.set("folder", str(folder))
        num_lines = write(folder / "0")
        num_lines += sum(int(_await(store, f"lines/{rank}")) for rank in range(1, place.size))
        with open_output(output) as stream:
            for rank in range(place.size):
                with (folder / str(rank)).open("rb") as part:
                    shutil.copyfileobj(part, stream)
    return num_lines


def _await(store: Store, key: str) -> str:
    """Wait for a value of another process; the wait of `store` itself would delay signals."""
    while not store.check([key]):
        time.sleep(_BETWEEN_LOOKS_S)
    return store.get(key).decode()
