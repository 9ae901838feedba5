"""Results: nothing is overwritten by accident, and what is written is whole."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nmt.commands.output import Source, check_output, open_output, read_files, read_stdin
from nmt.errors import ConfigError
from tests.commands import error, nmt

if TYPE_CHECKING:
    from collections.abc import Callable

NMT = [sys.executable, "-m", "nmt"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(output: object, *, read: list[Source] | None = None, checkpoints: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        check_output(str(output), read=read or [], checkpoints=checkpoints or [])
    message = str(refused.value)
    assert message.startswith(f"output={output} ")
    return message


@pytest.fixture
def copied_run(run_dir: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run_dir, tmp_path / "run", symlinks=True)


# --- what is needed is never overwritten ---


def test_a_translation_never_takes_the_place_of_its_source(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes((digits / "test.en").read_bytes())
    (tmp_path / "link").symlink_to(file)
    line = error("translate", f"checkpoints={checkpoint}", f"input={file}", f"output={tmp_path / 'link'}")
    assert line.endswith(f"is input={file}, which this command reads and would overwrite: name another file")
    assert file.read_bytes() == (digits / "test.en").read_bytes()


@pytest.mark.parametrize("setting", ["source", "reference", "groups"])
def test_evaluation_never_overwrites_what_it_reads(
    checkpoint: Path, digits: Path, tmp_path: Path, setting: str
) -> None:
    files = {"source": tmp_path / "a", "reference": tmp_path / "b", "groups": tmp_path / "c"}
    for name, text in (("a", "test.en"), ("b", "test.fr"), ("c", "test.en")):
        shutil.copy(digits / text, tmp_path / name)
    before = contents(tmp_path)
    settings = [f"{name}={file}" for name, file in files.items()]
    line = error("evaluate", f"checkpoints={checkpoint}", *settings, f"output={files[setting]}")
    assert f"is {setting}={files[setting]}, which this command reads and would overwrite" in line
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["a", "sub/../a", "./a", "symbolic", "hard", "folder/a"], ids=lambda name: name.replace("/", " ")
)
def test_a_file_is_the_same_under_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("x")
    Path("sub").mkdir()
    Path("symbolic").symlink_to("a")
    Path("hard").hardlink_to("a")
    Path("folder").symlink_to(".")
    for output, read in ((name, "a"), ("a", name)):
        assert refusal(output, read=read_files(input=read)).startswith(f"output={output} is input={read}, which")


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "train.log",
        "metrics.jsonl",
        ".lock",
        "tensorboard/events",
        "checkpoints/new",
        "checkpoints/best/test.fr",
        "checkpoints/best/model.safetensors",
        "checkpoints/last/training/state.json",
    ],
)
def test_files_of_a_run_are_safe(copied_run: Path, name: str) -> None:
    before = contents(copied_run)
    line = error("translate", "checkpoints=nothing", f"output={copied_run / name}")
    owner = "checkpoint" if "best" in name or "last" in name else "run"
    assert f"output={copied_run / name} belongs to the {owner} {copied_run}" in line
    assert line.endswith(", which it would damage: name another file")
    assert contents(copied_run) == before


def test_a_second_name_of_a_checkpoints_file_is_safe(copied_run: Path, tmp_path: Path) -> None:
    best = copied_run / "checkpoints" / "best"
    (tmp_path / "hard").hardlink_to(best / "model.safetensors")
    message = refusal(tmp_path / "hard", checkpoints=[str(best)])
    assert f"is model.safetensors of the checkpoint {best}, which it would overwrite: name another file" in message
    (tmp_path / "link").symlink_to(best / "config.yaml")
    assert "belongs to the checkpoint" in refusal(tmp_path / "link")


def test_a_prepared_corpus_is_safe(digits: Path) -> None:
    manifest = next((digits / "prepared").rglob("manifest.json"))
    for file in (manifest, manifest.with_name("new")):
        assert f"belongs to the prepared corpus {manifest.parent}, which it would damage" in refusal(file)


def test_the_text_of_a_run_is_safe(checkpoint: Path, digits: Path) -> None:
    for split, side, lang in (("train", "src", "en"), ("dev", "tgt", "fr")):
        output = digits / f"{split}.{lang}"
        message = refusal(output, checkpoints=[str(checkpoint)])
        assert f"is data.{split}.{side} of the run of {checkpoint}, which it would overwrite: name another" in message


def test_a_folder_that_is_no_checkpoint_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    message = error("translate", f"checkpoints=[{tmp_path}]", f"output={tmp_path / 'out'}")
    assert f"{tmp_path} is not a checkpoint" in message


def test_other_files_in_a_run_directory_may_be_written(copied_run: Path, tmp_path: Path) -> None:
    for file in (copied_run / "test.fr", copied_run / "out" / "config.yaml", tmp_path / "config.yaml"):
        file.parent.mkdir(exist_ok=True)
        for _ in range(2):
            check_output(str(file), read=[], checkpoints=["nothing"])
            file.write_text("x")


def test_a_file_that_stdin_comes_from_is_safe(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x\n")
    with file.open() as stream:
        assert refusal(file, read=[Source("stdin", stream.fileno())]).startswith(f"output={file} is stdin, which")


def test_stdout_that_goes_to_what_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_text("x\n")
    with file.open("a") as stdout:  # as by nmt translate input=a >> a, which would read what it writes
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(ConfigError, match=r"^input=.*/a is the file that stdout goes to: let stdout go to another"):
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


# --- what cannot be written is found before anything starts ---


def make_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda _: "", "is empty: name a file"),
        (lambda folder: folder, "must be a file, but is a directory: name a file in it"),
        (lambda folder: folder / "no/such/out", "is in a folder that does not exist: make it first (mkdir -p /"),
        (lambda folder: folder / "file/out", "cannot be written: Not a directory"),
        (lambda folder: folder / ("x" * 300), "cannot be written: File name too long"),
        (make_loop, "cannot be written: Too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_what_cannot_be_written_is_found_first(
    tmp_path: Path, command: str, place: Callable[[Path], object], message: str
) -> None:
    (tmp_path / "file").write_text("a\n")
    texts = [] if command == "translate" else [f"source={tmp_path / 'file'}", f"reference={tmp_path / 'file'}"]
    output = place(tmp_path)
    line = error(command, "checkpoints=nothing", *texts, f"output={output}")  # before nothing is loaded
    assert line.startswith(f"nmt: output={output} {message}")


def test_a_link_into_a_folder_that_does_not_exist_is_found(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("no/out")
    assert f"is in a folder that does not exist: make it first (mkdir -p {tmp_path / 'no'})" in refusal(
        tmp_path / "link"
    )


def test_write_protection_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out"
    file.write_text("x")
    protected = file
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != protected)  # root may do anything
    assert refusal(file).endswith("is write-protected: name another file, or permit writing (chmod u+w)")
    protected = tmp_path
    assert refusal(file).endswith(f"write-protected: name another file, or permit writing in {tmp_path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_write_protection_is_found(tmp_path: Path) -> None:
    (tmp_path / "out").touch(0o400)
    assert "is write-protected" in refusal(tmp_path / "out")
    (tmp_path / "folder").mkdir(0o500)
    assert "is in a folder that is write-protected" in refusal(tmp_path / "folder" / "out")


# --- sweeps ---


def sweep_refusal(command: str, *overrides: str) -> str:
    return error(command, "-m", "checkpoints=[nothing]", *overrides)


@pytest.mark.parametrize("output", ["out", "out,./out", "a/../out,out"])
def test_jobs_of_a_sweep_do_not_write_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["search=greedy" if "," in output else "search=greedy,beam_5", f"output={output}"]
    for command in ("translate", "evaluate"):
        line = sweep_refusal(command, "input=x" if command == "translate" else "source=x", *settings)
        assert line.startswith(f"nmt: 2 jobs of this sweep would write {tmp_path / 'out'}: give each its own, as in ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("translate", "input"),
        ("evaluate", "source"),
        ("evaluate", "groups"),
        ("evaluate", "reference"),
        ("evaluate", "hypothesis"),
    ],
)
def test_no_job_of_a_sweep_writes_what_another_reads(tmp_path: Path, command: str, setting: str) -> None:
    written = tmp_path / "out.2"
    outputs = f"output={tmp_path}/out.${{search.beam_size}}"
    line = sweep_refusal(command, f"{setting}={written}", outputs, "search.beam_size=1,2")
    assert line == f"nmt: {setting}={written} is the output of a job of this sweep: name another output"


def test_stdin_serves_one_job(tmp_path: Path) -> None:
    line = sweep_refusal("translate", "search=greedy,beam_5", f"output={tmp_path}/${{search.beam_size}}")
    assert line == "nmt: 2 jobs of this sweep would read stdin, which can be read but once: give input=FILE"


def test_jobs_with_outputs_of_their_own_run(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    settings = [
        f"checkpoints=[{checkpoint}]",
        f"input={digits / 'test.en'}",
        "search.beam_size=1,2",
        "threads=1",
        "search.precision=fp32",
    ]
    assert nmt("translate", "-m", *settings, f"output={tmp_path}/out.${{search.beam_size}}").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.1", "out.2"]
    assert nmt("translate", "-m", *settings, "output=/dev/null").status == 0


# --- writing ---


def write(output: Path | None, text: str) -> None:
    with open_output(None if output is None else str(output)) as stream:
        stream.write(text.encode())


def test_what_is_written_takes_its_name_when_whole(tmp_path: Path) -> None:
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


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "a\n")
    assert os.read(reader, 10) == b"a\n"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_file_that_the_shell_has_opened_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("before\n")
    with file.open("a") as opened:
        write(Path(f"/proc/self/fd/{opened.fileno()}"), "after\n")
    assert file.read_text() == "before\nafter\n"


@pytest.mark.parametrize(
    ("suffix", "decompress"), [("gz", gzip.decompress), ("bz2", bz2.decompress), ("xz", lzma.decompress)]
)
def test_a_name_tells_the_compression(tmp_path: Path, suffix: str, decompress: Callable[[bytes], bytes]) -> None:
    text = "été\n" * 1000
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for file in (first, second):
        write(file, text)
    assert decompress(first.read_bytes()).decode() == text
    assert len(first.read_bytes()) < 200
    assert first.read_bytes() == second.read_bytes()


def test_capitals_tell_the_compression_too(tmp_path: Path) -> None:
    write(tmp_path / "a.GZ", "a\n")
    assert gzip.decompress((tmp_path / "a.GZ").read_bytes()) == b"a\n"


@pytest.mark.parametrize("suffix", [".zst", ".ZIP"])
def test_a_name_of_another_compression_is_refused(tmp_path: Path, suffix: str) -> None:
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


def test_leftovers_of_a_kill_are_removed_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left, other = tmp_path / ".out.0123abcd.tmp", tmp_path / ".other.0123abcd.tmp"
    left.write_text("half")
    other.write_text("half")
    with caplog.at_level("INFO"):
        write(tmp_path / "out", "a\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out"]
    assert f"{left}, left by a command that was killed, is removed" in caplog.text


class Full(io.RawIOBase):
    """A disk without space, and then with some."""

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
    """Takes three bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: object) -> int:
        self.written += bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        return min(3, len(memoryview(data)))  # type: ignore[arg-type]


def test_nothing_is_lost_where_python_does_not_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("{translate} input=in >> in", 1, "nmt: input=in is the file that stdout goes to: let stdout go to another"),
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
def test_odd_streams_are_served_or_named(
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
