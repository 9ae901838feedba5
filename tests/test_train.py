from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from filelock import FileLock

import nmt.corpus.epoch as epoch_module
from nmt.choices import Implementation, SearchPrecision
from nmt.errors import TrainingError
from nmt.evaluation import dev_scores
from nmt.search.scorer import ModelScorer
from nmt.training.checkpoint import load_checkpoint, load_snapshot
from nmt.training.limits import EndReason
from nmt.training.trainer import Trainer
from tests.checkpoints import edit_config
from tests.commands import CHIFFRES, Done, error, nmt, train_settings, write_digits
from tests.disks import largest_file

if TYPE_CHECKING:
    from pathlib import Path


def _train(digits: Path, run_dir: Path, *overrides: str) -> Done:
    return nmt("train", *train_settings(digits), f"run_dir={run_dir}", *overrides)


def _refusal(digits: Path, run_dir: Path, *overrides: str) -> str:
    return error("train", *train_settings(digits), f"run_dir={run_dir}", *overrides)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _parameters(run_dir: Path) -> bytes:
    return (run_dir / "checkpoints" / "last" / "model.safetensors").read_bytes()


def _records(run_dir: Path) -> list[dict[str, Any]]:
    """The metrics of a run without times."""
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if not name.endswith("_s")} for record in records]


def test_training_keeps_fewer_compiled_kernels(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "")  # so that it is restored
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    assert _train(digits, tmp_path / "run", "training.max_updates=1").status == 0
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "256"


