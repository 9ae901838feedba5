"""Saves a model and the training state to a directory, and loads them.

A checkpoint is self-contained:

    update_000500/
      checkpoint.json          format version, update, epochs, scores, fingerprints, hashes of all files
      config.yaml              the resolved configuration of the run
      model.safetensors        the parameters, or with `training.ema` their moving average
      src.subword tgt.subword  the subword models
      training/                for resuming: optimizer.safetensors, random.safetensors, state.json; with
                               `training.ema` the parameters, parameters.safetensors
      samples.json             sample translations of its validation, if there was one; see samples.py

It is written to a temporary folder, synced and renamed, so that it is complete or absent. Pickle is never used. A
checkpoint may come from anybody: each file is compared with its hash when it is read, and its contents are checked
before use.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from nmt.config import ModelConfig
from nmt.errors import CheckpointError, ConfigError, DamagedCheckpointError, DataError
from nmt.files import atomic_folder, atomic_write, find_folder, remove_temporaries, restore_folder
from nmt.model.decoder_shape import decoder_shape
from nmt.model.encoder import encoder_shape
from nmt.model.seq2seq import Seq2Seq
from nmt.saved_config import missing_settings, model_config
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint_files import (
    check_finite,
    check_same_layout,
    hash_file,
    load_json,
    load_tensors,
    save_tensors,
)
from nmt.training.checkpoint_format import (
    CONFIG_FILE,
    INFO_FILE,
    TRAINING,
    CheckpointInfo,
    FileReport,
    OpenedCheckpoint,
    damaged,
    describe,
    describe_with_scores,
    open_checkpoint,
    to_json,
)
from nmt.training.samples import SAMPLES_FILE, Sample, read_samples, samples_to_json
from nmt.training.snapshot import TrainingSnapshot

_MODEL = "model.safetensors"
_OPTIMIZER, _RANDOM, _STATE = (f"{TRAINING}/{n}" for n in ("optimizer.safetensors", "random.safetensors", "state.json"))
_SUBWORDS = {side: f"{side}.subword" for side in ("src", "tgt")}
_FILES = (CONFIG_FILE, _MODEL, *_SUBWORDS.values(), _OPTIMIZER, _RANDOM, _STATE)
_PARAMETERS = f"{TRAINING}/parameters.safetensors"  # only with a moving average
_MAX_TRIES = 5  # to read a checkpoint that a run is replacing

T = TypeVar("T")


@dataclass(frozen=True)
class CheckpointContent:
    """Everything that is written to a checkpoint."""

    info: CheckpointInfo
    parameters: Mapping[str, Tensor]
    config_yaml: str
    src_subword: SubwordModel
    tgt_subword: SubwordModel
    snapshot: TrainingSnapshot
    samples: Sequence[Sample] = ()


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


def save_checkpoint(checkpoints_dir: Path, content: CheckpointContent) -> Path:
    """Write a checkpoint of a run, replacing one of the same update.

    Raises:
        CheckpointError: if the disk is full or not writable.
    """
    return write_checkpoint(checkpoints_dir / checkpoint_name(content.info.update), content)


def write_checkpoint(target: Path, content: CheckpointContent) -> Path:
    """Write a checkpoint, replacing what is there. Only one process may write to it, or to its run, at a time.

    Raises:
        CheckpointError: if the disk is full or not writable.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(target.parent, target.name)
        with atomic_folder(target, may_replace=True) as folder:
            _write_files(folder, content)
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CheckpointError(f"{target} could not be written ({reason}); earlier checkpoints are intact") from error
    return target


class Validation(NamedTuple):
    """What a validation adds to the checkpoint of its update.

    Attributes:
        wall_s: seconds of training, with this validation.
        samples: sample translations; empty if the run makes none.
    """

    scores: Mapping[str, float]
    wall_s: float
    samples: Sequence[Sample] = ()


