from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nmt.commands.arguments import QUICKSTART, read_arguments
from tests.commands import error, nmt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_tensors


@pytest.mark.parametrize(
    ("command", "override", "message"),
    [
        ("translate", "checkpoint=x", "there is no setting 'checkpoint' for nmt translate: did you mean checkpoints?"),
        ("translate", "beam_size=3", "no setting 'beam_size' for nmt translate: did you mean search.beam_size?"),
        ("translate", "search.beamsize=3", "'search.beamsize' for nmt translate: did you mean search.beam_size?"),
        ("train", "model.hiden_dim=3", "no setting 'model.hiden_dim' for nmt train: did you mean model.hidden_dim?"),
        ("train", "mdoel=lstm_tiny", "there is no setting 'mdoel' for nmt train: did you mean model?"),
        ("train", "experimnt=x", "there is no setting 'experimnt' for nmt train: did you mean experiment?"),
        ("translate", "+foo=1", "there is no setting 'foo' for nmt translate"),
        ("translate", "xyzzy=1", "there is no setting 'xyzzy' for nmt translate (--help shows all)"),
        ("translate", "~search", "'~search' would remove a setting: give it another value instead"),
        ("translate", "search=beam_3", "search must be one of beam_12, beam_2, beam_5, greedy, but is 'beam_3'"),
        ("translate", "search=null", "search must be one of beam_12, beam_2, beam_5, greedy, but is null"),
        ("translate", "search=3", "search must be one of beam_12, beam_2, beam_5, greedy, but is 3"),
        ("train", "experiment=[quickstart,3]", "experiment must be one of g2p, multi30k_en_de, multi30k_en_de_2014, "),
        ("train", "experiment=[null]", "tatoeba_en_fr_2014, but is [null]"),
        (
            "translate",
            "format=json",
            "format must be one of text, jsonl, pharaoh, ",
        ),
        ("translate", "device=gpu", "device must be one of auto, cpu, cuda, but is gpu"),
        ("translate", "search.beam_size=x", "search.beam_size must be a whole number, but is x"),
        ("translate", "search.beam_size=1.5", "search.beam_size must be a whole number, but is 1.5"),
        ("translate", "search.beam_size=null", "search.beam_size must be a whole number, but is null"),
        ("translate", "search.beam_size=", "search.beam_size must be a whole number, but is empty"),
        ("translate", "threads=x", "threads must be a whole number or null, but is x"),
        ("translate", "search.max_len_ratio=x", "search.max_len_ratio must be a number, but is x"),
        ("evaluate", "json=x", "json must be true or false, but is x"),
        ("evaluate", "metrics=bleu", "metrics must be a list such as [a,b], but is bleu"),
        ("evaluate", "hypothesis=null", "hypothesis must be a list such as [a,b], but is null"),
        (
            "translate",
            "search.length_penalty=none",
            "search.length_penalty is a group of settings: set search.length_penalty.kind, "
            "search.length_penalty.alpha one by one",
        ),
        ("translate", "a=[1,", "'a=[1,' is not a valid KEY=VALUE: quote a value with special characters twice"),
        ("translate", "checkpoints=[a,b", "'checkpoints=[a,b': the list is not closed: add ]"),
        ("evaluate", "metrics=[bleu", "'metrics=[bleu': the list is not closed: add ]"),
        ("translate", "foo", "'foo' is not a setting: write KEY=VALUE"),
        ("translate", "=3", "'=3' is not a setting: write KEY=VALUE"),
        ("translate", "", "'' is not a setting: write KEY=VALUE"),
        ("translate", "--", "there is no option -- (nmt translate --help)"),
        ("translate", "--foo", "there is no option --foo (nmt translate --help)"),
        ("translate", "--cfg=x", "invalid choice: 'x'"),
        ("translate", "--resolve", "The --resolve flag can only be used in conjunction with --cfg"),
        ("translate", "search.beam_size=1,2", "'search.beam_size=1,2' has several values: write a list as 'KEY=[a,b]'"),
        ("train", "seed=${nothing}", "Interpolation key 'nothing' not found"),
        ("translate", "search.n_best=1", "checkpoints must be given, but is not (--help shows all settings)"),
        (
            "prepare",
            "data=files",
            "data.dev.src, data.dev.tgt, data.src_lang, data.tgt_lang, data.train.src, data.train.tgt must be given",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(command: str, override: str, message: str) -> None:
    line = error(command, override)
    assert line.startswith("nmt: ")
    assert message in line


@pytest.mark.parametrize("items", [["a,", "b]"], ["a,", "b,", "c]"], ["a", "]"]])
def test_a_list_that_the_shell_splits_must_be_quoted(items: list[str]) -> None:
    words = ["checkpoints=[" + items[0], *items[1:]]
    line = error("translate", "threads=1", *words, "device=cpu")
    assert line == f"nmt: the shell splits {words[0]!r} at a space: quote the list: '{' '.join(words)}'"


def test_a_path_may_begin_with_a_bracket(ran: list[Any]) -> None:
    assert nmt("train", "run_dir=[a").status == 0
    assert nmt("evaluate", "hypothesis=['[b']", "reference=[c]d").status == 0
    assert (ran[0].run_dir, ran[1].hypothesis, ran[1].reference) == ("[a", ["[b"], ["[c]d"])


def test_mistakes_are_reported_together() -> None:
    assert error("translate", "foo", "--bar", "a=[1,", "search.beam_size=1,2").count(";") == 3


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_plus_before_an_existing_key_is_ignored(plus: str, ran: list[Any]) -> None:
    words = ["experiment=quickstart", "model=lstm_tiny", "model.hidden_dim=8", "run_dir=a (b)"]
    assert nmt("train", *(f"{plus}{word}" for word in words)).status == 0
    [settings] = ran
    assert (settings.training.max_minutes, settings.model.name) == (4.2, "lstm_tiny")
    assert (settings.model.hidden_dim, settings.run_dir) == (8, "a (b)")


def test_the_last_of_several_experiments_wins(ran: list[Any]) -> None:
    assert nmt("train", "experiment=[quickstart,sutskever_2014]").status == 0
    assert (ran[0].training.max_epochs, ran[0].training.max_minutes) == (7.5, 4.2)


def test_options_and_a_users_configuration(tmp_path: Path, ran: list[Any]) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    (tmp_path / "own.yaml").write_text("defaults: [train, _self_]\nseed: 8\n")
    folder = f"--config-dir={tmp_path}"
    assert nmt("train", folder, "experiment=mine") == (0, "", "")
    assert nmt("train", folder, "--config-name=own") == (0, "", "")
    assert [settings.seed for settings in ran] == [7, 8]
    assert "  seed=7 " in nmt("train", folder, "experiment=mine", "--help").out
    assert nmt("train", folder, "experiment=mine,quickstart", "-m", "run_dir=${seed}").status == 0
    assert [settings.seed for settings in ran[2:]] == [7, 1]


def test_hydras_own_answers() -> None:
    for words in (["--info", "defaults"], ["--cfg", "hydra"], ["--cfg", "job", "--resolve", "--package", "model"]):
        done = nmt("train", *words)
        assert (done.status, done.err) == (0, ""), words
        assert done.out
    assert "hydra_bash_completion" in nmt("train", "--shell-completion", "install=bash").out


@pytest.mark.parametrize("settings", [[], ["model=lstm_tiny"]])
@pytest.mark.parametrize("words", [["--info"], ["--hydra-help"]])
def test_what_hydra_answers_goes_with_any_settings_in_any_order(words: list[str], settings: list[str]) -> None:
    for line in ([*words, *settings], [*settings, *words]):
        done = nmt("train", *line)
        assert (done.status, done.err) == (0, ""), line
        assert done.out


@pytest.mark.parametrize("command", ["train", "prepare"])
@pytest.mark.parametrize(
    "words", [[], ["seed=2", "run_dir=runs/x"], ["resume=true"], ["device=cpu", "threads=1", "search.beam_size=2"]]
)
def test_the_quick_start_is_the_default(command: str, words: list[str]) -> None:
    line = read_arguments(command, words)
    assert (line.overrides[0], line.is_quickstart) == (QUICKSTART, True)
    assert len(line.overrides) == 1 + len(words)


@pytest.mark.parametrize(
    "word",
    [
        "data=phrasebook",
        "data.dir=x",
        "subword.vocab_size=100",
        "model=lstm_tiny",
        "+model.dropout=0.1",
        "optimizer.lr=1",
        "batching.size=3",
        "training.max_minutes=3",
        "experiment=quickstart",
        "debug=overfit",
        "--config-name=own",
    ],
)
def test_the_quick_start_is_not_used_if_something_is_chosen(word: str) -> None:
    line = read_arguments("train", [word, "seed=2"])
    assert not line.is_quickstart
    assert QUICKSTART not in line.overrides or word == QUICKSTART


def test_other_commands_have_no_quick_start() -> None:
    assert not read_arguments("translate", ["checkpoints=x"]).is_quickstart
    assert not read_arguments("evaluate", []).is_quickstart


def test_the_quick_start_is_used_in_sweeps(ran: list[Any]) -> None:
    assert nmt("train", "-m", "seed=1,2").status == 0
    assert [(settings.seed, settings.training.max_minutes) for settings in ran] == [(1, 4.2), (2, 4.2)]
