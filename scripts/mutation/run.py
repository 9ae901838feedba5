"""From a mutant to its outcome: tests in a separate process, on a copy of the checkout.

The process is a fork of one that has already imported torch and pytest, which takes longer than most tests.
"""

import contextlib
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

IMPORTED_BEFORE = (
    "hydra",
    "hypothesis",
    "numpy",
    "omegaconf",
    "pytest",
    "sacrebleu",
    "sacremoses",
    "safetensors.torch",
    "sentencepiece",
    "tensorboard",
    "torch",
)
MAX_MEMORY = 8 * 2**30  # bytes of address space, in case a mutant allocates without end
PASSED, FAILED = 0, 1  # exit statuses of pytest; others mean that it was called wrongly or that an import failed


class Outcome(NamedTuple):
    """The outcome of a mutant.

    Attributes:
        killed_by: the test that failed, or `time`, or how the process ended; empty if all tests passed.
    """

    killed_by: str
    wall_s: float

    @property
    def survived(self) -> bool:
        return not self.killed_by


class _FirstFailure:
    """A pytest plugin that records the first test that fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid, "utf-8")


class Copy:
    """A copy of the files of a checkout that git does not ignore, in which tests run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self._failure = folder.parent / "first_failure"

    def __enter__(self) -> "Copy":
        shutil.rmtree(self.folder, ignore_errors=True)
        command = ["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"]
        for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (self.root / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.root / name, self.folder / name)
        for name in IMPORTED_BEFORE:
            importlib.import_module(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def changed(self, path: Path, source: str) -> Iterator[None]:
        """Replace the content of a file of the copy temporarily."""
        changed = self.folder / path
        original = changed.with_suffix(".original")
        shutil.copy2(changed, original)
        changed.write_text(source, "utf-8")
        try:
            yield
        finally:
            original.replace(changed)  # with its old modification time, so that its bytecode stays valid

    def test(self, paths: list[Path], *, limit_s: float, writes_bytecode: bool = False) -> Outcome:
        """Run the fast tests of some files up to the first failure."""
        self._failure.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            self._run_tests([str(path) for path in paths], writes_bytecode=writes_bytecode)
        status = _wait(child, start + limit_s)
        _kill_group(child)  # processes left over from tests
        wall_s = time.monotonic() - start
        if status == PASSED:
            return Outcome("", wall_s)
        if status is None:
            return Outcome("time", wall_s)
        if self._failure.exists():
            return Outcome(self._failure.read_text("utf-8"), wall_s)
        return Outcome(f"status {status}", wall_s)

    def _run_tests(self, paths: list[str], *, writes_bytecode: bool) -> None:
        """Run pytest in the child; does not return."""
        status = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
            os.chdir(self.folder)
            silence = os.open(os.devnull, os.O_RDWR)
            log = os.open(self.folder.parent / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for source, target in ((silence, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            os.environ["PYTHONPATH"] = str(self.folder)
            sys.path.insert(0, str(self.folder))
            # mutants of the same second and size would share their bytecode
            sys.dont_write_bytecode = not writes_bytecode
            os.environ["PYTHONDONTWRITEBYTECODE"] = "" if writes_bytecode else "1"
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            import pytest

            options = ["-x", "-q", "--tb=short", "--no-header", "-p", "no:cacheprovider"]
            status = int(pytest.main([*options, *paths], plugins=[_FirstFailure(self._failure)]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _wait(child: int, deadline: float) -> int | None:
    """Wait for a process and return its exit status, negative after a signal; None if it has to be killed."""
    while time.monotonic() < deadline:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    _kill_group(child)
    with contextlib.suppress(ProcessLookupError):  # it may not have its process group yet
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
