"""Repair of a run's checkpoints after a kill, a copy or a disk failure, before the run continues."""

import filecmp
import os
import re
from pathlib import Path
from typing import NamedTuple

from nmt.errors import DamagedCheckpointError, DataError, NmtError
from nmt.files import remove, remove_folder, remove_temporaries
from nmt.training.checkpoint import checkpoint_name, load_checkpoint, load_snapshot, read_info, restore_checkpoints
from nmt.training.checkpoint_format import INFO_FILE
from nmt.training.checkpoint_links import LINKS, checkpoints_in
from nmt.training.samples import SAMPLES_FILE

# version 0.1.0 used the shorter names
_LEFTOVER = re.compile(r"\.(update_[0-9]{6,}|best|last)(\.[0-9a-f]{8})?\.tmp")


class Recovery(NamedTuple):
    """The checkpoint to resume from, if any, and what had to be repaired, in lines for the log."""

    checkpoint: Path | None
    notes: list[str]


def recover(folder: Path) -> Recovery:
    """Repair a run's checkpoints and find the newest intact one; newer ones, which are damaged, are renamed.

    Only the process that holds the run's lock may do this.

    Raises:
        CheckpointError: if there are checkpoints, but all of them are damaged.
    """
    remove_leftovers(folder)
    restore_checkpoints(folder)
    notes = [note for name in LINKS if (note := adopt_copy(folder / name))]
    damaged: list[tuple[Path, NmtError]] = []
    for path in reversed(checkpoints_in(folder).values()):
        if error := _damage(path):
            damaged.append((path, error))
            continue
        for other, problem in damaged:
            name = _rename(other, "damaged").name
            notes.append(f"{other} is damaged and now called {name}, continuing from {path.name} ({problem})")
        return Recovery(path, notes)
    if damaged:
        raise damaged[0][1]
    return Recovery(None, notes)


def adopt_copy(link: Path) -> str:
    """Give a folder that a copy has put in place of the link `best` or `last` the checkpoint's own name.

    Returns:
        What to tell the user; empty if there is nothing to tell.
    """
    if link.is_symlink() or not link.is_dir():
        return ""
    if not (link / "checkpoint.json").is_file() or _damage(link):
        return f"{link} is a damaged checkpoint: renamed to {_rename(link, 'damaged').name}"
    place = link.with_name(checkpoint_name(read_info(link).update))
    if not os.path.lexists(place):
        link.rename(place)
    elif _is_same(link, place):
        remove_folder(link)
    elif _damage(place):
        _rename(place, "damaged")
        link.rename(place)
    else:
        return f"{link} is another checkpoint than {place.name}: renamed to {_rename(link, 'copy').name}"
    return ""


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of killed processes; no other process may be writing."""
    for path in folder.glob(".*.tmp"):
        if _LEFTOVER.fullmatch(path.name):
            remove(path)
    for path in checkpoints_in(folder).values():
        if not path.is_symlink():
            for name in (INFO_FILE, SAMPLES_FILE):
                remove_temporaries(path, name)


def _damage(path: Path) -> NmtError | None:
    """Read all of a checkpoint, and return what is wrong with its files, if anything."""
    try:
        load_checkpoint(path)
        load_snapshot(path)
    except (DamagedCheckpointError, DataError) as error:
        return error
    return None


def _is_same(one: Path, other: Path) -> bool:
    files, others = ({file.relative_to(path) for file in path.rglob("*") if file.is_file()} for path in (one, other))
    return files == others and all(filecmp.cmp(one / file, other / file, shallow=False) for file in files)


def _rename(path: Path, suffix: str) -> Path:
    """Rename a folder so that it is no longer a checkpoint of the run."""
    place, number = path.with_name(f"{path.name}.{suffix}"), 1
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.name}.{suffix}{number}")
    return path.rename(place)
