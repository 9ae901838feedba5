from __future__ import annotations

import gzip
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nmt.commands import output_parts
from nmt.commands.output_parts import write_in_parts
from nmt.place import Place
from tests.commands import error, nmt

if TYPE_CHECKING:
    from pathlib import Path


class Memory:
    """The store of processes that are threads of this one."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def get(self, key: str) -> bytes:
        return self.values[key].encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Meet in the memory of this process instead of under torchrun."""
    store = Memory()
    monkeypatch.setattr(output_parts, "open_store", lambda _: store)
    return store


def _write(part: Path) -> int:
    part.write_text(f"part {part.name}\n" * 2)
    return 2


@pytest.mark.no_tensors
def test_the_first_process_joins_the_parts_in_order(tmp_path: Path) -> None:
    output = tmp_path / "out.gz"
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda rank: write_in_parts(Place(rank, 3), str(output), _write), [2, 1, 0]))
    assert ends == [None, None, 6]
    assert gzip.decompress(output.read_bytes()).decode() == "".join(f"part {rank}\n" * 2 for rank in range(3))
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.no_tensors
def test_a_process_that_fails_leaves_nothing(tmp_path: Path, store: Memory) -> None:
    def fail(part: Path) -> int:
        _write(part)
        raise KeyboardInterrupt

    store.set("lines/1", "2")
    with pytest.raises(KeyboardInterrupt):
        write_in_parts(Place(0, 2), str(tmp_path / "out"), fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_torchrun_divides_a_translation(checkpoint: Path, tmp_path: Path) -> None:
    source, output, alone = tmp_path / "in", tmp_path / "out.gz", tmp_path / "alone.gz"
    source.write_bytes(b"one two\n\nthree\r\nfour five six\nseven\neight nine\n" * 20)
    words = ["translate", f"checkpoints={checkpoint}", f"input={source}", "search=greedy"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "nmt"]
    done = subprocess.run([*torchrun, *words, f"output={output}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" 120 lines translated in ") == 1
    assert nmt(*words, f"output={alone}", "threads=1").status == 0
    assert output.read_bytes() == alone.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.gz", "in", "out.gz"]


@pytest.mark.slow
def test_torchrun_ends_all_processes_if_one_is_killed(checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"one two\n" * 4)
    words = ["translate", f"checkpoints={checkpoint}", f"input={source}", f"output={tmp_path / 'out'}"]
    kill = (
        "import os, runpy, signal, sys; from nmt.commands import translate; inner = translate._translate\n"
        "def ended(*args, **kwargs):\n"
        "    if os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return inner(*args, **kwargs)\n"
        "translate._translate = ended; sys.argv[0] = 'nmt'; runpy.run_module('nmt', run_name='__main__')\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(kill)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run([*torchrun, *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "nmt: stopped by SIGTERM" in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "killed.py"]


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input=in"], "torchrun needs a file for the joined parts: give output=FILE"),
        (["input=in", "output=/dev/null"], "torchrun needs a file for the joined parts: give output=FILE"),
        (["output=out"], "torchrun needs a file, since stdin cannot be divided: give input=FILE"),
        (
            ["input=in", "output=out", "alignments=maps"],
            "torchrun divides the input, but alignments=maps draws a",
        ),
        (
            ["-m", "input=in", "output=out.${search.beam_size}", "search.beam_size=1,2"],
            "torchrun runs one job: leave out -m, or run nmt translate -m without torchrun",
        ),
    ],
)
def test_what_torchrun_cannot_divide_is_refused(
    settings: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert message in error("translate", "checkpoints=nothing", *settings)
