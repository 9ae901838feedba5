"""The data of the run that wrote a checkpoint."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from nmt.choices import Side
from nmt.errors import ConfigError
from nmt.text.columns import Columns
from nmt.training.run_data import columns_of_runs, data_of_run
from tests.checkpoints import edit_config

if TYPE_CHECKING:
    from pathlib import Path


def _copy(checkpoint: Path, target: Path, **data: Any) -> Path:
    """Copy a checkpoint as if its run had been given other data."""
    path = shutil.copytree(checkpoint, target)
    edit_config(path, lambda config: config["data"].update(data))
    return path


def _on_columns(checkpoint: Path, target: Path, **data: Any) -> Path:
    return _copy(checkpoint, target, train={"src": [], "tgt": [], "tsv": ["a.tsv"]}, **data)


def test_the_settings_of_the_data_are_those_of_the_run(checkpoint: Path, digits: Path) -> None:
    data = data_of_run(checkpoint)
    assert data is not None
    assert (data.dir, data.src_lang, data.train.src, data.train.tsv) == (str(digits), "en", ["train.en"], [])


def test_a_checkpoint_without_all_settings_of_its_data_has_none(checkpoint: Path, tmp_path: Path) -> None:
    path = shutil.copytree(checkpoint, tmp_path / "copy")
    edit_config(path, lambda config: config["data"].pop("max_len_ratio"))
    assert data_of_run(path) is None


def _columns(*checkpoints: Path, side: Side = Side.src) -> Columns:
    return columns_of_runs([*map(str, checkpoints)], side, needed_by="x=tsv", instead="x=text")


def test_the_columns_of_a_side_are_those_of_the_training_text(checkpoint: Path, tmp_path: Path) -> None:
    one = _on_columns(checkpoint, tmp_path / "one")
    other = _on_columns(checkpoint, tmp_path / "other", columns=[3, 1], feature_columns=[2, 4])
    assert _columns(one, one) == Columns(1)
    assert _columns(other) == Columns(3, (2, 4))
    assert _columns(other, side=Side.tgt) == Columns(1)
    with pytest.raises(ConfigError, match=r"^x=tsv needs checkpoints trained on the same columns, but"):
        _columns(one, other)


def test_a_model_of_plain_text_has_no_columns(checkpoint: Path) -> None:
    message = rf"^x=tsv needs a model trained on columns \(data=tsv\), but {checkpoint} is not: use x=text$"
    with pytest.raises(ConfigError, match=message):
        _columns(checkpoint)
