"""The commands on machines where torch computes less: no oneDNN (its wheels for macOS), no bf16, no exact int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands import error, nmt, train_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def _no_low_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.device.bf16_failure", lambda _device: "could not create a primitive")
    monkeypatch.setattr("nmt.device.int8_failure", lambda _device: "sums overflow")


def _translate(checkpoint: Path, source: Path, *settings: str) -> str:
    done = nmt("translate", f"checkpoints={checkpoint}", f"input={source}", "threads=1", "device=cpu", *settings)
    assert done.status == 0, done.err
    return done.out


def test_without_onednn_a_checkpoint_translates_the_same(
    checkpoint: Path, digits: Path, request: pytest.FixtureRequest
) -> None:
    settings = (checkpoint, digits / "test.en", "search.precision=fp32", "search=beam_5")
    expected = _translate(*settings)
    assert len(expected.splitlines()) == 8
    request.getfixturevalue("without_onednn")
    assert _translate(*settings) == expected
    assert _translate(checkpoint, digits / "test.en").count("\n") == 8  # precision=auto


@pytest.mark.usefixtures("without_onednn")
def test_without_onednn_a_run_trains_and_validates_by_bleu(digits: Path, tmp_path: Path) -> None:
    settings = [*train_settings(digits), "training.bleu_every=1", "training.max_updates=4", "search.precision=fp32"]
    done = nmt("train", *settings, f"run_dir={tmp_path / 'run'}")
    assert done.status == 0, done.err
    assert "BLEU" in done.err


@pytest.mark.usefixtures("without_onednn")
def test_without_onednn_int8_is_refused_in_one_line(checkpoint: Path) -> None:
    line = error("translate", f"checkpoints={checkpoint}", "search.precision=int8", "device=cpu", stdin=b"one\n")
    assert line.startswith(
        "nmt: search.precision=int8 needs a CPU with VNNI or AMX instructions and a torch with oneDNN"
    )


@pytest.mark.usefixtures("_no_low_precision")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_search_precision_that_the_processor_lacks_is_refused(checkpoint: Path, precision: str) -> None:
    line = error(
        "translate", f"checkpoints={checkpoint}", f"search.precision={precision}", "device=cpu", stdin=b"one\n"
    )
    assert line.startswith(f"nmt: search.precision={precision} needs a ")


@pytest.mark.usefixtures("_no_low_precision")
def test_training_in_bf16_is_refused_in_one_line_and_auto_trains(digits: Path, tmp_path: Path) -> None:
    done = nmt("train", *train_settings(digits), "training.precision=bf16", f"run_dir={tmp_path / 'bf16'}")
    assert done.status == 1
    assert done.last_line.startswith(
        "nmt: training.precision=bf16 needs a processor on which torch computes bf16, but on"
    )
    done = nmt("train", *train_settings(digits), "training.precision=auto", f"run_dir={tmp_path / 'auto'}")
    assert (done.status, "on cpu in fp32" in done.err) == (0, True), done.err
