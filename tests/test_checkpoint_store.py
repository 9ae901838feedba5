"""The checkpoints of a run: a kill, a copy or a full disk loses none that is needed."""

from __future__ import annotations

import errno
import io
import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nmt.choices import BestBy
from nmt.errors import CheckpointError
from nmt.training import checkpoint as checkpoint_module
from nmt.training.checkpoint import Validation, checkpoint_name, load_checkpoint, load_snapshot
from nmt.training.checkpoint_files import save_tensors
from nmt.training.checkpoint_links import read_checkpoint, resolve_checkpoint
from nmt.training.checkpoint_recovery import recover
from nmt.training.checkpoint_store import Best, CheckpointStore
from tests.checkpoints import content_of, info_of, save
from tests.disks import largest_file, names
from tests.test_trainer import TRAINING

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_fsync")


def store_of(folder: Path, **settings: Any) -> CheckpointStore:
    """Make a store of a run that validates every other update."""
    return CheckpointStore(folder, replace(TRAINING, **({"validate_every": 2, "keep_last": 1} | settings)))


def write(store: CheckpointStore, update: int, score: float | None = None) -> Path:
    """Let the store write a checkpoint and, if there is one, the score of its validation, as training does."""
    store.write(content_of(replace(info_of(update), scores={}), seed=update), best=None)
    if score is not None:
        store.record_validation(update, Validation(scores(score), 1.0), best=None)
    return store.folder / checkpoint_name(update)


def scores(score: float) -> dict[str, float]:
    return {"nats_per_token": score, "bleu": score}


def updates(folder: Path) -> dict[str, int]:
    """Return the updates of all checkpoints, those that `best` and `last` name by these names."""
    return {name: load_checkpoint(resolve_checkpoint(folder / name)).info.update for name in names(folder)}


# Best, last and other checkpoints that are kept


def test_links_are_relative_and_move_with_the_run(tmp_path: Path) -> None:
    store = store_of(tmp_path / "run")
    write(store, 2, 1.5)
    assert {name: str((store.folder / name).readlink()) for name in ("best", "last")} == dict.fromkeys(
        ("best", "last"), "update_000002"
    )
    store.folder.rename(tmp_path / "moved")
    assert updates(tmp_path / "moved") == {"best": 2, "last": 2, "update_000002": 2}


@pytest.mark.parametrize(("keep_last", "kept"), [(0, {4, 7}), (1, {4, 7}), (2, {4, 6, 7}), (9, {1, 2, 3, 4, 5, 6, 7})])
def test_the_best_the_last_and_the_newest_are_kept(tmp_path: Path, keep_last: int, kept: set[int]) -> None:
    store = store_of(tmp_path, keep_last=keep_last)
    for update, score in ((1, None), (2, 2.0), (3, None), (4, 1.0), (5, None), (6, 1.5), (7, None)):
        write(store, update, score)
    assert updates(tmp_path) == {"best": 4, "last": 7} | {checkpoint_name(update): update for update in kept}


