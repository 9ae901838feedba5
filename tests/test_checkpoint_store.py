"""The checkpoints of a run: a kill, a copy or a full disk loses none that is needed."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nmt.config import BestBy
from nmt.errors import CheckpointError
from nmt.training import checkpoint as checkpoint_module
from nmt.training.checkpoint import checkpoint_name, load_checkpoint, load_snapshot, read_info, record_scores
from nmt.training.checkpoint_files import save_tensors
from nmt.training.checkpoint_store import Best, CheckpointStore, find_last, read_checkpoint, resolve_checkpoint
from tests.checkpoints import edit_json
from tests.disks import largest_file
from tests.models import MODEL
from tests.test_checkpoint import SNAPSHOT, SRC, TGT, info_of, model_of_both, save
from tests.test_trainer import TRAINING

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave files to the system's cache: no test pulls the plug, and a busy disk takes long."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def store_of(folder: Path, **settings: Any) -> CheckpointStore:
    """Make a store of a run that validates every other update."""
    return CheckpointStore(folder, replace(TRAINING, **({"validate_every": 2, "keep_last": 1} | settings)))


def write(store: CheckpointStore, update: int, score: float | None = None) -> Path:
    """Let the store write a checkpoint and, if there is one, the score of its validation, as training does."""
    store.write(
        replace(info_of(update), scores={}),
        parameters=model_of_both(seed=update).state_dict(),
        config_yaml=json.dumps({"model": asdict(MODEL)}),
        src_subword=SRC,
        tgt_subword=TGT,
        snapshot=SNAPSHOT,
        best=None,
    )
    if score is not None:
        store.record_scores(update, scores(score), wall_s=1.0, best=None)
    return store.folder / checkpoint_name(update)


def scores(score: float) -> dict[str, float]:
    return {"nats_per_token": score, "bleu": score}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def updates(folder: Path) -> dict[str, int]:
    """Return the updates of all checkpoints, those that `best` and `last` name by these names."""
    return {name: load_checkpoint(resolve_checkpoint(folder / name)).info.update for name in names(folder)}


# Best, last and what else is kept


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


def test_a_validation_that_was_not_scheduled_is_the_best_only_until_the_run_goes_on(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    write(store, 2, 1.5)
    write(store, 5, 1.0)  # at the end of a run
    assert updates(tmp_path) == {"best": 5, "last": 5, "update_000002": 2, "update_000005": 5}
    write(store, 6)
    assert updates(tmp_path) == {"best": 2, "last": 6, "update_000002": 2, "update_000006": 6}


def test_the_training_state_knows_a_best_checkpoint_that_has_no_scores(tmp_path: Path) -> None:
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


def test_the_newest_has_the_most_updates_whatever_its_name(tmp_path: Path) -> None:
    for update in (999_999, 1_000_000):  # seven digits sort before six
        save(tmp_path, update=update)
    assert find_last(tmp_path) == tmp_path / "update_1000000"
    store_of(tmp_path).settle(None)
    assert updates(tmp_path) == {"best": 1_000_000, "last": 1_000_000, "update_1000000": 1_000_000}
    assert find_last(tmp_path / "none") is None


def test_what_nobody_needs_but_cannot_be_deleted_is_reported(
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


# What is not ours


@pytest.mark.parametrize("name", ["update_000009_good", "update_9", "update_0000009", "update_०००००९", "my update"])
def test_folders_with_other_names_are_the_users(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path)
    write(store, 2)
    shutil.copytree(save(tmp_path / "elsewhere", update=9), tmp_path / name)
    shutil.rmtree(tmp_path / "elsewhere")
    assert store.recover().checkpoint == tmp_path / "update_000002"
    for update in (3, 5):
        write(store, update)
    assert names(tmp_path) == sorted(["best", "last", "update_000005", name])


def test_a_folder_without_checkpoint_json_is_the_users(tmp_path: Path) -> None:
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
    store.recover()
    for update in (4, 6, 8):
        write(store, update, 1.0)
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert names(run) == ["best", "last", "update_000002", "update_000004", "update_000008"]
    assert not (run / "update_000004").is_symlink()


def test_only_what_kills_have_left_of_ours_is_removed(tmp_path: Path) -> None:
    checkpoint = write(store_of(tmp_path), 2)
    (checkpoint / ".checkpoint.json.0a1b2c3d.tmp").touch()
    leftovers = [".update_000004.tmp", ".update_000004.0a1b2c3d.tmp", ".best.tmp", ".last.00ff00ff.tmp"]
    others = [".update_000004_mine.tmp", ".update_000004.mine.tmp", ".other.tmp"]
    for name in (*leftovers, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    store_of(tmp_path).recover()
    assert names(tmp_path) == sorted([*others, "best", "last", "update_000002"])
    assert not list(checkpoint.glob(".*"))


# Copies


def with_best_at_4(folder: Path) -> CheckpointStore:
    store = store_of(folder)
    for update, score in ((2, 2.0), (4, 1.0), (6, 3.0)):
        write(store, update, score)
    assert updates(folder) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}
    return store


def test_a_copy_without_links_keeps_its_best(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    for name in ("best", "last"):
        (tmp_path / name).unlink()
    assert store.recover().checkpoint == tmp_path / "update_000006"
    store.settle(None)
    assert updates(tmp_path) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}
    for name in ("best", "last"):
        (tmp_path / name).unlink()
    write(store, 7)
    assert updates(tmp_path) == {"best": 4, "last": 7, "update_000004": 4, "update_000007": 7}


def test_a_copy_whose_links_were_followed_gets_them_back(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert not (copy / "best").is_symlink()
    store = store_of(copy)
    assert store.recover() == (copy / "update_000006", [])
    write(store, 8)
    assert (copy / "best").is_symlink()
    assert updates(copy) == {"best": 4, "last": 8, "update_000004": 4, "update_000008": 8}


def test_followed_links_that_appear_while_a_run_goes_on_are_taken_in(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    (tmp_path / "last").unlink()
    shutil.copytree(tmp_path / "update_000006", tmp_path / "last")
    write(store, 8)
    assert updates(tmp_path) == {"best": 4, "last": 8, "update_000004": 4, "update_000008": 8}


def test_a_followed_link_that_is_the_only_copy_of_its_checkpoint_survives(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    for update in (4, 6):
        shutil.rmtree(copy / checkpoint_name(update))
    store = store_of(copy)
    assert store.recover() == (copy / "update_000006", [])
    store.settle(None)
    assert updates(copy) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}


def test_a_followed_link_replaces_a_damaged_checkpoint_of_its_update(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (copy / "update_000004" / "model.safetensors").unlink()
    store = store_of(copy)
    store.recover()
    store.settle(None)
    assert names(copy) == ["best", "last", "update_000004", "update_000004.damaged", "update_000006"]
    assert load_checkpoint(copy / "best").info.update == 4


def test_a_followed_link_that_differs_from_the_checkpoint_of_its_update_is_kept(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    record_scores(copy / "best", scores(0.5), wall_s=0.0)
    [note] = store_of(copy).recover().notes
    assert note == f"{copy / 'best'} is another checkpoint than update_000004: renamed to best.copy"
    assert read_info(copy / "best.copy").scores == scores(0.5)


def test_a_followed_link_that_is_damaged_is_kept_under_another_name(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    for _ in range(2):
        (tmp_path / "best").unlink()
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "config.yaml").touch()
        [note] = store.recover().notes
        assert note.startswith(f"{tmp_path / 'best'} is a damaged checkpoint: renamed to best.damaged")
        store.settle(None)
    assert {"best.damaged", "best.damaged2"} < set(names(tmp_path))
    assert load_checkpoint(tmp_path / "best").info.update == 4


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
    assert store.recover() == (tmp_path / "update_000006", [])
    write(store, 8, 0.5)
    assert updates(tmp_path) == {"best": 8, "last": 8, "update_000008": 8}
    monkeypatch.undo()  # and back on a disk with links
    write(store, 10)
    assert updates(tmp_path) == {"best": 8, "last": 10, "update_000008": 8, "update_000010": 10}
    assert (tmp_path / "last").is_symlink()


# Names of checkpoints


@pytest.mark.parametrize("content", [b"", b"../outside", b"/etc", b"update_000002/..", b"\xff", b"x" * 1000])
def test_a_file_that_names_no_checkpoint_beside_it_is_not_followed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "best").write_bytes(content)
    assert resolve_checkpoint(tmp_path / "best") == tmp_path / "best"


def test_a_folder_is_named_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("run"), update=2)
    assert resolve_checkpoint(Path("run/update_000002")) == Path("run/update_000002")
    assert resolve_checkpoint(Path("nowhere")) == Path("nowhere")


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "best").symlink_to("last")
    (tmp_path / "last").symlink_to("best")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "best", load_checkpoint)


@pytest.mark.parametrize("name", ["best", "mine"])
@pytest.mark.parametrize("is_text", [False, True])
def test_a_link_copied_without_its_checkpoint_is_explained(tmp_path: Path, name: str, is_text: bool) -> None:
    copy = tmp_path / name
    if is_text:
        copy.write_text("update_000002\n")
    else:
        copy.symlink_to("update_000002")
    message = rf"{name} is a link to .*update_000002, which does not exist: if it is a copy, copy what .* \(cp -rL\)$"
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(copy, load_checkpoint)


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_lost_link_is_explained(tmp_path: Path, is_dangling: bool) -> None:
    save(tmp_path, update=2)
    if is_dangling:
        (tmp_path / "best").symlink_to("update_000001")
    with pytest.raises(
        CheckpointError, match=r"best is missing: name a checkpoint beside it, such as .*update_000002$"
    ):
        read_checkpoint(tmp_path / "best", load_checkpoint)


def test_a_checkpoint_is_read_from_one_folder_while_best_moves(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)

    def read(path: Path) -> tuple[int, int]:
        first = read_info(path).update
        write(store, 8, 0.5)  # best moves, and what it was is deleted
        return first, read_info(path).update

    with pytest.raises(CheckpointError, match="update_000004 does not exist"):
        read(resolve_checkpoint(tmp_path / "best"))
    store = with_best_at_4(tmp_path / "again")
    tries = []

    def read_twice(path: Path) -> list[int]:
        tries.append(path.name)
        first = read_info(path).update
        if len(tries) == 1:
            write(store, 8, 0.5)
        return [first, read_info(path).update]

    assert read_checkpoint(store.folder / "best", read_twice) == [8, 8]
    assert tries == ["update_000004", "update_000008"]


def test_a_checkpoint_that_vanishes_twice_is_one_clear_line(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    best = iter((0.5, 0.25))

    def read(path: Path) -> None:
        write(store, 2 * int(path.name[-1]), next(best))
        read_info(path)

    with pytest.raises(CheckpointError, match="update_000008 does not exist: name a checkpoint such as"):
        read_checkpoint(tmp_path / "best", read)


# Damage


@pytest.mark.parametrize("file", ["model.safetensors", "training/optimizer.safetensors", "checkpoint.json"])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(tmp_path: Path, file: str) -> None:
    store = store_of(tmp_path, keep_last=3)
    for update in (2, 4, 6):
        write(store, update, 1.0)
    damaged = tmp_path / "update_000006" / file
    damaged.write_bytes(damaged.read_bytes()[:20])
    checkpoint, notes = store.recover()
    assert checkpoint == tmp_path / "update_000004"
    [note] = notes
    assert note.startswith(
        f"{tmp_path / 'update_000006'} is damaged and now called update_000006.damaged, going on from update_000004 ("
    )
    assert str(damaged) in note
    store.settle(None)
    assert names(tmp_path) == ["best", "last", "update_000002", "update_000004", "update_000006.damaged"]
    assert load_checkpoint(tmp_path / "last").info.update == 4


def test_a_run_without_a_whole_checkpoint_does_not_start_afresh(tmp_path: Path) -> None:
    store = store_of(tmp_path, keep_last=2)
    for update in (2, 4):
        (write(store, update) / "model.safetensors").unlink()
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match=r"update_000004/model\.safetensors is missing"):
        store.recover()
    assert names(tmp_path) == before


def test_a_checkpoint_of_a_newer_format_is_not_passed_over(tmp_path: Path) -> None:
    store = store_of(tmp_path, keep_last=2)
    for update in (2, 4):
        write(store, update)
    edit_json(tmp_path / "update_000004" / "checkpoint.json", lambda values: values.update(format_version=99))
    with pytest.raises(CheckpointError, match="has checkpoint format 99"):
        store.recover()
    assert "update_000004" in names(tmp_path)


# Kills and full disks


class Killed(BaseException):
    """The process ended here."""


def break_at(step: int, make_error: Callable[[str], BaseException], patch: pytest.MonkeyPatch) -> None:
    """Let an access to the disk, counted from now on, and all later ones fail; an error is made of the file's name."""
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
        store.recover()  # and the run goes on
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
                store.recover()
                store.settle(None)
                break
            except Killed:
                pass
        assert store.recover().checkpoint == folder / "update_000006"
        store.settle(None)
        assert contents(folder) == contents(tmp_path / "run")
    assert step > 5


def disk_full(file: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    before = names(tmp_path)
    with largest_file(1000), pytest.raises(CheckpointError, match=r"update_000008 could not be written .*too large"):
        write(store, 8)
    assert names(tmp_path) == before


def test_a_disk_that_is_full_at_any_step_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        store.recover()
        assert contents(folder) == contents(expected)
    assert len(messages) > 5
    assert all(str(tmp_path) in message and "No space left on device" in message for message in messages)
