"""Folders that several jobs may want to write to at the same time."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nmt.errors import DataError

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def sole_writer(folder: Path, lock_name: str, *, setting: str) -> Iterator[None]:
    """Make a folder and keep other jobs from what is written in the block; wait for the one that is at it.

    Args:
        setting: names the folder; for messages.

    Raises:
        DataError: the folder cannot be written, or an OSError of the block that names its file.
    """
    lock = FileLock(folder / lock_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # filelock would wait for ever where its file cannot be made
        os.close(os.open(folder / lock_name, os.O_RDWR | os.O_CREAT, 0o666))
        with suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            logger.info("another job prepares this corpus in %s: waiting for it", folder)
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
        if error.filename is None:  # no file of the folder, but a terminal that has gone, for example
            raise
        advice = f"free some space, or name another {setting}" if error.errno in _FULL else f"name another {setting}"
        raise DataError(f"{error.filename} cannot be written ({error.strerror}): {advice}") from error
    finally:
        lock.release()
