from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from nmt.commands import evaluate
from nmt.commands.run_dir import log_file
from nmt.commands.streams import LineFormatter, StderrHandler, explain_os_error, one_line
from tests.commands import error, nmt, train_settings

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell, in which $NMT is nmt."""
    environment = {**os.environ, "NMT": f"{sys.executable} -m nmt", **environment}
    return subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        ("$NMT --version >&-", 1, b"", b"nmt: stdout is closed: send it to a file or a pipe, or to /dev/null\n"),
        ("$NMT --version <&- >&-", 1, b"", b"nmt: stdout is closed: send it to a file or a pipe, or to /dev/null\n"),
        ("$NMT --help <&- 2>&- | head -n 1 | cut -c1-4", 0, b"nmt:\n", b""),
        ("$NMT trian 2>&-", 1, b"", b""),
        ("$NMT trian <&- >&- 2>&-", 1, b"", b""),
        pytest.param(
            "$NMT --help >/dev/full",
            1,
            b"",
            b"nmt: stdout: No space left on device: free some space, or write elsewhere\n",
            marks=needs_dev_full,
        ),
        pytest.param("$NMT trian 2>/dev/full", 1, b"", b"", marks=needs_dev_full),
        pytest.param("$NMT trian >/dev/full 2>/dev/full", 1, b"", b"", marks=needs_dev_full),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_and_full_streams(line: str, status: int, out: bytes, err: bytes, unbuffered: str) -> None:
    done = shell(line, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        ("$NMT evaluate $FILES >&-", 1, b"", b"nmt: stdout is closed: send it to a file or a pipe, or to /dev/null\n"),
        ("$NMT evaluate $FILES 2>&- | head -n 1", 0, "é\n".encode(), b""),
        ("$NMT evaluate $FILES >/dev/full", 1, b"", b"nmt: stdout: No space left on device: free some space, or"),
        ("$NMT evaluate --help >&-", 1, b"", b"nmt: stdout is closed: send it to a file or a pipe, or to /dev/null\n"),
        ("$NMT evaluate hypothesis=nothing reference=nothing 2>/dev/full", 1, b"", b""),
        ("$NMT evaluate $FILES threads=1024 2>/dev/full | head -n 1", 0, "é\n".encode(), b""),
    ],
)
def test_closed_and_full_streams_of_a_command(tmp_path: Path, line: str, status: int, out: bytes, err: bytes) -> None:
    (tmp_path / "é").write_text("one two three four\n")
    files = "hypothesis=é reference=é metrics=[bleu] bootstrap_samples=0"
    done = shell(f"cd {tmp_path}; {line}", FILES=files, PYTHONPATH=str(Path(evaluate.__file__).parents[2]))
    assert (done.returncode, done.stdout) == (status, out)
    assert done.stderr.startswith(err)
    assert done.stderr.count(b"\n") == (1 if err else 0)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["--help", "hypothesis=é reference=é", "--cfg job", "hypothesis=œ reference=é"])
def test_a_terminal_that_knows_ascii_alone(tmp_path: Path, line: str) -> None:
    (tmp_path / "é").write_text("one two three four\n")
    command = f"cd {tmp_path}; $NMT evaluate metrics=[bleu] bootstrap_samples=0 {line}"
    done = shell(command, **ASCII, PYTHONPATH=str(Path(evaluate.__file__).parents[2]))
    if "œ" in line:
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"nmt: \\udcc5\\udc93 does not exist: check the path\n"
    else:
        assert (done.returncode, done.stderr) == (0, b"")


def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    script = (
        "import os; from nmt.commands.streams import open_standard_streams as f; f(); "
        "raise SystemExit(os.open(os.devnull, os.O_RDONLY))"
    )
    assert shell(f"{sys.executable} -c '{script}' <&- >&- 2>&-").returncode == 3


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


@pytest.mark.parametrize(
    ("error_", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a"),
            "a: No space left on device: free some space, or write",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "a: Disk quota exceeded: free some space, or write elsewh"),
        (OSError(errno.EFBIG, "File too large", "a"), "a: File too large: raise the limit on file sizes (ulimit -f)"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: Read-only file system: write elsewhere"),
        (OSError(errno.EACCES, "Permission denied", "a"), "a: Permission denied: change its permissions, or name anot"),
        (OSError(errno.ELOOP, "Too many levels", "a"), "a: Too many levels: its symbolic links lead in a circle"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "a: Too many open files: raise the limit on open files"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: free some space"),
        (OSError(errno.EBADF, "Bad file descriptor", "stdout"), "stdout is closed: send it to a file or a pipe"),
        (OSError(errno.ENOTSUP, "Not supported", "a"), "a: Not supported"),
        (OSError("odd"), "odd"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(error_: OSError, message: str) -> None:
    assert explain_os_error(error_).startswith(message)


def test_an_error_of_the_system_is_explained_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "a\nb")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate", "reference=x") == ("nmt: a b: Permission denied: change its permissions, or name another")


def test_results_are_utf8_whatever_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xc3\xa9 \xff")
    try:
        Path(name).write_text("one two three four\n")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    done = nmt("evaluate", f"hypothesis={name}", f"reference={name}", "metrics=[bleu]", "bootstrap_samples=0")
    assert (done.status, done.err, done.out.splitlines()[0]) == (0, "", "é \\xff")


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


def test_a_log_file_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    with log_file(tmp_path / "train.log"):
        logging.getLogger().warning("%s", os.fsdecode(b"a\xff"))
    assert (tmp_path / "train.log").read_text().endswith(" a\\udcff\n")


def test_more_threads_than_processors_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "run", lambda *_, **__: 0)
    assert "threads=1024 is more than the" in nmt("evaluate", "threads=1024").err
    assert nmt("evaluate", "threads=1").err == ""


def test_memory_that_is_full_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate") == "nmt: the computer's memory is full: lower search.batch_rows"


@needs_dev_full
def test_a_full_disk_names_the_configuration_of_a_run(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if "config.yaml" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    done = nmt("train", *train_settings(digits), f"run_dir={tmp_path / 'run'}")
    assert done.last_line == (
        f"nmt: {tmp_path / 'run' / 'config.yaml'}: No space left on device: free some space, or write elsewhere"
    )
