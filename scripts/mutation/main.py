"""The command line of scripts/mutants."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mutation.mutate import Mutant, sample
from mutation.results import Result, alive, append_result, format_report, outdated, read_explanations, read_results
from mutation.run import Copy
from mutation.targets import chosen_modules, files_of_tests, module_path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
LIMIT_FACTOR = 6.0  # the tests of a mutant may take this many times as long as without it, and --limit seconds more

DESCRIPTION = """
Make small changes to modules of nmt, one at a time, and run the tests of the module on each. A change that no test
notices (a survivor) points to a rule without a test. Works on a copy; your files are not changed.
Survivors that are equivalent to the original are explained in scripts/mutation/explained.toml.
Outcomes are kept: an interrupted run continues, and after new tests only survivors run again.
"""


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="search.beam, search, …; all if none is named")
    parser.add_argument("--size", type=int, default=16, help="mutants of each module (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the mutants (default: %(default)s)")
    parser.add_argument(
        "--limit",
        type=float,
        default=10.0,
        help="seconds beyond the usual time after which a mutant is killed (default: %(default)s)",
    )
    parser.add_argument("--results", type=Path, default=WORK / "results.jsonl", help="(default: build/mutants)")
    parser.add_argument(
        "--report-only", action="store_true", help="run nothing; report what is known about this sample"
    )
    return parser.parse_args(arguments)


def fingerprint(paths: Sequence[Path], folder: Path) -> str:
    return hashlib.sha256(b"\0".join((folder / path).read_bytes() for path in paths)).hexdigest()[:16]


def test_mutants(copy: Copy, module: str, mutants: Sequence[Mutant], options: argparse.Namespace) -> None:
    """Test mutants of one module and record each outcome."""
    paths = files_of_tests(module, copy.folder)
    baseline = copy.test(paths, limit_s=600, writes_bytecode=True)
    if baseline.killed_by:
        raise ValueError(f"the tests of {module} must pass before it is changed, but fail: {baseline.killed_by}")
    tests = fingerprint(paths, copy.folder)
    for mutant in mutants:
        with copy.changed(module_path(module), mutant.source):
            outcome = copy.test(paths, limit_s=options.limit + LIMIT_FACTOR * baseline.wall_s)
        result = Result(
            id=mutant.id,
            module=module,
            kind=mutant.kind,
            line=mutant.line,
            before=mutant.before,
            after=mutant.after,
            diff=mutant.diff,
            tests=tests,
            killed_by=outcome.killed_by,
            wall_s=round(outcome.wall_s, 2),
        )
        append_result(options.results, result)
        verdict = f"killed by {outcome.killed_by}" if outcome.killed_by else "SURVIVED"
        print(f"{module}:{mutant.line} {mutant.kind}, {outcome.wall_s:.1f} s: {verdict}", file=sys.stderr, flush=True)


def unknown(mutants: Sequence[Mutant], known: dict[str, Result], tests: str) -> list[Mutant]:
    """Return the mutants to test: new ones, and survivors of other tests, except those that are explained."""
    open_survivors = {result.id for result in alive(list(known.values()), read_explanations()) if result.tests != tests}
    return [mutant for mutant in mutants if mutant.id not in known or mutant.id in open_survivors]


def choose(modules: Sequence[str], folder: Path, options: argparse.Namespace) -> dict[str, list[Mutant]]:
    return {
        module: sample(module, (folder / module_path(module)).read_text("utf-8"), options.size, seed=options.seed)
        for module in modules
    }


def test_all(modules: Sequence[str], options: argparse.Namespace) -> dict[str, list[Mutant]]:
    """Test the chosen mutants whose outcome is unknown; return all that were chosen."""
    known = read_results(options.results)
    with Copy(ROOT, WORK / "copy") as copy:  # from here on, the checkout may change
        mutants = choose(modules, copy.folder, options)
        for module, own in mutants.items():
            tests = fingerprint(files_of_tests(module, copy.folder), copy.folder)
            if to_do := unknown(own, known, tests):
                test_mutants(copy, module, to_do, options)
    return mutants


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return 1 if there are unexplained survivors."""
    options = read_arguments(arguments)
    try:
        modules = chosen_modules(options.modules, ROOT)
        mutants = choose(modules, ROOT, options) if options.report_only else test_all(modules, options)
    except ValueError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    results = read_results(options.results)
    chosen = [results[mutant.id] for own in mutants.values() for mutant in own if mutant.id in results]
    explanations = read_explanations()
    print(format_report(chosen, explanations))
    for line in outdated(explanations, {module: (ROOT / module_path(module)).read_text("utf-8") for module in modules}):
        print(f"mutants: explained.toml names a line that no longer exists: {line}", file=sys.stderr)
    return int(bool(alive(chosen, explanations)))
