"""The checkpoints of a run: which is the best, which the last, which are no longer needed.

    checkpoints/
      update_000500/ update_001000/   see checkpoint.py
      best -> update_000500           relative links; on a disk that has none, text files with the name
      last -> update_001000

The folders decide, links only repeat it, so that a copy without links, or with folders in their place, loses nothing.
`last` is the newest. `best` has the best score of the scheduled validations, or of the last checkpoint: a validation
that was not scheduled, at the end of a run, counts only until the run goes on. Without any score it is the last, too.

A run owns folders with a name of this form and a checkpoint.json, and its temporaries; nothing else is touched.
"""

import filecmp
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from torch import Tensor

from nmt.config import TrainingConfig
from nmt.errors import CheckpointError, DamagedCheckpointError, DataError, NmtError
from nmt.files import atomic_link, atomic_write, find_folder, remove, remove_folder, remove_temporaries
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import (
    CheckpointInfo,
    TrainingSnapshot,
    checkpoint_name,
    load_checkpoint,
    load_snapshot,
    read_info,
    record_scores,
    restore_checkpoints,
    save_checkpoint,
)
from nmt.training.train_state import is_better

logger = logging.getLogger(__name__)

T = TypeVar("T")

LINKS = ("best", "last")
_NAME = re.compile(r"update_[0-9]{6,}")
_LEFTOVER = re.compile(r"\.(update_[0-9]{6,}|best|last)(\.[0-9a-f]{8})?\.tmp")  # version 0.1.0 has the shorter names


class Best(NamedTuple):
    """The best scheduled validation of a run."""

    update: int
    score: float


class Recovery(NamedTuple):
    """Where a run goes on, and what had to be done for that, in lines for its log."""

    checkpoint: Path | None
    notes: list[str]


def resolve_checkpoint(path: Path) -> Path:
    """Find the folder that a name such as RUN_DIR/checkpoints/best stands for at present.

    Raises:
        CheckpointError: the name is missing from a run that has checkpoints, or is a link to nothing.
    """
    place = path
    if path.is_symlink():
        place = Path(os.path.realpath(path))
    elif name := _pointed_at(path):
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

    A run that goes on meanwhile may move `best` and delete what it was: then the new one is read.
    """
    place = resolve_checkpoint(path)
    try:
        return read(place)
    except (NmtError, OSError):
        now = resolve_checkpoint(path)
        if now == place:
            raise
    return read(now)


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """List a run's checkpoints by update, oldest first; links to folders elsewhere included."""
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


