"""The facts of a card: what a run knows, and what is left of it in a copy."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.card.facts import gather_facts
from nmt.choices import CellKind
from nmt.device import describe_machine
from nmt.errors import CheckpointError
from nmt.training.checkpoint import load_samples, read_info
from nmt.training.metrics_log import read_records
from tests.checkpoints import edit_config, save
from tests.copying import save_copying_model

FORMAT_1 = Path(__file__).parent / "fixtures" / "format_1" / "words_sgd"


def test_a_run_knows_everything(run_dir: Path, checkpoint: Path) -> None:
    facts = gather_facts(checkpoint, run_dir=run_dir, scores=[])
    assert facts.info == read_info(checkpoint)
    assert facts.wall_s == facts.info.wall_s > 0
    assert facts.settings["batching.size"] == 8
    assert facts.model.cell == CellKind.lstm
    assert facts.num_parameters == 1_502
    assert facts.vocab_sizes == (14, 14)
    assert facts.data is not None
    assert (facts.data.src_lang, facts.data.tgt_lang) == ("en", "fr")
    assert facts.manifest is not None
    assert facts.manifest.splits["train"].num_kept == 200
    assert facts.state is not None
    assert facts.state.machines == [describe_machine(torch.device("cpu"))]
    speeds = [record["tgt_tokens_per_s"] for record in read_records(run_dir) if record["kind"] == "train"]
    assert facts.tgt_tokens_per_s == statistics.median(map(float, speeds))
    assert facts.samples == load_samples(checkpoint) != []


def test_records_after_the_update_of_the_checkpoint_do_not_count(copied_run: Path) -> None:
    with (copied_run / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "train", "update": 99, "tgt_tokens_per_s": 1e12}\n' * 99)
    facts = gather_facts(copied_run / "checkpoints" / "best", run_dir=copied_run, scores=[])
    assert facts.tgt_tokens_per_s is not None
    assert facts.tgt_tokens_per_s < 1e9


def test_a_copy_knows_what_is_in_the_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    shutil.rmtree(copy / "training")
    edit_config(copy, lambda config: config["data"].update(prepared_dir=str(tmp_path / "nothing")))
    facts = gather_facts(copy, run_dir=None, scores=[])
    assert (facts.state, facts.manifest, facts.tgt_tokens_per_s) == (None, None, None)
    assert facts.data is not None
    assert facts.wall_s == facts.info.wall_s > 0


def test_a_checkpoint_without_data_or_validation_has_a_card(tmp_path: Path) -> None:
    facts = gather_facts(save_copying_model(tmp_path), run_dir=None, scores=[])
    assert (facts.data, facts.manifest, facts.samples) == (None, None, [])
    assert facts.wall_s == 1.5  # of the training state
    assert replace(facts, state=None).wall_s is None


def test_a_checkpoint_of_version_0_1_0_has_a_card() -> None:
    facts = gather_facts(FORMAT_1 / "checkpoints" / "best", run_dir=FORMAT_1, scores=[])
    assert facts.state is not None
    assert facts.state.machines == []
    assert facts.wall_s is not None
    assert facts.tgt_tokens_per_s is not None


def test_a_damaged_checkpoint_has_none(tmp_path: Path) -> None:
    checkpoint = save(tmp_path)
    (checkpoint / "training" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"state\.json is damaged"):
        gather_facts(checkpoint, run_dir=None, scores=[])
