"""Outcomes on disk, and the report on them.

One line of JSON for each mutant. An outcome is valid as long as the mutated module is unchanged; that of a survivor,
as long as its tests are unchanged too.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

EXPLAINED = Path(__file__).with_name("explained.toml")


@dataclass(frozen=True)
class Result:
    """One tested mutant.

    Attributes:
        id: of the mutant: of its module and change.
        before: the lines that were changed, without indentation; `after` likewise.
        tests: a fingerprint of the files of its tests.
        killed_by: the test that failed; empty for a survivor.
    """

    id: str
    module: str
    kind: str
    line: int
    before: str
    after: str
    diff: str
    tests: str
    killed_by: str
    wall_s: float

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    @property
    def survived(self) -> bool:
        return not self.killed_by


def read_results(path: Path) -> dict[str, Result]:
    """Read outcomes by mutant, the last one of each; a truncated last line is ignored."""
    results: dict[str, Result] = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                result = Result(**json.loads(line))
            except json.JSONDecodeError:
                continue
            results[result.id] = result
    return results


def append_result(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Explanation:
    """Why no test can notice a change, or why none should; if `after` is None, for every change of these lines."""

    module: str
    before: str
    after: str | None
    reason: str

    def fits(self, result: Result) -> bool:
        is_there = (self.module, self.before) == (result.module, result.before)
        return is_there and self.after in (None, result.after)


def read_explanations(path: Path = EXPLAINED) -> list[Explanation]:
    """Read the survivors that are explained.

    A change is written as in a diff without indentation, with several lines joined by line ends.
    """
    entries = tomllib.loads(path.read_text("utf-8")).get("mutant", [])
    return [Explanation(**({"after": None} | entry)) for entry in entries]


def outdated(explanations: Sequence[Explanation], sources: Mapping[str, str]) -> list[str]:
    """Name the explained lines that the modules, given by name, no longer have."""
    lines = {module: {line.strip() for line in source.splitlines()} for module, source in sources.items()}
    return [
        f"nmt.{explanation.module}: {explanation.before}"
        for explanation in explanations
        if explanation.module in lines and not set(explanation.before.splitlines()) <= lines[explanation.module]
    ]


def format_report(results: Sequence[Result], explanations: Sequence[Explanation]) -> str:
    """List the unexplained survivors, then count by package.

    An explained mutant counts neither as killed nor as a survivor.
    """
    packages = dict.fromkeys(result.package for result in results)
    rows: list[tuple[str, ...]] = [("package", "mutants", "killed", "survived", "explained", "share killed")]
    for package in packages:
        rows.append(_count(package, [result for result in results if result.package == package], explanations))
    rows.append(_count("all", results, explanations))
    table = "\n".join(f"{row[0]:<12}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows)
    lists = [f"nmt/{r.module.replace('.', '/')}.py:{r.line}  {r.kind}\n{r.diff}" for r in alive(results, explanations)]
    return "\n\n".join([*lists, table])


def alive(results: Sequence[Result], explanations: Sequence[Explanation]) -> list[Result]:
    """Return the unexplained survivors."""
    return [result for result in results if result.survived and not any(known.fits(result) for known in explanations)]


def _count(name: str, results: Sequence[Result], explanations: Sequence[Explanation]) -> tuple[str, ...]:
    num_survived = sum(result.survived for result in results)
    num_alive = len(alive(results, explanations))
    num_killed = len(results) - num_survived
    share = f"{num_killed / (num_killed + num_alive):.1%}" if num_killed + num_alive else "-"
    return name, str(len(results)), str(num_killed), str(num_alive), str(num_survived - num_alive), share
