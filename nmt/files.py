"""Files and folders that are either complete or absent, and files that grow by whole records.

The former are written under a temporary name beside their place, synced to the disk and renamed, so that neither a kill
nor a power cut nor a full disk leaves half of one, or loses what was there before. Permissions follow the umask; a file
that is replaced keeps those that it had.
"""

import errno
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
    target = path.resolve()
    temporary = _temporary_name(target)
    try:
        with naming(path, instead_of=temporary), temporary.open("xb") as stream:
            yield stream
            stream.flush()
            with suppress(FileNotFoundError):
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            os.fsync(stream.fileno())
        with naming(path, instead_of=temporary):
            temporary.replace(target)
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `path` if the block ends without an exception.

    Raises:
        OSError: the folder cannot be made or renamed; a `path` that exists must be an empty folder.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, instead_of=temporary):
            temporary.mkdir()
        yield temporary
        with naming(path, instead_of=temporary):
            for below in temporary.rglob("*"):
                sync(below)
            sync(temporary)
            temporary.rename(path)
            sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _temporary_name(path: Path) -> Path:
    # a name that nobody can foresee: never a link that somebody has put there
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
