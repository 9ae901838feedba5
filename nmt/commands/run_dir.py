"""The directory of a training run: one job at a time, a log, and no leftovers of a failed start."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from nmt.commands.log import LineFormatter
from nmt.errors import CheckpointError
from nmt.files import RecordFile, remove, remove_temporaries

WRITTEN = ("config.yaml", "train.log", "metrics.jsonl", "tensorboard", ".lock")  # before the first checkpoint


@dataclass
class RunDirectory:
    """A run directory that only this process uses.

    Attributes:
        num_updates: updates so far; if there are none, a failure removes the directory that was created.
    """

    path: Path
    num_updates: int = 0


@contextmanager
def claim_run_dir(path: Path) -> Iterator[RunDirectory]:
    """Keep a second job from training in the same directory at the same time.

    Raises:
        CheckpointError: if another job is training there, or the directory cannot be written.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    directory = RunDirectory(path)
    try:
        with _lock(path):
            # checked under the lock: another job may have trained there while this one waited for it
            is_new = bool(missing) and not any((path / name).exists() for name in WRITTEN if name != ".lock")
            for name in ("config.yaml", "metrics.jsonl"):
                remove_temporaries(path, name)
            remove(path / "metrics.tmp")  # of version 0.1.0
            try:
                yield directory
            except BaseException:
                if is_new and directory.num_updates == 0:
                    _remove_written(path)
                raise
    except BaseException:
        with suppress(OSError):  # those that are not empty stay
            for folder in missing:
                folder.rmdir()
        raise


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise CheckpointError(f"another job is training in {path}: name another run_dir") from error
    except OSError as error:
        raise CheckpointError(
            f"{path} must be writable, but is not ({error.strerror}): name another run_dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remove_written(path: Path) -> None:
    for name in WRITTEN:
        remove(path / name)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write the log to a file as well; a full disk loses lines of it and nothing else."""
    handler = _RecordFileHandler(path)
    handler.setFormatter(LineFormatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception as error:  # the console gets it from the CLI
        handler.handle(logging.makeLogRecord({"msg": f"training failed: {error}"}))
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


class _RecordFileHandler(logging.Handler):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = RecordFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        self._file.append(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self._file.close()
        super().close()
