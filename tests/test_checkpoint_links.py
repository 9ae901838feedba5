"""Names of checkpoints, and the folders that they point to."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmt.errors import CheckpointError
from nmt.training.checkpoint import load_checkpoint, read_info
from nmt.training.checkpoint_links import find_last, read_checkpoint, resolve_checkpoint
from tests.checkpoints import save
from tests.test_checkpoint_store import store_of, updates, with_best_at_4, write

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_the_newest_has_the_most_updates_for_any_name(tmp_path: Path) -> None:
    for update in (999_999, 1_000_000):  # seven digits sort before six
        save(tmp_path, update=update)
    assert find_last(tmp_path) == tmp_path / "update_1000000"
    store_of(tmp_path).settle(None)
    assert updates(tmp_path) == {"best": 1_000_000, "last": 1_000_000, "update_1000000": 1_000_000}
    assert find_last(tmp_path / "none") is None


@pytest.mark.parametrize("content", [b"", b"../outside", b"/etc", b"update_000002/..", b"\xff", b"x" * 1000])
def test_a_file_that_names_no_checkpoint_is_not_followed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "best").write_bytes(content)
    assert resolve_checkpoint(tmp_path / "best") == tmp_path / "best"


def test_a_folder_is_named_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("run"), update=2)
    assert resolve_checkpoint(Path("run/update_000002")) == Path("run/update_000002")
    assert resolve_checkpoint(Path("nowhere")) == Path("nowhere")


def test_circular_links_are_refused(tmp_path: Path) -> None:
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
        write(store, 8, 0.5)  # best moves, and its former target is deleted
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


def test_a_checkpoint_that_vanishes_twice_is_one_line(tmp_path: Path) -> None:
    store = with_best_at_4(tmp_path)
    best = iter((0.5, 0.25))

    def read(path: Path) -> None:
        write(store, 2 * int(path.name[-1]), next(best))
        read_info(path)

    with pytest.raises(CheckpointError, match="update_000008 does not exist: name a checkpoint such as"):
        read_checkpoint(tmp_path / "best", read)
