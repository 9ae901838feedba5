"""Several processes that train together, with gloo on this machine: they learn what one process learns."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed import HashStore  # type: ignore[attr-defined]

from nmt.choices import LossPer, TrainingPrecision
from nmt.corpus.batching import TrainingBatches
from nmt.distributed import ALONE, Group, join, name_meeting
from nmt.errors import ConfigError, LostProcessError
from nmt.place import Place, find_place, is_first
from nmt.training.dev_set import DevSet
from nmt.training.run import _new_trainer, check_hardware
from nmt.training.saver import RunFiles
from nmt.training.trainer import Hardware, Trainer
from tests.models import tiny_model

ROOT = Path(__file__).parents[1]
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


# --- the place of a process ---


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert find_place() == Place(0, 1, 0, 1)
    with join(find_place()) as group:
        assert group is ALONE
        assert (group.size, group.is_first, group.gather("x"), group.from_first("y")) == (1, True, ["x"], "y")


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("5", "8", "1", "4"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    assert find_place() == Place(5, 8, 1, 4)
    assert find_place().threads == 2
    assert Place(local_size=20).threads == 1


@pytest.mark.parametrize("value", ["", "two"])
def test_an_environment_that_contradicts_itself_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LOCAL_RANK", value)
    with pytest.raises(ConfigError, match=f"must be numbers, as torchrun sets them, but are '1', '1', '{value}', '1'"):
        find_place()


@pytest.mark.parametrize("values", ["2 2 0 1", "-1 2 0 1", "0 2 0 0", "0 2 1 1", "0 2 0 3"])
def test_places_outside_those_of_the_processes_are_refused(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, values.split(), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"as torchrun sets them, but are {', '.join(values.split())}: start with"):
        find_place()


@pytest.mark.parametrize(
    ("rank", "size", "expected"), [("", "", True), ("1", "", True), ("0", "2", True), ("1", "2", False)]
)
def test_the_first_process_speaks(rank: str, size: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    assert is_first() == expected


def test_an_environment_that_does_not_say_where_to_meet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    for name, value in zip(NAMES, ("0", "2", "0", "2"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun must say where its processes meet"), join(find_place()):
        pass


def test_processes_do_not_answer_the_dead() -> None:
    """The store holds what processes before a restart have left; they are restarted one after the other."""
    store, size = HashStore(), 3
    names: dict[int, str] = {}

    def meet(rank: int) -> None:
        names[rank] = name_meeting(store, Place(rank, size, rank, size))

    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        before = dict(names)
        threads = [threading.Thread(target=meet, args=[rank]) for rank in order]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        assert len(set(names.values())) == 1
        assert names != before


def test_processes_that_do_not_come_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.distributed._PATIENCE", timedelta(seconds=0.2))
    with pytest.raises(LostProcessError, match=r"^another process did not start within 0:00:00\.2"):
        name_meeting(HashStore(), Place(0, 2, 0, 2))


def test_processes_that_would_compute_differently_are_refused() -> None:
    check_hardware(["cuda in bf16", "cuda in bf16"])
    message = (
        r"^the processes must compute alike, but process 0 would on cpu in bf16 and process 2 on cpu in fp32: "
        r"set device= and training\.precision= to what all of them have$"
    )
    with pytest.raises(ConfigError, match=message):
        check_hardware(["cpu in bf16", "cpu in bf16", "cpu in fp32", "cuda in bf16"])


class Unlike(Group):
    """Process 0 of two, of which the other has a GPU."""

    size = 2

    def gather(self, value: Any) -> list[Any]:
        return [value, "cuda in bf16"]


def test_a_training_begins_with_this_check() -> None:
    settings: Any = SimpleNamespace(device="cpu", training=SimpleNamespace(precision=TrainingPrecision.fp32))
    nothing: Any = None
    with pytest.raises(ConfigError, match="process 0 would on cpu in fp32 and process 1 on cuda in bf16"):
        _new_trainer(settings, nothing, nothing, Unlike())


# --- the laws ---


def train(folder: Path) -> None:
    """Train a tiny model in float64 as one of the processes, and write its parameters."""
    from tests.test_trainer import ADAM, BATCHING, DEV, DROPPING, SUBWORD, TRAIN, TRAINING

    place, changes = find_place(), json.loads(os.environ["CHANGES"])
    changes["loss_per"] = LossPer(changes["loss_per"])
    size = SUBWORD.vocab_size
    with join(place) as group:
        model = tiny_model(DROPPING, src_vocab_size=size, tgt_vocab_size=size)
        torch.manual_seed(1)
        trainer = Trainer(
            model,
            TrainingBatches(TRAIN, BATCHING, seed=1, rank=group.rank, num_ranks=group.size),
            dev=DevSet(DEV, BATCHING),
            training=replace(TRAINING, **changes),
            optimizer=replace(ADAM, lr=0.003),
            hardware=Hardware(torch.device("cpu"), TrainingPrecision.fp32, group),
            files=RunFiles(folder, json.dumps({"model": asdict(model.config)}), "c0ffee", SUBWORD, SUBWORD),
        )
        trainer.run()
        result = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        torch.save({"parameters": result, "scores": trainer._scores}, folder / f"result{group.rank}")


def run_processes(num_processes: int, folder: Path, **changes: Any) -> list[dict[str, Any]]:
    """Train with several processes; return what each has written."""
    folder.mkdir()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    processes = []
    for rank in range(num_processes):
        numbers = (rank, num_processes, rank, num_processes)
        place = dict(zip(NAMES, map(str, numbers), strict=True))
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", "import sys, pathlib; from tests.test_distributed import train; "
                 "train(pathlib.Path(sys.argv[1]))", str(folder)],
                env={**os.environ, **shared, **place, "CHANGES": json.dumps(changes)},
                cwd=ROOT,
            )
        )  # fmt: skip
    assert [process.wait(timeout=300) for process in processes] == [0] * num_processes
    return [torch.load(folder / f"result{rank}") for rank in range(num_processes)]


@pytest.mark.slow
@pytest.mark.parametrize("loss_per", list(LossPer))
def test_the_parameters_do_not_depend_on_the_number_of_processes(loss_per: LossPer, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"max_updates": 50, "accumulate": 2, "loss_per": loss_per, "clip_norm": 0.5}
    [expected] = run_processes(1, tmp_path / "1", **changes)
    for number in (2, 3):
        for found in run_processes(number, tmp_path / str(number), **changes):
            for name, value in expected["parameters"].items():
                torch.testing.assert_close(found["parameters"][name], value, rtol=0, atol=1e-10)
            assert found["scores"] == pytest.approx(expected["scores"], abs=1e-10)
