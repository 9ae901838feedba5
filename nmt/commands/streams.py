"""Standard streams as a command may find them: closed, full, or of another encoding; and the log on stderr.

Results on stdout are UTF-8 whatever the locale. stderr shows what its encoding lacks as backslash escapes, as Python
does by itself.
"""

import errno
import fcntl
import io
import logging
import os
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmt.files import naming

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT_IS_CLOSED = "stdout is closed: send it to a file or a pipe, or to /dev/null"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def open_standard_streams() -> None:
    """Let stdin, stdout and stderr exist, so that no file that is opened later takes the place of a closed one.

    Reading a closed stdin and writing to a closed stdout fail as on a closed file; what a closed stderr gets is lost.
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
    if sys.stdout is sys.__stdout__:  # otherwise somebody, such as a test, collects what is written
        unbuffered = isinstance(sys.stdout, io.TextIOWrapper) and (
            sys.stdout.line_buffering or sys.stdout.write_through
        )
        raw = io.BufferedWriter(_Stdout(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(raw, line_buffering=unbuffered)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names that are not UTF-8 come out as they are
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    warnings.formatwarning = _format_warning


def is_closed(stream: Any) -> bool:
    """Tell whether a standard stream was closed at the start: `open_standard_streams` made it useless."""
    try:
        access = fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (AttributeError, OSError):  # no descriptor, as in a notebook
        return False
    return access == (os.O_WRONLY if stream is sys.stdin else os.O_RDONLY)


class _Stdout(io.FileIO):
    """Lets errors name stdout."""

    def write(self, content: "ReadableBuffer", /) -> int:
        with naming(Path("stdout")):
            return super().write(content)


def flush_stdout() -> OSError | None:
    """Flush stdout; return why that failed, after which stdout leads nowhere, or Python would complain at its end."""
    return _flush(sys.stdout)


def print_error(message: str) -> None:
    """Write one line to stderr, if that is possible at all."""
    with suppress(OSError):
        print(one_line(message), file=sys.stderr, flush=True)  # noqa: T201
    _flush(sys.stderr)


def one_line(text: str) -> str:
    """Write a text as one line: line ends as spaces, other control characters and bytes that are not UTF-8 escaped."""
    joined = re.sub(r"\s*\n\s*", " ", text.strip())
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), joined)


class LineFormatter(logging.Formatter):
    """Formats a record as one line; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))


class StderrHandler(logging.StreamHandler[Any]):
    """Logs to stderr as long as somebody reads it; a command goes on without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


_ADVICE = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "change its permissions, or name another",
    errno.EPERM: "change its permissions, or name another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its symbolic links lead in a circle, name another",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file in it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the system's limit on open files",
    errno.EIO: "check the disk",
}


def explain_os_error(error: OSError) -> str:
    """Say which file could not be used, why, and what to do."""
    name, reason = error.filename, error.strerror or str(error)
    if error.errno == errno.EBADF and name == "stdout":
        return STDOUT_IS_CLOSED
    parts = ("" if name is None else str(name), reason, _ADVICE.get(error.errno or 0, ""))
    return ": ".join(part for part in parts if part)


def _flush(stream: Any) -> OSError | None:
    try:
        stream.flush()
    except OSError as error:
        with suppress(OSError):  # a stream of tests has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {one_line(str(message))}\n"
