"""Model and training state <-> directory.

A checkpoint is self-contained:

    update_000500/
      checkpoint.json          format version, update, epochs, scores, fingerprints, hashes of all files
      config.yaml              the resolved configuration of the run
      model.safetensors        the parameters
      src.subword tgt.subword  the subword models
      training/                optimizer.safetensors, random.safetensors, state.json: what resuming needs besides

It is written to a temporary folder, synced and renamed, so that it is complete or absent. No pickle is ever read. Each
file is checked against its hash when it is read, and what a checkpoint holds is checked before it is used, since
anybody may have written it.

Format 2 added the hashes. An older format is brought to the newest when it is read, by one function per step in
`MIGRATIONS`; a setting that was added later needs none, but a default in its dataclass that means "as before".
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import xxhash
from safetensors import SafetensorError
from torch import Tensor

from nmt.config import ModelConfig
from nmt.errors import CheckpointError, ConfigError, DamagedCheckpointError, DataError
from nmt.files import atomic_folder, atomic_write, find_folder, remove_temporaries, restore_folder
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import PlainError, flatten, from_plain, problems, shown
from nmt.saved_config import missing_settings, model_config, saved_config
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint_files import (
    check_finite,
    check_hash,
    check_same_layout,
    hash_file,
    load_json,
    load_tensors,
    load_yaml,
    save_tensors,
)

FORMAT_VERSION = 2

_INFO, _CONFIG, _MODEL = "checkpoint.json", "config.yaml", "model.safetensors"
_OPTIMIZER, _RANDOM, _STATE = "training/optimizer.safetensors", "training/random.safetensors", "training/state.json"
_SUBWORDS = {side: f"{side}.subword" for side in ("src", "tgt")}
_FILES = (_CONFIG, _MODEL, *_SUBWORDS.values(), _OPTIMIZER, _RANDOM, _STATE)
_MAX_TRIES = 5  # to read a checkpoint that a run replaces at that moment

T = TypeVar("T")


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


@dataclass
class Description:
    """What checkpoint.json and config.yaml hold, as plain values; migrations change it in place."""

    info: dict[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True)
class _Envelope:
    """What every format has around the description; `hashes` of the files by name are None in format 1."""

    version: int
    info: dict[str, Any]
    hashes: dict[str, str] | None


@dataclass(frozen=True)
class _Opened:
    """A checkpoint whose description is read and checked; its files are still to be read."""

    folder: Path
    info: CheckpointInfo
    config: dict[str, Any]
    new_settings: dict[str, Any]
    hashes: dict[str, str] | None

    def check(self, name: str) -> Path:
        """Return the path of a file whose bytes are those that were written."""
        check_hash(self.folder, name, self.hashes)
        return self.folder / name


def _from_1(_: Description) -> None:
    """Only the hashes are new in format 2."""


MIGRATIONS: dict[int, Callable[[Description], None]] = {1: _from_1}


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
    """Write a checkpoint; an older one of the same update gives way to it. One process at a time may write to a run.

    Raises:
        CheckpointError: where the disk is full or refuses.
    """
    target = checkpoints_dir / checkpoint_name(info.update)
    try:
        checkpoints_dir.mkdir(parents=True, exist_ok=True)
        remove_temporaries(checkpoints_dir, target.name)
        with atomic_folder(target, may_replace=True) as folder:
            (folder / "training").mkdir()
            (folder / _CONFIG).write_text(config_yaml, encoding="utf-8")
            save_tensors(parameters, folder / _MODEL)
            src_subword.save(folder / _SUBWORDS["src"])
            tgt_subword.save(folder / _SUBWORDS["tgt"])
            save_tensors(snapshot.optimizer, folder / _OPTIMIZER)
            save_tensors(snapshot.random, folder / _RANDOM)
            (folder / _STATE).write_bytes(_to_json(snapshot.state))
            (folder / _INFO).write_bytes(_describe(info, _hash_files(folder)))
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CheckpointError(f"{target} could not be written ({reason}); earlier checkpoints are intact") from error
    return target


def record_scores(path: Path, scores: Mapping[str, float], *, wall_s: float) -> None:
    """Add to a checkpoint what a validation found, in one step.

    Raises:
        CheckpointError: the checkpoint is damaged, or the disk is full or refuses.
    """
    opened = _open(path, path)
    info = replace(opened.info, scores=dict(scores), wall_s=wall_s)
    try:
        with atomic_write(path / _INFO) as stream:
            stream.write(_describe(info, opened.hashes or _hash_files(path)))
    except OSError as error:
        raise CheckpointError(f"{path / _INFO} could not be written ({error.strerror})") from error


def restore_checkpoints(checkpoints_dir: Path) -> None:
    """Bring back a checkpoint that was being replaced when the run was killed; no other process may be writing."""
    for old in checkpoints_dir.glob(".update_*.old"):
        restore_folder(checkpoints_dir / old.name.removeprefix(".").removesuffix(".old"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint for translation or fine-tuning.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: _load(path, opened))


def read_info(path: Path) -> CheckpointInfo:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.info)


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of the run that wrote a checkpoint; settings that it lacks have their defaults.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.config)


def read_new_settings(path: Path) -> dict[str, Any]:
    """Return the settings that came later than the run that wrote a checkpoint, by key, with their defaults.

    Raises:
        CheckpointError: where it is missing, damaged, or of a newer format.
    """
    return _read(path, lambda opened: opened.new_settings)


def load_snapshot(path: Path) -> TrainingSnapshot:
    """Read what resuming needs besides the parameters.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    return _read(path, _load_snapshot)


