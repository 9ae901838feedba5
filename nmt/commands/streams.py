"""Standard streams as a command may find them: closed, full, or of another encoding.

Results on stdout are UTF-8 whatever the locale. stderr shows what its encoding lacks as backslash escapes, as Python
does by default.
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
    """Open closed standard streams, so that no file opened later gets the descriptor of one.

    Reading a closed stdin and writing to a closed stdout fail as on a closed file; output to a closed stderr is lost.
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
    """Tell whether a standard stream was closed at the start; `open_standard_streams` has made it unusable."""
    try:
        access = fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (AttributeError, OSError):  # no descriptor, as in a notebook
        return False
    return access == (os.O_WRONLY if stream is sys.stdin else os.O_RDONLY)


@contextmanager
def binary_stdout() -> Iterator[BinaryIO]:
    """Yield stdout for bytes, whatever encoding the terminal has, and flush it, so that a full disk is noticed here.

    Raises:
        ConfigError: stdout is closed.
        OSError: it cannot be written.
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
        ConfigError: it is closed.
    """
    if is_closed(sys.stdout):
        raise ConfigError(STDOUT_IS_CLOSED)


class _Stdout(io.FileIO):
    """Lets errors name stdout."""

    def write(self, content: "ReadableBuffer", /) -> int:
        with naming(Path("stdout")):
            return super().write(content)


def fail(message: str) -> NoReturn:
    """Say what is wrong, in one line, and exit with status 1."""
    print_error(f"nmt: {message}")
    _flush(sys.stdout)
    sys.exit(1)


def shows_tracebacks() -> bool:
    """Tell whether the user wants to see where errors come from, as Hydra's users do."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") != "0"


def print_error(message: str) -> None:
    """Write one line to stderr, if that is possible at all."""
    with suppress(OSError):
        print(one_line(message), file=sys.stderr, flush=True)  # noqa: T201
    _flush(sys.stderr)


def _flush(stream: Any) -> None:
    """Flush a stream; if that fails, what it still holds is discarded: Python would complain at exit."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # a stream of tests has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