def record_validation(path: Path, validation: Validation) -> None:
    """Add the scores and sample translations of a validation to a checkpoint, in one step.

    The samples are written first: until checkpoint.json has their hash, they do not belong to the checkpoint. Format 1,
    which has no hashes, gets none.

    Raises:
        CheckpointError: if the checkpoint is damaged, or the disk is full or not writable.
    """
    new_hashes: dict[str, str] = {}
    name = SAMPLES_FILE
    has_hashes = open_checkpoint(path, path).hashes is not None
    try:
        if validation.samples and has_hashes:
            with atomic_write(path / name) as stream:
                stream.write(samples_to_json(validation.samples))
            new_hashes[name] = hash_file(path / name)
        name = INFO_FILE
        with atomic_write(path / name) as stream:
            scores, wall_s, _ = validation
            stream.write(describe_with_scores(path / name, scores=scores, wall_s=wall_s, new_hashes=new_hashes))
    except OSError as error:
        raise CheckpointError(f"{path / name} could not be written ({error.strerror})") from error


def restore_checkpoints(checkpoints_dir: Path) -> None:
    """Restore a checkpoint that was being replaced when the run was killed; no other process may be writing."""
    for old in checkpoints_dir.glob(".update_*.old"):
        restore_folder(checkpoints_dir / old.name.removeprefix(".").removesuffix(".old"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint for translation or fine-tuning.

    Raises:
        CheckpointError: if it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: _load(path, opened))


def read_info(path: Path) -> CheckpointInfo:
    """Read the description of a checkpoint.

    Raises:
        CheckpointError: if it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.info)


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of the run that wrote a checkpoint; settings that it lacks have their defaults.

    Raises:
        CheckpointError: if it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.config)


def read_new_settings(path: Path) -> dict[str, Any]:
    """Return the defaults, by key, of the settings that are newer than the version that wrote a checkpoint.

    Raises:
        CheckpointError: if it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.new_settings)


