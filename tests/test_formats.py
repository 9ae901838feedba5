"""Runs of older versions load, translate as before, and resume to the same end: see fixtures/README.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import Tensor

from nmt.model.dropout import Noise
from nmt.model.recurrent import LayerStack, Packing
from nmt.training.checkpoint import load_checkpoint
from nmt.training.checkpoint_format import from_2_name as renamed
from tests.commands import nmt
from tests.fixtures.make_format import places, settings

FORMATS = [Path(__file__).parent / "fixtures" / f"format_{version}" for version in (1, 2)]
FORMAT_1 = FORMATS[0]
EXPECTED = {folder: json.loads((folder / "expected.json").read_text(encoding="utf-8")) for folder in FORMATS}
RUNS = list(EXPECTED[FORMAT_1]["runs"])


@pytest.fixture
def older_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between layers of equal lengths, draw the masks of `nn.LSTM`, which ran these layers when the runs were made."""
    drop = LayerStack._drop

    def torchs(self: LayerStack, noise: Noise, index: int, values: Tensor, packing: Packing | None = None) -> Tensor:
        if index == 1 and packing is not None and packing.is_equal:
            return F.dropout(values, self.dropouts.layers)
        return drop(self, noise, index, values, packing)

    monkeypatch.setattr(LayerStack, "_drop", torchs)


@pytest.mark.parametrize("link", ["best", "last"])
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("fixture", FORMATS, ids=lambda folder: folder.name)
def test_a_checkpoint_of_an_older_format_translates_as_before(fixture: Path, run: str, link: str) -> None:
    search = ["search.beam_size=3", "search.n_best=3", "search.min_len=2", "search.precision=fp32", "format=jsonl"]
    done = nmt(
        "translate",
        f"checkpoints=[{fixture / run / 'checkpoints' / link}]",
        *search,
        "device=cpu",
        "threads=1",
        stdin="".join(f"{line}\n" for line in EXPECTED[fixture]["lines"]).encode(),
    )
    assert done.status == 0, done.err
    for line, expected in zip(done.out.splitlines(), EXPECTED[fixture]["runs"][run]["translations"][link], strict=True):
        hypotheses = json.loads(line)["hypotheses"]
        assert [hypothesis["text"] for hypothesis in hypotheses] == [hypothesis["text"] for hypothesis in expected]
        for hypothesis, then in zip(hypotheses, expected, strict=True):
            assert hypothesis["log_prob"] == pytest.approx(then["log_prob"], abs=1e-4)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("fixture", FORMATS, ids=lambda folder: folder.name)
@pytest.mark.usefixtures("older_masks")
def test_a_run_of_an_older_format_resumes_to_the_same_end(fixture: Path, run: str, tmp_path: Path) -> None:
    folder = shutil.copytree(fixture, tmp_path / "copy", symlinks=True)
    done = nmt("train", *settings(run), *places(folder, folder / run), "resume=true")
    assert done.status == 0, done.err
    assert "at update 143" in done.err
    records = _metrics(folder / run)
    for record, then in zip(records, EXPECTED[fixture]["runs"][run]["metrics"], strict=True):
        assert {**record, **{key: pytest.approx(value, rel=1e-3) for key, value in then.items() if key != "kind"}} == (
            record
        )
        assert record.keys() - {"chrf", "exact"} == then.keys()  # measured with BLEU since 0.2.0
    last = load_checkpoint(folder / run / "checkpoints" / "last")
    assert last.info.update == 155
    start = load_file(fixture / run / "checkpoints" / "last" / "model.safetensors")
    for old_name, then in load_file(fixture / run / "end.safetensors").items():
        name, moved = renamed(old_name), float((then - start[old_name]).abs().max())
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
