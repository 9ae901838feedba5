"""Results go to stdout, devices and files, completely."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nmt.commands.output import check_folder, check_output, open_folder, open_output, read_files, read_stdin
from nmt.errors import ConfigError
from tests.commands import error, nmt

if TYPE_CHECKING:
    from collections.abc import Callable


NMT = [sys.executable, "-m", "nmt"]


def test_stdout_redirected_to_an_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_text("x\n")
    with file.open("a") as stdout:  # as by nmt translate input=a >> a, which would read what it writes
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(
            ConfigError, match=r"^input=.*/a is the file that stdout goes to: redirect stdout to another"
        ):
            check_output(None, read=read_files(input=str(file)), checkpoints=[])


def test_one_terminal_may_be_read_and_written() -> None:
    check_output("/dev/null", read=read_files(input="/dev/null"), checkpoints=[])


def test_closed_streams_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open("w") as for_writing, Path(os.devnull).open() as for_reading:  # see streams.py
        monkeypatch.setattr(sys, "stdin", for_writing)
        monkeypatch.setattr(sys, "stdout", for_reading)
        with pytest.raises(ConfigError, match=r"^stdin is closed: name the text to read \(input=FILE\)$"):
            read_stdin()
        with pytest.raises(ConfigError, match=r"^stdout is closed: send it to a file or a pipe, or to /dev/null$"):
            check_output(None, read=[], checkpoints=[])
        with pytest.raises(ConfigError, match=r"^stdout is closed"), open_output(None):
            pass


def write(output: Path | None, text: str) -> None:
    with open_output(None if output is None else str(output)) as stream:
        stream.write(text.encode())


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with open_output(str(target)) as stream:
        stream.write(b"one\n")
        assert not target.exists()
    assert target.read_bytes() == b"one\n"
    with suppress(RuntimeError), open_output(str(target)) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"one\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_replaced_output_keeps_its_permissions_and_links(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    (tmp_path / "out").chmod(0o640)
    (tmp_path / "link").symlink_to("out")
    write(tmp_path / "link", "a\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_text() == "a\n"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "a\n")
    assert os.read(reader, 10) == b"a\n"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_file_that_the_shell_has_opened_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("before\n")
    with file.open("a") as opened:
        write(Path(f"/proc/self/fd/{opened.fileno()}"), "after\n")
    assert file.read_text() == "before\nafter\n"


@pytest.mark.parametrize(
    ("suffix", "decompress"), [("gz", gzip.decompress), ("bz2", bz2.decompress), ("xz", lzma.decompress)]
)
def test_the_suffix_chooses_the_compression(tmp_path: Path, suffix: str, decompress: Callable[[bytes], bytes]) -> None:
    text = "été\n" * 1000
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for file in (first, second):
        write(file, text)
    assert decompress(first.read_bytes()).decode() == text
    assert len(first.read_bytes()) < 200
    assert first.read_bytes() == second.read_bytes()


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "a.GZ", "a\n")
    assert gzip.decompress((tmp_path / "a.GZ").read_bytes()) == b"a\n"


@pytest.mark.parametrize("suffix", [".zst", ".ZIP"])
def test_a_suffix_of_another_compression_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"a{suffix} must end in .gz, .bz2 or .xz to be compressed, but ends in {suffix}: give it"
    ):
        check_output(str(tmp_path / f"a{suffix}"), read=[], checkpoints=[])


def test_equal_text_gives_equal_gzip_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.gz", "a\n")
    monkeypatch.setattr("time.time", lambda: 1e9)
    write(tmp_path / "b.gz", "a\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_compressed_translation_is_the_same_text(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    settings = [
        f"checkpoints={checkpoint}",
        f"input={digits / 'test.en'}",
        "search=greedy",
        "threads=1",
        "search.precision=fp32",
    ]
    plain = nmt("translate", *settings, "search.window_lines=2")
    assert nmt("translate", *settings, "search.window_lines=2", f"output={tmp_path / 'x.gz'}").status == 0
    assert gzip.decompress((tmp_path / "x.gz").read_bytes()).decode() == plain.out


def test_temporary_files_of_a_killed_command_are_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left, other = tmp_path / ".out.0123abcd.tmp", tmp_path / ".other.0123abcd.tmp"
    left.write_text("half")
    other.write_text("half")
    with caplog.at_level("INFO"):
        write(tmp_path / "out", "a\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out"]
    assert f"removed {left}, left by a command that was killed" in caplog.text


class Full(io.RawIOBase):
    """A disk without space, then with some."""

    def __init__(self) -> None:
        self.is_full = True

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(memoryview(data))  # type: ignore[arg-type]


def test_a_full_stdout_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(disk)))
    with pytest.raises(OSError, match=r"No space left on device: 'stdout'"):
        write(None, "a\n")
    disk.is_full = False  # for the end of the test


class Narrow(Full):
    """Accepts three bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: object) -> int:
        self.written += bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        return min(3, len(memoryview(data)))  # type: ignore[arg-type]


