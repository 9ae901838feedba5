"""scripts/mutants: the changes that it makes, their outcomes on disk, and a whole run on a package of ten lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mutation.results import (
    Explanation,
    Result,
    alive,
    append_result,
    format_report,
    outdated,
    read_explanations,
    read_results,
)
from mutation.targets import LEFT_OUT, OTHER_TESTS, all_modules, chosen_modules, files_of_tests, module_path

if TYPE_CHECKING:
    from mutation.mutate import Mutant

ROOT = Path(__file__).resolve().parents[1]
needs_mutmut = pytest.mark.skipif(find_spec("mutmut") is None, reason="needs the extra `mutation`")
KILLED = Result(
    id="1f",
    module="search.beam",
    kind="number",
    line=7,
    before="a = 1",
    after="a = 2",
    diff="@@ -7 +7 @@\n-a = 1\n+a = 2",
    tests="c0ffee",
    killed_by="tests/test_beam.py::test_x",
    wall_s=1.5,
)
SURVIVOR = replace(KILLED, id="2f", module="model.decoder", killed_by="")
SOURCE = '''"""A module."""

from typing import TypeVar

StateT = TypeVar("StateT")


def total(values: list[int] | None, *, start: int = 0) -> int:
    """Add up."""
    if not values:
        return start
    for value in sorted(values, reverse=True):
        start += value
    return start
'''


# --- modules and their tests ---


def test_every_module_has_tests_and_every_rule_a_module() -> None:
    modules = all_modules(ROOT)
    assert "search.beam" in modules
    for module in chosen_modules([], ROOT):
        assert files_of_tests(module, ROOT), f"no tests of nmt.{module}: name some in OTHER_TESTS"
        assert (ROOT / module_path(module)).is_file()
    for module, names in OTHER_TESTS.items():
        assert module in modules
        assert all((ROOT / "tests" / f"test_{name}.py").is_file() for name in names), module


def test_modules_are_chosen_by_name_or_by_package() -> None:
    assert chosen_modules(["search.beam", "evaluation"], ROOT) == [
        "search.beam",
        "evaluation.conflicts",
        "evaluation.dev_scores",
        "evaluation.groups",
        "evaluation.metrics",
        "evaluation.plain_text",
        "evaluation.report",
        "evaluation.significance",
        "evaluation.string_metrics",
        "evaluation.texts",
        "evaluation.tokenizer",
    ]
    everything = chosen_modules([], ROOT)
    assert not [module for module in everything if module.startswith("phrasebook.")]
    assert "phrasebook.*" in LEFT_OUT
    assert chosen_modules(["phrasebook.lexicon"], ROOT) == ["phrasebook.lexicon"]
    with pytest.raises(ValueError, match=r"^MODULE must be .* such as search\.beam or search, but is serch$"):
        chosen_modules(["serch"], ROOT)


# --- outcomes ---


def test_outcomes_are_read_back_and_the_last_of_a_mutant_counts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    assert read_results(path) == {}
    for result in (KILLED, SURVIVOR, replace(SURVIVOR, killed_by="time")):
        append_result(path, result)
    with path.open("a") as file:
        file.write('{"id": "3f", "mod')  # the process was killed here
    assert read_results(path) == {"1f": KILLED, "2f": replace(SURVIVOR, killed_by="time")}


def test_the_report_counts_by_package_and_lists_survivors() -> None:
    explained = replace(SURVIVOR, id="3f", after="a = 3")
    explanations = [Explanation(module="model.decoder", before="a = 1", after="a = 3", reason="equal")]
    results = [KILLED, SURVIVOR, explained]
    assert alive(results, explanations) == [SURVIVOR]
    *lists, table = format_report(results, explanations).split("\n\n")
    assert lists == ["nmt/model/decoder.py:7  number\n@@ -7 +7 @@\n-a = 1\n+a = 2"]
    assert [line.split() for line in table.splitlines()] == [
        ["package", "mutants", "killed", "survived", "explained", "share", "killed"],
        ["search", "1", "1", "0", "0", "100.0%"],
        ["model", "2", "0", "1", "1", "0.0%"],
        ["all", "3", "1", "1", "1", "50.0%"],
    ]


def test_an_explanation_holds_only_for_its_change() -> None:
    explanation = Explanation(module=SURVIVOR.module, before=SURVIVOR.before, after=SURVIVOR.after, reason="equal")
    assert explanation.fits(SURVIVOR)
    assert not explanation.fits(KILLED)  # another module
    assert not explanation.fits(replace(SURVIVOR, after="a = 4"))
    assert not explanation.fits(replace(SURVIVOR, before="b = 1"))
    of_the_line = replace(explanation, after=None)
    assert of_the_line.fits(replace(SURVIVOR, after="a = 4"))
    assert not of_the_line.fits(replace(SURVIVOR, before="b = 1"))


def test_every_explanation_has_a_reason_and_names_a_module() -> None:
    explanations = read_explanations()
    assert len(explanations) == len({(e.module, e.before, e.after) for e in explanations})
    for explanation in explanations:
        assert explanation.reason
        assert explanation.module in all_modules(ROOT)


def test_explained_lines_that_are_gone_are_named() -> None:
    explanation = Explanation(module="search.beam", before="a = 1\nb = 2", after=None, reason="equal")
    assert outdated([explanation], {"search.beam": "a = 1\nif c:\n    b = 2\n"}) == []
    assert outdated([explanation], {"search.beam": "a = 1\n"}) == ["nmt.search.beam: a = 1\nb = 2"]
    assert outdated([explanation], {"model.decoder": "a = 1\n"}) == []  # not asked about


# --- changes ---


def sample_of(source: str, size: int = 1000, *, seed: int = 1) -> list[Mutant]:
    from mutation.mutate import sample

    return sample("text.total", source, size, seed=seed)


@needs_mutmut
def test_each_mutant_is_one_change_that_compiles() -> None:
    mutants = sample_of(SOURCE)
    assert len({mutant.source for mutant in mutants}) == len({mutant.id for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        compile(mutant.source, "mutant", "exec")
        assert mutant.before in SOURCE
        assert SOURCE.splitlines()[mutant.line - 1].strip() == mutant.before
    changed = {(mutant.kind, mutant.after) for mutant in mutants}
    assert changed >= {
        ("number", "def total(values: list[int] | None, *, start: int = 1) -> int:"),
        ("no unary operator", "if values:"),
        ("negated condition", "if not (not values):"),
        ("true or false", "for value in sorted(values, reverse=False):"),
        ("argument left out", "for value in sorted(values, ):"),
        ("augmented assignment", "start = value"),
        ("operator", "start -= value"),
        ("statement left out", "pass"),
    }
    assert not [mutant for mutant in mutants if "TypeVar" in mutant.before or "Add up" in mutant.before]


@needs_mutmut
def test_a_sample_alternates_between_kinds_and_depends_on_its_seed() -> None:
    assert sample_of(SOURCE, 5, seed=3) == sample_of(SOURCE, 5, seed=3)
    assert len({tuple(mutant.id for mutant in sample_of(SOURCE, 5, seed=seed)) for seed in range(9)}) > 1
    assert len({mutant.kind for mutant in sample_of(SOURCE, 5)}) == 5
    assert len(sample_of(SOURCE, 5)) == 5


@needs_mutmut
def test_changes_without_effect_are_not_mutants() -> None:
    assert sample_of("def f(a: int) -> int:\n    return a\n") == []
    assert sample_of("for a, b in zip((), (), strict=True):\n    pass\n") == []
    assert sample_of("f = lambda x: None\n") == []


# --- a whole run ---


def checkout(folder: Path) -> Path:
    """Make a checkout of scripts/ and a package of one module with one test, in which a rule is not tested."""
    for name in (ROOT / "scripts" / "mutation").glob("*.py"):
        target = folder / "scripts" / "mutation" / name.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(name.read_bytes())
    for script in ("mutants", "interpreter.py"):
        (folder / "scripts" / script).write_bytes((ROOT / "scripts" / script).read_bytes())
    (folder / "scripts" / "mutation" / "explained.toml").write_text("")
    for package in ("nmt", "nmt/text"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    (folder / "nmt" / "text" / "total.py").write_text(SOURCE)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_total.py").write_text(
        "from nmt.text.total import total\n\n\ndef test_total():\n    assert total([2, 1]) == 3\n"
    )
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (folder / ".gitignore").write_text("build/\n__pycache__/\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def mutants(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(folder / "scripts" / "mutants"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@needs_mutmut
@pytest.mark.slow
def test_only_survivors_run_again_after_new_tests(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    files = {path: path.read_bytes() for path in folder.rglob("*.py")}
    done = mutants(folder, "--size", "6")
    results = [json.loads(line) for line in (folder / "build/mutants/results.jsonl").read_text().splitlines()]
    assert done.returncode == 1, done.stderr
    assert len(results) == 6
    assert {path: path.read_bytes() for path in folder.rglob("*.py") if "build" not in path.parts} == files
    survivors = [result for result in results if not result["killed_by"]]
    assert 0 < len(survivors) < 6
    assert all(result["diff"] in done.stdout for result in survivors)

    again = mutants(folder, "--size", "6")
    assert (again.returncode, again.stdout, again.stderr) == (1, done.stdout, "")
    assert mutants(folder, "--size", "6", "--report-only").stdout == done.stdout
    with (folder / "tests" / "test_total.py").open("a") as file:
        file.write("\n\ndef test_start():\n    assert (total([], start=4), total(None)) == (4, 0)\n")
    assert len(mutants(folder, "--size", "6").stderr.splitlines()) == len(survivors)


@needs_mutmut
@pytest.mark.slow
def test_tests_that_already_fail_are_an_error(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    (folder / "tests" / "test_total.py").write_text("def test_x():\n    assert False\n")
    done = mutants(folder)
    assert done.returncode == 1
    assert done.stderr == (
        "mutants: the tests of text.total must pass before it is changed, but fail: tests/test_total.py::test_x\n"
    )


@needs_mutmut
@pytest.mark.slow
def test_an_endless_loop_times_out(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    (folder / "nmt" / "text" / "total.py").write_text(
        "def total(n):\n    while n > 0:\n        n -= 1\n    return n\n",
    )
    (folder / "tests" / "test_total.py").write_text(
        "from nmt.text.total import total\n\n\ndef test_total():\n    assert total(3) == 0\n"
    )
    mutants(folder, "--size", "100", "--limit", "2")
    results = [json.loads(line) for line in (folder / "build/mutants/results.jsonl").read_text().splitlines()]
    killers = {result["after"]: result["killed_by"] for result in results}
    assert killers["n += 1"] == "time"
    assert killers["n -= 2"] == "tests/test_total.py::test_total"
