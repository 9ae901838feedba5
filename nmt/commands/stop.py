"""Signals that end a command; the first one ends a training run with a checkpoint."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Ctrl-C; what batch systems send; a closed terminal; what `sbatch --signal=USR1@60` and submitit send before the time
# is up
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # nohup lets its command ignore SIGHUP


class Stopped(BaseException):
    """A signal ends the command. Not an `Exception`, so that it also ends a sweep."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


class StopFlag:
    """Set by the first of the signals; a second one has its usual effect."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.signal_number = 0
        self._is_silent = is_silent
        self._previous = {
            number: signal.signal(number, self._set)
            for number in SIGNALS
            if not (number in MAY_BE_IGNORED and signal.getsignal(number) == signal.SIG_IGN)
        }

    def is_set(self) -> bool:
        return self.signal_number != 0

    def restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _set(self, signal_number: int, _frame: object) -> None:
        if self.signal_number:
            self.restore()
            signal.raise_signal(signal_number)
        self.signal_number = signal_number
        if self._is_silent:
            return
        # not by the logger: the signal may have come while it was writing
        with suppress(OSError):  # nobody may be listening
            os.write(2, f"{signal.Signals(signal_number).name}: saving a checkpoint, then stopping\n".encode())


@contextmanager
def graceful_stop(*, is_silent: bool = False) -> Iterator[StopFlag]:
    """Make the signals set a flag during the block, and the first one print a line, unless another process does."""
    flag = StopFlag(is_silent=is_silent)
    try:
        yield flag
    finally:
        flag.restore()
