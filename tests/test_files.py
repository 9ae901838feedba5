"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nmt.files import (
    RecordFile,
    atomic_folder,
    atomic_link,
    atomic_write,
    find_folder,
    remove,
    remove_abandoned,
    remove_folder,
    remove_temporaries,
    restore_folder,
    resumable_folder,
    temporary_folder,
)
from tests.disks import largest_file, names

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_is_complete_or_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("before")

    def interrupted() -> None:
        with atomic_write(file) as stream:
            stream.write(b"half")
            stream.flush()
            assert file.read_text() == "before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "before"
    assert names(tmp_path) == ["a"]
    with atomic_write(file) as stream:
        stream.write(b"after")
    assert file.read_text() == "after"
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("umask")
def test_a_new_file_and_folder_follow_the_umask(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a"), atomic_folder(tmp_path / "b") as folder:
        (folder / "c").touch()
    assert mode(tmp_path / "a") == 0o640
    assert mode(tmp_path / "b") == 0o750
    assert mode(tmp_path / "b" / "c") == 0o640


@pytest.mark.parametrize("before", [0o600, 0o664, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, before: int) -> None:
    file = tmp_path / "a"
    file.touch()
    file.chmod(before)
    with atomic_write(file) as stream:
        stream.write(b"x")
    assert mode(file) == before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder" / "file", tmp_path / "link"
    file.write_text("before")
    link.symlink_to("folder/file")
    with atomic_write(link) as stream:
        stream.write(b"after")
    assert link.is_symlink()
    assert file.read_text() == "after"


def test_a_folder_is_complete_or_absent(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_folder(tmp_path / "a") as folder:
            (folder / "b").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
    with atomic_folder(tmp_path / "a") as folder:
        (folder / "b").write_text("x")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "b").read_text() == "x"
    assert names(tmp_path) == ["a"]


def test_a_failed_write_names_the_file(tmp_path: Path) -> None:
    def full() -> None:
        with atomic_write(tmp_path / "a") as stream:
            stream.write(b"x")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        full()
    assert names(tmp_path) == []


def test_everything_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with atomic_write(tmp_path / "a") as stream:
        stream.write(b"x")
    assert synced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
    synced.clear()
    with atomic_folder(tmp_path / "b") as folder:
        (folder / "c").touch()
        (folder / "d").mkdir()
    inner = {path.stat().st_ino for path in (tmp_path / "b", tmp_path / "b" / "c", tmp_path / "b" / "d")}
    assert set(synced[:-1]) == inner
    assert synced[-1] == tmp_path.stat().st_ino


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / ".update_000002.0a1b2c3d.tmp").mkdir()
    (tmp_path / ".update_000002.0a1b2c3d.tmp" / "x").touch()
    (tmp_path / ".update_000004.0a1b2c3d.tmp").symlink_to("kept")
    (tmp_path / ".other.0a1b2c3d.tmp").touch()
    (tmp_path / "update_000002").mkdir()
    remove_temporaries(tmp_path, "update_*")
    assert names(tmp_path) == [".other.0a1b2c3d.tmp", "kept", "update_000002"]


@pytest.mark.parametrize("old", ["folder", "file", "link"])
def test_a_folder_replaces_an_existing_one(old: str, tmp_path: Path) -> None:
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "place"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("kept")
    if old == "folder":
        shutil.copytree(elsewhere, place)
    elif old == "file":
        place.write_text("old")
    else:
        place.symlink_to(elsewhere)
    with atomic_folder(place, may_replace=True) as folder:
        (folder / "new").write_text("new")
        assert find_folder(place) == place
    assert [path.name for path in place.iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "place"]
    assert (elsewhere / "mine").read_text() == "kept"


def test_a_failed_replacement_keeps_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "old").write_text("old")
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="No space left"), atomic_folder(place, may_replace=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in place.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_folder_is_found_while_it_is_replaced(tmp_path: Path) -> None:
    place, old = tmp_path / "place", tmp_path / ".place.old"
    restore_folder(place)  # nothing to do
    assert find_folder(place) == place
    old.mkdir()
    assert find_folder(place) == old
    restore_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    old.mkdir()
    assert find_folder(place) == place
    restore_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


@pytest.mark.parametrize("name", ["a", "a[1]*?"])
def test_only_files_of_killed_writers_are_removed(tmp_path: Path, name: str) -> None:
    left = tmp_path / f".{name}.0a1b2c3d.tmp"
    others = {".other.0a1b2c3d.tmp", f".{name}.part", f".{name}.0a1b2c3.tmp"}
    for file in (left, *(tmp_path / other for other in others)):
        file.touch()
    with atomic_write(tmp_path / name) as stream:
        stream.write(b"x")
        assert remove_abandoned(tmp_path / name) == [left]
        assert remove_abandoned(tmp_path / name) == []
    assert (tmp_path / name).read_text() == "x"
    assert set(names(tmp_path)) == {*others, name}


def test_only_folders_of_killed_writers_are_removed(tmp_path: Path) -> None:
    left = tmp_path / ".a.0a1b2c3d.tmp"
    left.mkdir()
    (left / "part").touch()
    with temporary_folder(tmp_path / "a") as folder:
        assert remove_abandoned(tmp_path / "a") == [left]
        assert names(tmp_path) == [folder.name]


def test_a_file_is_not_abandoned_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def late(temporary: Path, target: Path) -> Path:
        assert remove_abandoned(target) == []
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", late)
    with atomic_write(tmp_path / "a") as stream:
        stream.write(b"x")
    assert (tmp_path / "a").read_text() == "x"


def test_a_link_is_never_considered_abandoned(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    (tmp_path / ".a.0a1b2c3d.tmp").symlink_to("kept")
    assert remove_abandoned(tmp_path / "a") == []
    assert names(tmp_path) == [".a.0a1b2c3d.tmp", "kept"]


@pytest.mark.parametrize("problem", [None, BlockingIOError, OSError])
def test_a_file_removed_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[OSError] | None
) -> None:
    flock, calls = fcntl.flock, 0

    def late(stream: object, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            for temporary in tmp_path.glob(".a.*.tmp"):
                temporary.unlink()
            if problem is not None:
                raise problem
        flock(stream, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", late)
    if problem is OSError:  # a file system without locks: nobody can have taken the file
        monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    with atomic_write(tmp_path / "a") as stream:
        stream.write(b"x")
    assert (tmp_path / "a").read_text() == "x"
    assert calls == (1 if problem is OSError else 2)


def test_a_name_becomes_a_link_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").write_text("a file")
    for target in ("a", "b"):
        atomic_link(tmp_path / "link", target)
        assert str((tmp_path / "link").readlink()) == target
    with pytest.raises(OSError, match=r"Is a directory: '.*/a'|File exists: '.*/a'|not empty: '.*/a'"):
        atomic_link(tmp_path / "a", "b")
    assert names(tmp_path) == ["a", "link"]


def test_a_removed_folder_is_intact_or_has_a_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").touch()

    def killed(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    remove_temporaries(tmp_path, "a")
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError, match=r"'.*/a'"):
        remove_folder(tmp_path / "a")


def test_removing_a_link_keeps_its_target(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "file").touch()
    for name in ("link", "file", "nothing"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["a"]


def test_a_record_is_written_completely_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = RecordFile(tmp_path / "folder" / "a")
    file.append(b"one\n")
    assert (tmp_path / "folder" / "a").read_bytes() == b"one\n"
    with largest_file(6):
        file.append(b"two\n")
        file.append(b"three\n")
    file.append(b"four\n")
    file.close()
    assert (tmp_path / "folder" / "a").read_bytes() == b"one\nfour\n"
    assert caplog.messages == [
        f"{tmp_path / 'folder' / 'a'} cannot be written (File too large): its new records are lost, "
        "everything else continues; free some space"
    ]
    RecordFile(tmp_path / "folder" / "a").close()
    assert (tmp_path / "folder" / "a").read_bytes() == b"one\nfour\n"


def test_a_record_file_that_cannot_be_opened_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").touch()
    file = RecordFile(tmp_path / "folder" / "a")
    file.append(b"one\n")
    (tmp_path / "folder").unlink()
    file.append(b"two\n")
    file.close()
    assert (tmp_path / "folder" / "a").read_bytes() == b"two\n"
    assert len(caplog.messages) == 1


def test_a_resumable_folder_keeps_its_files_when_it_is_interrupted(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, LookupError):
        with pytest.raises(error), resumable_folder(tmp_path / "a", keep_after=LookupError) as folder:  # noqa: PT012
            (folder / error.__name__).touch()
            (folder / ".x.0a1b2c3d.tmp").touch()
            raise error
    assert [path.name for path in tmp_path.iterdir()] == [".a.unfinished"]
    with resumable_folder(tmp_path / "a", keep_after=LookupError) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["KeyboardInterrupt", "LookupError"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["KeyboardInterrupt", "LookupError", "a"]


def test_a_resumable_folder_is_deleted_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), resumable_folder(tmp_path / "a", keep_after=LookupError):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_a_resumable_folder_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / ".a.unfinished").symlink_to("other")
    with resumable_folder(tmp_path / "a", keep_after=LookupError) as folder:
        (folder / "file").touch()
    assert (tmp_path / "a" / "file").exists()
    assert not (tmp_path / "a").is_symlink()
    assert list((tmp_path / "other").iterdir()) == []
