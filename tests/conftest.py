"""What holds for every test: one CPU thread, so that tests share a machine well and sums have one order.

And a small corpus and a run on it, which the tests of the commands share.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import torch

from tests.commands import nmt, train_settings, write_digits

if TYPE_CHECKING:
    from pathlib import Path

torch.set_num_threads(1)
# A shell lets its background jobs ignore Ctrl-C, and so would what they start: the tests that send it need it back.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with aligned text: `write_digits`. Read only."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def run_dir(digits: Path) -> Path:
    """A run of six updates on `digits`. Read only."""
    folder = digits / "run"
    done = nmt("train", *train_settings(digits), f"run_dir={folder}")
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="session")
def checkpoint(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / "best"
