"""Writes checkpoints in a thread while training continues."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from nmt.errors import CheckpointError
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import CheckpointContent, Validation
from nmt.training.checkpoint_format import CheckpointInfo
from nmt.training.checkpoint_store import Best, CheckpointStore
from nmt.training.samples import Sample
from nmt.training.snapshot import TrainingSnapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """What all checkpoints of a run have in common, and their folder."""

    run_dir: Path
    config_yaml: str
    corpus_fingerprint: str
    src_subword: SubwordModel
    tgt_subword: SubwordModel

    @property
    def checkpoints_dir(self) -> Path:
        return self.run_dir / "checkpoints"

    def checkpoint(
        self,
        update: int,
        *,
        epochs: float,
        scores: dict[str, float],
        parameters: Mapping[str, Tensor],
        snapshot: TrainingSnapshot,
        samples: Sequence[Sample] = (),
    ) -> CheckpointContent:
        """Put together the contents of the checkpoint of an update."""
        info = CheckpointInfo(
            update=update,
            epochs=epochs,
            corpus_fingerprint=self.corpus_fingerprint,
            src_subword_fingerprint=self.src_subword.fingerprint,
            tgt_subword_fingerprint=self.tgt_subword.fingerprint,
            scores=scores,
        )
        return CheckpointContent(
            info, parameters, self.config_yaml, self.src_subword, self.tgt_subword, snapshot, samples
        )


class IdleSaver:
    """What processes other than number 0 have instead of a `Saver`: it writes nothing."""

    written: int | None = None

    def settle(self, best: Best | None) -> None:
        pass

    def save(self, content: CheckpointContent, *, best: Best | None) -> None:
        pass

    def record_validation(self, update: int, validation: Validation, *, best: Best | None) -> None:
        pass

    def wait(self) -> None:
        pass

    def is_behind(self, update: int) -> bool:  # noqa: ARG002
        return False

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class Saver:
    """Hands checkpoints to a thread, one after the other.

    A failure is reported at once, but training continues, since another checkpoint will follow. At the end of a run,
    `is_behind` returns whether another attempt is needed, and `finish` raises if that has failed, too.

    Attributes:
        written: the update of the last checkpoint that is complete on disk.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self.store = store
        self.written: int | None = None
        self._error: str | None = None  # of the last attempt
        self._jobs: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")

    def settle(self, best: Best | None) -> None:
        """Point `best` and `last` to the right checkpoints, as far as the disk allows."""
        try:
            self.store.settle(best)
        except OSError as error:
            log.warning("%s could not be written (%s)", error.filename, error.strerror)

    def save(self, content: CheckpointContent, *, best: Best | None) -> None:
        """Write a checkpoint; its tensors must not change any more."""
        self._jobs.append(self._thread.submit(self._write, content, best))

    def record_validation(self, update: int, validation: Validation, *, best: Best | None) -> None:
        """Add a validation to the checkpoint of its update, unless that could not be written."""

        def job() -> None:
            if self.written == update:
                self._attempt(partial(self.store.record_validation, update, validation, best=best))

        self._jobs.append(self._thread.submit(job))

    def wait(self) -> None:
        """Wait until everything is written, or has failed."""
        while self._jobs:
            self._jobs.popleft().result()

    def is_behind(self, update: int) -> bool:
        """Wait, then return whether anything of this update is missing on disk."""
        self.wait()
        return self.written != update or self._error is not None

    def finish(self) -> None:
        """Wait for the last checkpoint.

        Raises:
            CheckpointError: if it could not be written.
        """
        self.wait()
        if self._error is not None:
            raise CheckpointError(f"{self._error}: free some space, then continue with resume=true")

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _write(self, content: CheckpointContent, best: Best | None) -> None:
        if self._attempt(partial(self.store.write, content, best=best)):
            self.written = content.info.update

    def _attempt(self, job: Callable[[], None]) -> bool:
        earlier, self._error = self._error, None
        try:
            job()
        except CheckpointError as error:
            self._error = str(error)
        except OSError as error:
            self._error = f"{error.filename} could not be written ({error.strerror})"
        if self._error is not None and self._error != earlier:  # repeated only at the end of a run
            log.warning("%s: free some space; the next attempts are at the next checkpoint and at the end", self._error)
        return self._error is None
