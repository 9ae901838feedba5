"""Repair of a run's checkpoints after a kill or a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nmt.errors import CheckpointError
from nmt.training.checkpoint import Validation, checkpoint_name, load_checkpoint, read_info, record_validation
from nmt.training.checkpoint_recovery import recover
from tests.checkpoints import edit_json, save
from tests.disks import names
from tests.test_checkpoint_store import scores, store_of, updates, with_best_at_4, write

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.mark.parametrize("name", ["update_000009_good", "update_9", "update_0000009", "update_०००००९", "my update"])
def test_folders_with_other_names_are_not_touched(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path)
    write(store, 2)
    shutil.copytree(save(tmp_path / "elsewhere", update=9), tmp_path / name)
    shutil.rmtree(tmp_path / "elsewhere")
    assert recover(store.folder).checkpoint == tmp_path / "update_000002"
    for update in (3, 5):
        write(store, update)
    assert names(tmp_path) == sorted(["best", "last", "update_000005", name])


def test_only_temporary_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    checkpoint = write(store_of(tmp_path), 2)
    (checkpoint / ".checkpoint.json.0a1b2c3d.tmp").touch()
    (checkpoint / ".samples.json.0a1b2c3d.tmp").touch()
    leftovers = [".update_000004.tmp", ".update_000004.0a1b2c3d.tmp", ".best.tmp", ".last.00ff00ff.tmp"]
    others = [".update_000004_mine.tmp", ".update_000004.mine.tmp", ".other.tmp"]
    for name in (*leftovers, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    recover(tmp_path)
    assert names(tmp_path) == sorted([*others, "best", "last", "update_000002"])
    assert not list(checkpoint.glob(".*"))


def test_a_copy_without_links_keeps_its_best(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    for name in ("best", "last"):
        (tmp_path / name).unlink()
    assert recover(store.folder).checkpoint == tmp_path / "update_000006"
    store.settle(None)
    assert updates(tmp_path) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}
    for name in ("best", "last"):
        (tmp_path / name).unlink()
    write(store, 7)
    assert updates(tmp_path) == {"best": 4, "last": 7, "update_000004": 4, "update_000007": 7}


def test_links_are_restored_in_a_copy_that_followed_them(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert not (copy / "best").is_symlink()
    store = store_of(copy)
    assert recover(store.folder) == (copy / "update_000006", [])
    write(store, 8)
    assert (copy / "best").is_symlink()
    assert updates(copy) == {"best": 4, "last": 8, "update_000004": 4, "update_000008": 8}


def test_followed_links_that_appear_during_a_run_are_adopted(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    (tmp_path / "last").unlink()
    shutil.copytree(tmp_path / "update_000006", tmp_path / "last")
    write(store, 8)
    assert updates(tmp_path) == {"best": 4, "last": 8, "update_000004": 4, "update_000008": 8}


def test_a_followed_link_that_is_the_only_copy_is_kept(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    for update in (4, 6):
        shutil.rmtree(copy / checkpoint_name(update))
    store = store_of(copy)
    assert recover(store.folder) == (copy / "update_000006", [])
    store.settle(None)
    assert updates(copy) == {"best": 4, "last": 6, "update_000004": 4, "update_000006": 6}


def test_a_followed_link_replaces_a_damaged_checkpoint_of_its_update(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (copy / "update_000004" / "model.safetensors").unlink()
    store = store_of(copy)
    recover(store.folder)
    store.settle(None)
    assert names(copy) == ["best", "last", "update_000004", "update_000004.damaged", "update_000006"]
    assert load_checkpoint(copy / "best").info.update == 4


def test_a_followed_link_that_differs_from_its_checkpoint_is_kept(tmp_path: Path) -> None:
    with_best_at_4(tmp_path / "run")
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    record_validation(copy / "best", Validation(scores(0.5), 0.0))
    [note] = recover(copy).notes
    assert note == f"{copy / 'best'} is another checkpoint than update_000004: renamed to best.copy"
    assert read_info(copy / "best.copy").scores == scores(0.5)


def test_a_followed_link_that_is_damaged_is_kept_under_another_name(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    for _ in range(2):
        (tmp_path / "best").unlink()
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "config.yaml").touch()
        [note] = recover(store.folder).notes
        assert note.startswith(f"{tmp_path / 'best'} is a damaged checkpoint: renamed to best.damaged")
        store.settle(None)
    assert {"best.damaged", "best.damaged2"} < set(names(tmp_path))
    assert load_checkpoint(tmp_path / "best").info.update == 4


@pytest.mark.parametrize("file", ["model.safetensors", "training/optimizer.safetensors", "checkpoint.json"])
def test_a_run_resumes_before_a_damaged_last_checkpoint(tmp_path: Path, file: str) -> None:
    store = store_of(tmp_path, keep_last=3)
    for update in (2, 4, 6):
        write(store, update, 1.0)
    damaged = tmp_path / "update_000006" / file
    damaged.write_bytes(damaged.read_bytes()[:20])
    checkpoint, notes = recover(store.folder)
    assert checkpoint == tmp_path / "update_000004"
    [note] = notes
    assert note.startswith(
        f"{tmp_path / 'update_000006'} is damaged and now called update_000006.damaged, continuing from update_000004 ("
    )
    assert str(damaged) in note
    store.settle(None)
    assert names(tmp_path) == ["best", "last", "update_000002", "update_000004", "update_000006.damaged"]
    assert load_checkpoint(tmp_path / "last").info.update == 4


def test_a_run_with_only_damaged_checkpoints_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, keep_last=2)
    for update in (2, 4):
        (write(store, update) / "model.safetensors").unlink()
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match=r"update_000004/model\.safetensors is missing"):
        recover(store.folder)
    assert names(tmp_path) == before


def test_a_checkpoint_of_a_newer_format_is_not_skipped(tmp_path: Path) -> None:
    store = store_of(tmp_path, keep_last=2)
    for update in (2, 4):
        write(store, update)
    edit_json(tmp_path / "update_000004" / "checkpoint.json", lambda values: values.update(format_version=99))
    with pytest.raises(CheckpointError, match="has checkpoint format 99"):
        recover(store.folder)
    assert "update_000004" in names(tmp_path)
