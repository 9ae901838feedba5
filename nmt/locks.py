"""Locks on folders that several jobs may write to at the same time."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nmt.errors import DataError

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def sole_writer(folder: Path, lock_name: str, *, setting: str) -> Iterator[None]:
    """Create a folder and lock it for the block; wait if another job holds the lock.

    Args:
        setting: the setting that names the folder, for messages.

    Raises:
        DataError: if the folder cannot be written, or the block raises an OSError; it names the file.
    """
    lock = FileLock(folder / lock_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # filelock would wait for ever if it cannot create its file
        os.close(os.open(folder / lock_name, os.O_RDWR | os.O_CREAT, 0o666))
        with suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            log.info("another job is preparing this corpus in %s: waiting for it", folder)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"{folder} must be writable, but is not ({error.strerror or error}): name another {setting}"
        ) from error
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:  # not a file of the folder; a closed terminal, for example
            raise
        advice = f"free some space, or name another {setting}" if error.errno in _FULL else f"name another {setting}"
        raise DataError(f"{error.filename} cannot be written ({error.strerror}): {advice}") from error
    finally:
        lock.release()
