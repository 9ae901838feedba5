from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from nmt.commands.compose import compose_settings
from nmt.commands.keys import SCHEMAS, setting_types
from nmt.commands.paths import quote_paths
from nmt.schema import settings_of

PATHS = {
    "run_dir",
    "input",
    "output",
    "source",
    "groups",
    "tsv",
    "phrases",
    "data.dir",
    "data.prepared_dir",
    "subword.src_model",
    "subword.tgt_model",
    "training.init_from",
    "training.src_embeddings",
    "training.tgt_embeddings",
    "checkpoint",
    "corpus",
    "vectors",
    "alignments",
    "search.dictionary",
}
LISTS_OF_PATHS = {
    "checkpoints",
    "hypothesis",
    "runs",
    "scores",
    "reference",
    "neighbours",
    "analogies",
    *(f"data.{split}.{side}" for split in ("train", "dev", "test") for side in ("src", "tgt", "tsv")),
}


UNUSUAL_PATHS = [
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


@pytest.mark.parametrize("path", UNUSUAL_PATHS)
def test_paths_work_as_typed(path: str) -> None:
    assert _read("translate", f"input={path}") == path


@pytest.mark.parametrize("path", [path for path in UNUSUAL_PATHS if path not in ("a,b", "[a]")])
def test_paths_in_lists_work_as_typed(path: str) -> None:
    assert _read("evaluate", f"hypothesis=[{path},second]") == [path, "second"]
    assert _read("evaluate", f"hypothesis={path}") == [path]


def test_every_path_setting_accepts_unusual_paths() -> None:
    for command in SCHEMAS:
        keys = (PATHS | LISTS_OF_PATHS) & setting_types(command).keys()
        config = _composed(command, *(f"{key}=a (b)=${{c}} {{#1}}, é" for key in keys))
        for key in keys:
            value = OmegaConf.select(config, key)
            assert value == "a (b)=${c} {#1}, é" if key in PATHS else list(value) == ["a (b)=${c} {#1}", "é"]


def test_a_test_set_can_be_named_if_the_preset_has_none() -> None:
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


def test_quotes_around_a_path_are_not_part_of_it() -> None:
    assert _read("translate", "input='a b'") == "a b"
    assert _read("translate", "input=null") is None
    assert _read("translate", "input='null'") == "null"


def test_a_tilde_and_a_slash_are_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert _read("translate", "input=~/a b") == "/home/ada/a b"
    assert _read("evaluate", "hypothesis=[~/a,~b]") == ["/home/ada/a", "~b"]


def test_names_of_settings_in_a_path_are_replaced_by_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "there")
    assert _composed("train", "run_dir=runs/${model.name} ${seed} ${x}").run_dir == "runs/lstm_2x512 1 ${x}"
    assert _composed("translate", "output=${oc.env:WHERE}/out").output == "there/out"


def test_in_a_sweep_commas_separate_paths() -> None:
    assert quote_paths("train", ["run_dir=a b,'c,d'"], in_sweep=True) == ["run_dir='a b','c,d'"]
    assert quote_paths("evaluate", ["checkpoints=[a,b],[c]"], in_sweep=True) == ["checkpoints=['a','b'],['c']"]


def test_settings_that_are_paths_are_declared_as_such() -> None:
    declared = {key for schema in SCHEMAS.values() for key, setting in settings_of(schema).items() if setting.is_path}
    assert declared == PATHS | LISTS_OF_PATHS
