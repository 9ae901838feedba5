from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nmt.commands import sweep
from nmt.commands.sweep import check_sweep
from nmt.errors import ConfigError
from tests.commands import error, nmt

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sweep_whose_jobs_share_a_run_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = error("train", "-m", "model.hidden_dim=8,16")
    assert "2 jobs of this sweep would share the run directory" in line
    assert f"{tmp_path}/runs/phrasebook-lstm_2x512-seed1: make it different for each" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["bootstrap_samples=range(2,5)"], [(2, False), (3, False), (4, False)]),
        (["bootstrap_samples=choice(2,5)", "json=true,false"], [(2, True), (2, False), (5, True), (5, False)]),
        (["bootstrap_samples=range(8,2,-3)"], [(8, False), (5, False)]),
        (["bootstrap_samples=range(1,2,0.5)", "bootstrap_samples=7"], [(7, False)]),
        (["search=glob(beam_1*)"], [(1000, False)]),
    ],
)
def test_sweeps(words: list[str], values: list[tuple[int, bool]], ran: list[Any]) -> None:
    assert nmt("evaluate", "-m", *words).status == 0
    assert [(settings.bootstrap_samples, settings.json) for settings in ran] == values


def test_a_sweep_of_the_largest_size_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MAX_JOBS", 4)
    check_sweep("evaluate", ["bootstrap_samples=range(2,6)"])
    with pytest.raises(
        ConfigError, match=r"^a sweep must have at most 4 jobs, but this one has more: name fewer values$"
    ):
        check_sweep("evaluate", ["bootstrap_samples=range(2,7)"])


def test_a_mistake_in_a_sweep_is_found_before_any_job_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "seed must be a whole number, but is 1,x" in error("train", "-m", "seed=1,x")
    assert list(tmp_path.iterdir()) == []


def sweep_refusal(command: str, *overrides: str) -> str:
    return error(command, "-m", "checkpoints=[nothing]", *overrides)


@pytest.mark.no_tensors
@pytest.mark.parametrize("output", ["out", "out,./out", "a/../out,out"])
def test_jobs_of_a_sweep_do_not_overwrite_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["search=greedy" if "," in output else "search=greedy,beam_5", f"output={output}"]
    for command in ("translate", "evaluate"):
        line = sweep_refusal(command, "input=x" if command == "translate" else "source=x", *settings)
        assert line.startswith(
            f"nmt: 2 jobs of this sweep would write {tmp_path / 'out'}: make it different for each, as in "
        )
    assert list(tmp_path.iterdir()) == []


def test_jobs_share_no_folder_for_heat_maps(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        line = sweep_refusal("translate", "input=x", "output=/dev/null", "search=greedy,beam_5", f"alignments={folder}")
        assert line.startswith(f"nmt: 2 jobs of this sweep would write {folder}: make it different for each, as in ")


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("translate", "input"),
        ("evaluate", "source"),
        ("evaluate", "groups"),
        ("evaluate", "reference"),
        ("evaluate", "hypothesis"),
    ],
)
def test_no_job_of_a_sweep_writes_what_another_reads(tmp_path: Path, command: str, setting: str) -> None:
    written = tmp_path / "out.2"
    outputs = f"output={tmp_path}/out.${{search.beam_size}}"
    line = sweep_refusal(command, f"{setting}={written}", outputs, "search.beam_size=1,2")
    assert line == f"nmt: {setting}={written} is the output of a job of this sweep: name another output"


def test_only_one_job_reads_stdin(tmp_path: Path) -> None:
    line = sweep_refusal("translate", "search=greedy,beam_5", f"output={tmp_path}/${{search.beam_size}}")
    assert line == "nmt: 2 jobs of this sweep would read stdin, which can be read only once: give input=FILE"


def test_jobs_with_different_outputs_run(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    settings = [
        f"checkpoints=[{checkpoint}]",
        f"input={digits / 'test.en'}",
        "search.beam_size=1,2",
        "threads=1",
        "search.precision=fp32",
    ]
    assert nmt("translate", "-m", *settings, f"output={tmp_path}/out.${{search.beam_size}}").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.1", "out.2"]
    assert nmt("translate", "-m", *settings, "output=/dev/null").status == 0


@pytest.mark.no_tensors
@pytest.mark.parametrize(("given", "missing"), [("input=x", "output"), ("output=y", "input")])
def test_jobs_in_processes_of_their_own_have_no_streams(given: str, missing: str) -> None:
    settings = ["checkpoints=[nothing]", given, "hydra/launcher=joblib"]
    message = rf"^jobs in processes of their own \(hydra/launcher\) need files: give {missing}=FILE$"
    with pytest.raises(ConfigError, match=message):
        check_sweep("translate", settings)
    check_sweep("translate", [*settings[:2], "hydra/launcher=basic"])


@pytest.mark.no_tensors
def test_shards_have_outputs_of_their_own(tmp_path: Path) -> None:
    settings = ["checkpoints=[nothing]", "input=x", f"output={tmp_path}/out"]
    check_sweep("translate", [*settings, "shard=1/3,2/3,3/3"])
    with pytest.raises(ConfigError, match=rf"^2 jobs of this sweep would write {tmp_path}/out\.1-of-3: "):
        check_sweep("translate", [*settings, "shard=1/3,1/3"])
    with pytest.raises(ConfigError, match=r"^shard must be I/N with I from 1 to N, such as 2/8, but is '0/3'$"):
        check_sweep("translate", [*settings, "shard=0/3,1/3"])
