"""Names of tensors end in their shape, in letters that the legend in nmt/model/__init__.py explains."""

import ast
import re
from pathlib import Path

import nmt.model

PACKAGE = Path(__file__).parents[1] / "nmt"
LEGEND = re.compile(r"(?:^    |  )((?:[A-Z1-9]|…)(?:, (?:[A-Z1-9]|…))*)  +(?=\S)", re.MULTILINE)
SUFFIX = re.compile(r"^_*[a-z][a-z0-9_]*_([A-Z0-9]+)$")
SUBSCRIPT = re.compile(r"\((?:[A-Z][^\w\s]*, )*[A-Z]\)")  # `(T, B, H)` in a docstring


def letters_of(legend: str) -> set[str]:
    return {letter for group in LEGEND.findall(legend) for letter in group.split(", ")}


def suffixes(source: str) -> dict[str, str]:
    """Return the names that end in capitals or digits after an underscore, and these endings."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.FunctionDef(name=name):
                names.add(name)
    return {name: found[1] for name in names if (found := SUFFIX.match(name)) and not found[1].isdigit()}


def unexplained(sources: dict[str, str], letters: set[str]) -> list[str]:
    """Return one line for each name that the legend does not explain, or that has a shape without being a tensor."""
    problems = []
    for module, source in sources.items():
        has_tensors = re.search(r"^(?:import|from) torch\b", source, re.MULTILINE)
        for name, suffix in sorted(suffixes(source).items()):
            if not has_tensors:
                problems.append(f"{module}: {name} has a suffix, but the module has no tensors")
            elif missing := {*suffix} - letters - {*"123456789"}:
                problems.append(f"{module}: {name} has {', '.join(sorted(missing))}, which no legend explains")
    return problems


def test_the_legend_explains_every_letter() -> None:
    letters = letters_of(nmt.model.__doc__ or "")
    assert {*"BSTVEHGNKCMPLIOX"} <= letters
    sources = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert unexplained(sources, letters) == []


def test_a_letter_that_is_not_in_the_legend_is_found() -> None:
    assert unexplained({"m": "import torch\ndef f(x_BQ): return x_BQ.t_1"}, {"B"}) == [
        "m: x_BQ has Q, which no legend explains"
    ]
    assert unexplained({"m": "import numpy\nlen_B = 1\nMAX_B = 2\n"}, {"B"}) == [
        "m: len_B has a suffix, but the module has no tensors"
    ]
