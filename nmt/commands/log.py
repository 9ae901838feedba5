"""The log on stderr: one line per record."""

import logging
import re
import sys
import warnings
from typing import Any

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Make a text one line: line ends become spaces; other control characters and invalid UTF-8 are escaped."""
    joined = re.sub(r"\s*\n\s*", " ", text.strip())
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), joined)


class LineFormatter(logging.Formatter):
    """Formats a record as one line, except for tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))


class StderrHandler(logging.StreamHandler[Any]):
    """Logs to stderr; if that fails, the command continues without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def show_warnings_in_one_line() -> None:
    """Make Python show each warning in one line."""
    warnings.formatwarning = _format_warning


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {one_line(str(message))}\n"
