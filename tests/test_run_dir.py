"""A run directory belongs to one job at a time, and a failed start leaves nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nmt.commands import run_dir as run_dir_module
from nmt.commands.run_dir import claim_run_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_failed_start_leaves_a_run_made_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = tmp_path / "run"

    @contextmanager
    def lock_after_another_job(path: Path) -> Iterator[None]:
        path.mkdir()
        (path / "config.yaml").write_text("seed: 1\n")
        yield

    monkeypatch.setattr(run_dir_module, "_lock", lock_after_another_job)
    with pytest.raises(KeyboardInterrupt), claim_run_dir(run_dir):
        raise KeyboardInterrupt
    assert (run_dir / "config.yaml").read_text() == "seed: 1\n"


def test_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with claim_run_dir(tmp_path / "runs" / "run") as directory:
            (directory.path / "config.yaml").write_text("seed: 1\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