def _read(path: Path, read: Callable[[_Opened], T]) -> T:
    """Read from one checkpoint, also while a run replaces it or lets the link `path` point to another one."""
    for _ in range(_MAX_TRIES - 1):
        folder = _folder(path)
        before = _identity(folder)
        try:
            result = read(_open(path, folder))
        except CheckpointError:
            if (_folder(path), _identity(_folder(path))) == (folder, before):
                raise
        else:
            if _identity(folder) in (before, None):  # None: deleted since
                return result
    return read(_open(path, _folder(path)))


def _folder(path: Path) -> Path:
    return find_folder(Path(os.path.realpath(path)))  # links in a circle included


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(path: Path, folder: Path) -> _Opened:
    """Read and check the description of the checkpoint in a folder that the user calls `path`."""
    file = folder / _INFO
    if not file.is_file():
        raise CheckpointError(_explain_missing(path))
    envelope = _open_envelope(file)
    check_hash(folder, _CONFIG, envelope.hashes)
    config = load_yaml(folder / _CONFIG)
    if not isinstance(config, dict):
        raise _damaged(folder / _CONFIG, "it holds no settings")
    description = Description(envelope.info, config)
    for version in range(envelope.version, FORMAT_VERSION):
        MIGRATIONS[version](description)
    try:
        info = from_plain(CheckpointInfo, description.info)
    except PlainError as error:
        raise _damaged(file, error) from error
    try:
        config = saved_config(description.config)
    except ConfigError as error:
        raise CheckpointError(f"{folder / _CONFIG} cannot be used: {error}") from error
    before = flatten(description.config)
    new_settings = {key: value for key, value in flatten(config).items() if key not in before}
    return _Opened(folder, info, config, new_settings, envelope.hashes)


def _open_envelope(file: Path) -> _Envelope:
    """Read checkpoint.json: its format, its hash of itself, and the hashes of the other files."""
    values = load_json(file)
    if not isinstance(values, dict) or "format_version" not in values:
        raise _damaged(file, "it names no format_version")
    version = values["format_version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{file.parent} has checkpoint format {shown(version)}, but this nmt reads formats 1 to {FORMAT_VERSION}: "
            "install a newer nmt"
        )
    hashes = None
    if version >= 2:
        if values.pop("hash", None) != _hash_of(values):
            raise _damaged(file, "its hash is not that of its contents")
        hashes = values.pop("files", None)
        if wrong := next(problems(dict[str, str], hashes, "files"), None):
            raise _damaged(file, wrong.text)
    del values["format_version"]
    return _Envelope(version, values, hashes)


