"""Runs as a report reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nmt.errors import CheckpointError, DataError
from nmt.report.runs import read_run, runs_section, short_names
from tests.checkpoints import edit_config

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_short_unless_two_are_the_same() -> None:
    assert short_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert short_names(["x/a", "y/a", "z/b"]) == ["x/a", "y/a", "b"]


def test_a_run_has_its_best_checkpoint_and_its_records(run_dir: Path) -> None:
    run = read_run(str(run_dir), name="digits")
    assert run.checkpoint.info.update == 6
    assert [record["update"] for record in run.records if record["kind"] == "train"] == [2, 4, 6]
    assert len(list(run.training_sources())) == 200


def test_the_table_describes_the_best_checkpoint(run_dir: Path) -> None:
    run = read_run(str(run_dir), name="digits")
    [table] = runs_section([run]).tables
    [row] = table.rows
    assert row[:4] == ("digits", "lstm_tiny", run.checkpoint.model.num_parameters(), 6)
    assert row[6] == run.checkpoint.info.scores["perplexity"]
    assert row[7] is None


def test_a_folder_without_checkpoints_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"must name folders of runs, with checkpoints in them, but .* is not one"
    ):
        read_run(str(tmp_path), name="x")


def test_a_run_without_records_has_no_curves(copied_run: Path) -> None:
    (copied_run / "metrics.jsonl").unlink()
    assert read_run(str(copied_run), name="x").records == []


def test_settings_of_data_may_be_incomplete(copied_run: Path) -> None:
    edit_config(copied_run / "checkpoints" / "update_000006", lambda config: config["data"].pop("train"))
    with pytest.raises(DataError, match=r"settings of the data of .* are incomplete: .*data\.train"):
        read_run(str(copied_run), name="x").training_sources()
