"""Runs of older versions load, translate as before, and resume to the same end: see fixtures/README.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nmt.training.checkpoint import load_checkpoint
from tests.commands import nmt
from tests.fixtures.make_format_1 import places, settings

FORMAT_1 = Path(__file__).parent / "fixtures" / "format_1"
EXPECTED = json.loads((FORMAT_1 / "expected.json").read_text(encoding="utf-8"))
RUNS = list(EXPECTED["runs"])


@pytest.mark.parametrize("link", ["best", "last"])
@pytest.mark.parametrize("run", RUNS)
def test_a_checkpoint_of_format_1_translates_as_before(run: str, link: str) -> None:
    search = ["search.beam_size=3", "search.n_best=3", "search.min_len=2", "search.precision=fp32", "format=jsonl"]
    done = nmt(
        "translate",
        f"checkpoints=[{FORMAT_1 / run / 'checkpoints' / link}]",
        *search,
        "device=cpu",
        "threads=1",
        stdin="".join(f"{line}\n" for line in EXPECTED["lines"]).encode(),
    )
    assert done.status == 0, done.err
    for line, expected in zip(done.out.splitlines(), EXPECTED["runs"][run]["translations"][link], strict=True):
        hypotheses = json.loads(line)["hypotheses"]
        assert [hypothesis["text"] for hypothesis in hypotheses] == [hypothesis["text"] for hypothesis in expected]
        for hypothesis, then in zip(hypotheses, expected, strict=True):
            assert hypothesis["log_prob"] == pytest.approx(then["log_prob"], abs=1e-4)


@pytest.mark.parametrize("run", RUNS)
def test_a_run_of_format_1_resumes_to_the_same_end(run: str, tmp_path: Path) -> None:
    folder = shutil.copytree(FORMAT_1, tmp_path / "copy", symlinks=True)
    done = nmt("train", *settings(run), *places(folder, folder / run), "resume=true")
    assert done.status == 0, done.err
    assert "at update 143" in done.err
    records = _metrics(folder / run)
    for record, then in zip(records, EXPECTED["runs"][run]["metrics"], strict=True):
        assert {**record, **{key: pytest.approx(value, rel=1e-3) for key, value in then.items() if key != "kind"}} == (
            record
        )
        assert record.keys() - {"chrf", "exact"} == then.keys()  # measured with BLEU since 0.2.0
    last = load_checkpoint(folder / run / "checkpoints" / "last")
    assert last.info.update == 155
    start = load_file(FORMAT_1 / run / "checkpoints" / "last" / "model.safetensors")
    for name, then in load_file(FORMAT_1 / run / "end.safetensors").items():
        moved = float((then - start[name]).abs().max())
        assert moved > 0
        # other processors sum in another order: this is far less than the change of twelve updates
        assert torch.allclose(last.model.state_dict()[name], then, rtol=0, atol=0.01 * moved), name


@pytest.mark.parametrize("group", ["training", "search"])
def test_truncated_settings_of_format_1_are_damage(group: str, tmp_path: Path) -> None:
    folder = shutil.copytree(FORMAT_1, tmp_path / "copy", symlinks=True)
    file = folder / RUNS[0] / "checkpoints" / "last" / "config.yaml"
    content = file.read_text(encoding="utf-8")
    file.write_text(content[: content.index(f"\n{group}:") + 1], encoding="utf-8")
    done = nmt("train", *settings(RUNS[0]), *places(folder, folder / RUNS[0]), "resume=true")
    assert done.status == 0, done.err
    assert "is damaged and now called update_000143.damaged, continuing from update_000080 (" in done.err
    assert f"{group} is missing" in done.err


def _metrics(run_dir: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if not key.endswith("_s")} for record in records]
