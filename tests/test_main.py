from __future__ import annotations

import re
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch

import nmt as package
from nmt.commands import evaluate
from nmt.commands.main import COMMANDS, Stopped
from nmt.errors import TrainingError
from nmt.model.seq2seq import Seq2Seq
from tests.commands import error, nmt, train_settings

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
        "nmt: there is no command 'trian': use one of prepare, train, translate, evaluate (nmt --help)"
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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_lists_groups_and_settings(command: str) -> None:
    done = nmt(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"nmt {command}: ")
    assert re.search(r"^usage: nmt " + command, done.out, re.MULTILINE)


def test_help_says_what_a_setting_means_and_what_it_can_be() -> None:
    out = nmt("translate", "--help").out
    assert re.search(r"^  checkpoints=\(must be given\) +# one, or several that share", out, re.MULTILINE)
    assert re.search(r"^    beam_12 +Beam search, the widest beam of the paper", out, re.MULTILINE)
    assert re.search(r"^  device=auto +# auto: a GPU if there is one \(auto, cpu, cuda\)$", out, re.MULTILINE)
    assert re.search(r"^  search.length_penalty.alpha=0.6 +# of wu2016$", out, re.MULTILINE)
    assert re.search(r"^  input=null ", out, re.MULTILINE)


def test_help_of_prepare_is_of_data_and_subword_alone() -> None:
    out = nmt("prepare", "--help").out
    assert "subword.vocab_size=4000" in out
    assert "optimizer" not in out


def test_help_shows_the_values_of_this_command_line() -> None:
    out = nmt("train", "model=lstm_tiny", "--help", "seed=7").out
    assert re.search(r"^  model.hidden_dim=64 ", out, re.MULTILINE)
    assert re.search(r"^  seed=7 ", out, re.MULTILINE)


def test_help_with_a_mistake_is_one_line() -> None:
    assert error("train", "model=x", "--help").startswith("nmt: model must be one of lstm_2x256,")


def test_cfg_shows_the_settings_wherever_it_stands() -> None:
    done = nmt("translate", "search=greedy", "--cfg", "job", "input=a b.txt")
    assert (done.status, done.err) == (0, "")
    assert "beam_size: 1\n" in done.out
    assert "input: a b.txt\n" in done.out


def test_full_errors_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="checkpoints must be given"):
        nmt("translate")
    with pytest.raises(Exception, match=r"Error merging override search\.beam_size=x"):
        nmt("translate", "search.beam_size=x")


def test_a_bug_is_not_mistaken_for_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_command_that_a_signal_ended_ends_the_sweep_too(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = []

    def run(settings: Any, **_: Any) -> int:
        metrics.append(settings.metrics)
        return 130

    monkeypatch.setattr(evaluate, "run", run)
    assert nmt("evaluate", "-m", "reference=x", "metrics=[bleu],[ter]").status == 130
    assert metrics == [["bleu"]]


@pytest.mark.parametrize(
    "failure", [TrainingError("the GPU's memory is full"), torch.OutOfMemoryError("CUDA out of memory")], ids=type
)
def test_a_failed_job_of_a_sweep_leaves_nothing_in_memory(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    class Model:
        pass

    models: list[weakref.ref[Model]] = []

    def run(*_: Any, **__: Any) -> int:
        assert [model() for model in models] == [None] * len(models)
        model = Model()
        models.append(weakref.ref(model))
        raise type(failure)(*failure.args)

    monkeypatch.setattr(evaluate, "run", run)
    done = nmt("evaluate", "-m", "reference=x", "bootstrap_samples=0,2,3")
    assert (done.status, done.last_line) == (1, "nmt: 3 of 3 jobs failed")
    assert done.err.count("this job failed, the others go on: the GPU's memory is full") == 3


def test_full_errors_of_a_sweep_stand_in_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = nmt("evaluate", "-m", "reference=x", "bootstrap_samples=0,2")
    assert (done.status, done.last_line) == (1, "nmt: 2 of 2 jobs failed")
    assert done.err.count("Traceback") == 2


def test_an_operating_system_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device", "out.txt")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate", "reference=x") == (
        "nmt: out.txt: No space left on device: free some space, or write elsewhere"
    )


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free."),
        RuntimeError("CUDA error: out of memory"),  # where another process has left too little for CUDA itself
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_a_full_memory_is_one_line(
    checkpoint: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: RuntimeError
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(Seq2Seq, "to", fill)
    where = "computer" if "CPU" in str(full) else "GPU"
    searching = f"nmt: the {where}'s memory is full: lower search.batch_rows"
    test_set = (f"source={digits}/test.en", f"reference={digits}/test.fr")
    assert error("translate", f"checkpoints={checkpoint}") == searching
    assert error("evaluate", f"checkpoints={checkpoint}", *test_set) == searching
    done = nmt("train", *train_settings(digits), f"run_dir={tmp_path}/run")
    advice = "lower batching.size and raise training.accumulate, or take a smaller model"
    assert done.status == 1
    assert done.last_line.startswith(f"nmt: the {where}'s memory is full: {advice}")
    assert not (tmp_path / "run").exists()  # so that a smaller batch may begin there


def test_no_command_leaves_folders_of_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("one two three four\n")
    nmt("evaluate", "hypothesis=a", "reference=a", "metrics=[bleu]", "bootstrap_samples=0")
    nmt("evaluate", "-m", "hypothesis=a", "reference=a", "metrics=[bleu]", "bootstrap_samples=0,2")
    nmt("translate", "checkpoints=nothing")
    nmt("prepare", "data=files")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