def load_snapshot(path: Path) -> TrainingSnapshot:
    """Read what resuming needs in addition to the model.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    return _read(path, _load_snapshot)


def load_state(path: Path) -> dict[str, Any] | None:
    """Read the state of training (`TrainState.to_json`); None if the folder for resuming was deleted.

    Raises:
        CheckpointError: if it is damaged, or the checkpoint is missing or damaged.
    """
    return _read(path, lambda opened: _load_state(opened) if (opened.folder / TRAINING).exists() else None)


def load_samples(path: Path) -> list[Sample]:
    """Read the sample translations of a checkpoint; none if it holds none.

    Raises:
        CheckpointError: if they, or the checkpoint, are missing or damaged.
    """
    return _read(path, _load_samples)


def check_files(path: Path) -> FileReport:
    """Compare all files of a checkpoint with the hashes that were written with them.

    Raises:
        CheckpointError: if there is no checkpoint, its description is damaged, or it is of a newer format.
    """
    return _read(path, lambda opened: opened.check_all())


def _read(path: Path, read: Callable[[OpenedCheckpoint], T]) -> T:
    """Read one checkpoint, even if a run replaces it meanwhile or moves the link `path` to another one."""
    for _ in range(_MAX_TRIES - 1):
        folder = _folder(path)
        before = _identity(folder)
        try:
            result = read(open_checkpoint(path, folder))
        except CheckpointError:
            if (_folder(path), _identity(_folder(path))) == (folder, before):
                raise
        else:
            if _identity(folder) in (before, None):  # None: deleted since
                return result
    return read(open_checkpoint(path, _folder(path)))


def _folder(path: Path) -> Path:
    return find_folder(Path(os.path.realpath(path)))  # also resolves circular links without an error


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _write_files(folder: Path, content: CheckpointContent) -> None:
    (folder / TRAINING).mkdir()
    (folder / CONFIG_FILE).write_text(content.config_yaml, encoding="utf-8")
    save_tensors(content.parameters, folder / _MODEL)
    content.src_subword.save(folder / _SUBWORDS["src"])
    content.tgt_subword.save(folder / _SUBWORDS["tgt"])
    save_tensors(content.snapshot.optimizer, folder / _OPTIMIZER)
    save_tensors(content.snapshot.random, folder / _RANDOM)
    (folder / _STATE).write_bytes(to_json(content.snapshot.state))
    names = list(_FILES)
    if content.snapshot.parameters:
        save_tensors(content.snapshot.parameters, folder / _PARAMETERS)
        names.append(_PARAMETERS)
    if content.samples:
        (folder / SAMPLES_FILE).write_bytes(samples_to_json(content.samples))
        names.append(SAMPLES_FILE)
    hashes = {name: hash_file(folder / name) for name in names}
    (folder / INFO_FILE).write_bytes(describe(content.info, hashes))


def _load(path: Path, opened: OpenedCheckpoint) -> Checkpoint:
    """Read the files that translation needs; cheap checks come before anything large is allocated."""
    try:
        config = model_config(opened.config.get("model"))
    except ConfigError as error:
        raise DamagedCheckpointError(
            f"{opened.folder / CONFIG_FILE} must hold the model's settings, but does not: {error}"
        ) from error
    src_subword = _load_subword(opened, "src", opened.info.src_subword_fingerprint)
    tgt_subword = _load_subword(opened, "tgt", opened.info.tgt_subword_fingerprint)
    file = opened.folder / _MODEL
    tensors = opened.migrated(load_tensors(file))
    _check_size(file, tensors, config)
    with torch.device("meta"):
        model = Seq2Seq(config, src_vocab_size=src_subword.vocab_size, tgt_vocab_size=tgt_subword.vocab_size)
    check_same_layout(file, tensors, model.state_dict())
    opened.check(_MODEL)
    check_finite(file, tensors, what="parameters")
    model.load_state_dict(tensors, assign=True)
    return Checkpoint(path, opened.info, opened.config, config, model.eval(), src_subword, tgt_subword)


def _load_subword(opened: OpenedCheckpoint, side: str, fingerprint: str) -> SubwordModel:
    file = opened.check(_SUBWORDS[side])
    # before SentencePiece parses the bytes: format 1 has no other hash of them
    if hashlib.sha256(file.read_bytes()).hexdigest() != fingerprint:
        raise DamagedCheckpointError(
            f"{file} is not the subword model that this checkpoint was trained with: restore it"
        )
    try:
        return SubwordModel.load(file)
    except DataError as error:
        raise DamagedCheckpointError(f"{error}: use another checkpoint of the run") from error


def _check_size(file: Path, tensors: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Refuse settings of a model larger than its parameters, which could take all memory to allocate."""
    num_parameters = sum(tensor.numel() for tensor in tensors.values())
    encoder, decoder = encoder_shape(config), decoder_shape(config)
    sizes = {  # in effect: the settings of single parts override these
        "num_layers": (max(encoder.num_layers, decoder.num_layers), len(tensors)),
        "hidden_dim": (max(encoder.hidden_dim, decoder.lower.hidden_dim), num_parameters),
        "embedding_dim": (max(encoder.input_dim, decoder.embedding_dim), num_parameters),
    }
    for name, (size, limit) in sizes.items():
        if size > limit:
            raise DamagedCheckpointError(
                f"{file} does not fit the settings: model.{name} is {size}, which is more than it holds: use another "
                "checkpoint of the run"
            )


def _load_snapshot(opened: OpenedCheckpoint) -> TrainingSnapshot:
    # format 1 has no hash that would reveal a truncated file
    if opened.hashes is None and (missing := missing_settings(opened.config)):
        raise damaged(opened.folder / CONFIG_FILE, "; ".join(missing))
    optimizer, random = opened.migrated(load_tensors(opened.check(_OPTIMIZER))), load_tensors(opened.check(_RANDOM))
    state = _load_state(opened)
    parameters = load_tensors(opened.check(_PARAMETERS)) if _PARAMETERS in (opened.hashes or ()) else {}
    return TrainingSnapshot(optimizer, random, state, opened.migrated(parameters))


def _load_state(opened: OpenedCheckpoint) -> dict[str, Any]:
    state = load_json(opened.check(_STATE))
    if not isinstance(state, dict):
        raise damaged(opened.folder / _STATE, "it holds no values by name")
    return state


def _load_samples(opened: OpenedCheckpoint) -> list[Sample]:
    return read_samples(opened.check(SAMPLES_FILE)) if SAMPLES_FILE in (opened.hashes or ()) else []
