"""The whole in small: learning from text, translating and scoring, only through the commands."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.commands import CHIFFRES, DIGITS, data_settings, nmt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands import Done

Number = tuple[int, ...]


def _write(path: Path, numbers: list[Number], words: list[str]) -> None:
    path.write_text("".join(" ".join(words[digit] for digit in number) + "\n" for number in numbers), "utf-8")


def _write_task(folder: Path, *, step: int) -> None:
    """Write up to four English digits and the French ones in their order (step 1) or reversed (step -1).

    No number of the test set is among those of training.
    """
    chance = random.Random(1)
    every: list[Number] = [tuple(chance.choices(range(10), k=chance.randint(1, 4))) for _ in range(9000)]
    splits = {"train": every[:8000], "dev": every[8000:8100]}
    splits["test"] = [number for number in every[8100:] if number not in splits["train"]][:200]
    for split, numbers in splits.items():
        _write(folder / f"{split}.en", numbers, DIGITS)
        _write(folder / f"{split}.fr", [number[::step] for number in numbers], CHIFFRES)


def _run(*arguments: str) -> Done:
    done = nmt(*arguments)
    assert done.status == 0, done.err
    return done


@pytest.mark.parametrize("step", [pytest.param(-1, id="reverse"), pytest.param(1, id="copy", marks=pytest.mark.slow)])
def test_digits_are_learned_translated_and_evaluated(tmp_path: Path, step: int) -> None:
    _write_task(tmp_path, step=step)
    (source, reference), output = (tmp_path / f"test.{lang}" for lang in ("en", "fr")), tmp_path / "out.fr"
    _run(
        "train",
        *data_settings(tmp_path),
        *("data.test.src=test.en", "data.test.tgt=test.fr"),
        *("model=lstm_tiny", "batching=sentences", "batching.size=64", "batching.min_sentences=16"),
        *("optimizer.lr=0.02", "optimizer.schedule.kind=halving", "optimizer.schedule.halve_from_epoch=4"),
        *("training.max_updates=800", "training.max_epochs=null", "training.label_smoothing=0"),
        *("training.validate_every=200", "training.bleu_every=4", "training.precision=fp32"),
        *("device=cpu", "threads=1", f"run_dir={tmp_path / 'run'}"),
    )
    best = f"checkpoints=[{tmp_path / 'run' / 'checkpoints' / 'best'}]"
    _run("translate", best, f"input={source}", f"output={output}", "device=cpu", "threads=1")
    lines, expected = (path.read_text("utf-8").splitlines() for path in (output, reference))
    assert len(expected) == 200
    assert sum(line == right for line, right in zip(lines, expected, strict=True)) >= 0.95 * len(expected)
    by_file = _run("evaluate", f"hypothesis={output}", f"reference={reference}", "json=true", "metrics=[bleu]")
    by_checkpoint = _run("evaluate", best, "json=true", "metrics=[bleu]", "device=cpu", "threads=1")
    scores = [json.loads(done.out)["systems"][0]["scores"][0]["value"] for done in (by_file, by_checkpoint)]
    assert scores[0] == scores[1] > 95
