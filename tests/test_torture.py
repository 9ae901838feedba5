"""scripts/torture: runs that are killed at random moments, and how they are compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from killed_runs import differences

SCRIPT = Path(__file__).parents[1] / "scripts" / "torture"


def test_a_run_equals_its_copy_except_for_times(run_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "copy", symlinks=True)
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line | {"wall_s": 0.0}) + "\n" for line in lines))
    assert list(differences(copy, run_dir)) == []


def test_differences_are_named(run_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "copy", symlinks=True)
    checkpoints = copy / "checkpoints"
    last = (checkpoints / "last").resolve()
    for file in ("model.safetensors", "training/random.safetensors"):
        content = (last / file).read_bytes()
        (last / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    state = last / "training" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_update": 5}))
    with (copy / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "valid", "update": 6}\n')
    shutil.copytree(last, checkpoints / "update_000099")
    (checkpoints / "last").unlink()
    (checkpoints / "last").symlink_to("update_000099")
    (checkpoints / ".update_000007.tmp").mkdir()
    assert sorted(differences(copy, run_dir)) == [
        "checkpoints are ['update_000004', 'update_000006', 'update_000099'], "
        "but must be ['update_000004', 'update_000006']",
        "last is update_000099, but must be update_000006",
        "leftovers: checkpoints/.update_000007.tmp",
        "metrics.jsonl differs",
        "update_000006 has 3 files that are not what its hashes say",
        "update_000006/model.safetensors differs",
        "update_000006/training/random.safetensors differs",
        "update_000006/training/state.json differs",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "processes"), [(10, 1), (4, 2)])
def test_a_run_that_is_killed_ends_like_the_uninterrupted_one(kills: int, processes: int) -> None:
    command = [sys.executable, str(SCRIPT), f"--kills={kills}", f"--processes={processes}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{kills} kills: ")
    assert done.stdout.endswith("all equal to the run that was never killed, bit by bit\n")