def test_nothing_is_lost_without_buffering(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(narrow, write_through=True))  # type: ignore[type-var]
    for _ in range(2):
        write(None, "one two three\n")
    assert narrow.written == b"one two three\n" * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_one_line(checkpoint: Path) -> None:
    line = error("translate", f"checkpoints={checkpoint}", "search.precision=fp32", "output=/dev/full", stdin=b"one\n")
    assert line.startswith("nmt: /dev/full: No space left on device")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_line_and_no_more_at_exit(tmp_path: Path, unbuffered: str) -> None:
    (tmp_path / "a").write_text("one two three four\n")
    command = [*NMT, "evaluate", f"hypothesis={tmp_path / 'a'}", f"reference={tmp_path / 'a'}", "bootstrap_samples=0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("nmt: stdout: No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "status", "message"),
    [
        ("{translate} <&-", 1, "nmt: stdin is closed: name the text to read (input=FILE)"),
        ("{translate} >&-", 1, "nmt: stdout is closed: send it to a file or a pipe, or to /dev/null"),
        ("{translate} >&- output=out < in", 0, ""),
        ("{translate} input=in <&- > out", 0, ""),
        ("{translate} input=in >> in", 1, "nmt: input=in is the file that stdout goes to: redirect stdout to another"),
        ("{translate} output=in < in", 1, "nmt: output=in is stdin, which this command reads and would overwrite"),
        ("{translate} < in > /dev/full", 1, "nmt: stdout: No space left on device"),
        ("{translate} output=/dev/stdout < in > /dev/full", 1, "nmt: /dev/stdout: No space left on device"),
        ("{translate} output=/dev/stdout < in > out", 0, ""),
        ("PYTHONIOENCODING=ascii {translate} < in > out", 0, ""),
        ("PYTHONIOENCODING=latin-1 {translate} < in > out", 0, ""),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {translate} < in > out", 0, ""),
        ("{evaluate} >&-", 1, "nmt: stdout is closed: send it to a file or a pipe, or to /dev/null"),
        ("PYTHONIOENCODING=ascii {evaluate} > report", 0, ""),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {evaluate} > report", 0, ""),
    ],
)
def test_unusual_streams_work_or_are_named(
    checkpoint: Path, tmp_path: Path, shell: str, status: int, message: str
) -> None:
    text = "one é\ntwo\n"
    (tmp_path / "in").write_text(text)
    (tmp_path / "é").write_text(text)
    nmt_ = " ".join(NMT)
    translate = f"{nmt_} translate checkpoints={checkpoint} search=greedy search.precision=fp32 threads=1 format=jsonl"
    evaluate = f"{nmt_} evaluate hypothesis=é reference=é bootstrap_samples=0 metrics=[chrf]"
    command = shell.format(translate=translate, evaluate=evaluate)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False
    )
    lines = done.stderr.decode().splitlines()
    assert done.returncode == status, lines
    assert (tmp_path / "in").read_text() == text
    if status:
        assert len(lines) == 1
        assert lines[0].startswith(message)
    elif "translate" in shell:
        assert "one é" in (tmp_path / "out").read_text("utf-8")
        assert (tmp_path / "out").read_text("utf-8").count("\n") == 2
    else:
        assert (tmp_path / "report").read_text("utf-8").startswith("é\n  chrF2 100.0\n")


def test_a_folder_for_output_must_be_new_or_empty(tmp_path: Path) -> None:
    full, empty, file = tmp_path / "full", tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    full.mkdir()
    for path in (file, full / "a"):
        path.write_text("x")
    for name in ("", str(full), str(file)):
        with pytest.raises(ConfigError, match=f"^maps={name} must be a new or an empty folder: name another one"):
            check_folder(name, setting="maps", checkpoints=[])
    for accepted in (None, str(empty), str(tmp_path / "new")):
        check_folder(accepted, setting="maps", checkpoints=[])
    with pytest.raises(ConfigError, match=r"^maps=.*/no/x is in a folder that does not exist: make it first"):
        check_folder(str(tmp_path / "no" / "x"), setting="maps", checkpoints=[])


def test_a_folder_for_output_is_not_in_a_checkpoint(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"^maps=.* belongs to the checkpoint .*, which it would damage"):
        check_folder(str(checkpoint / "maps"), setting="maps", checkpoints=[str(checkpoint)])


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "maps"
    with open_folder(str(target)) as folder:
        assert folder is not None
        (folder / "a").write_text("x")
        assert not target.exists()
    assert (target / "a").read_text() == "x"
    with suppress(KeyError), open_folder(str(tmp_path / "other")):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    with open_folder(None) as folder:
        assert folder is None
