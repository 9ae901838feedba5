"""The log on stderr: one record, one line."""

import logging
import re
import sys
import warnings
from typing import Any

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Write a text as one line: line ends as spaces, other control characters and bytes that are not UTF-8 escaped."""
    joined = re.sub(r"\s*\n\s*", " ", text.strip())
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), joined)


class LineFormatter(logging.Formatter):
    """Formats a record as one line; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))


class StderrHandler(logging.StreamHandler[Any]):
    """Logs to stderr; if it cannot be written, a command continues without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def show_warnings_in_one_line() -> None:
    """Let Python's warnings be one line each."""
    warnings.formatwarning = _format_warning


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {one_line(str(message))}\n"