def _describe(info: CheckpointInfo, hashes: Mapping[str, str]) -> bytes:
    """Write checkpoint.json."""
    content = {"format_version": FORMAT_VERSION, **asdict(info), "files": hashes}
    return _to_json({**content, "hash": _hash_of(content)})


def _hash_files(folder: Path) -> dict[str, str]:
    return {name: hash_file(folder / name) for name in _FILES}


def _hash_of(values: Mapping[str, Any]) -> str:
    """Hash what a JSON file holds, however it is laid out."""
    return xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode())


def _load(path: Path, opened: _Opened) -> Checkpoint:
    """Read the files that translation needs; what is cheap to find wrong is found before anything large is made."""
    folder = opened.folder
    try:
        config = model_config(opened.config.get("model"))
    except ConfigError as error:
        raise DamagedCheckpointError(
            f"{folder / _CONFIG} must hold the model's settings, but does not: {error}"
        ) from error
    src_subword = _load_subword(opened, "src", opened.info.src_subword_fingerprint)
    tgt_subword = _load_subword(opened, "tgt", opened.info.tgt_subword_fingerprint)
    file = folder / _MODEL
    tensors = load_tensors(file)
    _check_size(file, tensors, config)
    with torch.device("meta"):
        model = Seq2Seq(config, src_vocab_size=src_subword.vocab_size, tgt_vocab_size=tgt_subword.vocab_size)
    check_same_layout(file, tensors, model.state_dict())
    opened.check(_MODEL)
    check_finite(file, tensors, what="parameters")
    model.load_state_dict(tensors, assign=True)
    return Checkpoint(path, opened.info, opened.config, config, model.eval(), src_subword, tgt_subword)


def _load_subword(opened: _Opened, side: str, fingerprint: str) -> SubwordModel:
    file = opened.check(_SUBWORDS[side])
    # asked of the bytes, before SentencePiece takes them: format 1 has no other hash of them
    if hashlib.sha256(file.read_bytes()).hexdigest() != fingerprint:
        raise DamagedCheckpointError(
            f"{file} is not the subword model that this checkpoint was trained with: restore it"
        )
    try:
        return SubwordModel.load(file)
    except DataError as error:
        raise DamagedCheckpointError(f"{error}: use another checkpoint of the run") from error


def _check_size(file: Path, tensors: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Refuse settings of a model larger than its parameters: making it could take all time and memory."""
    num_parameters = sum(tensor.numel() for tensor in tensors.values())
    limits = {"num_layers": len(tensors), "hidden_dim": num_parameters, "embedding_dim": num_parameters}
    for name, limit in limits.items():
        if getattr(config, name) > limit:
            raise DamagedCheckpointError(
                f"{file} does not fit the settings: model.{name} is {getattr(config, name)}, which is more than it "
                "holds: use another checkpoint of the run"
            )


def _load_snapshot(opened: _Opened) -> TrainingSnapshot:
    # format 1 has no hash that would tell of a file cut short
    if opened.hashes is None and (missing := missing_settings(opened.config)):
        raise _damaged(opened.folder / _CONFIG, "; ".join(missing))
    optimizer, random = (load_tensors(opened.check(name)) for name in (_OPTIMIZER, _RANDOM))
    state = load_json(opened.check(_STATE))
    if not isinstance(state, dict):
        raise _damaged(opened.folder / _STATE, "it holds no values by name")
    return TrainingSnapshot(optimizer, random, state)


def _damaged(file: Path, problem: object) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{file} is damaged ({problem}): use another checkpoint of the run")


def _explain_missing(path: Path) -> str:
    if not path.exists():
        if path.parent.is_dir() and path.name in ("best", "last"):
            return f"{path} does not exist: training has not written its first checkpoint yet"
        return f"{path} does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"
    if not path.is_dir():
        return f"{path} must be the folder of a checkpoint, but is a file: name RUN_DIR/checkpoints/best or the like"
    for below in (path / "checkpoints" / "best", path / "best"):
        if below.exists():
            return f"{path} is not a checkpoint, but holds some: name one of them, such as {below}"
    return f"{path} is not a checkpoint: it has no checkpoint.json; name one such as RUN_DIR/checkpoints/best"


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
