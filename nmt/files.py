"""Files and folders that are either complete or absent, and files that grow by whole records.

The former are written under a temporary name beside their place, synced to the disk and renamed, so that neither a kill
nor a power cut nor a full disk leaves half of one, or loses what was there before. Permissions follow the umask; a file
that is replaced keeps those that it had.

Whoever writes a temporary file holds a lock on it until it has its name, so that what killed processes have left is
known from what living ones write.
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

logger = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` if the block ends without an exception.

    A symbolic link stays a link: the file that it points to is replaced.

    Raises:
        OSError: the file cannot be written; it names `path`.
    """
    target = Path(os.path.realpath(path))  # unlike Path.resolve, leaves links that lead in a circle to the system
    temporary, stream = _open_temporary(target, path)
    try:
        with naming(path, instead_of=temporary), stream:
            yield stream
            stream.flush()
            with suppress(FileNotFoundError):
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            os.fsync(stream.fileno())
            temporary.replace(target)  # before closing, which gives the lock back
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path` that is gone after the block, unless the block has renamed it.

    Raises:
        OSError: the folder cannot be made; it names `path`.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.mkdir()
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path, *, may_replace: bool = False) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `path` if the block ends without an exception.

    Args:
        may_replace: what is at `path` already gives way. For a moment neither is there: until then the old one is kept
            beside it, where `find_folder` finds it and `restore_folder` brings it back after a kill.

    Raises:
        OSError: the folder cannot be made or renamed; a `path` that exists must be an empty folder, unless it
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


def find_folder(path: Path) -> Path:
    """Return where the folder `path` can be read while `atomic_folder` replaces it, or after it was killed there."""
    old = _old_name(path)
    return old if old.is_dir() and not path.exists() else path


def restore_folder(path: Path) -> None:
    """Bring back what `atomic_folder` had moved from `path`, or remove it where the new folder is complete."""
    old = _old_name(path)
    if not os.path.lexists(old):
        return
    if not os.path.lexists(path):
        old.rename(path)
    else:
        remove(old)


def atomic_link(path: Path, target: str) -> None:
    """Let `path` become a symbolic link to `target` in one step; a link or file that was there is replaced.

    Raises:
        OSError: the link cannot be made, or `path` is a folder; it names `path`.
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
    """Delete a folder so that a kill leaves it whole, or as a temporary name that `remove_temporaries` finds.

    Raises:
        OSError: the folder cannot be renamed or deleted.
    """
    temporary = _temporary_name(path)
    with naming(path, instead_of=temporary):
        path.rename(temporary)
        sync(path.parent)
    shutil.rmtree(temporary)


def remove_temporaries(folder: Path, name: str) -> None:
    """Remove what killed processes left in `folder` while they wrote `name`; no other process may be writing it.

    Args:
        name: a file or folder name, with `*` and `?` as in a shell.
    """
    for path in folder.glob(f".{name}.*.tmp"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder as far as possible; what a link points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_abandoned(path: Path) -> list[Path]:
    """Remove the temporary files that killed processes left while they wrote `path`; return their names.

    Those of living processes are locked, and stay.
    """
    target, removed = path.resolve(), []
    for temporary in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            if not temporary.is_symlink() and temporary.is_file():
                with temporary.open("rb+") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    temporary.unlink()
                removed.append(temporary)
    return removed


def is_stream(path: Path) -> bool:
    """Tell whether a path is a device, a pipe, or a file that the shell has opened, which no new file may replace."""
    opened_by_shell = os.fspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    return path.exists() and (opened_by_shell or not path.is_file())


def is_file_name(name: str) -> bool:
    """Tell whether a name can be part of that of a file: it has no slash, nothing invisible, and is not too long."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= 200


def sync_below(folder: Path) -> None:
    """Bring a folder and all that it holds to the disk."""
    for below in folder.rglob("*"):
        sync(below)
    sync(folder)


def sync(path: Path) -> None:
    """Bring a file, or the list of names in a folder, to the disk."""
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
    """Let an OSError of the block name `path` where it names no file (as failed writes do) or `instead_of`."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (instead_of is not None and error.filename == os.fspath(instead_of)):
            error.filename, error.filename2 = os.fspath(path), None
        raise


class RecordFile:
    """A file that grows record by record. A record that the disk refuses is lost as a whole, with one warning.

    Nothing is raised: such a file tells of work that is worth more than what is told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: FileIO | None = None
        self._has_warned = False
        self.append(b"")

    def append(self, record: bytes) -> None:
        """Write a record behind the others, or nothing at all."""
        try:
            self._write(record)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True  # first: the log may be written to this very file
                logger.warning(
                    "%s cannot be written (%s): what is not written there is lost, the rest goes on; free some space",
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
            taken = isinstance(error, BlockingIOError)  # else a file system without locks
        if not taken:
            return temporary, stream
        stream.close()  # another process took it for abandoned before it was locked


def _temporary_name(path: Path) -> Path:
    # a name that nobody can foresee: never a link that somebody has put there
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
