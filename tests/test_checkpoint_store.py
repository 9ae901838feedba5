"""The checkpoints of a run: a kill leaves a loadable last, and nothing that is needed is deleted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.training import checkpoint as checkpoint_module
from nmt.training.checkpoint import checkpoint_name, load_checkpoint, load_snapshot, read_info
from nmt.training.checkpoint_store import find_last, point_link, prune_checkpoints
from tests.test_checkpoint import save


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave files to the system's cache: no test pulls the plug, and a busy disk takes long."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def test_a_link_is_relative_and_moves_in_one_step(tmp_path: Path) -> None:
    for update in (1, 2):
        point_link(tmp_path, "best", save(tmp_path, update=update))
        assert str((tmp_path / "best").readlink()) == checkpoint_name(update)
        assert load_checkpoint(tmp_path / "best").info.update == update
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    assert load_checkpoint(moved / "best").info.update == 2


@pytest.mark.parametrize(
    ("keep_last", "kept"), [(0, {2, 5}), (1, {2, 5, 6}), (2, {2, 5, 6}), (3, {2, 4, 5, 6}), (9, {1, 2, 3, 4, 5, 6})]
)
def test_pruning_keeps_the_linked_and_the_newest(tmp_path: Path, keep_last: int, kept: set[int]) -> None:
    for update in range(1, 7):
        (tmp_path / checkpoint_name(update)).mkdir()
    point_link(tmp_path, "best", tmp_path / checkpoint_name(2))
    point_link(tmp_path, "last", tmp_path / checkpoint_name(5))
    prune_checkpoints(tmp_path, keep_last=keep_last)
    expected = {checkpoint_name(update) for update in kept}
    assert {path.name for path in tmp_path.glob("update_*")} == expected
    assert {path.name for path in tmp_path.iterdir()} == expected | {"best", "last"}


def test_the_newest_has_the_most_updates_whatever_its_name(tmp_path: Path) -> None:
    for update in (999_998, 999_999, 1_000_000, 1_000_001):  # seven digits sort before six
        (tmp_path / checkpoint_name(update)).mkdir()
    prune_checkpoints(tmp_path, keep_last=2)
    assert {path.name for path in tmp_path.iterdir()} == {"update_1000000", "update_1000001"}


def test_the_last_is_the_link_or_else_the_newest(tmp_path: Path) -> None:
    assert find_last(tmp_path / "none") is None
    for update in (999_999, 1_000_000):
        (tmp_path / checkpoint_name(update)).mkdir()
    (tmp_path / ".update_1000001.tmp").mkdir()  # as a kill leaves it
    assert find_last(tmp_path) == tmp_path / "update_1000000"
    point_link(tmp_path, "last", tmp_path / "update_999999")
    assert find_last(tmp_path) == tmp_path / "last"


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("update", [8, 7], ids=["a new update", "the update of last itself"])
def test_a_kill_at_any_point_leaves_a_loadable_last(
    tmp_path: Path, update: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_steps_left = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal num_steps_left
            if num_steps_left == 0:
                raise Killed
            num_steps_left -= 1
            return function(*args, **kwargs)

        return step

    point_link(tmp_path / "before", "last", save(tmp_path / "before", update=7))
    kills = 0
    for num_steps in range(100):
        directory = tmp_path / str(num_steps)
        shutil.copytree(tmp_path / "before", directory, symlinks=True)
        num_steps_left = num_steps
        with monkeypatch.context() as patch:
            for name in ("mkdir", "write_text", "write_bytes", "rename", "replace", "unlink", "symlink_to"):
                patch.setattr(Path, name, dying(getattr(Path, name)))
            for owner, name in (
                (checkpoint_module, "save_tensors"),
                (checkpoint_module, "hash_file"),
                (shutil, "rmtree"),
            ):
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                point_link(directory, "last", save(directory, update=update, seed=2))
                prune_checkpoints(directory, keep_last=1)
            except Killed:
                kills += 1
        assert load_checkpoint(directory / "last").info.update in (7, update)
        load_snapshot(directory / "last")
        # and the run goes on: the same checkpoint is written again
        point_link(directory, "last", save(directory, update=update, seed=2))
        assert read_info(directory / "last").update == update
        assert {path.name for path in directory.glob(".*")} == set()
        if kills <= num_steps:
            break
    assert kills > 10
