"""Scores for a card: what `nmt evaluate json=true` prints is read, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nmt.card.scores import read_scores
from nmt.choices import Metric
from nmt.errors import DataError
from tests.commands import nmt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("a b c d e\na\n")
    (tmp_path / "test.fr").write_text("a b c d e\nb\n")
    options = ["metrics=[bleu,exact]", "bootstrap_samples=10", "json=true"]
    done = nmt("evaluate", f"hypothesis={tmp_path / 'out'}", f"reference={tmp_path / 'test.fr'}", *options)
    (tmp_path / "scores.json").write_text(done.out)
    return tmp_path / "scores.json"


def test_the_scores_of_nmt_evaluate_are_read(evaluated: Path) -> None:
    [system] = json.loads(evaluated.read_text())["systems"]
    found = read_scores(evaluated)
    assert (found.references, found.num_sentences) == (["test.fr"], 2)
    assert [score.metric for score in found.scores] == [Metric.bleu, Metric.exact]
    for score, expected in zip(found.scores, system["scores"], strict=True):
        assert vars(score) == {name: expected[name] for name in vars(score)}


def test_a_score_may_have_no_interval(evaluated: Path) -> None:
    values = json.loads(evaluated.read_text())
    values["systems"][0]["scores"][0]["interval"] = None
    evaluated.write_text(json.dumps(values))
    assert read_scores(evaluated).scores[0].interval is None


INVALID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no systems": (lambda values: values.pop("systems"), "it has no systems"),
    "two systems": (lambda values: values["systems"].append(values["systems"][0]), "it has 2 systems"),
    "no scores": (lambda values: values["systems"][0].update(scores=[]), "it has no scores"),
    "a score of text": (lambda values: values["systems"][0]["scores"][0].update(value="1"), "score 1.value must be"),
    "an unknown metric": (lambda values: values["systems"][0]["scores"][1].update(metric="x"), "score 2.metric must"),
    "no number": (lambda values: values["systems"][0]["scores"][0].update(value=float("nan")), "is not a finite"),
    "half an interval": (lambda values: values["systems"][0]["scores"][0].update(interval=[1.0]), "not of two"),
    "no references": (lambda values: values.update(references=None), "references must be a list"),
    "no count": (lambda values: values["systems"][0].pop("num_sentences"), "num_sentences must be a whole number"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_anything_else_is_refused(evaluated: Path, kind: str) -> None:
    change, message = INVALID[kind]
    values = json.loads(evaluated.read_text())
    change(values)
    evaluated.write_text(json.dumps(values))
    with pytest.raises(DataError, match=rf"scores\.json must be what nmt evaluate json=true prints .*{message}"):
        read_scores(evaluated)


def test_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("BLEU 36.1\n")
    with pytest.raises(DataError, match="x must be what nmt evaluate json=true prints for one system, but is not"):
        read_scores(tmp_path / "x")
    with pytest.raises(DataError, match="y does not exist: write it by nmt evaluate json=true"):
        read_scores(tmp_path / "y")
