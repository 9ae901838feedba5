"""Checkpoints are written by a thread; failures are reported, tried again, and raised at the end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from nmt.errors import CheckpointError
from nmt.training.saver import RunFiles, Saver
from nmt.training.snapshot import TrainingSnapshot
from tests.models import tiny_subword

if TYPE_CHECKING:
    from nmt.training.checkpoint_store import CheckpointStore

SUBWORD = tiny_subword()


class FullStore:
    """A store whose disk is full until `error` is None."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def write(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error


def save(saver: Saver, update: int) -> None:
    files = RunFiles(Path("run"), "", "c0ffee", SUBWORD, SUBWORD)
    snapshot = TrainingSnapshot({}, {}, {}, {})
    saver.save(files.checkpoint(update, epochs=0.0, scores={}, parameters={}, snapshot=snapshot), best=None)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "update_000002"), CheckpointError("update_000002 is too large")],
)
def test_a_failure_is_reported_once_and_raised_at_the_end(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    store = FullStore(error)
    saver = Saver(cast("CheckpointStore", store))
    save(saver, 2)
    assert saver.is_behind(2)
    [message] = caplog.messages
    assert message.startswith("update_000002 ")
    with pytest.raises(CheckpointError, match=r"^update_000002 .*: free some space, then continue with resume=true$"):
        saver.finish()
    save(saver, 2)  # the last attempt, at the end of a run
    saver.wait()
    assert len(caplog.messages) == 1
    store.error = None
    save(saver, 4)
    assert not saver.is_behind(4)
    assert saver.is_behind(2)
    saver.finish()
    saver.close()
    assert len(caplog.messages) == 1
