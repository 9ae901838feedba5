from __future__ import annotations

import re

import pytest

from nmt.commands.keys import SCHEMAS
from nmt.commands.main import COMMANDS
from nmt.schema import settings_of
from tests.commands import error, nmt

pytestmark = pytest.mark.no_tensors


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_lists_groups_and_settings(command: str) -> None:
    done = nmt(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"nmt {command}: ")
    assert re.search(r"^usage: nmt " + command, done.out, re.MULTILINE)


def test_help_describes_a_setting_and_its_choices() -> None:
    out = nmt("translate", "--help").out
    assert re.search(r"^  checkpoints=\(must be given\) +# checkpoint, or several with one target", out, re.MULTILINE)
    assert re.search(r"^    beam_12 +Beam search with 12 hypotheses, the widest beam of the paper", out, re.MULTILINE)
    assert re.search(
        r"^  device=auto +# device to compute on; auto: a GPU if there is one \(auto, cpu, cuda\)$", out, re.MULTILINE
    )
    assert re.search(r"^  search.length_penalty.alpha=0.6 +# wu2016: exponent; larger values favour", out, re.MULTILINE)
    assert re.search(r"^  input=null ", out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_line_of_help_describes_its_setting(command: str) -> None:
    model = ["model=lstm_tiny"] if command == "doctor" else []  # it has no model unless one is given
    out = nmt(command, *model, "--help").out
    shown = dict(re.findall(r"^  ([\w.]+)=.*? # (.*)$", out, re.MULTILINE))
    described = {
        key: declared.description for key, declared in settings_of(SCHEMAS[command]).items() if declared.description
    }
    if command == "prepare":
        described = {key: text for key, text in described.items() if key.startswith(("data.", "subword."))}
    assert shown.keys() == described.keys()
    assert [key for key, description in described.items() if not shown[key].startswith(description)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_values_instead_of_interpolations(command: str) -> None:
    settings, _, _ = nmt(command, "--help").out.partition("Paths are taken as typed")
    assert "${" not in settings


def test_help_of_a_users_corpus_shows_what_must_be_given() -> None:
    out = nmt("train", "data=files", "--help").out
    assert re.search(r"^  data.train.src=\(must be given\) ", out, re.MULTILINE)
    assert re.search(r"^  run_dir=runs/files-lstm_2x512-seed1 ", out, re.MULTILINE)
    assert "data.generate.seed" not in out


def test_help_of_prepare_covers_only_data_and_subword() -> None:
    out = nmt("prepare", "--help").out
    assert "subword.vocab_size=1500" in out
    assert "optimizer." not in out


def test_help_shows_the_values_of_this_command_line() -> None:
    out = nmt("train", "model=lstm_tiny", "--help", "seed=7").out
    assert re.search(r"^  model.hidden_dim=64 ", out, re.MULTILINE)
    assert re.search(r"^  seed=7 ", out, re.MULTILINE)


def test_help_with_a_mistake_is_one_line() -> None:
    assert error("train", "model=x", "--help").startswith("nmt: model must be one of attention_2x512,")


def test_cfg_shows_the_settings_in_any_position() -> None:
    done = nmt("translate", "search=greedy", "--cfg", "job", "input=a b.txt")
    assert (done.status, done.err) == (0, "")
    assert "beam_size: 1\n" in done.out
    assert "input: a b.txt\n" in done.out
