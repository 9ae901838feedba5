from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from nmt.commands import evaluate, train
from nmt.commands import settings as settings_module
from nmt.commands.settings import (
    PATH_KEYS,
    PATH_LIST_KEYS,
    SCHEMAS,
    check_sweep,
    compose_settings,
    quote_paths,
    setting_keys,
)
from nmt.errors import ConfigError
from tests.commands import error, nmt

ODD_PATHS = [
    "with space",
    "a=b",
    "a(b)c",
    "a~b",
    "#1",
    "a#b",
    "{x}",
    "$HOME",
    "${x}",
    "${x.y}/${z}",
    "a,b",
    "[a]",
    "été/œuvre",
    "l'été",
    "l'a d'b",
    'say "hi"',
    "back\\slash",
    "ends\\",
    "quote\\'d",
    "1e3",
    "true",
    "a: b",
    "@x",
    "%5",
    "x*?!;&|<>",
    "-dash",
]


def _composed(command: str, *overrides: str) -> Any:
    return compose_settings(command, quote_paths(command, overrides))


def _read(command: str, override: str) -> Any:
    """Read the value of a path as Hydra and OmegaConf do, without composing all settings."""
    [quoted] = quote_paths(command, [override])
    config = OmegaConf.create({"value": OverridesParser.create().parse_override(quoted).value()})
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    return resolved["value"]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_paths_work_as_typed(path: str) -> None:
    assert _read("translate", f"input={path}") == path


@pytest.mark.parametrize("path", [path for path in ODD_PATHS if path not in ("a,b", "[a]")])
def test_paths_in_lists_work_as_typed(path: str) -> None:
    assert _read("evaluate", f"hypothesis=[{path},second]") == [path, "second"]
    assert _read("evaluate", f"hypothesis={path}") == [path]


def test_every_path_key_takes_odd_paths() -> None:
    for command in ("train", "translate", "evaluate"):
        keys = (PATH_KEYS | PATH_LIST_KEYS) & set(setting_keys(SCHEMAS[command]))
        config = _composed(command, *(f"{key}=a (b)=${{c}} {{#1}}, é" for key in keys))
        for key in keys:
            value = OmegaConf.select(config, key)
            assert value == "a (b)=${c} {#1}, é" if key in PATH_KEYS else list(value) == ["a (b)=${c} {#1}", "é"]


def test_the_test_set_can_be_named_where_the_preset_has_none() -> None:
    config = _composed("prepare", "data=files", "data.test.src=[a b.en]", "data.test.tgt=a b.fr")
    assert (list(config.data.test.src), list(config.data.test.tgt)) == (["a b.en"], ["a b.fr"])


@pytest.mark.parametrize(
    ("typed", "paths"),
    [
        ("[]", []),
        ("", []),
        ("a.txt", ["a.txt"]),
        ("a.txt,b.txt", ["a.txt", "b.txt"]),
        ("[ a , b ]", ["a", "b"]),
        ("['a,b',c]", ["a,b", "c"]),
        ('["a,b"]', ["a,b"]),
        ("[l'a,l'b]", ["l'a", "l'b"]),
    ],
)
def test_lists_of_paths(typed: str, paths: list[str]) -> None:
    assert _read("evaluate", f"hypothesis={typed}") == paths


def test_quotes_around_a_path_are_no_part_of_it() -> None:
    assert _read("translate", "input='a b'") == "a b"
    assert _read("translate", "input=null") is None
    assert _read("translate", "input='null'") == "null"


def test_a_tilde_and_a_slash_are_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert _read("translate", "input=~/a b") == "/home/ada/a b"
    assert _read("evaluate", "hypothesis=[~/a,~b]") == ["/home/ada/a", "~b"]


def test_names_of_settings_in_a_path_stand_for_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "there")
    assert _composed("train", "run_dir=runs/${model.name} ${seed} ${x}").run_dir == "runs/lstm_2x512 1 ${x}"
    assert _composed("translate", "output=${oc.env:WHERE}/out").output == "there/out"


