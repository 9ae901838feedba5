"""Files and folders that are either complete or absent, and files that grow by whole records.

The former are written under a temporary name in the same folder, synced to disk and renamed, so that no kill, power cut
or full disk leaves half of one, or loses what was there before. Permissions follow the umask; a replaced file keeps its
own.

A process holds a lock on its temporary file or folder, so that those abandoned by killed processes can be told from
those still being written.
"""

import errno
import fcntl
import glob
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` if the block ends without an exception.

    A symbolic link stays a link: the file that it points to is replaced.

    Raises:
        OSError: if the file cannot be written; it names `path`.
    """
    target = Path(os.path.realpath(path))  # unlike Path.resolve, leaves circular links to the system
    temporary, stream = _open_temporary(target, path)
    try:
        with naming(path, instead_of=temporary), stream:
            yield stream
            stream.flush()
            with suppress(FileNotFoundError):
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            os.fsync(stream.fileno())
            temporary.replace(target)  # before closing, which releases the lock
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Create a folder beside `path` and delete it after the block, unless the block has renamed it.

    Raises:
        OSError: if the folder cannot be created; it names `path`.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.mkdir()
        with _lock(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path, *, may_replace: bool = False) -> Iterator[Path]:
    """Create a temporary folder that is renamed to `path` if the block ends without an exception.

    Args:
        may_replace: replace what is already at `path`. For a moment neither folder is there; the old one is then
            beside it, where `find_folder` finds it and from where `restore_folder` moves it back after a kill.

    Raises:
        OSError: if the folder cannot be created or renamed; a `path` that exists must be an empty folder, unless it
            may be replaced.
    """
    try:
        with temporary_folder(path) as temporary:
            yield temporary
            with naming(path, instead_of=temporary):
                sync_below(temporary)
                if may_replace and os.path.lexists(path):
                    restore_folder(path)
                    path.rename(_old_name(path))
                temporary.rename(path)
                sync(path.parent)
    finally:
        if may_replace:
            restore_folder(path)


@contextmanager
def resumable_folder(path: Path, *, keep_after: type[Exception]) -> Iterator[Path]:
    """Create a folder, or continue with the one that an interrupted process left, and rename it to `path` at the end.

    It has a name of its own beside `path`, of which no two processes may make use at the same time. After an exception
    it is deleted, but not if the block was interrupted (by a signal) or after an exception of type `keep_after`.

    Raises:
        OSError: if the folder cannot be created or renamed.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with naming(path, instead_of=unfinished):
            if unfinished.is_symlink():
                unfinished.unlink()
            unfinished.mkdir(exist_ok=True)
        remove_temporaries(unfinished, "*")
        yield unfinished
        with naming(path, instead_of=unfinished):
            sync_below(unfinished)
            unfinished.rename(path)
            sync(path.parent)
    except keep_after:
        raise
    except Exception:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def find_folder(path: Path) -> Path:
    """Return where to read the folder `path` while `atomic_folder` replaces it, or after a kill in between."""
    old = _old_name(path)
    return old if old.is_dir() and not path.exists() else path


def restore_folder(path: Path) -> None:
    """Move back what `atomic_folder` had moved from `path`, or delete it if the new folder is complete."""
    old = _old_name(path)
    if not os.path.lexists(old):
        return
    if not os.path.lexists(path):
        old.rename(path)
    else:
        remove(old)


def atomic_link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step; an existing link or file is replaced.

    Raises:
        OSError: if the link cannot be created, or `path` is a folder; it names `path`.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.symlink_to(target)
            temporary.replace(path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Delete a folder so that a kill leaves it intact, or under a temporary name that `remove_temporaries` finds.

    Raises:
        OSError: if the folder cannot be renamed or deleted.
    """
    temporary = _temporary_name(path)
    with naming(path, instead_of=temporary):
        path.rename(temporary)
        sync(path.parent)
    shutil.rmtree(temporary)


def remove_temporaries(folder: Path, name: str) -> None:
    """Remove what killed processes left in `folder` when writing `name`; no other process may be writing it.

    Args:
        name: a file or folder name, with `*` and `?` as in a shell.
    """
    for path in folder.glob(f".{name}.*.tmp"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder as far as possible; the target of a link stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_abandoned(path: Path) -> list[Path]:
    """Remove the temporary files and folders that killed processes left when writing `path`; return their names.

    Those of running processes are locked and stay.
    """
    target, removed = path.resolve(), []
    for temporary in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.tmp"):
        if not temporary.is_symlink() and (temporary.is_file() or temporary.is_dir()):
            with suppress(OSError), _lock(temporary) as is_locked:
                if is_locked:
                    remove(temporary)
                    removed.append(temporary)
    return removed


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe, or a file that the shell has opened, which no new file may replace."""
    opened_by_shell = os.fspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    return path.exists() and (opened_by_shell or not path.is_file())


def is_file_name(name: str) -> bool:
    """Return whether a name can be part of a file name: no slash, nothing invisible, not too long."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= 200


def sync_below(folder: Path) -> None:
    """Sync a folder and everything in it to disk."""
    for below in folder.rglob("*"):
        sync(below)
    sync(folder)


def sync(path: Path) -> None:
    """Sync a file, or the list of names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that does not sync folders
            raise
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path, *, instead_of: Path | None = None) -> Iterator[None]:
    """Let an OSError of the block name `path` if it names no file (as from failed writes) or `instead_of`."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (instead_of is not None and error.filename == os.fspath(instead_of)):
            error.filename, error.filename2 = os.fspath(path), None
        raise


class RecordFile:
    """A file that grows record by record. A record that the disk refuses is lost as a whole, with one warning.

    Nothing is raised: the work that the file reports on is worth more than the report.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: FileIO | None = None
        self._has_warned = False
        self.append(b"")

    def append(self, record: bytes) -> None:
        """Append a record, or nothing at all."""
        try:
            self._write(record)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True  # before logging, which may write to this very file
                log.warning(
                    "%s cannot be written (%s): its new records are lost, everything else continues; free some space",
                    self.path,
                    error.strerror,
                )

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _write(self, record: bytes) -> None:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("ab", buffering=0)
        end = os.fstat(self._stream.fileno()).st_size
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._stream.truncate(end)
            raise


def _old_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Try to lock a file or a folder for the block; yield whether it is locked."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        is_locked = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process holds it, or a file system without locks
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def _open_temporary(target: Path, path: Path) -> tuple[Path, BinaryIO]:
    """Open a new temporary file beside `target` and lock it; errors name `path`."""
    while True:
        temporary = _temporary_name(target)
        with naming(path, instead_of=temporary):
            stream = temporary.open("xb")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = not temporary.exists()
        except OSError as error:
            taken = isinstance(error, BlockingIOError)  # otherwise a file system without locks
        if not taken:
            return temporary, stream
        stream.close()  # another process considered it abandoned before it was locked


def _temporary_name(path: Path) -> Path:
    # an unpredictable name, so that nobody can have put a link there
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
