"""Random damage is refused or changes nothing, and edited checkpoints end in one line."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from nmt.config import OptimizerConfig
from nmt.errors import CheckpointError
from nmt.plain import PlainError, from_plain
from nmt.training.checkpoint import CheckpointContent, load_checkpoint, load_snapshot, read_info, save_checkpoint
from nmt.training.resume import read_snapshot
from nmt.training.train_state import TrainState
from tests.checkpoint_fuzz import Found, fuzz_accidents, fuzz_strangers
from tests.checkpoints import SAMPLES, rehash

pytestmark = pytest.mark.usefixtures("no_fsync")

FORMAT_1 = Path(__file__).parent / "fixtures" / "format_1" / "bpe_adam" / "checkpoints"
OPTIMIZER = from_plain(OptimizerConfig, yaml.safe_load((FORMAT_1 / "last" / "config.yaml").read_text())["optimizer"])


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    """Two checkpoints of a run with BPE, Adam and a moving average."""
    return [_written_anew(FORMAT_1 / link, tmp_path) for link in ("last", "best")]


def _written_anew(path: Path, folder: Path) -> Path:
    loaded = load_checkpoint(path)
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["training"]["ema"] = 0.9
    content = CheckpointContent(
        loaded.info,
        parameters=loaded.model.state_dict(),
        config_yaml=yaml.safe_dump(config),
        src_subword=loaded.src_subword,
        tgt_subword=loaded.tgt_subword,
        snapshot=load_snapshot(path)._replace(parameters=dict(loaded.model.named_parameters())),
        samples=SAMPLES,
    )
    return save_checkpoint(folder, content)


def _resume(checkpoint: Path) -> None:
    """Load a checkpoint like the trainer, without the corpus."""
    loaded = load_checkpoint(checkpoint)
    ema = loaded.config["training"]["ema"]
    snapshot = read_snapshot(checkpoint, model=loaded.model, optimizer=OPTIMIZER, ema=ema)
    try:
        TrainState.from_json(snapshot.state)
    except PlainError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error


def _report(found: Found) -> None:
    print(dict(found.counts))  # noqa: T201
    assert found.faults == []


def test_accidental_damage_is_refused_or_harmless(checkpoints: list[Path]) -> None:
    found = fuzz_accidents(*checkpoints, seeds=range(200))
    _report(found)
    assert found.counts["refused"] > 150


@pytest.mark.slow
def test_accidental_damage_is_refused_or_harmless_thousands_of_times(checkpoints: list[Path]) -> None:
    _report(fuzz_accidents(*checkpoints, seeds=range(1000, 3000)))


def test_malicious_files_end_in_one_line(checkpoints: list[Path]) -> None:
    found = fuzz_strangers(*checkpoints, seeds=range(100), rehash=rehash, use=_resume)
    _report(found)
    assert found.counts["refused"] > 30


@pytest.mark.slow
def test_thousands_of_malicious_files_end_in_one_line(checkpoints: list[Path]) -> None:
    _report(fuzz_strangers(*checkpoints, seeds=range(1000, 2500), rehash=rehash, use=_resume))


def test_a_damaged_checkpoint_without_hashes_ends_in_one_line(tmp_path: Path) -> None:
    checkpoint = shutil.copytree(FORMAT_1 / "last", tmp_path / "last")
    _report(fuzz_strangers(checkpoint, FORMAT_1 / "best", seeds=range(50), rehash=lambda _: None, use=_resume))


def test_every_flipped_bit_of_the_description_is_noticed(checkpoints: list[Path]) -> None:
    """A flipped bit in checkpoint.json is refused, unless it changes only a space."""
    file = checkpoints[0] / "checkpoint.json"
    content = file.read_bytes()
    expected = load_checkpoint(checkpoints[0]).info
    num_refused = 0
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        file.write_bytes(changed)
        try:
            found = read_info(checkpoints[0])
        except CheckpointError:
            num_refused += 1
        else:
            assert found == expected, place
            assert json.loads(changed) == json.loads(content)
    assert num_refused > 100
