"""The quick start of README.md, from a checkout to a translation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FEW = [
    "training.max_updates=30",
    "data.generate.train_pairs=3000",
    "data.generate.dev_pairs=20",
    "data.generate.test_pairs=40",
    "subword.vocab_size=300",
    "device=cpu",
]

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the code in `cwd`; pip, if it is called, installs nothing."""
    environment = {**os.environ, "PYTHONPATH": str(cwd), "PIP_DRY_RUN": "1", "PIP_NO_INDEX": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that git tracks or would add, with an environment in which everything is installed."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT)
    if listed.returncode != 0:
        pytest.skip("needs git and a checkout")
    copy = tmp_path / "nmt with space"
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    (copy / ".venv").mkdir()
    (copy / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    stamp = run("bash", "-c", "cat pyproject.toml constraints.txt | cksum", cwd=copy).stdout  # as scripts/venv makes it
    (copy / ".venv" / "nmt-installed").write_text(stamp)
    return copy


def test_the_quick_start_ends_in_a_model_that_translates(checkout: Path) -> None:
    if not (checkout / ".venv" / "bin" / "nmt").exists():
        pytest.skip("nmt is not installed as a command")
    done = run("scripts/quickstart", *FEW, cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert "installing" not in done.stdout + done.stderr
    for label in ("source", "translation", "reference"):
        assert len(re.findall(rf"^{label}: +", done.stdout, re.MULTILINE)) == 5
    assert re.search(r"^  BLEU [\d.]+ \[.*\n    nrefs:1\|bs:1000\|seed:12345\|.*\|version:", done.stdout, re.MULTILINE)
    for table in ("BLEU by group", "BLEU by source length in words"):
        assert f"  {table}\n" in done.stdout
    *_, timing, command = done.stdout.splitlines()
    assert re.fullmatch(r"== done in \d+ min \d+ s; translate with your model:", timing)
    assert "nmt translate 'checkpoints=[runs/quickstart/checkpoints/best]'" in command
    translated = run("bash", "-c", command, cwd=checkout)
    assert (translated.returncode, translated.stdout.count("\n")) == (0, 1), translated.stderr
    again = run("scripts/quickstart", *FEW, cwd=checkout)  # resumes its run, which has ended
    assert again.returncode == 0, again.stderr
    assert "resuming runs/quickstart at update 30" in again.stderr
