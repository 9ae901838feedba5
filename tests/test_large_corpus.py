"""scripts/large_corpus.py: a corpus made by repetition, and the figures of its preparation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import write_digits

SCRIPT = Path(__file__).parents[1] / "scripts" / "large_corpus.py"


def test_a_repeated_corpus_is_prepared_and_measured(tmp_path: Path) -> None:
    text = write_digits(tmp_path / "text")
    files = [
        "--src",
        str(text / "train.en"),
        str(text / "dev.en"),
        "--tgt",
        str(text / "train.fr"),
        str(text / "dev.fr"),
    ]
    settings = ["--settings", "subword=word", "subword.vocab_size=14"]
    command = [sys.executable, str(SCRIPT), str(tmp_path / "large"), "--pairs", "500", *files, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SCRIPT.parents[1])
    figures = json.loads(done.stdout)
    once = [path.read_text() for path in (text / "train.en", text / "dev.en")]
    lines = "".join(once * 3).splitlines()[:500]
    assert (tmp_path / "large" / "train.src").read_text().splitlines() == lines
    assert figures["pairs"] == 500
    assert figures["pairs_per_second"] == pytest.approx(500 / figures["seconds"], rel=0.1)
    assert figures["peak_mib_of_all_processes"] > 10
    assert 2 * 12 < figures["bytes_per_pair_on_disk"] < 2 * 12 + 1_000
