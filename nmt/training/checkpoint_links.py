"""The checkpoints of a run by name: `update_…` folders, and `best` and `last`, which name two of them.

`best` and `last` are relative links; on a disk without links they are text files with the name of a folder.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nmt.errors import CheckpointError, NmtError
from nmt.files import find_folder
from nmt.training.checkpoint import checkpoint_name

T = TypeVar("T")

LINKS = ("best", "last")
_NAME = re.compile(r"update_[0-9]{6,}")


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """List a run's checkpoints by update, oldest first, including links to folders elsewhere."""
    found = {
        int(path.name.removeprefix("update_")): path
        for path in folder.glob("update_*")
        if _NAME.fullmatch(path.name) and (path / "checkpoint.json").is_file()
    }
    return {update: path for update, path in sorted(found.items()) if path.name == checkpoint_name(update)}


def find_last(folder: Path) -> Path | None:
    """Find a run's newest checkpoint."""
    checkpoints = checkpoints_in(folder)
    return checkpoints[max(checkpoints)] if checkpoints else None


def linked_name(path: Path) -> str | None:
    """Return the name of the checkpoint that a link, or the text file that replaces it, points to, if it does."""
    try:
        if path.is_symlink():
            name = str(path.readlink())
        elif path.is_file():
            with path.open("rb") as stream:
                name = stream.read(100).decode().strip()
        else:
            return None
    except (OSError, ValueError):
        return None
    return name if _NAME.fullmatch(name) else None


def resolve_checkpoint(path: Path) -> Path:
    """Find the folder that a name such as RUN_DIR/checkpoints/best currently points to.

    Raises:
        CheckpointError: if the name is missing from a run that has checkpoints, or is a broken link.
    """
    place = path
    if path.is_symlink():
        place = Path(os.path.realpath(path))
    elif name := linked_name(path):
        place = path.with_name(name)
    if path.name in LINKS and not find_folder(place).exists() and (last := find_last(path.parent)) is not None:
        raise CheckpointError(f"{path} is missing: name a checkpoint beside it, such as {last}")
    if place != path and not find_folder(place).exists():
        raise CheckpointError(
            f"{path} is a link to {place}, which does not exist: if it is a copy, copy what it links to (cp -rL)"
        )
    return place


def read_checkpoint(path: Path, read: Callable[[Path], T]) -> T:
    """Let `read` read the checkpoint that `path` names, all of it from one folder.

    A run that is still training may move `best` and delete its former target; then the new one is read.
    """
    place = resolve_checkpoint(path)
    try:
        return read(place)
    except (NmtError, OSError):
        now = resolve_checkpoint(path)
        if now == place:
            raise
    return read(now)
