"""Checkpoints are handed to a thread; what fails there is reported, tried again, and known at the end."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from nmt.errors import CheckpointError
from nmt.training.checkpoint import CheckpointInfo, TrainingSnapshot
from nmt.training.saver import RunFiles, Saver
from tests.models import tiny_subword

if TYPE_CHECKING:
    from pathlib import Path

    from nmt.training.checkpoint_store import CheckpointStore

SUBWORD = tiny_subword()


class FullStore:
    """A store whose disk is full until `error` is None."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def write(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error


def saver_of(store: FullStore, run_dir: Path) -> Saver:
    return Saver(cast("CheckpointStore", store), RunFiles(run_dir, "", "c0ffee", SUBWORD, SUBWORD))


def save(saver: Saver, update: int) -> None:
    info = CheckpointInfo(update, 0.0, "c0ffee", "", "")
    saver.save(info, parameters={}, snapshot=TrainingSnapshot({}, {}, {}), best=None)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "update_000002"), CheckpointError("update_000002 is too large")],
)
def test_a_failure_is_reported_at_once_and_ends_the_run_if_it_is_the_last(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FullStore(error)
    saver = saver_of(store, tmp_path)
    save(saver, 2)
    assert saver.is_behind(2)
    [message] = caplog.messages
    assert message.startswith("update_000002 ")
    with pytest.raises(CheckpointError, match=r"^update_000002 .*: free some space, then go on with resume=true$"):
        saver.finish()
    store.error = None
    save(saver, 4)
    assert not saver.is_behind(4)
    assert saver.is_behind(2)
    saver.finish()
    saver.close()
    assert len(caplog.messages) == 1
