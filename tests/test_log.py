from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from nmt.commands import evaluate
from nmt.commands.log import LineFormatter, StderrHandler, one_line
from nmt.commands.run_dir import log_file
from tests.commands import nmt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", "a b"),
        (" a \n\n  b\n", "a b"),
        ("a  b\tc", "a  b\tc"),
        ("a\x1b[31mb\r", "a\\x1b[31mb"),
        ("a\x00\u2028b", "a\\x00\\u2028b"),
        ("a\udcffb", "a\\udcffb"),
        ("été €", "été €"),
    ],
)
def test_every_text_is_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        sys.stderr.write(warnings.formatwarning("a\nb", UserWarning, "a.py", 1))
        return 0

    monkeypatch.setattr(evaluate, "run", run)
    assert nmt("evaluate", "reference=x") == (0, "", "warning: a b\n")


def test_a_log_record_is_one_line_and_a_traceback_is_whole() -> None:
    formatter = LineFormatter("%(message)s")
    record = logging.makeLogRecord({"msg": "a\nb\x1b"})
    assert formatter.format(record) == "a b\\x1b"
    try:
        raise ValueError("odd")
    except ValueError:
        record = logging.makeLogRecord({"msg": "a", "exc_info": sys.exc_info()})
    assert formatter.format(record).startswith("a\nTraceback")


class BrokenStream(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_stderr_does_not_stop_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    handler = StderrHandler(BrokenStream())
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    assert capsys.readouterr().err == ""
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))  # a bug is not hidden
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_log_file_accepts_names_that_are_not_utf8(tmp_path: Path) -> None:
    with log_file(tmp_path / "train.log"):
        logging.getLogger().warning("%s", os.fsdecode(b"a\xff"))
    assert (tmp_path / "train.log").read_text().endswith(" a\\udcff\n")
