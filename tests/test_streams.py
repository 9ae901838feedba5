from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nmt.commands import evaluate
from tests.commands import nmt, train_settings

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
def test_a_terminal_that_supports_only_ascii(tmp_path: Path, line: str) -> None:
    (tmp_path / "é").write_text("one two three four\n")
    command = f"cd {tmp_path}; $NMT evaluate metrics=[bleu] bootstrap_samples=0 {line}"
    done = shell(command, **ASCII, PYTHONPATH=str(Path(evaluate.__file__).parents[2]))
    if "œ" in line:
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"nmt: \\udcc5\\udc93 does not exist: check the path\n"
    else:
        assert (done.returncode, done.stderr) == (0, b"")


def test_no_file_gets_the_descriptor_of_a_closed_stream() -> None:
    script = (
        "import os; from nmt.commands.streams import open_standard_streams as f; f(); "
        "raise SystemExit(os.open(os.devnull, os.O_RDONLY))"
    )
    assert shell(f"{sys.executable} -c '{script}' <&- >&- 2>&-").returncode == 3


def test_results_are_utf8_for_any_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xc3\xa9 \xff")
    try:
        Path(name).write_text("one two three four\n")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    done = nmt("evaluate", f"hypothesis={name}", f"reference={name}", "metrics=[bleu]", "bootstrap_samples=0")
    assert (done.status, done.err, done.out.splitlines()[0]) == (0, "", "é \\xff")


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
