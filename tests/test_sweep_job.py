from __future__ import annotations

import pytest

from nmt.commands.arguments import CommandLine, read_arguments
from nmt.commands.sweep_job import sweep_jobs

pytestmark = pytest.mark.no_tensors


def test_jobs_have_the_options_of_the_sweep_and_overrides_of_their_own() -> None:
    words = [
        "-m",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.verbose=true",
        "++hydra.job.name=x",
        "seed=1,2",
        "model=lstm_tiny",
    ]
    line = read_arguments("train", [*words, "--config-dir", "mine"])
    first, second = sweep_jobs("train", line, [["model=lstm_tiny", "seed=1"], ["model=lstm_tiny", "seed=2"]])
    assert (first.command, first.label, second.label) == ("train", "seed=1", "seed=2")
    assert first.line.overrides == ["hydra.verbose=true", "++hydra.job.name=x", "model=lstm_tiny", "seed=1"]
    assert first.line.options == ["--config-dir", "mine"]
    assert first.line.config_dir == "mine"
    assert line.is_sweep
    assert not first.line.is_sweep


def test_a_single_job_has_a_label() -> None:
    [job] = sweep_jobs("train", CommandLine([], []), [["seed=1"]])
    assert job.label == "the only job"


def test_a_continued_job_resumes_its_run() -> None:
    [job] = sweep_jobs("train", CommandLine([], []), [["resume=false", "seed=1"]])
    assert job.resumed().line.overrides == ["seed=1", "resume=true"]
    [job] = sweep_jobs("translate", CommandLine([], []), [["shard=1/2"]])
    assert job.resumed() == job, "only training has something to resume"