def test_best_is_the_last_before_any_score(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for update in (1, 3):
        write(store, update)
    assert updates(tmp_path) == {"best": 3, "last": 3, "update_000003": 3}


@pytest.mark.parametrize(("best_by", "best"), [(BestBy.nats_per_token, 4), (BestBy.bleu, 2)])
def test_the_first_of_equals_is_the_best_by_the_measure_of_the_run(tmp_path: Path, best_by: BestBy, best: int) -> None:
    store = store_of(tmp_path, best_by=best_by, keep_last=9)
    for update, score in ((2, 3.0), (4, 1.0), (6, 1.0), (8, 3.0)):
        write(store, update, score)
    assert updates(tmp_path)["best"] == best


def test_an_unscheduled_validation_is_best_only_until_the_run_resumes(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    write(store, 2, 1.5)
    write(store, 5, 1.0)  # at the end of a run
    assert updates(tmp_path) == {"best": 5, "last": 5, "update_000002": 2, "update_000005": 5}
    write(store, 6)
    assert updates(tmp_path) == {"best": 2, "last": 6, "update_000002": 2, "update_000006": 6}


def test_the_training_state_remembers_a_best_without_scores(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    write(store, 3)  # not scheduled, as the best of a run of version 0.1.0 may be
    write(store, 4, 2.0)
    write(store, 6, 3.0)
    assert updates(tmp_path)["best"] == 4
    write(store, 7)
    store.settle(Best(3, 1.0))
    assert updates(tmp_path)["best"] == 4  # it is gone
    write(store, 9)
    store.settle(Best(9, 1.0))
    assert updates(tmp_path)["best"] == 9


def test_an_unneeded_checkpoint_that_cannot_be_deleted_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path)
    write(store, 1)
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("nmt.training.checkpoint_store.remove_folder", lambda _: (_ for _ in ()).throw(denied))
    write(store, 3)
    [message] = caplog.messages
    assert message.endswith("update_000001 is no longer needed, but cannot be deleted (Permission denied): delete it")
    assert updates(tmp_path)["last"] == 3


# What is not part of a run


def test_a_folder_without_checkpoint_json_is_not_touched(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (tmp_path / "update_000001").mkdir()
    (tmp_path / "update_000001" / "notes").touch()
    for update in (2, 3):
        write(store, update)
    assert (tmp_path / "update_000001" / "notes").exists()


def test_nothing_outside_the_run_is_written_or_deleted(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside", update=2)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    run = tmp_path / "run"
    run.mkdir()
    for name in ("update_000002", "update_000004", ".update_000006.tmp", ".update_000006.0a1b2c3d.tmp", ".best.tmp"):
        (run / name).symlink_to(outside)
    store = store_of(run)
    recover(store.folder)
    for update in (4, 6, 8):
        write(store, update, 1.0)
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert names(run) == ["best", "last", "update_000002", "update_000004", "update_000008"]
    assert not (run / "update_000004").is_symlink()


def with_best_at_4(folder: Path) -> CheckpointStore:
    store = store_of(folder)
    for update, score in ((2, 2.0), (4, 1.0), (6, 3.0)):
        write(store, update, score)
    assert updates(folder) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}
    return store


def no_links(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_on_a_disk_without_links_small_files_name_the_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.symlink", no_links)
    store = with_best_at_4(tmp_path)
    assert (tmp_path / "best").read_text() == "update_000004\n"
    assert resolve_checkpoint(tmp_path / "best") == tmp_path / "update_000004"
    assert read_checkpoint(tmp_path / "last", load_checkpoint).info.update == 6
    assert recover(store.folder) == (tmp_path / "update_000006", [])
    write(store, 8, 0.5)
    assert updates(tmp_path) == {"best": 8, "last": 8, "update_000008": 8}
    monkeypatch.undo()  # and back on a disk with links
    write(store, 10)
    assert updates(tmp_path) == {"best": 8, "last": 10, "update_000008": 8, "update_000010": 10}
    assert (tmp_path / "last").is_symlink()


# Kills and full disks


class Killed(BaseException):
    """Simulates the end of the process."""


def break_at(step: int, make_error: Callable[[str], BaseException], patch: pytest.MonkeyPatch) -> None:
    """Make an access to the disk, counted from now on, and all later ones fail; the error gets the file name."""
    num_steps = 0

    def fragile(function: Callable[..., Any]) -> Callable[..., Any]:
        def access(*args: Any, **kwargs: Any) -> Any:
            nonlocal num_steps
            if function is not io.open or "r" not in (*args, *kwargs.values()):
                num_steps += 1
                if num_steps >= step:
                    raise make_error(str(args[1] if isinstance(args[0], dict) else args[0]))
            return function(*args, **kwargs)

        return access

    for name in ("mkdir", "rename", "replace", "symlink", "unlink", "rmdir"):
        patch.setattr(os, name, fragile(getattr(os, name)))
    patch.setattr(io, "open", fragile(io.open))
    patch.setattr(checkpoint_module, "save_tensors", fragile(save_tensors))


def assert_loadable(folder: Path, *, last: set[int], best: set[int]) -> None:
    for name, expected in (("last", last), ("best", best)):
        path = resolve_checkpoint(folder / name)
        assert load_checkpoint(path).info.update in expected
        load_snapshot(path)


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("update", [8, 6], ids=["a new update", "the update of last itself"])
def test_a_kill_at_any_step_leaves_a_loadable_best_and_last(
    tmp_path: Path, update: int, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr("os.symlink", no_links)
    with_best_at_4(tmp_path / "before")
    expected = shutil.copytree(tmp_path / "before", tmp_path / "expected", symlinks=True)
    write(store_of(expected), update, 0.5)
    for step in itertools.count(1):
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(step), symlinks=True)
        store = store_of(folder)
        with monkeypatch.context() as patch:
            break_at(step, Killed, patch)
            try:
                write(store, update, 0.5)
                break
            except Killed:
                pass
        assert_loadable(folder, last={6, update}, best={4, update})
        recover(store.folder)  # and the run continues
        write(store, update, 0.5)
        assert contents(folder) == contents(expected)
    assert step > 25


@pytest.mark.slow
def test_a_kill_at_any_step_of_recovery_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_best_at_4(tmp_path / "run")
    before = shutil.copytree(tmp_path / "run", tmp_path / "before")  # links followed
    shutil.rmtree(before / "update_000004")
    (before / ".update_000008.0a1b2c3d.tmp").mkdir()
    for step in itertools.count(1):
        folder = shutil.copytree(before, tmp_path / str(step))
        store = store_of(folder)
        with monkeypatch.context() as patch:
            break_at(step, Killed, patch)
            try:
                recover(store.folder)
                store.settle(None)
                break
            except Killed:
                pass
        assert recover(store.folder).checkpoint == folder / "update_000006"
        store.settle(None)
        assert contents(folder) == contents(tmp_path / "run")
    assert step > 5


def disk_full(file: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)


def test_a_checkpoint_that_cannot_be_written_leaves_no_files(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    before = names(tmp_path)
    with largest_file(1000), pytest.raises(CheckpointError, match=r"update_000008 could not be written .*too large"):
        write(store, 8)
    assert names(tmp_path) == before


def test_a_full_disk_at_any_step_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_best_at_4(tmp_path / "before")
    expected = shutil.copytree(tmp_path / "before", tmp_path / "expected", symlinks=True)
    write(store_of(expected), 8, 0.5)
    messages: list[str] = []
    for step in itertools.count(1, 3):
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(step), symlinks=True)
        store = store_of(folder)
        with monkeypatch.context() as patch:
            break_at(step, disk_full, patch)
            try:
                write(store, 8, 0.5)
                break
            except (CheckpointError, OSError) as error:
                messages.append(str(error))
        assert_loadable(folder, last={6, 8}, best={4, 8})
        write(store, 8, 0.5)
        recover(store.folder)
        assert contents(folder) == contents(expected)
    assert len(messages) > 5
    assert all(str(tmp_path) in message and "No space left on device" in message for message in messages)
