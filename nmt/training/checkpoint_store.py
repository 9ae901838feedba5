"""The checkpoints of a run: which is best, which is last, and which are no longer needed.

    checkpoints/
      update_000500/ update_001000/   see checkpoint.py
      best -> update_000500           see checkpoint_links.py
      last -> update_001000

The folders are the source of truth and links only repeat it, so that a copy without links, or with folders in their
place, loses nothing. `last` is the newest. `best` has the best score of the scheduled validations and of the last
checkpoint: an unscheduled validation, at the end of a run, counts only until the run is resumed. Without any score,
`best` is the last checkpoint, too.

A run owns the folders with these names and a checkpoint.json, and its temporary files; nothing else is touched.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nmt.config import TrainingConfig
from nmt.errors import CheckpointError
from nmt.files import atomic_link, atomic_write, remove_folder
from nmt.training.checkpoint import (
    CheckpointContent,
    Validation,
    checkpoint_name,
    read_info,
    record_validation,
    save_checkpoint,
)
from nmt.training.checkpoint_links import checkpoints_in, linked_name
from nmt.training.checkpoint_recovery import adopt_copy, remove_leftovers
from nmt.training.dev_set import is_better

log = logging.getLogger(__name__)


class Best(NamedTuple):
    """The best scheduled validation of a run."""

    update: int
    score: float


class CheckpointStore:
    """Writes the checkpoints of one run and chooses among them; only for the process that holds the run's lock."""

    def __init__(self, folder: Path, training: TrainingConfig) -> None:
        self.folder = folder
        self.training = training

    def write(self, content: CheckpointContent, *, best: Best | None) -> None:
        """Write a checkpoint, which becomes the last.

        Raises:
            CheckpointError, OSError: if the disk is full or not writable; the earlier checkpoints are unchanged.
        """
        place = self.folder / checkpoint_name(content.info.update)
        if place.is_symlink():
            place.unlink()  # its target belongs to somebody else
        try:
            save_checkpoint(self.folder, content)
        except BaseException:
            remove_leftovers(self.folder)
            raise
        self.settle(best)

    def record_validation(self, update: int, validation: Validation, *, best: Best | None) -> None:
        """Add a validation to the checkpoint of its update.

        Raises:
            CheckpointError, OSError: if the disk is full or not writable.
        """
        record_validation(self.folder / checkpoint_name(update), validation)
        self.settle(best)

    def settle(self, best: Best | None) -> None:
        """Point `best` and `last` to the right checkpoints, then delete those that are not needed.

        Args:
            best: the best scheduled validation according to the training state.
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
        """Find the checkpoint with this score in the measure of `training.best_by`."""
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
        if linked_name(path) == target.name:
            return
        if note := adopt_copy(path):
            log.warning("%s", note)
        try:
            atomic_link(path, target.name)
        except OSError:  # a disk without links; if it is full, the next line reports it
            with atomic_write(path) as stream:
                stream.write(f"{target.name}\n".encode())


def _scores_of(path: Path) -> Mapping[str, float]:
    try:
        return read_info(path).scores
    except CheckpointError:
        return {}


def _delete(path: Path) -> None:
    if path.is_symlink():  # the checkpoint is kept elsewhere
        return
    try:
        remove_folder(path)
    except OSError as error:
        log.warning("%s is no longer needed, but cannot be deleted (%s): delete it", path, error.strerror)
