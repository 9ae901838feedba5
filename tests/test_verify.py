"""`nmt verify`: of a run's checkpoints, copied or damaged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.commands import error, nmt
from tests.hardware import needs_bf16

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("setting", ["precision=fp32", pytest.param("precision=bf16", marks=needs_bf16)])
def test_a_run_writes_checkpoints_that_can_be_verified(checkpoint: Path, setting: str) -> None:
    done = nmt("verify", f"checkpoint={checkpoint}", setting, "device=cpu", "threads=1")
    assert done.status == 0, done
    lines = done.out.splitlines()
    assert lines[0] == "8 files were compared with their hashes"
    assert lines[1].startswith("8 sample translations were made again, in ")
    assert lines[-1] == "no differences"


def test_a_copy_without_its_run_can_be_verified(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "README.md").write_text("a card\n")
    assert nmt("verify", f"checkpoint={copy}").status == 0


def test_a_difference_is_a_line_and_status_1(copied_run: Path) -> None:
    checkpoint = copied_run / "checkpoints" / "best"
    (checkpoint / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:-1])
    done = nmt("verify", f"checkpoint={checkpoint}")
    assert done.status == 1
    lines = done.out.splitlines()
    assert "model.safetensors is damaged or was edited: its hash is not the one in " in lines[0]
    assert lines[-1] == "1 difference"
    assert done.err == ""


def test_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    assert error("verify", f"checkpoint={tmp_path / 'x'}") == (
        f"nmt: {tmp_path / 'x'} does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"
    )
