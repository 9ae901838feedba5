"""The jobs of a command, a single one or those of a sweep, as Hydra runs them."""

import importlib
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from nmt.commands.arguments import QUICKSTART, CommandLine
from nmt.commands.compose import check_schema, to_settings
from nmt.commands.explain import explain
from nmt.commands.stop import Stopped
from nmt.errors import NmtError
from nmt.processors import num_processors

log = logging.getLogger(__name__)


class Jobs:
    """Runs the jobs and keeps the outcomes that Hydra would not return.

    Attributes:
        line: the command line, from which a launcher makes those of the jobs that it runs in other processes.
        status: the exit status of the command, if no job fails.
        error: a user's mistake in a single job.
        crashes: errors that no user can fix.
    """

    def __init__(self, command: str, *, shows_tracebacks: bool) -> None:
        self.command = command
        self.shows_tracebacks = shows_tracebacks
        self.line = CommandLine([], [])
        self.num_started = 0
        self.num_failed = 0  # of a sweep
        self.status = 0
        self.error: Exception | None = None
        self.crashes: list[Exception] = []

    def run(self, composed: Any) -> None:
        """Run one job; a user's mistake is kept, since Hydra would add its own lines, or end the sweep."""
        self.num_started += 1
        try:
            status = self._run(composed)
        except BrokenPipeError:  # the downstream process has closed the pipe, as in `nmt translate … | head`
            raise Stopped(signal.SIGPIPE) from None
        except (NmtError, OmegaConfBaseException, OSError) as error:
            if not self.line.is_sweep:
                self.error = error
                return
            # not kept: its traceback would keep the job's model in memory, the GPU's too, while the others run
            self.num_failed += 1
            message = explain(error, self.command, [])
            log.error("this job failed, the others continue: %s", message, exc_info=self.shows_tracebacks)
            return
        except Exception as error:
            self.crashes.append(error)
            raise
        if status > 128:
            raise Stopped(status - 128)
        self.status = max(self.status, status)

    def _run(self, composed: Any) -> int:
        check_schema(self.command, composed)
        settings, config_yaml = to_settings(composed)
        _warn_of_threads(getattr(settings, "threads", None))
        note = f"no data, model or training settings are given: {QUICKSTART}" if self.line.is_quickstart else None
        with _announced(note), full_memory_explained(self.command):
            module = importlib.import_module(f"nmt.commands.{self.command}")
            status: int = module.run(settings, config_yaml=config_yaml)
        return status


@contextmanager
def _announced(note: str | None) -> Iterator[None]:
    """Log a note before the first record of the block; a mistake that ends the block stays one line."""
    handler = _Announcement(note)
    logging.getLogger().handlers.insert(0, handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Announcement(logging.Handler):
    def __init__(self, note: str | None) -> None:
        super().__init__()
        self._note = note

    def emit(self, _: logging.LogRecord) -> None:
        note, self._note = self._note, None
        if note is not None:
            log.info("%s", note)


def _warn_of_threads(threads: int | None) -> None:
    if threads is not None and threads > num_processors():
        log.warning("threads=%d is more than the %d processors here, which is slower", threads, num_processors())


@contextmanager
def full_memory_explained(command: str) -> Iterator[None]:
    """Explain what to do if memory is full, which torch and its libraries report in many ways."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        if not on_cpu and not re.search(r"out of memory|_STATUS_ALLOC_FAILED", str(error)):
            raise
        for_training = (
            "lower batching.size and raise training.accumulate, or take a smaller model, in a new run_dir "
            "(training.init_from keeps what was learned); or lower search.batch_rows if BLEU was being measured"
        )
        advice = {
            "train": for_training,
            "embeddings": "take a file of fewer vectors",
            "doctor": "training would fail as well: lower batching.size, or take a smaller model",
        }.get(command, "lower search.batch_rows")
        raise NmtError(f"the {'computer' if on_cpu else 'GPU'}'s memory is full: {advice}") from error
