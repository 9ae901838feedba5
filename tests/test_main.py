from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import nmt as package
from nmt.commands import evaluate
from nmt.commands.main import COMMANDS
from nmt.commands.stop import Stopped
from tests.commands import error, nmt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_names_every_command(word: str) -> None:
    done = nmt(word)
    assert (done.status, done.err) == (0, "")
    for command in COMMANDS:
        assert f"nmt {command}" in done.out


def test_no_command_shows_the_help_and_fails() -> None:
    done = nmt()
    assert (done.status, done.out) == (1, "")
    assert "usage: nmt COMMAND" in done.err


def test_version() -> None:
    assert nmt("--version") == (0, f"{package.__version__}\n", "")


def test_an_unknown_command_is_one_line() -> None:
    assert error("trian") == (
        "nmt: there is no command 'trian': use one of prepare, train, translate, evaluate, average, embeddings, "
        "report, card, verify, doctor (nmt --help)"
    )


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nsys.argv = ['nmt', '--help']\nfrom nmt.commands.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_python_m_nmt_is_nmt() -> None:
    done = subprocess.run([sys.executable, "-m", "nmt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{package.__version__}\n"


def test_full_errors_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="checkpoints must be given"):
        nmt("translate")
    with pytest.raises(Exception, match=r"Error merging override search\.beam_size=x"):
        nmt("translate", "search.beam_size=x")


def test_a_bug_is_not_reported_as_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise ValueError("a bug")

    monkeypatch.setattr(evaluate, "run", run)
    with pytest.raises(ValueError, match="a bug"):
        nmt("evaluate", "reference=x")


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "nmt: stopped by SIGINT\n"),
        (Stopped(15), 143, "nmt: stopped by SIGTERM\n"),
    ],
)
def test_a_signal_is_one_line(monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int, line: str) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise raised

    monkeypatch.setattr(evaluate, "run", run)
    assert nmt("evaluate", "reference=x") == (status, "", line)


def test_an_operating_system_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device", "out.txt")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate", "reference=x") == (
        "nmt: out.txt: No space left on device: free some space, or write elsewhere"
    )


def test_no_command_leaves_hydras_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("one two three four\n")
    nmt("evaluate", "hypothesis=a", "reference=a", "metrics=[bleu]", "bootstrap_samples=0")
    nmt("evaluate", "-m", "hypothesis=a", "reference=a", "metrics=[bleu]", "bootstrap_samples=0,2")
    nmt("translate", "checkpoints=nothing")
    nmt("prepare", "data=files")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
