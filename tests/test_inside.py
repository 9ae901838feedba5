"""What happens inside the model of a run, section by section."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nmt.errors import DataError
from nmt.report.inside import distinct_models, inside_sections
from nmt.report.phrases import Phrase, PhrasePlane
from nmt.report.runs import Run, read_run
from tests.checkpoints import edit_config

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = PhrasePlane("Digits", (Phrase("odd", "one three"), Phrase("odd", "three one"), Phrase("even", "two four")))


@pytest.fixture
def run(run_dir: Path) -> Run:
    return read_run(str(run_dir), name="a")


def titles(run: Run, phrases: tuple[PhrasePlane, ...] | None) -> list[str]:
    return [section.title for section in inside_sections(run, phrases=phrases)]


def test_a_run_has_sections_with_its_name(run: Run) -> None:
    others = ["Attention: a", "Vanishing and exploding gradients: a", "Gates over a sentence: a"]
    assert titles(run, (DIGITS,)) == ["The plane of encoder states: a", *others]
    assert titles(run, None) == others  # the phrases of the built-in corpus would mean nothing to this model


def test_runs_of_one_model_are_shown_once(run: Run) -> None:
    other = replace(run.checkpoint, model_config=replace(run.checkpoint.model_config, hidden_dim=9))
    runs = [run, replace(run, name="b"), replace(run, name="c", checkpoint=other)]
    assert [one.name for one in distinct_models(runs)] == ["a", "c"]


def test_a_development_set_without_short_sentences_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.report.inside._MAX_SUBWORDS", 0)
    with pytest.raises(DataError, match="has no pair whose source has at most 0 subwords"):
        inside_sections(run, phrases=None)


def test_a_run_that_does_not_name_its_data_is_refused(copied_run: Path) -> None:
    edit_config(copied_run / "checkpoints" / "update_000006", lambda config: config["data"].pop("dev"))
    with pytest.raises(DataError, match=r"the settings of the data of .* are incomplete"):
        inside_sections(read_run(str(copied_run), name="a"), phrases=None)
