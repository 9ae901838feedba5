"""What processes beside process 0 do and say; tests/system/test_torchrun.py starts some."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

from nmt.commands import follow
from nmt.commands.streams import Failed
from nmt.distributed import ALONE
from nmt.errors import CheckpointError, LostProcessError, TrainingError
from nmt.place import Place


@pytest.fixture(autouse=True)
def _logging_again() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def _fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    def failing(_: Place) -> int:
        raise error

    monkeypatch.setattr(follow, "_follow", failing)
    return follow.follow(Place(1, 2, 1, 2))


@pytest.mark.parametrize("error", [LostProcessError("process 0 has ended"), TrainingError("the loss is not finite")])
def test_what_process_0_says_is_not_said_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _fail_with(error, monkeypatch) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CheckpointError("runs/first/checkpoints/last is damaged"), "runs/first/checkpoints/last is damaged"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU's memory is full: lower batching.size"),
    ],
)
def test_an_error_of_this_process_is_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Failed):
        _fail_with(error, monkeypatch)
    err = capsys.readouterr().err
    assert err.startswith(f"nmt: process 1: {message}")
    assert err.count("\n") == 1


def test_a_process_ends_if_process_0_does_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "join", lambda _: nullcontext(ALONE))  # which answers `from_first(None)` with None
    assert follow.follow(Place(1, 2, 1, 2)) == 0
