"""Standard streams, which may be closed, full, or of another encoding.

Results on stdout are UTF-8 in any locale. stderr shows characters that its encoding lacks as backslash escapes, as
Python does by default.
"""

import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from nmt.commands.log import one_line, show_warnings_in_one_line
from nmt.commands.os_errors import STDOUT_IS_CLOSED
from nmt.errors import ConfigError
from nmt.files import naming

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def open_standard_streams() -> None:
    """Reopen closed standard streams, so that no file opened later gets one of their descriptors.

    Reading from a closed stdin and writing to a closed stdout fail as usual; output to a closed stderr is lost.
    """
    for descriptor, unusable in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, unusable)  # takes the lowest number that is free, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:  # otherwise something else, such as a test, collects the output
        unbuffered = isinstance(sys.stdout, io.TextIOWrapper) and (
            sys.stdout.line_buffering or sys.stdout.write_through
        )
        raw = io.BufferedWriter(_Stdout(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(raw, line_buffering=unbuffered)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names that are not UTF-8 come out as they are
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    show_warnings_in_one_line()


def is_closed(stream: Any) -> bool:
    """Return whether a standard stream was closed at the start; `open_standard_streams` has made it unusable."""
    try:
        access = fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (AttributeError, OSError):  # no descriptor, as in a notebook
        return False
    return access == (os.O_WRONLY if stream is sys.stdin else os.O_RDONLY)


@contextmanager
def binary_stdout() -> Iterator[BinaryIO]:
    """Yield stdout for bytes, in any encoding of the terminal, and flush it, so that a full disk is noticed here.

    Raises:
        ConfigError: if stdout is closed.
        OSError: if it cannot be written.
    """
    check_stdout()
    sys.stdout.flush()
    stream, buffer = sys.stdout.buffer, None
    if isinstance(stream, io.RawIOBase):  # PYTHONUNBUFFERED: a write may take only a part, silently
        stream = buffer = io.BufferedWriter(stream)
    try:
        with naming(Path("stdout")):
            yield stream
            stream.flush()
    except OSError:
        _flush(stream)
        raise
    finally:
        if buffer is not None:
            buffer.detach()


def check_stdout() -> None:
    """Refuse a closed stdout.

    Raises:
        ConfigError: if it is closed.
    """
    if is_closed(sys.stdout):
        raise ConfigError(STDOUT_IS_CLOSED)


class _Stdout(io.FileIO):
    """Makes errors name stdout."""

    def write(self, content: "ReadableBuffer", /) -> int:
        with naming(Path("stdout")):
            return super().write(content)


class Failed(SystemExit):
    """The exit of `fail`."""


def fail(message: str) -> NoReturn:
    """Print what is wrong in one line, and exit with status 1."""
    print_error(f"nmt: {message}")
    _flush(sys.stdout)
    raise Failed(1)


def shows_tracebacks() -> bool:
    """Return whether the user wants tracebacks: by HYDRA_FULL_ERROR, as usual with Hydra."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") != "0"


def print_error(message: str) -> None:
    """Write one line to stderr, if that is possible at all."""
    with suppress(OSError):
        print(one_line(message), file=sys.stderr, flush=True)  # noqa: T201
    _flush(sys.stderr)


def _flush(stream: Any) -> None:
    """Flush a stream; if that fails, discard what it still holds, since Python would complain at exit."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # a stream of tests has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
