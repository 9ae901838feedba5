"""Checkpoints are written by a thread while training goes on."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from nmt.errors import CheckpointError
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import CheckpointInfo, TrainingSnapshot
from nmt.training.checkpoint_store import Best, CheckpointStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """What a run writes with every checkpoint, and where."""

    run_dir: Path
    config_yaml: str
    corpus_fingerprint: str
    src_subword: SubwordModel
    tgt_subword: SubwordModel

    @property
    def checkpoints_dir(self) -> Path:
        return self.run_dir / "checkpoints"


class Saver:
    """Hands checkpoints to a thread, one after the other.

    What fails is reported at once and ends nothing: there will be a next checkpoint. At the end of a run `is_behind`
    says whether one more attempt is needed, and `finish` whether that has failed, too.

    Attributes:
        written: the update of the last checkpoint that is complete on the disk.
    """

    def __init__(self, store: CheckpointStore, files: RunFiles) -> None:
        self.store = store
        self.files = files
        self.written: int | None = None
        self._error: str | None = None
        self._jobs: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")

    def settle(self, best: Best | None) -> None:
        """Bring `best` and `last` in order, as far as the disk allows."""
        try:
            self.store.settle(best)
        except OSError as error:
            logger.warning("%s could not be written (%s)", error.filename, error.strerror)

    def save(
        self, info: CheckpointInfo, *, parameters: Mapping[str, Tensor], snapshot: TrainingSnapshot, best: Best | None
    ) -> None:
        """Write a checkpoint; the tensors must not change any more."""
        files = self.files
        job = partial(
            self.store.write,
            info,
            parameters=parameters,
            config_yaml=files.config_yaml,
            src_subword=files.src_subword,
            tgt_subword=files.tgt_subword,
            snapshot=snapshot,
            best=best,
        )
        self._jobs.append(self._thread.submit(self._write, info.update, job))

    def record_scores(self, update: int, scores: Mapping[str, float], *, wall_s: float, best: Best | None) -> None:
        """Add scores to the checkpoint of an update that was saved before; if that has failed, there is none."""

        def job() -> None:
            if self.written == update:
                self._attempt(partial(self.store.record_scores, update, scores, wall_s=wall_s, best=best))

        self._jobs.append(self._thread.submit(job))

    def wait(self) -> None:
        """Wait until all is written, or has failed."""
        while self._jobs:
            self._jobs.popleft().result()

    def is_behind(self, update: int) -> bool:
        """Wait, then tell whether something of this update is not on the disk."""
        self.wait()
        return self.written != update or self._error is not None

    def finish(self) -> None:
        """Wait for the last checkpoint.

        Raises:
            CheckpointError: it could not be written.
        """
        self.wait()
        if self._error is not None:
            raise CheckpointError(f"{self._error}: free some space, then go on with resume=true")

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _write(self, update: int, job: Callable[[], None]) -> None:
        if self._attempt(job):
            self.written = update

    def _attempt(self, job: Callable[[], None]) -> bool:
        try:
            job()
        except CheckpointError as error:
            self._error = str(error)
        except OSError as error:
            self._error = f"{error.filename} could not be written ({error.strerror})"
        else:
            self._error = None
            return True
        logger.warning(
            "%s: free some space; the next attempt is made with the next checkpoint, and at the end", self._error
        )
        return False
