"""Outcomes on disk, and the report on them.

A line of JSON for each mutant. An outcome is good for as long as the mutated module is the same; that of a survivor
only for as long as its tests are the same, too.
"""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

EXPLAINED = Path(__file__).with_name("explained.toml")


@dataclass(frozen=True)
class Result:
    """One tested mutant.

    Attributes:
        id: of the mutant, thus of module and change.
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
    """Read outcomes by mutant, the last one of each; a last line that was cut short does not count."""
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
    """Why no test can notice a change, or why none should."""

    module: str
    before: str
    after: str
    reason: str

    def fits(self, result: Result) -> bool:
        return (self.module, self.before, self.after) == (result.module, result.before, result.after)


def read_explanations(path: Path = EXPLAINED) -> list[Explanation]:
    """Read the survivors that are explained.

    A change reads as in a diff without indentation, several lines joined by line ends.
    """
    entries = tomllib.loads(path.read_text("utf-8")).get("mutant", [])
    return [Explanation(**{key: value.strip("\n") for key, value in entry.items()}) for entry in entries]


def format_report(results: Iterable[Result], explanations: list[Explanation]) -> str:
    """Count by package, then list the survivors that nothing explains.

    An explained mutant counts neither as killed nor as a survivor.
    """
    by_package: dict[str, list[Result]] = {}
    for result in results:
        by_package.setdefault(result.package, []).append(result)
    rows = [("package", "mutants", "killed", "survived", "explained", "share killed")]
    survivors: list[Result] = []
    for package, own in [*by_package.items(), ("all", [result for own in by_package.values() for result in own])]:
        explained = [r for r in own if r.survived and any(explanation.fits(r) for explanation in explanations)]
        alive = [r for r in own if r.survived and r not in explained]
        num_killed = len(own) - len(explained) - len(alive)
        share = f"{num_killed / (num_killed + len(alive)):.1%}" if num_killed + len(alive) else "-"
        rows.append((package, str(len(own)), str(num_killed), str(len(alive)), str(len(explained)), share))
        survivors = alive  # those of the last row: all
    table = "\n".join(f"{row[0]:<12}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows)
    lists = [f"nmt/{r.module.replace('.', '/')}.py:{r.line}  {r.kind}\n{r.diff}" for r in survivors]
    return "\n\n".join([*lists, table])
