"""scripts/model_sizes.py, and docs/models.md: its numbers, settings, commands and example are right."""

from __future__ import annotations

import re
import shlex
import sys
from enum import EnumType
from pathlib import Path

import pytest
import yaml
from model_sizes import main, num_parameters
from omegaconf import OmegaConf

from nmt.commands.compose import compose_settings
from nmt.commands.keys import known_keys
from nmt.conf_files import conf_dir, first_comment, group_options
from nmt.config import ModelConfig
from nmt.model.checks import check_model
from nmt.saved_config import model_config

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
TRAINED = [shlex.split(command) for command in re.findall(r"^nmt train (.*)$", PAGE.replace("\\\n", ""), re.MULTILINE)]
EXAMPLE = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_numbers_of_parameters_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["model_sizes.py", "lstm_tiny", "lstm_2x256", "--src", "10", "--tgt", "20"])
    main()
    # embeddings, two LSTMs of 64 units with two biases, output layer
    tiny = 30 * 64 + 2 * (4 * 64 * 128 + 8 * 64) + 20 * 65
    name, count, other, _ = capsys.readouterr().out.split()
    assert (name, number(count), other) == ("lstm_tiny", tiny, "lstm_2x256")


def test_the_page_has_the_parameters_of_every_preset() -> None:
    presets, vocabularies = PAGE.split("| model | words, source and target | parameters |")
    counts = dict(re.findall(r"^\| \[`(\w+)`\].* \| ([\d,]+) \| [^|]+ \|$", presets, re.MULTILINE))
    assert sorted(counts) == group_options("model")
    for preset, count in counts.items():
        assert number(count) == num_parameters(preset, src_vocab_size=8000, tgt_vocab_size=8000), preset
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) and ([\d,]+) \| ([\d,]+) \|$", vocabularies, re.MULTILINE)
    assert len(rows) == 5
    for preset, src, tgt, count in rows:
        assert number(count) == num_parameters(preset, src_vocab_size=number(src), tgt_vocab_size=number(tgt)), preset


@pytest.mark.parametrize("preset", group_options("model"))
def test_the_header_of_a_preset_has_its_source_parameters_hardware_time_and_score(preset: str) -> None:
    _, *lines = first_comment(conf_dir() / "model" / f"{preset}.yaml")
    header = dict(line.split(": ", 1) for line in lines if ": " in line)
    assert header.keys() >= {"Source", "Parameters", "Hardware and time", "Score"}
    counts = re.findall(r"([\d.]+)M [^;]*?([\d,]+)(?: \w+)* and ([\d,]+)", header["Parameters"])
    assert len(counts) == 1 + header["Parameters"].count("paper")
    for millions, src, tgt in counts:
        count = num_parameters(preset, src_vocab_size=number(src), tgt_vocab_size=number(tgt))
        assert float(millions) == round(count / 1e6, 1)


def test_the_page_names_every_setting_of_a_model_and_no_unknown_one() -> None:
    known = known_keys("train")
    assert set(re.findall(r"\b(?:model|training)\.(?!md\b)\w+", PAGE)) <= set(known)
    of_model = {key.removeprefix("model.") for key in known if key.startswith("model.")}
    assert {key for key in of_model if not re.search(rf"\b{key}\b", PAGE)} == set()


def test_the_page_names_every_choice() -> None:
    enums = [kind for kind in ModelConfig.__annotations__.values() if isinstance(kind, EnumType)]
    choices = {choice for enum in enums for choice in enum.__members__}
    assert {choice for choice in choices if not re.search(rf"\b{choice}\b", PAGE)} == set()


@pytest.mark.parametrize("overrides", TRAINED, ids=[words[-1] for words in TRAINED])
def test_commands_of_the_page_make_models(overrides: list[str]) -> None:
    check_model(model_config(OmegaConf.to_container(compose_settings("train", overrides).model, enum_to_str=True)))


def test_the_example_of_a_preset_makes_a_model() -> None:
    assert EXAMPLE is not None
    check_model(model_config(yaml.safe_load(EXAMPLE[1])))
