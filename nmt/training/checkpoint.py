"""Model and training state <-> directory.

A checkpoint stands alone:

    update_000500/
      checkpoint.json          format version, update, epochs, scores, fingerprints
      config.yaml              the resolved configuration of the run
      model.safetensors        the parameters
      src.subword tgt.subword  the subword models
      training/                optimizer.safetensors, random.safetensors, state.json: what resuming needs besides

It is written aside and renamed; `best` and `last` beside it are relative links, swapped by rename, so that a kill at
any point leaves a loadable `last`. No pickle is ever read.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nmt.config import ModelConfig, model_config
from nmt.errors import CheckpointError, DamagedCheckpointError
from nmt.files import atomic_write
from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import SubwordModel

FORMAT_VERSION = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    Attributes:
        corpus_fingerprint: of the prepared corpus that it was trained on.
        scores: of the validation at this update: `nats_per_token`, `perplexity`, `bleu` where measured.
        wall_s: seconds that the run had taken when it was validated; 0 if it was not.
    """

    update: int
    epochs: float
    corpus_fingerprint: str
    src_subword_fingerprint: str
    tgt_subword_fingerprint: str
    scores: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0


@dataclass(frozen=True)
class TrainingSnapshot:
    """What resuming needs besides the parameters: optimizer tensors, random states, and the trainer's own counters."""

    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    state: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; the model is in evaluation mode, on the CPU."""

    path: Path
    info: CheckpointInfo
    config: dict[str, Any]
    model_config: ModelConfig
    model: Seq2Seq
    src_subword: SubwordModel
    tgt_subword: SubwordModel


def checkpoint_name(update: int) -> str:
    return f"update_{update:06d}"


def save_checkpoint(
    checkpoints_dir: Path,
    info: CheckpointInfo,
    *,
    parameters: Mapping[str, Tensor],
    config_yaml: str,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    snapshot: TrainingSnapshot,
) -> Path:
    """Write a checkpoint aside, then rename it to its place; an older one of the same update gives way file by file.

    Raises:
        CheckpointError: where the disk is full or refuses.
    """
    target = checkpoints_dir / checkpoint_name(info.update)
    aside = checkpoints_dir / f".{target.name}.tmp"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "training").mkdir(parents=True)
        save_file(dict(parameters), aside / "model.safetensors")
        (aside / "config.yaml").write_text(config_yaml, encoding="utf-8")
        src_subword.save(aside / "src.subword")
        tgt_subword.save(aside / "tgt.subword")
        save_file(snapshot.optimizer, aside / "training" / "optimizer.safetensors")
        save_file(snapshot.random, aside / "training" / "random.safetensors")
        _write_json(aside / "training" / "state.json", snapshot.state)
        _write_json(aside / "checkpoint.json", {"format_version": FORMAT_VERSION, **asdict(info)})
        _sync(aside)
        if target.exists():
            _replace_files(aside, target)
        else:
            aside.rename(target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{target} could not be written ({error}); earlier checkpoints are intact") from error
    return target


def record_scores(path: Path, scores: Mapping[str, float], *, wall_s: float) -> None:
    """Add to a checkpoint what a validation found, in one step.

    Raises:
        CheckpointError: the checkpoint is damaged, or the disk is full or refuses.
    """
    info = replace(read_info(path), scores=dict(scores), wall_s=wall_s)
    try:
        with atomic_write(path / "checkpoint.json") as stream:
            stream.write(_to_json({"format_version": FORMAT_VERSION, **asdict(info)}))
    except OSError as error:
        raise CheckpointError(f"{path / 'checkpoint.json'} could not be written ({error.strerror})") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint for translation or fine-tuning.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    info, config = read_info(path), read_config(path)
    try:
        model_settings = model_config(config["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path / 'config.yaml'} must hold the model's settings, but does not: {error}"
        ) from error
    src_subword = SubwordModel.load(path / "src.subword")
    tgt_subword = SubwordModel.load(path / "tgt.subword")
    for side, subword, expected in (
        ("src", src_subword, info.src_subword_fingerprint),
        ("tgt", tgt_subword, info.tgt_subword_fingerprint),
    ):
        if subword.fingerprint != expected:
            raise DamagedCheckpointError(
                f"{path / f'{side}.subword'} is not the subword model that this checkpoint was trained with: restore it"
            )
    with torch.device("meta"):
        model = Seq2Seq(model_settings, src_vocab_size=src_subword.vocab_size, tgt_vocab_size=tgt_subword.vocab_size)
    try:
        model.load_state_dict(_load_tensors(path / "model.safetensors"), assign=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise DamagedCheckpointError(
            f"{path / 'model.safetensors'} does not fit {path / 'config.yaml'}: {problem}"
        ) from error
    return Checkpoint(path, info, config, model_settings, model.eval(), src_subword, tgt_subword)


def read_info(path: Path) -> CheckpointInfo:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    file = path / "checkpoint.json"
    if not file.is_file():
        raise CheckpointError(_explain_missing(path))
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values.pop("format_version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"{file} is damaged ({error}): use another checkpoint of the run") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, but this nmt reads format {FORMAT_VERSION}: install a newer nmt"
        )
    try:
        return CheckpointInfo(**values)
    except TypeError as error:
        raise DamagedCheckpointError(f"{file} is damaged ({error}): use another checkpoint of the run") from error


def load_snapshot(path: Path) -> TrainingSnapshot:
    """Read what resuming needs besides the parameters.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    folder = path / "training"
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(f"{folder} cannot be resumed from ({error}): start a new run_dir") from error
    return TrainingSnapshot(
        _load_tensors(folder / "optimizer.safetensors"), _load_tensors(folder / "random.safetensors"), state
    )


def _explain_missing(path: Path) -> str:
    if not path.exists():
        checkpoints = path.parent
        if checkpoints.is_dir() and path.name in ("best", "last"):
            return f"{path} does not exist: training has not written its first checkpoint yet"
        return f"{path} does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"
    for below in (path / "checkpoints" / "best", path / "best"):
        if below.exists():
            return f"{path} is not a checkpoint, but holds some: name one of them, such as {below}"
    return f"{path} is not a checkpoint: it has no checkpoint.json; name one such as RUN_DIR/checkpoints/best"


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of the run that wrote a checkpoint.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    file = path / "config.yaml"
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise DamagedCheckpointError(f"{file} cannot be read ({problem}): use another checkpoint of the run") from error
    if not isinstance(config, dict):
        raise DamagedCheckpointError(f"{file} is damaged: use another checkpoint of the run")
    return config


def _load_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpointError(f"{file} cannot be read ({error}): use another checkpoint of the run") from error


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_bytes(_to_json(value))


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _replace_files(source: Path, target: Path) -> None:
    """Move a checkpoint over an older one of the same update, file by file, so that no link to it ever dangles."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        file.replace(place)
    shutil.rmtree(source)


def _sync(folder: Path) -> None:
    """Bring the files below a folder to the disk, so that a rename never becomes visible before its contents."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
