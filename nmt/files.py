"""Files and folders that are either complete or absent.

Both are written under a temporary name beside their place, synced to the disk and renamed, so that neither a kill nor
a power cut nor a full disk leaves half of one, or loses what was there before. Permissions follow the umask; a file
that is replaced keeps those that it had.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


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
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `path` if the block ends without an exception.

    Raises:
        OSError: the folder cannot be made or renamed; a `path` that exists must be an empty folder.
    """
    with temporary_folder(path) as temporary:
        yield temporary
        with naming(path, instead_of=temporary):
            sync_below(temporary)
            temporary.rename(path)
            sync(path.parent)


def remove_temporaries(folder: Path, name: str) -> None:
    """Remove what killed processes left in `folder` while they wrote `name`; no other process may be writing it.

    Args:
        name: a file or folder name, with `*` and `?` as in a shell.
    """
    for path in folder.glob(f".{name}.*.tmp"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


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


def _temporary_name(path: Path) -> Path:
    # a name that nobody can foresee: never a link that somebody has put there
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
