"""The average of checkpoints: means by hand, what it refuses, and `nmt average`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from nmt.errors import CheckpointError
from nmt.training.checkpoint import CheckpointContent, load_checkpoint, load_snapshot, save_checkpoint, write_checkpoint
from nmt.training.checkpoint_average import average_checkpoints
from tests.checkpoints import FILES, SRC, content_of, edit_config, info_of, save
from tests.commands import error, nmt
from tests.models import MODEL, tiny_subword

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_fsync")


def filled(value: float, *, update: int) -> CheckpointContent:
    content = content_of(info_of(update))
    return replace(
        content, parameters={name: torch.full_like(tensor, value) for name, tensor in content.parameters.items()}
    )


def test_parameters_are_means_and_the_rest_is_of_the_newest(tmp_path: Path) -> None:
    paths = [
        save_checkpoint(tmp_path, filled(value, update=update)) for value, update in ((1.0, 5), (4.0, 9), (2.5, 7))
    ]
    written = write_checkpoint(tmp_path / "mean", average_checkpoints(paths))
    average = load_checkpoint(written)
    assert all(torch.equal(p, torch.full_like(p, 2.5)) for p in average.model.state_dict().values())
    assert average.info == replace(info_of(9), scores={})
    assert average.config == load_checkpoint(paths[1]).config
    assert average.src_subword.fingerprint == SRC.fingerprint
    assert sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()) == FILES


def test_sums_are_precise(tmp_path: Path) -> None:
    """In float32, each 3e-8 would be lost beside the 1."""
    values = (1.0, 3e-8, 3e-8, 3e-8)
    paths = [save_checkpoint(tmp_path, filled(value, update=update)) for update, value in enumerate(values, start=1)]
    mean = torch.tensor(sum(values) / 4, dtype=torch.float64).float()
    assert mean != torch.tensor(0.25)
    assert all(torch.all(tensor == mean) for tensor in average_checkpoints(paths).parameters.values())


def test_the_average_of_one_checkpoint_is_its_parameters_bit_by_bit(tmp_path: Path) -> None:
    path = save(tmp_path)
    average = average_checkpoints([path])
    expected = load_checkpoint(path).model.state_dict()
    assert list(average.parameters) == list(expected)
    for name, tensor in expected.items():
        assert average.parameters[name].dtype == tensor.dtype
        assert torch.equal(average.parameters[name], tensor)


@pytest.mark.parametrize(
    ("seeds", "init_from", "warns"), [((1, 1), None, False), ((1, 2), None, True), ((1, 2), "a", False)]
)
def test_averages_of_models_that_began_differently_cause_a_warning(
    seeds: tuple[int, int], init_from: str | None, warns: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [save(tmp_path, update=update) for update in (1, 2)]
    for path, seed in zip(paths, seeds, strict=True):
        edit_config(path, partial(dict.update, seed=seed, training={"init_from": init_from}))
    average_checkpoints(paths)
    assert ("began with different random values" in caplog.text) == warns


def test_the_order_of_checkpoints_changes_nothing_but_rounding(tmp_path: Path) -> None:
    paths = [save(tmp_path, update=update, seed=update) for update in (1, 2, 3)]
    one, other = average_checkpoints(paths), average_checkpoints(paths[::-1])
    assert one.info == other.info
    for name in one.parameters:
        torch.testing.assert_close(one.parameters[name], other.parameters[name], rtol=1e-6, atol=1e-8)


def test_an_average_holds_no_training_state(tmp_path: Path) -> None:
    content = average_checkpoints([save(tmp_path / "a")])
    assert load_snapshot(write_checkpoint(tmp_path / "mean", content)) == ({}, {}, {}, {})


def test_other_models_and_other_subwords_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    content = content_of(info_of(8))
    settings = json.dumps({"seed": 1, "model": asdict(MODEL) | {"dropout": 0.125}})
    other = save_checkpoint(tmp_path / "b", replace(content, config_yaml=settings))
    pattern = "a/update_000007 and .*b/update_000008 must be checkpoints of one model, but their model settings "
    with pytest.raises(CheckpointError, match=f"{pattern}differ: name checkpoints of one run"):
        average_checkpoints([path, other])
    renamed = tiny_subword(("a b c d e g", "g e d c b a"), lang="fr")  # as large as TGT
    info = replace(info_of(8), tgt_subword_fingerprint=renamed.fingerprint)
    retrained = save_checkpoint(tmp_path / "c", replace(content, info=info, tgt_subword=renamed))
    with pytest.raises(CheckpointError, match="but their subwords differ"):
        average_checkpoints([path, retrained])


# --- nmt average ---


def test_the_command_writes_a_checkpoint_that_translates(run_dir: Path, tmp_path: Path) -> None:
    checkpoints = f"checkpoints=[{run_dir}/checkpoints/update_000004,{run_dir}/checkpoints/last]"
    done = nmt("average", checkpoints, f"output={tmp_path / 'mean'}")
    assert (done.status, done.out) == (0, ""), done.err
    assert "mean: the average of 2 checkpoints" in done.last_line
    translated = nmt("translate", f"checkpoints=[{tmp_path / 'mean'}]", stdin=b"one two\n")
    assert (translated.status, translated.out.count("\n")) == (0, 1)


def test_one_checkpoint_is_called_one(run_dir: Path, tmp_path: Path) -> None:
    done = nmt("average", f"checkpoints=[{run_dir}/checkpoints/last]", f"output={tmp_path / 'mean'}")
    assert done.last_line.endswith("mean: the average of 1 checkpoint")


def test_no_run_or_checkpoint_is_overwritten(run_dir: Path, tmp_path: Path) -> None:
    best = f"checkpoints=[{run_dir}/checkpoints/best]"
    inside = f"output={run_dir}/checkpoints/update_000004"
    assert "must be a new or an empty folder" in error("average", best, inside)
    assert f"belongs to the run {run_dir}" in error("average", best, f"output={run_dir}/checkpoints/mean")
    assert "checkpoints must name at least one checkpoint" in error("average", "checkpoints=[]", f"output={tmp_path}/x")
    assert "checkpoints, output must be given" in error("average")
