"""conf/debug/overfit.yaml: any model that learns fits one batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import nmt


@pytest.mark.parametrize("model", ["lstm_tiny", pytest.param("lstm_2x256", marks=pytest.mark.slow)])
def test_one_batch_is_fitted_in_seconds(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = nmt("train", "debug=overfit", f"model={model}", "device=cpu", "threads=1")
    assert (done.status, done.out) == (0, "")
    [run_dir] = Path("runs").iterdir()
    assert run_dir.name.startswith(f"overfit-{model}-")  # with date and time, so that it can be repeated
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    losses = [record["nats_per_token"] for record in records if record["kind"] == "train"]
    assert losses[0] > 3
    assert losses[-1] < 0.1
    assert records[-1]["kind"] == "valid"
    assert records[-1]["nats_per_token"] < 0.1  # of the same batch
    assert records[-1]["epoch"] == records[-1]["update"]  # one batch is the whole corpus
