"""`torchrun -m nmt train`: several processes that train together, their signals, failures and restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nmt.training.checkpoint import load_checkpoint
from tests.commands import train_settings

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TWO_PROCESSES = ("--standalone", "--nproc-per-node=2")


def start(
    *arguments: str,
    restarts: int = 0,
    program: Sequence[str] = ("-m", "nmt"),
    processes: Sequence[str] = TWO_PROCESSES,
) -> subprocess.Popen[str]:
    command = [*TORCHRUN, *processes, f"--max-restarts={restarts}", *program, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as torchrun sets it, which it would tell on stderr
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def train_alone(*arguments: str) -> str:
    command = [sys.executable, "-m", "nmt", "train", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def workers(torchrun: subprocess.Popen[str]) -> dict[int, int]:
    """Return the ids of torchrun's processes by their ranks."""
    by_rank = {}
    for pid in Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split():
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"RANK="):
                by_rank[int(entry.removeprefix(b"RANK="))] = int(pid)
    return by_rank


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def validations(run_dir: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "valid"]


def test_two_processes_learn_what_one_learns(digits: Path, tmp_path: Path) -> None:
    settings = [
        *train_settings(digits),
        "training.max_updates=20",
        "training.validate_every=10",
        "training.bleu_every=1",
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, "-m", "nmt", "train", *settings, f"run_dir={one}"], check=True, capture_output=True)
    status, out, err = finish(start("train", *settings, f"run_dir={two}"))
    assert (status, out) == (0, "")
    assert "1 CPU threads in each of 2 processes" in err
    assert err.count("training ended (max_updates) at update 20") == 1  # process 0 alone writes
    for found, expected in zip(validations(two), validations(one), strict=True):
        assert found["nats_per_token"] == pytest.approx(expected["nats_per_token"], rel=1e-4)
        assert found["bleu"] == expected["bleu"]
    # the random states are those of one process, so that any number of processes may continue
    state = json.loads((two / "checkpoints" / "last" / "training" / "state.json").read_text())
    assert state["num_processes"] == 2
    err = train_alone(*settings, "training.max_updates=25", "resume=true", f"run_dir={two}")
    assert "was trained by 2 processes and continues with 1: it sees the same batches, but rounding differs" in err


def test_a_signal_stops_all_processes_with_a_checkpoint(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = start("train", *train_settings(digits), f"run_dir={run_dir}", "training.max_updates=100000")
    wait_for(run_dir / "checkpoints" / "last", process)
    os.kill(workers(process)[1], signal.SIGTERM)  # not even process 0
    status, _, err = finish(process)
    assert status != 0
    assert "add resume=true to continue" in err
    update = load_checkpoint(run_dir / "checkpoints" / "last").info.update
    limit = [f"training.max_updates={update + 3}", "resume=true"]
    assert finish(start("train", *train_settings(digits), f"run_dir={run_dir}", *limit))[0] == 0
    assert load_checkpoint(run_dir / "checkpoints" / "last").info.update == update + 3


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_one_line(digits: Path, tmp_path: Path, rank: int) -> None:
    run_dir = tmp_path / "run"
    process = start("train", *train_settings(digits), f"run_dir={run_dir}", "training.max_updates=100000")
    wait_for(run_dir / "checkpoints" / "last", process)
    begin = time.monotonic()
    os.kill(workers(process)[rank], signal.SIGKILL)
    status, _, err = finish(process)
    assert status != 0
    assert time.monotonic() - begin < 60
    lines = [line for line in err.splitlines() if line.startswith("nmt: ")]
    assert len(lines) == rank  # if process 0 is killed, only torchrun says something
    assert all("another process of this training has ended" in line for line in lines)


SLOW_TO_LEAVE = """\
import time
import torch.distributed
leave = torch.distributed.destroy_process_group
torch.distributed.destroy_process_group = lambda: (time.sleep(1), leave())
from nmt.commands.main import main
main()
"""


def test_the_line_comes_even_if_torchrun_ends_the_process_meanwhile(digits: Path, tmp_path: Path) -> None:
    run_dir, program = tmp_path / "run", tmp_path / "program.py"
    program.write_text(SLOW_TO_LEAVE)
    settings = [*train_settings(digits), f"run_dir={run_dir}", "training.max_updates=100000"]
    process = start("train", *settings, program=[str(program)])
    wait_for(run_dir / "checkpoints" / "last", process)
    os.kill(workers(process)[1], signal.SIGKILL)
    _, _, err = finish(process)
    [line] = [line for line in err.splitlines() if line.startswith("nmt: ")]
    assert "another process of this training has ended" in line


@pytest.mark.parametrize("option", [["--help"], ["--cfg", "job"]])
def test_help_and_settings_are_shown_once(option: list[str]) -> None:
    begin = time.monotonic()
    status, out, err = finish(start("train", *option))
    assert (status, err) == (0, "")
    assert out.count("run_dir") >= 1
    assert time.monotonic() - begin < 60


def test_torchrun_restarts_from_the_last_checkpoint(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    settings = [*train_settings(digits), f"run_dir={run_dir}", "resume=true", "training.max_updates=200"]
    process = start("train", *settings, restarts=1)
    wait_for(run_dir / "checkpoints" / "last", process)
    os.kill(workers(process)[1], signal.SIGKILL)
    status, _, err = finish(process)
    assert status == 0, err
    assert "resuming" in err
    assert load_checkpoint(run_dir / "checkpoints" / "last").info.update == 200


@pytest.mark.parametrize("rank", [0, 1])
def test_two_nodes_restart_from_the_last_checkpoint(digits: Path, tmp_path: Path, rank: int) -> None:
    """torchrun counts the failure on one node only."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    node = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=run"]
    node.append(f"--rdzv-endpoint=127.0.0.1:{port}")
    run_dir = tmp_path / "run"
    settings = [*train_settings(digits), f"run_dir={run_dir}", "resume=true", "training.max_updates=300"]
    nodes = [start("train", *settings, restarts=1, processes=node) for _ in range(2)]
    wait_for(run_dir / "checkpoints" / "last", nodes[0])
    [pid] = [own[rank] for node in nodes if rank in (own := workers(node))]
    os.kill(pid, signal.SIGKILL)
    ends = [finish(node) for node in nodes]
    assert [status for status, _, _ in ends] == [0, 0], ends
    assert any("resuming" in err for _, _, err in ends)
    assert load_checkpoint(run_dir / "checkpoints" / "last").info.update == 300


def test_a_mistake_is_one_line(digits: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    status, _, err = finish(
        start("train", *train_settings(digits), "model.hidden_dim=0", f"run_dir={tmp_path / 'run'}")
    )
    assert status != 0
    assert time.monotonic() - begin < 60
    assert len([line for line in err.splitlines() if line.startswith("nmt: ")]) == 1


def test_other_commands_and_sweeps_are_refused(digits: Path, tmp_path: Path) -> None:
    status, _, err = finish(start("train", "-m", *train_settings(digits), f"run_dir={tmp_path}/${{seed}}", "seed=1,2"))
    assert status != 0
    assert "torchrun runs one job: leave out -m" in err
    launcher = "hydra/launcher=joblib"  # whose jobs would all be process 0
    status, _, err = finish(start("train", "-m", launcher, *train_settings(digits), "seed=1,2"))
    assert status != 0
    assert "torchrun runs one job: leave out -m" in err
    status, _, err = finish(start("evaluate", "hypothesis=a", "reference=b"))
    assert status != 0
    assert "nmt evaluate runs in one process, but torchrun has started 2" in err