class CheckpointStore:
    """Writes the checkpoints of one run and decides about them; only the process that has the run's lock may."""

    def __init__(self, folder: Path, training: TrainingConfig) -> None:
        self.folder = folder
        self.training = training

    def recover(self) -> Recovery:
        """Bring in order what kills and copies have left, and find the newest checkpoint that is whole.

        Those that are damaged are renamed, and the run goes on from an older one.

        Raises:
            CheckpointError: there are checkpoints, but none can be gone on from.
        """
        self._remove_leftovers()
        restore_checkpoints(self.folder)
        notes = [note for name in LINKS if (note := self._take_in_copy(self.folder / name))]
        damaged: list[tuple[Path, NmtError]] = []
        for path in reversed(checkpoints_in(self.folder).values()):
            if error := _damage(path):
                damaged.append((path, error))
                continue
            for other, problem in damaged:
                name = _rename(other, "damaged").name
                notes.append(f"{other} is damaged and now called {name}, going on from {path.name} ({problem})")
            return Recovery(path, notes)
        if damaged:
            raise damaged[0][1]
        return Recovery(None, notes)

    def write(
        self,
        info: CheckpointInfo,
        *,
        parameters: Mapping[str, Tensor],
        config_yaml: str,
        src_subword: SubwordModel,
        tgt_subword: SubwordModel,
        snapshot: TrainingSnapshot,
        best: Best | None,
    ) -> None:
        """Write a checkpoint, which is the last from then on.

        Raises:
            CheckpointError, OSError: the disk is full or refuses; the earlier checkpoints are as they were.
        """
        place = self.folder / checkpoint_name(info.update)
        if place.is_symlink():
            place.unlink()  # what it points to is not ours
        try:
            save_checkpoint(
                self.folder,
                info,
                parameters=parameters,
                config_yaml=config_yaml,
                src_subword=src_subword,
                tgt_subword=tgt_subword,
                snapshot=snapshot,
            )
        except BaseException:
            self._remove_leftovers()
            raise
        self.settle(best)

    def record_scores(self, update: int, scores: Mapping[str, float], *, wall_s: float, best: Best | None) -> None:
        """Add what a validation found to the checkpoint of its update.

        Raises:
            CheckpointError, OSError: the disk is full or refuses.
        """
        record_scores(self.folder / checkpoint_name(update), scores, wall_s=wall_s)
        self.settle(best)

    def settle(self, best: Best | None) -> None:
        """Let `best` and `last` name the right checkpoints, then delete those that nobody needs.

        Args:
            best: the best scheduled validation, as the training state knows it.
        """
        checkpoints = checkpoints_in(self.folder)
        if not checkpoints:
            return
        last = max(checkpoints)
        scores = self._scores(checkpoints, best)
        best_of_all = self._best_of(scores, default=last)
        self._point("last", checkpoints[last])
        self._point("best", checkpoints[best_of_all])
        scheduled = {update: score for update, score in scores.items() if self._is_scheduled(update, best)}
        needed = {last, best_of_all, self._best_of(scheduled, default=last)}
        newest = list(checkpoints)[max(0, len(checkpoints) - self.training.keep_last) :]
        for update in checkpoints.keys() - needed - set(newest):
            _delete(checkpoints[update])

    def update_of(self, score: float) -> int | None:
        """Find the checkpoint that has a score in the measure of `training.best_by`."""
        measure = self.training.best_by.value
        for update, path in checkpoints_in(self.folder).items():
            if _scores_of(path).get(measure) == score:
                return update
        return None

    def _scores(self, checkpoints: Mapping[int, Path], best: Best | None) -> dict[int, float]:
        """Return the scores that count: of scheduled validations and of the last checkpoint."""
        scores = {}
        for update, path in checkpoints.items():
            if self._is_scheduled(update, best) or update == max(checkpoints):
                known = best.score if best is not None and best.update == update else None
                score = _scores_of(path).get(self.training.best_by.value, known)
                if score is not None:
                    scores[update] = score
        return scores

    def _is_scheduled(self, update: int, best: Best | None) -> bool:
        return update % self.training.validate_every == 0 or (best is not None and update == best.update)

    def _best_of(self, scores: Mapping[int, float], *, default: int) -> int:
        best = None
        for update in sorted(scores):  # of equal scores the first is the best
            if best is None or is_better(scores[update], scores[best], self.training.best_by):
                best = update
        return default if best is None else best

    def _point(self, name: str, target: Path) -> None:
        path = self.folder / name
        if _pointed_at(path) == target.name:
            return
        if note := self._take_in_copy(path):
            logger.warning("%s", note)
        try:
            atomic_link(path, target.name)
        except OSError:  # a disk without links; if it is full, the next line says so
            with atomic_write(path) as stream:
                stream.write(f"{target.name}\n".encode())

    def _take_in_copy(self, folder: Path) -> str:
        """Give a folder in the place of a link, as copies make them, its own name; returns what is to be said."""
        if folder.is_symlink() or not folder.is_dir():
            return ""
        if not (folder / "checkpoint.json").is_file() or _damage(folder):
            return f"{folder} is a damaged checkpoint: renamed to {_rename(folder, 'damaged').name}"
        place = self.folder / checkpoint_name(read_info(folder).update)
        if not os.path.lexists(place):
            folder.rename(place)
        elif _is_same(folder, place):
            remove_folder(folder)
        elif _damage(place):
            _rename(place, "damaged")
            folder.rename(place)
        else:
            return f"{folder} is another checkpoint than {place.name}: renamed to {_rename(folder, 'copy').name}"
        return ""

    def _remove_leftovers(self) -> None:
        for path in self.folder.glob(".*.tmp"):
            if _LEFTOVER.fullmatch(path.name):
                remove(path)
        for path in checkpoints_in(self.folder).values():
            if not path.is_symlink():
                remove_temporaries(path, "checkpoint.json")


def _pointed_at(path: Path) -> str | None:
    """Return the checkpoint beside it that a link, or the text file in its place, names; None if it does not."""
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


def _scores_of(path: Path) -> Mapping[str, float]:
    try:
        return read_info(path).scores
    except CheckpointError:
        return {}


def _damage(path: Path) -> NmtError | None:
    """Read all of a checkpoint; returns what is wrong with its files."""
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
    """Rename a folder so that it is no checkpoint of the run any more."""
    place, number = path.with_name(f"{path.name}.{suffix}"), 1
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.name}.{suffix}{number}")
    return path.rename(place)


def _delete(path: Path) -> None:
    if path.is_symlink():  # somebody keeps it elsewhere
        return
    try:
        remove_folder(path)
    except OSError as error:
        logger.warning("%s is no longer needed, but cannot be deleted (%s): delete it", path, error.strerror)
