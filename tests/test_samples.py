"""samples.json: a round trip, sentences spread over the development set, and files of strangers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.errors import DamagedCheckpointError
from nmt.training.samples import MAX_CHARACTERS, SAMPLES_FILE, choose_sources, read_samples, samples_to_json
from tests.checkpoints import SAMPLES


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / SAMPLES_FILE).write_bytes(samples_to_json(SAMPLES))
    assert read_samples(tmp_path / SAMPLES_FILE) == SAMPLES


def test_a_sample_is_a_line_that_people_can_read() -> None:
    lines = samples_to_json(SAMPLES).decode().splitlines()
    assert len(lines) == len(SAMPLES) + 2
    assert lines[2] == '{"source": "é", "text": "", "ids": [], "log_prob": -0.25, "finished": true},'


def test_tokens_include_eos_if_there_is_one() -> None:
    assert [sample.num_tokens for sample in SAMPLES] == [3, 1, 2]


def test_sources_are_spread_over_the_text() -> None:
    lines = [str(number) for number in range(10)]
    assert choose_sources(lines, 3) == ["0", "3", "6"]
    assert choose_sources(lines, 10) == lines
    assert choose_sources(lines, 20) == lines
    assert choose_sources([], 3) == []


def test_blank_and_very_long_sources_are_left_out() -> None:
    assert choose_sources(["a", " ", "", "x" * (MAX_CHARACTERS + 1), "b"], 5) == ["a", "b"]


INVALID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no list": (lambda values: values.update(samples=3), "it holds no list of samples"),
    "a missing field": (lambda values: values["samples"][1].pop("text"), "sample 2.text is missing"),
    "text as ids": (lambda values: values["samples"][0].update(ids=["4"]), "sample 1.ids must be a list"),
    "a surrogate": (lambda values: values["samples"][0].update(source="\ud800"), "surrogates not allowed"),
    "a long source": (lambda values: values["samples"][2].update(source="x" * 501), "a source has more than 500"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_samples_are_refused(tmp_path: Path, kind: str) -> None:
    change, message = INVALID[kind]
    values = json.loads(samples_to_json(SAMPLES))
    change(values)
    file = tmp_path / SAMPLES_FILE
    file.write_text(json.dumps(values))
    with pytest.raises(DamagedCheckpointError, match=rf"samples\.json is damaged \(.*{message}"):
        read_samples(file)