@pytest.fixture
def stop_at_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the third update is taken."""
    update = Trainer._update

    def interrupted(trainer: Trainer) -> None:
        update(trainer)
        if trainer.state.update == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_update", interrupted)


def test_a_run_directory_has_the_documented_files(run_dir: Path) -> None:
    assert {path.name for path in run_dir.iterdir()} == {
        ".lock",
        "config.yaml",
        "train.log",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
    }
    assert {"best", "last"} <= {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["model"]["hidden_dim"] == 8
    assert "training ended (max_updates) at update 6" in (run_dir / "train.log").read_text()
    assert [(record["kind"], record["update"]) for record in _records(run_dir)] == [
        ("train", 2),
        ("train", 4),
        ("valid", 4),
        ("train", 6),
        ("valid", 6),
    ]


def test_the_same_seed_gives_the_same_run(digits: Path, run_dir: Path, tmp_path: Path) -> None:
    done = _train(digits, tmp_path / "again")
    assert (done.status, done.out) == (0, "")
    assert _parameters(tmp_path / "again") == _parameters(run_dir)


def test_an_existing_run_is_refused_and_unchanged(digits: Path, run_dir: Path) -> None:
    before = _contents(run_dir)
    line = _refusal(digits, run_dir)
    assert line == f"nmt: {run_dir} already holds a run: add resume=true to continue it, or name another run_dir"
    assert _contents(run_dir) == before


_NOTHING_TO_RESUME = "resume=true, but {} holds no checkpoint to resume from: a new run starts there\n"


def test_resuming_without_a_checkpoint_starts_from_the_beginning(digits: Path, run_dir: Path, copied_run: Path) -> None:
    shutil.rmtree(copied_run / "checkpoints")  # as after a kill before the first checkpoint
    done = _train(digits, copied_run, "resume=true")
    assert done.status == 0
    assert _NOTHING_TO_RESUME.format(copied_run) in done.err
    assert _parameters(copied_run) == _parameters(run_dir)
    assert _records(copied_run) == _records(run_dir)


def test_a_run_without_links_resumes_from_its_newest_checkpoint(digits: Path, copied_run: Path) -> None:
    for link in ("best", "last"):  # as in a copy that skips links
        (copied_run / "checkpoints" / link).unlink()
    done = _train(digits, copied_run, "resume=true", "training.max_updates=8")
    assert done.status == 0, done.err
    assert f"resuming {copied_run} at update 6" in done.err
    assert load_checkpoint(copied_run / "checkpoints" / "last").info.update == 8


def test_every_command_finds_best_on_a_disk_without_links(digits: Path, copied_run: Path, tmp_path: Path) -> None:
    best = copied_run / "checkpoints" / "best"
    name = str(best.readlink())
    best.unlink()
    best.write_text(f"{name}\n")
    for command in (
        ["translate", f"checkpoints=[{best}]", f"input={digits / 'dev.en'}"],
        ["evaluate", f"checkpoints=[{best}]", f"source={digits / 'dev.en'}", f"reference={digits / 'dev.fr'}"],
        ["train", *train_settings(digits), f"training.init_from={best}", f"run_dir={tmp_path / 'tuned'}"],
    ):
        done = nmt(*command)
        assert done.status == 0, done.err


def test_the_test_set_of_a_run_is_found_on_a_disk_without_links(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    test_set = ["data.test.src=[test.en]", "data.test.tgt=[test.fr]"]
    assert _train(digits, run_dir, *test_set, "training.max_updates=1").status == 0
    best = run_dir / "checkpoints" / "best"
    best.unlink()
    best.write_text("update_000001\n")
    assert nmt("evaluate", f"checkpoints=[{best}]", "bootstrap_samples=0").status == 0


def test_a_missing_gpu_is_noticed_before_the_corpus_is_prepared(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = _refusal(digits, tmp_path / "run", "device=cuda", f"data.prepared_dir={tmp_path / 'prepared'}")
    assert line.startswith("nmt: device=cuda needs a GPU")
    assert not (tmp_path / "prepared").exists()


def test_an_impossible_precision_is_noticed_before_the_corpus_is_prepared(digits: Path, tmp_path: Path) -> None:
    settings = ["implementation=reference", "search.precision=int8", f"data.prepared_dir={tmp_path / 'prepared'}"]
    line = _refusal(digits, tmp_path / "run", *settings, "training.bleu_every=1")
    assert line.startswith("nmt: search.precision=int8 needs implementation=fast")
    assert not list(tmp_path.iterdir())
    assert _train(digits, tmp_path / "run", *settings, "training.bleu_every=null").status == 0  # nothing is translated


def test_a_run_resumes_without_its_test_set(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits, tmp_path / "text")
    settings = [f"data.dir={tmp_path / 'text'}", "data.test.src=test.en", "data.test.tgt=test.fr"]
    assert _train(digits, tmp_path / "run", *settings).status == 0
    (tmp_path / "text" / "test.fr").unlink()
    done = _train(digits, tmp_path / "run", *settings, "resume=true", "training.max_updates=8")
    assert done.status == 0, done.err
    assert "does not exist: check the path" in _refusal(digits, tmp_path / "another", *settings)


def test_a_corpus_may_be_in_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    corpus = write_digits(tmp_path).rename(tmp_path.with_name(os.fsdecode(b"x\xff")))
    run = f"run_dir={corpus / 'run'}"
    assert nmt("train", *train_settings(corpus), run, "training.max_updates=2").status == 0
    done = nmt("train", *train_settings(corpus), run, "training.max_updates=3", "resume=true")
    assert done.status == 0, done.err
    assert nmt("translate", f"checkpoints=[{corpus / 'run/checkpoints/best'}]", stdin=b"one\n").status == 0


def test_resuming_in_an_empty_folder_starts_a_run(digits: Path, run_dir: Path, tmp_path: Path) -> None:
    done = _train(digits, tmp_path / "new", "resume=true")
    assert done.status == 0
    for log in (done.err, (tmp_path / "new" / "train.log").read_text()):
        assert log.count(_NOTHING_TO_RESUME.format(tmp_path / "new")) == 1
    assert _parameters(tmp_path / "new") == _parameters(run_dir)


@pytest.mark.usefixtures("stop_at_3")
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(
    digits: Path, run_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stopped = _train(digits, tmp_path / "run")
    assert stopped.status == 130
    assert "SIGINT: saving a checkpoint, then stopping" in capfd.readouterr().err  # written past sys.stderr
    assert "training stopped at update 3: add resume=true to continue" in stopped.err
    assert stopped.last_line == "nmt: stopped by SIGINT"
    assert (tmp_path / "run" / "checkpoints" / "last").resolve().name == "update_000003"
    resumed = _train(digits, tmp_path / "run", "resume=true")
    assert resumed.status == 0, resumed.err
    assert "at update 3" in resumed.err
    assert _parameters(tmp_path / "run") == _parameters(run_dir)
    assert _records(tmp_path / "run") == _records(run_dir)


SAMPLED = [
    *("subword=bpe", "subword.vocab_size=30", "batching.size=40", "batching.min_sentences=40"),  # two batches an epoch
    *("training.src_subword_alpha=0.2", "training.tgt_subword_alpha=0.2"),
]


def test_random_segmentations_are_the_same_if_another_process_resumes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    digits = write_digits(tmp_path / "digits", num_train=60)
    done = _train(digits, tmp_path / "uncut", *SAMPLED)
    assert done.status == 0, done.err
    assert "subwords: epoch 1 segmented at random in" in done.err
    assert _records(tmp_path / "uncut")[-1]["epoch"] > 2
    assert _train(digits, tmp_path / "usual", *SAMPLED[:4]).status == 0
    assert len(list((digits / "prepared").iterdir())) == 2  # the corpus and its lock: segmentations are not part of it
    assert _parameters(tmp_path / "usual") != _parameters(tmp_path / "uncut")
    request.getfixturevalue("stop_at_3")
    assert _train(digits, tmp_path / "run", *SAMPLED).status == 130
    assert "training.src_subword_alpha was 0.2 and is 0.1" in _refusal(
        digits, tmp_path / "run", *SAMPLED, "training.src_subword_alpha=0.1", "resume=true"
    )
    settings = [*train_settings(digits), *SAMPLED, f"run_dir={tmp_path / 'run'}", "resume=true"]
    command = [sys.executable, "-m", "nmt", "train", *settings]
    resumed = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert resumed.returncode == 0, resumed.stderr
    assert _parameters(tmp_path / "run") == _parameters(tmp_path / "uncut")
    assert _records(tmp_path / "run") == _records(tmp_path / "uncut")


WEIGHTED = [
    *("data.train.src=[train.en,dev.en]", "data.train.tgt=[train.fr,dev.fr]", "data.train.weights=[1,2]"),
    *("batching.size=4", "training.max_updates=9"),  # 36 pairs; an epoch has 30, of which the second file has 10
]


def test_weights_choose_the_pairs_of_a_run_that_resumes_like_any_other(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_module, "_PAIRS_A_WINDOW", 16)
    digits = write_digits(tmp_path / "digits", num_train=20)
    assert _train(digits, tmp_path / "uncut", *WEIGHTED).status == 0
    assert 1 < _records(tmp_path / "uncut")[-1]["epoch"] < 1.5
    assert _train(digits, tmp_path / "usual", *WEIGHTED, "data.train.weights=[]").status == 0
    assert _parameters(tmp_path / "usual") != _parameters(tmp_path / "uncut")
    request.getfixturevalue("stop_at_3")
    assert _train(digits, tmp_path / "run", *WEIGHTED).status == 130
    assert "data.train.weights was [1.0, 2.0] and is [2.0, 1.0]" in _refusal(
        digits, tmp_path / "run", *WEIGHTED, "data.train.weights=[2,1]", "resume=true"
    )
    assert _train(digits, tmp_path / "run", *WEIGHTED, "resume=true").status == 0
    assert _parameters(tmp_path / "run") == _parameters(tmp_path / "uncut")
    assert _records(tmp_path / "run") == _records(tmp_path / "uncut")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 138), (signal.SIGUSR2, 140)]
)
def test_other_signals_save_and_stop_as_well(
    digits: Path, tmp_path: Path, number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Trainer._update

    def interrupted(trainer: Trainer) -> None:
        update(trainer)
        signal.raise_signal(number)

    monkeypatch.setattr(Trainer, "_update", interrupted)

    def earlier_handler(_number: int, _frame: object) -> None:
        pytest.fail("the run must take the signal")

    before = signal.signal(number, earlier_handler)  # the tests may run under nohup
    try:
        done = _train(digits, tmp_path / "run")
        assert number == signal.SIGTERM or signal.getsignal(number) == earlier_handler
    finally:
        signal.signal(number, before)
    assert (done.status, done.last_line) == (status, f"nmt: stopped by {number.name}")
    assert (tmp_path / "run" / "checkpoints" / "last").resolve().name == "update_000001"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_is_ignored_stays_ignored(
    digits: Path, run_dir: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `nohup nmt train … &`, when the terminal is closed."""
    update = Trainer._update

    def interrupted(trainer: Trainer) -> None:
        update(trainer)
        signal.raise_signal(number)

    monkeypatch.setattr(Trainer, "_update", interrupted)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert _train(digits, tmp_path / "run").status == 0
    finally:
        signal.signal(number, before)
    assert _parameters(tmp_path / "run") == _parameters(run_dir)


