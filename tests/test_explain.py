"""Mistakes in the user's files, which only Hydra reads; those on the command line are in test_bad_input.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.commands import error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {hiden_dim: 3}",
            "there is no setting 'model.hiden_dim' for nmt train: did you mean model.hidden_dim?",
        ),
        ("model: {hidden_dim: many}", "model.hidden_dim: Value 'many' of type 'str' could not be converted to Integer"),
        ("seed: ${nothing}", "seed: Interpolation key 'nothing' not found"),
        ("defaults: [{override /model: x}]", "model must be one of attention_2x512, .*, but is 'x'"),
        ("model: {hidden_dim: [3}", "while parsing a flow sequence in .*mine.yaml., line 2, column 21 expected"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    line = error("train", f"--config-dir={tmp_path}", "experiment=mine")
    assert re.match(message, line.removeprefix("nmt: ")), line