def test_in_a_sweep_commas_separate_paths() -> None:
    assert quote_paths("train", ["run_dir=a b,'c,d'"], in_sweep=True) == ["run_dir='a b','c,d'"]
    assert quote_paths("evaluate", ["checkpoints=[a,b],[c]"], in_sweep=True) == ["checkpoints=['a','b'],['c']"]


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
        ("translate", "~search", "'~search' would take a setting away: give it another value instead"),
        ("translate", "search=beam_3", "search must be one of beam_12, beam_2, beam_5, greedy, but is 'beam_3'"),
        ("translate", "search=null", "search must be one of beam_12, beam_2, beam_5, greedy, but is null"),
        ("translate", "search=3", "search must be one of beam_12, beam_2, beam_5, greedy, but is 3"),
        ("translate", "format=json", "format must be one of text, jsonl, but is json"),
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
        ("translate", "a=[1,", "'a=[1,' cannot be read as KEY=VALUE: quote a value with special characters twice"),
        ("translate", "foo", "'foo' is not a setting: write KEY=VALUE"),
        ("translate", "=3", "'=3' is not a setting: write KEY=VALUE"),
        ("translate", "", "'' is not a setting: write KEY=VALUE"),
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


def test_mistakes_are_reported_together() -> None:
    assert error("translate", "foo", "--bar", "a=[1,", "search.beam_size=1,2").count(";") == 3


def test_prepare_takes_the_settings_of_train() -> None:
    train = compose_settings("train", ["experiment=sutskever_2014"])
    assert compose_settings("prepare", ["experiment=sutskever_2014"]) == train


@pytest.mark.parametrize("key", sorted(PATH_KEYS | PATH_LIST_KEYS))
def test_path_keys_are_settings(key: str) -> None:
    assert any(key in setting_keys(schema) for schema in SCHEMAS.values())


def test_a_sweep_whose_jobs_share_a_run_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = error("train", "-m", "model.hidden_dim=8,16")
    assert "2 jobs of this sweep would share the run directory" in line
    assert f"{tmp_path}/runs/phrasebook-lstm_2x512-seed1: give each its own" in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that `nmt train` and `nmt evaluate` were run with; nothing is trained."""
    settings: list[Any] = []

    def run(given: Any, **_: Any) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(evaluate, "run", run)
    return settings


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_plus_before_what_is_there_changes_nothing(plus: str, ran: list[Any]) -> None:
    words = ["experiment=quickstart", "model=lstm_tiny", "model.hidden_dim=8", "run_dir=a (b)"]
    assert nmt("train", *(f"{plus}{word}" for word in words)).status == 0
    [settings] = ran
    assert (settings.training.max_minutes, settings.model.name) == (4.2, "lstm_tiny")
    assert (settings.model.hidden_dim, settings.run_dir) == (8, "a (b)")


def test_the_later_of_several_experiments_decides(ran: list[Any]) -> None:
    assert nmt("train", "experiment=[quickstart,sutskever_2014]").status == 0
    assert (ran[0].training.max_epochs, ran[0].training.max_minutes) == (7.5, 4.2)


def test_options_and_a_configuration_of_ones_own(tmp_path: Path, ran: list[Any]) -> None:
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


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["bootstrap_samples=range(2,5)"], [(2, False), (3, False), (4, False)]),
        (["bootstrap_samples=choice(2,5)", "json=true,false"], [(2, True), (2, False), (5, True), (5, False)]),
        (["bootstrap_samples=range(8,2,-3)"], [(8, False), (5, False)]),
        (["bootstrap_samples=range(1,2,0.5)", "bootstrap_samples=7"], [(7, False)]),
        (["search=glob(beam_1*)"], [(1000, False)]),
    ],
)
def test_sweeps(words: list[str], values: list[tuple[int, bool]], ran: list[Any]) -> None:
    assert nmt("evaluate", "-m", *words).status == 0
    assert [(settings.bootstrap_samples, settings.json) for settings in ran] == values


def test_a_sweep_of_as_many_jobs_as_allowed_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "MAX_JOBS", 4)
    check_sweep("evaluate", ["bootstrap_samples=range(2,6)"])
    with pytest.raises(
        ConfigError, match=r"^a sweep must have at most 4 jobs, but this one has more: name fewer values$"
    ):
        check_sweep("evaluate", ["bootstrap_samples=range(2,7)"])


def test_what_hydra_answers_by_itself() -> None:
    for words in (["--info", "defaults"], ["--cfg", "hydra"], ["--cfg", "job", "--resolve", "--package", "model"]):
        done = nmt("train", *words)
        assert (done.status, done.err) == (0, ""), words
        assert done.out
    assert "hydra_bash_completion" in nmt("train", "--shell-completion", "install=bash").out


def test_a_mistake_in_a_sweep_is_found_before_any_job_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "seed must be a whole number, but is 1,x" in error("train", "-m", "seed=1,x")
    assert list(tmp_path.iterdir()) == []