def test_a_second_signal_ends_at_once(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(_: Trainer) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the second signal must end the run")

    monkeypatch.setattr(Trainer, "_update", impatient)
    done = _train(digits, tmp_path / "run")
    assert (done.status, done.last_line) == (143, "nmt: stopped by SIGTERM")


def test_limits_may_change_on_resuming(digits: Path, copied_run: Path) -> None:
    done = _train(digits, copied_run, "resume=true", "training.max_updates=8", "training.log_every=1", "threads=2")
    assert done.status == 0, done.err
    assert ", 2 CPU threads" in done.err
    assert load_checkpoint(copied_run / "checkpoints" / "last").info.update == 8


def test_the_implementation_may_change_on_resuming(digits: Path, copied_run: Path) -> None:
    done = _train(digits, copied_run, "resume=true", "training.max_updates=8", "implementation=reference")
    assert done.status == 0, done.err
    assert "resuming with a changed setting: implementation was fast and is reference" in done.err


def test_a_run_of_an_earlier_version_keeps_its_one_normalization(digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert _train(digits, run, "subword.normalization=nmt_nfkc").status == 0

    def as_of_0_1_0(config: dict[str, Any]) -> None:
        for side in ("src", "tgt"):
            assert config["subword"].pop(f"{side}_normalization") is None

    edit_config(run / "checkpoints" / "last", as_of_0_1_0)
    done = _train(digits, run, "resume=true", "training.max_updates=8")
    assert done.status == 0, done.err
    assert "at update 8" in done.err
    saved = yaml.safe_load((run / "config.yaml").read_text())["subword"]
    assert [saved[f"{part}normalization"] for part in ("", "src_", "tgt_")] == ["nmt_nfkc", None, None]
    line = _refusal(digits, run, "resume=true", "training.max_updates=9", "subword.normalization=identity")
    assert "subword.normalization was nmt_nfkc and is identity" in line
    line = _refusal(digits, run, "resume=true", "training.max_updates=9", "subword.tgt_normalization=identity")
    assert "subword.tgt_normalization was None and is identity" in line


def test_other_settings_may_not_change_on_resuming(digits: Path, copied_run: Path) -> None:
    before = _contents(copied_run)
    line = _refusal(digits, copied_run, "resume=true", "seed=2", "optimizer.eps=0.5", "training.max_updates=9")
    assert line == (
        f"nmt: {copied_run} cannot be resumed with different settings: "
        "optimizer.eps was 1e-08 and is 0.5; seed was 1 and is 2 (repeat the settings that it was started with)"
    )
    assert _contents(copied_run) == before


def test_the_learning_rate_may_change_on_resuming(digits: Path, copied_run: Path) -> None:
    changes = ("optimizer.lr=0.5", "optimizer.schedule.kind=halving", "optimizer.schedule.halve_from_epoch=0")
    done = _train(digits, copied_run, "resume=true", "training.max_updates=8", "training.log_every=1", *changes)
    assert done.status == 0, done.err
    rates = [record["lr"] for record in _records(copied_run) if record["kind"] == "train" and record["update"] > 6]
    assert len(rates) == 2
    assert all(0 < rate <= 0.25 for rate in rates)
    assert "resuming with a changed setting: optimizer.lr was 0.001 and is 0.5" in done.err


def test_plateau_starts_from_scratch_after_another_schedule(digits: Path, tmp_path: Path) -> None:
    settings = ("optimizer.schedule.kind=constant", "optimizer.lr=1e-9", "training.validate_every=1")
    assert _train(digits, tmp_path / "run", *settings, "optimizer.schedule.plateau_patience=1").status == 0
    plateau = ("optimizer.schedule.kind=plateau", "training.log_every=1", "training.max_updates=7")
    done = _train(digits, tmp_path / "run", "training.validate_every=1", *plateau, "resume=true")
    assert done.status == 0, done.err
    assert _records(tmp_path / "run")[-2]["lr"] == 0.001


def test_ctrl_c_saves_if_stderr_is_closed(digits: Path, tmp_path: Path) -> None:
    """As in `nmt train … 2>&1 | tee log`: Ctrl-C ends tee as well."""
    command = [sys.executable, "-m", "nmt", "train", *train_settings(digits), f"run_dir={tmp_path / 'run'}"]
    process = subprocess.Popen([*command, "training.max_updates=1000000"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"update" not in (line := process.stderr.readline()):
        assert line, "training must begin"
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (tmp_path / "run" / "checkpoints" / "last" / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("setting", "decides"),
    [
        ("training.best_by=nats_per_token", False),
        ("training.best_by=bleu", True),
        ("training.best_by=exact", True),
        ("optimizer.schedule.plateau_by=chrf", True),
    ],
)
def test_search_may_change_on_resuming_unless_it_decides_something(
    digits: Path, tmp_path: Path, setting: str, decides: bool
) -> None:
    settings = ("optimizer.schedule.kind=plateau", "training.bleu_every=1", setting)
    assert _train(digits, tmp_path / "run", *settings).status == 0
    done = _train(digits, tmp_path / "run", *settings, "resume=true", "search.beam_size=2", "training.max_updates=7")
    assert done.status == (1 if decides else 0), done.err
    if decides:
        assert "search.beam_size was 1 and is 2" in done.last_line


def test_the_error_that_ends_a_run_is_in_its_log(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_after(3, monkeypatch)
    done = _train(digits, tmp_path / "run")
    assert done.status == 1
    log = (tmp_path / "run" / "train.log").read_text().splitlines()
    assert log[-1].endswith(done.last_line.removeprefix("nmt: "))


def test_text_may_not_change_on_resuming(copied_run: Path, tmp_path: Path) -> None:
    other = write_digits(tmp_path / "other", seed=2)
    config = (copied_run / "config.yaml").read_bytes()
    done = _train(other, copied_run, "resume=true")
    assert done.status == 1
    assert re.search(r"was trained on other text \(corpus \w{12}\) than .*: restore the text", done.last_line)
    assert (copied_run / "config.yaml").read_bytes() == config


def test_a_second_job_in_a_run_directory_is_refused(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        line = _refusal(digits, tmp_path / "run")
    assert line == f"nmt: another job is training in {tmp_path / 'run'}: name another run_dir"


def _fail_after(num_updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Trainer._update

    def failing(trainer: Trainer) -> None:
        if trainer.state.update == num_updates:
            raise TrainingError("the moon is full")
        update(trainer)

    monkeypatch.setattr(Trainer, "_update", failing)


@pytest.mark.parametrize("problem", ["a setting", "the text", "the model", "the first update"])
def test_a_failed_start_leaves_nothing(
    digits: Path, tmp_path: Path, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_after(0, monkeypatch)
    wrong = {
        "a setting": "training.log_every=0",
        "the text": "subword.vocab_size=50",
        "the model": f"training.init_from={tmp_path}",
        "the first update": "training.log_every=1",
    }
    assert _train(digits, tmp_path / "runs" / "run", wrong[problem]).status == 1
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_not_writable_is_one_warning(
    digits: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Trainer._update

    def without_space(trainer: Trainer) -> None:
        with largest_file(0) if trainer.state.update == 1 else nullcontext():
            update(trainer)
            for _ in range(2):
                logging.getLogger("nmt").info("a line that is lost")

    monkeypatch.setattr(Trainer, "_update", without_space)
    done = _train(digits, tmp_path / "run")
    assert done.status == 0
    assert "Traceback" not in done.err
    assert done.err.count(f"{tmp_path / 'run' / 'train.log'} cannot be written (File too large): its new rec") == 1
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("a line that is lost") == 10  # of the other updates
    assert "training ended" in log
    assert _parameters(tmp_path / "run") == _parameters(run_dir)


def test_a_failed_start_leaves_an_existing_directory(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "notes").touch()
    for run in ("run", "other"):
        assert _train(digits, tmp_path / "runs" / run, "subword.vocab_size=50").status == 1
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["notes", "run"]
    assert not (tmp_path / "runs" / "run" / "config.yaml").exists()
    assert _train(digits, tmp_path / "runs" / "run", "training.max_updates=1").status == 0


def test_a_run_that_fails_later_keeps_its_log(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_after(1, monkeypatch)
    assert _train(digits, tmp_path / "run").status == 1
    assert "the moon is full" in (tmp_path / "run" / "train.log").read_text()


def test_checkpoints_without_a_config_are_also_a_run(digits: Path, copied_run: Path) -> None:
    (copied_run / "config.yaml").unlink()
    assert "already holds a run" in _refusal(digits, copied_run)


def test_a_run_resumes_from_the_checkpoint_before_a_damaged_one(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert _train(digits, run_dir, "training.keep_last=2").status == 0
    (run_dir / "checkpoints" / "update_000006" / "model.safetensors").unlink()
    done = _train(digits, run_dir, "training.keep_last=2", "resume=true")
    assert done.status == 0, done.err
    assert f"resuming {run_dir} at update 4" in done.err
    for text in (done.err, (run_dir / "train.log").read_text()):
        assert "is damaged and now called update_000006.damaged, continuing from update_000004" in text
    assert _parameters(run_dir) == (run_dir / "checkpoints" / "update_000006" / "model.safetensors").read_bytes()


def test_a_damaged_checkpoint_is_reported_even_if_the_run_does_not_start(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert _train(digits, run_dir, "training.keep_last=2").status == 0
    (run_dir / "checkpoints" / "update_000006" / "model.safetensors").unlink()
    done = _train(digits, run_dir, "training.keep_last=2", "resume=true", "seed=7")
    assert "cannot be resumed with different settings: seed was 1 and is 7" in done.last_line
    for text in (done.err, (run_dir / "train.log").read_text()):
        assert "is damaged and now called update_000006.damaged" in text


@pytest.mark.parametrize("group", ["subword", "training"])
def test_settings_that_a_checkpoint_lacks_are_named(digits: Path, copied_run: Path, group: str) -> None:
    edit_config(copied_run / "checkpoints" / "last", lambda config: config.pop(group))
    line = _refusal(digits, copied_run, "resume=true", "training.max_updates=9")
    assert re.search(rf"cannot be resumed with different settings: .*{group}\.\w+ was None and is ", line)


def test_files_of_killed_processes_are_removed_when_a_run_resumes(digits: Path, copied_run: Path) -> None:
    for name in (".metrics.jsonl.0a1b2c3d.tmp", "metrics.tmp", ".config.yaml.0a1b2c3d.tmp"):
        (copied_run / name).touch()
    (copied_run / "checkpoints" / ".update_000006.tmp").mkdir()
    assert _train(digits, copied_run, "resume=true").status == 0
    assert not list(copied_run.rglob("*.tmp"))


def test_numbers_out_of_range_are_reported_together(digits: Path, tmp_path: Path) -> None:
    line = _refusal(
        digits,
        tmp_path / "run",
        "batching.size=0",
        "model.num_layers=0",
        "training.log_every=-1",
        "training.max_updates=0",
        "training.max_epochs=0",
        "training.keep_last=-1",
        "training.bleu_sentences=0",
        "threads=0",
        "model.dropout=1",
        "training.label_smoothing=-0.1",
        "optimizer.lr=0",
        "training.clip_norm=nan",
        "search.beam_size=0",
    )
    for problem in (
        "batching.size must be at least 1, but is 0",
        "model.num_layers must be at least 1, but is 0",
        "training.log_every must be at least 1, but is -1",
        "training.max_updates must be at least 1, but is 0",
        "training.max_epochs must be above 0, but is 0.0",
        "training.keep_last must be at least 0, but is -1",
        "training.bleu_sentences must be at least 1, but is 0",
        "threads must be at least 1, but is 0",
        "model.dropout must be at least 0 and below 1, but is 1.0",
        "training.label_smoothing must be at least 0 and below 1, but is -0.1",
        "optimizer.lr must be above 0 and finite, but is 0.0",
        "training.clip_norm must be above 0, but is nan",
        "search.beam_size must be at least 1, but is 0",
    ):
        assert problem in line
    assert line.count(";") == 12


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("run_dir=", "run_dir must name a folder, but is empty"),
        ("seed=-1", "seed must be at least 0 and below 2^64, but is -1"),
        ("seed=18446744073709551616", "seed must be at least 0 and below 2^64, but is 18446744073709551616"),
        ("model.init_range=inf", "model.init_range must be above 0 and finite, but is inf"),
        ("optimizer.lr=inf", "optimizer.lr must be above 0 and finite, but is inf"),
        ("optimizer.eps=0", "optimizer.eps must be above 0 and finite, but is 0.0"),
        ("optimizer.beta1=1", "optimizer.beta1 must be at least 0 and below 1, but is 1.0"),
        ("optimizer.beta2=-0.5", "optimizer.beta2 must be at least 0 and below 1, but is -0.5"),
        ("optimizer.momentum=-1", "optimizer.momentum must be at least 0 and below 1, but is -1.0"),
        ("optimizer.weight_decay=nan", "optimizer.weight_decay must be at least 0 and finite, but is nan"),
        ("optimizer.schedule.plateau_factor=2", "plateau_factor must be above 0 and at most 1, but is 2.0"),
        ("optimizer.schedule.plateau_patience=0", "plateau_patience must be at least 1, but is 0"),
        ("optimizer.schedule.warmup_updates=-1", "warmup_updates must be at least 0, but is -1"),
        ("search.max_len_ratio=inf", "search.max_len_ratio must be at least 0 and finite, but is inf"),
        ("data.max_len_ratio=nan", "data.max_len_ratio must be at least 1, but is nan"),
    ],
)
def test_a_number_out_of_range_is_one_line(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = _train(digits, tmp_path / "run", setting)
    assert (done.status, done.last_line.startswith("nmt: ")) == (1, True), done.err
    assert message in done.last_line
    assert not list(tmp_path.glob("config.yaml"))


def test_development_text_is_translated_in_the_precision_of_search(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Spy(ModelScorer):
        def __init__(self, *args: Any, precision: Any, **others: Any) -> None:
            seen.append(precision)
            super().__init__(*args, precision=SearchPrecision.fp32, **others)

    monkeypatch.setattr(dev_scores, "ModelScorer", Spy)
    monkeypatch.setattr("nmt.device.bf16_failure", lambda _device: None)  # on any processor
    settings = ["training.bleu_every=1", "training.max_updates=1", "training.precision=fp32", "search.precision=bf16"]
    assert _train(digits, tmp_path / "run", *settings).status == 0
    assert seen == ["bf16"]


def test_the_implementation_follows_the_settings(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Implementation] = []
    start = Trainer.run

    def run(trainer: Trainer) -> EndReason:
        seen.append(trainer.model.implementation)
        return start(trainer)

    monkeypatch.setattr(Trainer, "run", run)
    for implementation in Implementation:
        settings = [*train_settings(digits), f"run_dir={tmp_path / implementation}", "training.max_updates=1"]
        assert nmt("train", *settings, f"implementation={implementation}").status == 0
    assert seen == list(Implementation)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_its_checkpoints(digits: Path, tmp_path: Path) -> None:
    settings = ["optimizer=sgd", "optimizer.lr=1e38", "training.clip_norm=1e30", "training.checkpoint_every=1"]
    done = _train(digits, tmp_path / "run", *settings, "model.init_range=100")
    assert done.status == 1
    assert re.match(
        r"nmt: (the loss or its gradient|a parameter) is not finite at update \d+: continue from the last",
        done.last_line,
    )
    for path in (tmp_path / "run" / "checkpoints").glob("update_*"):
        load_checkpoint(path)


def test_translations_of_the_development_set_are_scored(digits: Path, tmp_path: Path) -> None:
    measures = ("training.bleu_every=1", "training.best_by=exact", "optimizer.schedule.plateau_by=chrf")
    done = _train(digits, tmp_path / "run", *measures, "optimizer.schedule.kind=plateau", "training.max_updates=4")
    assert done.status == 0, done.err
    [valid] = [record for record in _records(tmp_path / "run") if record["kind"] == "valid"]
    for measure, label in (("bleu", "BLEU"), ("chrf", "chrF"), ("exact", "exact")):
        assert 0 <= valid[measure] <= 100
        assert f", {label} {valid[measure]:.1f}" in done.err
        assert f"{label} of 10 development sentences: nrefs:1|case:mixed|" in done.err
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "best").info.scores
    assert saved == {key: valid[key] for key in ("nats_per_token", "perplexity", "bleu", "chrf", "exact")}


@pytest.fixture
def chinese(tmp_path: Path) -> Path:
    """Digits, and Chinese ones without spaces."""
    folder = write_digits(tmp_path / "chinese")
    for split in ("train", "dev", "test"):
        lines = [line.split() for line in (folder / f"{split}.fr").read_text().splitlines()]
        text = "".join("".join("零一二三四五六七八九"[CHIFFRES.index(word)] for word in line) + "\n" for line in lines)
        (folder / f"{split}.fr").write_text(text, encoding="utf-8")
    return folder


CHINESE = (
    "data.tgt_lang=zh",
    "subword=char",
    "subword.vocab_size=40",
    "training.bleu_every=1",
    "training.max_updates=4",
    "search.precision=fp32",
)


def test_scores_of_the_development_set_are_those_of_nmt_evaluate(chinese: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    search = ("search=greedy", "search.min_len=6", "search.precision=fp32")
    enough = ("training.max_updates=60", "training.validate_every=60", "optimizer.lr=0.05")  # for some words to match
    done = _train(chinese, run_dir, *CHINESE, *search, *enough)
    assert done.status == 0, done.err
    [valid] = [record for record in _records(run_dir) if record["kind"] == "valid"]
    source, reference, out = chinese / "dev.en", chinese / "dev.fr", tmp_path / "out"
    alike = (f"checkpoints={run_dir}/checkpoints/last", *search, "device=cpu", "threads=1")
    assert nmt("translate", *alike, f"input={source}", f"output={out}").status == 0
    scoring = (f"reference={reference}", "metrics=[bleu,chrf,exact]", "bootstrap_samples=0", "json=true")
    for what in ((*alike, f"source={source}"), (f"hypothesis={out}", "tgt_lang=zh")):
        found = json.loads(nmt("evaluate", *what, *scoring).out)["systems"][0]["scores"]
        for score, label in zip(found, ("BLEU", "chrF", "exact"), strict=True):
            assert score["value"] == valid[score["metric"]]
            assert done.err.count(f"{label} of 10 development sentences: {score['signature']}\n") == 1
        assert valid["bleu"] > 0
        assert "|tok:zh|" in found[0]["signature"]
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["training"]["bleu_tokenize"] == "zh"


def test_a_development_set_without_spaces_gives_a_warning(chinese: Path, tmp_path: Path) -> None:
    done = _train(chinese, tmp_path / "run", *CHINESE, "data.tgt_lang=fr")
    assert (
        "the development set: hardly any spaces, which separate words for BLEU with training.bleu_tokenize=13a"
        in done.err
    )
    assert "|tok:13a|" in done.err


def test_a_run_resumes_with_the_tokenizer_that_it_started_with(chinese: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert _train(chinese, run_dir, *CHINESE, "training.bleu_tokenize=char").status == 0
    further = (*CHINESE, "resume=true", "training.max_updates=6")
    line = _refusal(chinese, run_dir, *further, "training.bleu_tokenize=intl")
    assert "training.bleu_tokenize was char and is intl" in line
    done = _train(chinese, run_dir, *further)  # auto
    assert done.status == 0, done.err
    assert "|tok:char|" in done.err


def test_a_run_of_a_version_without_tokenizers_resumes_with_13a(chinese: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert _train(chinese, run_dir, *CHINESE, "training.bleu_tokenize=13a").status == 0
    edit_config(run_dir / "checkpoints" / "last", lambda config: config["training"].pop("bleu_tokenize"))
    done = _train(chinese, run_dir, *CHINESE, "resume=true", "training.max_updates=6")
    assert done.status == 0, done.err
    assert "|tok:13a|" in done.err


def test_a_missing_tokenizer_is_reported_before_the_run_starts(chinese: Path, tmp_path: Path) -> None:
    line = _refusal(chinese, tmp_path / "run", *CHINESE, "training.bleu_tokenize=x")
    assert line.startswith("nmt: training.bleu_tokenize must be one of auto, 13a, intl, char, zh, ")
    assert not (tmp_path / "run" / "config.yaml").exists()
    done = _train(chinese, tmp_path / "run", *CHINESE, "training.bleu_tokenize=ja-mecab", "training.bleu_every=null")
    assert done.status == 0, done.err  # since nothing is measured


def test_fine_tuning_starts_from_parameters_and_subwords_of_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    other = write_digits(tmp_path / "other", num_train=60, seed=2)
    start = shutil.copytree(checkpoint.resolve(), tmp_path / "start")
    settings = [f"training.init_from={start}", "optimizer.lr=1e-12", "training.max_updates=1", "model.dropout=0"]
    done = _train(other, tmp_path / "tuned", *settings)
    assert done.status == 0, done.err
    assert f"starting from the parameters of {start} (update " in done.err
    before, after = load_checkpoint(start), load_checkpoint(tmp_path / "tuned" / "checkpoints" / "last")
    assert after.src_subword.fingerprint == before.src_subword.fingerprint
    for old, new in zip(before.model.parameters(), after.model.parameters(), strict=True):
        assert (old - new).abs().max() < 1e-6
    shutil.rmtree(start)  # a resumed run does not need the checkpoint that it started from
    assert _train(other, tmp_path / "tuned", *settings, "resume=true", "training.max_updates=2").status == 0


def test_fine_tuning_starts_from_the_moving_average(digits: Path, tmp_path: Path) -> None:
    assert _train(digits, tmp_path / "start", "training.ema=0.9").status == 0
    start = tmp_path / "start" / "checkpoints" / "last"
    settings = [f"training.init_from={start}", "optimizer.lr=1e-12", "training.max_updates=1", "model.dropout=0"]
    assert _train(digits, tmp_path / "tuned", *settings).status == 0
    tuned = load_checkpoint(tmp_path / "tuned" / "checkpoints" / "last").model.state_dict()
    average, raw = load_checkpoint(start).model.state_dict(), load_snapshot(start).parameters
    assert max(float((tuned[name] - average[name]).abs().max()) for name in tuned) < 1e-6
    assert max(float((raw[name] - average[name]).abs().max()) for name in tuned) > 1e-4


def test_fine_tuning_another_model_names_the_settings(digits: Path, checkpoint: Path, tmp_path: Path) -> None:
    settings = [f"training.init_from={checkpoint}", "model.hidden_dim=16", "model.source_order=forward"]
    done = _train(digits, tmp_path / "run", *settings)
    assert done.status == 1
    assert done.last_line.endswith("is different: set model.hidden_dim=8 model.source_order=reversed")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_fine_tuning_refuses_other_subwords(digits: Path, checkpoint: Path, tmp_path: Path) -> None:
    settings = [f"training.init_from={checkpoint}", "subword.src_model=x", "subword.tgt_model=y"]
    assert "training.init_from brings its own subwords: leave out subword.src_model and tgt_model" in _refusal(
        digits, tmp_path / "run", *settings
    )


def test_a_sweep_trains_each_member_in_its_own_run_directory(
    digits: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = nmt("train", "-m", *train_settings(digits), "seed=1,2")
    assert done.status == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "files-lstm_tiny-seed1",
        "files-lstm_tiny-seed2",
    ]
    assert _parameters(tmp_path / "runs" / "files-lstm_tiny-seed1") == _parameters(run_dir)
    assert _parameters(tmp_path / "runs" / "files-lstm_tiny-seed2") != _parameters(run_dir)


def test_a_failed_member_does_not_stop_the_others(digits: Path, tmp_path: Path) -> None:
    run_dirs = f"run_dir={tmp_path}/a ${{seed}}"
    (tmp_path / "a 1").mkdir()
    (tmp_path / "a 1" / "config.yaml").write_text("")
    done = nmt("train", "-m", *train_settings(digits), "seed=1,2", run_dirs, "training.max_updates=1")
    assert (done.status, done.last_line) == (1, "nmt: 1 of 2 jobs failed")
    assert "this job failed, the others continue: " in done.err
    assert "a 1 already holds a run" in done.err
    assert (tmp_path / "a 2" / "checkpoints" / "last").exists()


@pytest.mark.usefixtures("stop_at_3")
def test_a_signal_ends_the_sweep(digits: Path, tmp_path: Path) -> None:
    done = nmt("train", "-m", *train_settings(digits), "seed=1,2", f"run_dir={tmp_path}/${{seed}}")
    assert (done.status, done.last_line) == (130, "nmt: stopped by SIGINT")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
