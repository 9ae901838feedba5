"""The description of a checkpoint: checkpoint.json and config.yaml, in every format so far.

Format 2 added hashes of all files; format 3 names parameters by layer and direction. Older formats are migrated when
they are read, by one step from each to the next in `MIGRATIONS`. A setting added later needs no migration, only a
default in its dataclass that means "as before".
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import xxhash
from torch import Tensor

from nmt.errors import CheckpointError, ConfigError, DamagedCheckpointError
from nmt.plain import PlainError, flatten, from_plain, problems, shown
from nmt.saved_config import saved_config
from nmt.training.checkpoint_files import check_hash, load_json, load_yaml

FORMAT_VERSION = 3
INFO_FILE, CONFIG_FILE = "checkpoint.json", "config.yaml"
TRAINING = "training"  # the folder that only resuming needs


@dataclass(frozen=True)
class CheckpointInfo:
    """The description of a checkpoint, without its settings.

    Attributes:
        corpus_fingerprint: of the prepared corpus that it was trained on.
        scores: of the validation at this update: `nats_per_token`, `perplexity`, and `bleu` if it was measured.
        wall_s: seconds that the run had taken when it was validated; 0 if it was not.
    """

    update: int
    epochs: float
    corpus_fingerprint: str
    src_subword_fingerprint: str
    tgt_subword_fingerprint: str
    scores: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0


@dataclass
class Description:
    """The contents of checkpoint.json and config.yaml as plain values; migrations change it in place."""

    info: dict[str, Any]
    config: dict[str, Any]


class Migration(NamedTuple):
    """A step from one format to the next.

    Attributes:
        describe: changes the description.
        name: maps the old name of a parameter to the new one.
    """

    describe: Callable[[Description], None] = lambda _: None
    name: Callable[[str], str] = lambda name: name


def from_2_name(name: str) -> str:
    """Rename a parameter of `nn.LSTM`, which held all layers: each layer now has its own."""
    return re.sub(
        r"^((?:en|de)coder\.rnn)\.lstm\.(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)",
        r"\1.layers.\3.forwards.weights.\2_l0",
        name,
    )


MIGRATIONS: dict[int, Migration] = {1: Migration(), 2: Migration(name=from_2_name)}


class FileReport(NamedTuple):
    """What comparing the files of a checkpoint with their hashes has found.

    Attributes:
        num_checked: files compared; 0 in format 1, which has no hashes.
        problems: a line for each file that is missing or has changed.
        can_resume: False if the folder that only resuming needs was deleted, as it may be.
    """

    num_checked: int
    problems: list[str]
    can_resume: bool


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint whose description has been read and checked; its other files have not.

    Attributes:
        config: the configuration of the run; settings that it lacked have their defaults.
        new_settings: these settings, by key.
        hashes: of the files by name; None in format 1.
        version: its format.
    """

    folder: Path
    info: CheckpointInfo
    config: dict[str, Any]
    new_settings: dict[str, Any]
    hashes: dict[str, str] | None
    version: int

    def check(self, name: str) -> Path:
        """Return the path of a file after comparing it with its hash.

        Raises:
            DamagedCheckpointError: if the file is missing, or has changed since it was written.
        """
        check_hash(self.folder, name, self.hashes)
        return self.folder / name

    def check_all(self) -> FileReport:
        """Compare all files with their hashes.

        Raises:
            CheckpointError: if the checkpoint is deleted meanwhile.
        """
        can_resume = (self.folder / TRAINING).exists()
        names = [name for name in self.hashes or () if can_resume or not name.startswith(f"{TRAINING}/")]
        problems = []
        for name in names:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:  # a stranger's trap
                problems.append(f"{self.folder / INFO_FILE} names {shown(name)}, which is no file of the checkpoint")
                continue
            try:
                self.check(name)
            except DamagedCheckpointError as error:
                problems.append(str(error))
        if not (self.folder / INFO_FILE).is_file():
            raise CheckpointError(f"{self.folder} was deleted while it was read: name another checkpoint of the run")
        return FileReport(len(names), problems, can_resume)

    def migrated(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give tensors the names that their parameters have in the newest format."""
        renamed = dict(tensors)
        for version in range(self.version, FORMAT_VERSION):
            renamed = {MIGRATIONS[version].name(name): tensor for name, tensor in renamed.items()}
        return renamed


@dataclass(frozen=True)
class _Envelope:
    """checkpoint.json of any format: the info as it was written, and the fields around it."""

    version: int
    info: dict[str, Any]
    hashes: dict[str, str] | None  # None in format 1


def open_checkpoint(path: Path, folder: Path) -> OpenedCheckpoint:
    """Read and check the description of the checkpoint in a folder that the user calls `path`.

    Raises:
        CheckpointError: if there is none, or it is damaged or of a newer format.
    """
    file = folder / INFO_FILE
    if not file.is_file():
        raise CheckpointError(_explain_missing(path))
    envelope = _read_envelope(file)
    check_hash(folder, CONFIG_FILE, envelope.hashes)
    config = load_yaml(folder / CONFIG_FILE)
    if not isinstance(config, dict):
        raise damaged(folder / CONFIG_FILE, "it holds no settings")
    description = Description(envelope.info, config)
    for version in range(envelope.version, FORMAT_VERSION):
        MIGRATIONS[version].describe(description)
    try:
        info = from_plain(CheckpointInfo, description.info)
    except PlainError as error:
        raise damaged(file, error) from error
    try:
        config = saved_config(description.config)
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is invalid: {error}") from error
    before = flatten(description.config)
    new_settings = {key: value for key, value in flatten(config).items() if key not in before}
    return OpenedCheckpoint(folder, info, config, new_settings, envelope.hashes, envelope.version)


def describe(info: CheckpointInfo, hashes: dict[str, str]) -> bytes:
    """Return checkpoint.json in the newest format."""
    return _write_envelope(_Envelope(FORMAT_VERSION, asdict(info), hashes))


def describe_with_scores(
    file: Path, *, scores: Mapping[str, float], wall_s: float, new_hashes: Mapping[str, str]
) -> bytes:
    """Return an existing checkpoint.json with the scores of a validation added, in its own format.

    Args:
        new_hashes: of files that belong to the checkpoint from now on.

    An older checkpoint is not migrated here: config.yaml beside it would have to be migrated in the same step, and no
    file system replaces two files at once.
    """
    envelope = _read_envelope(file)
    info = {**envelope.info, "scores": dict(scores), "wall_s": wall_s}
    hashes = None if envelope.hashes is None else {**envelope.hashes, **new_hashes}
    return _write_envelope(_Envelope(envelope.version, info, hashes))


def hash_of(values: Mapping[str, Any]) -> str:
    """Hash the contents of a JSON file, independent of its layout."""
    return xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode())


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return the content of a JSON file of a checkpoint."""
    return (json.dumps(value, indent=2) + "\n").encode()


def damaged(file: Path, problem: object) -> DamagedCheckpointError:
    """Make the error for a file of a checkpoint that is readable, but has invalid contents."""
    return DamagedCheckpointError(f"{file} is damaged ({problem}): use another checkpoint of the run")


def _read_envelope(file: Path) -> _Envelope:
    """Read checkpoint.json: its format, its hash of itself, and the hashes of the other files."""
    values = load_json(file)
    if not isinstance(values, dict) or "format_version" not in values:
        raise damaged(file, "it names no format_version")
    version = values["format_version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{file.parent} has checkpoint format {shown(version)}, but this nmt reads formats 1 to {FORMAT_VERSION}: "
            "install a newer nmt"
        )
    hashes = None
    if version >= 2:
        if values.pop("hash", None) != hash_of(values):
            raise damaged(file, "its hash is not that of its contents")
        hashes = values.pop("files", None)
        if wrong := next(problems(dict[str, str], hashes, "files"), None):
            raise damaged(file, wrong.text)
    del values["format_version"]
    return _Envelope(version, values, hashes)


def _write_envelope(envelope: _Envelope) -> bytes:
    content = {"format_version": envelope.version, **envelope.info}
    if envelope.version >= 2:
        content["files"] = envelope.hashes
        content["hash"] = hash_of(content)
    return to_json(content)


def _explain_missing(path: Path) -> str:
    if not path.exists():
        if path.parent.is_dir() and path.name in ("best", "last"):
            return f"{path} does not exist: training has not written its first checkpoint yet"
        return f"{path} does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"
    if not path.is_dir():
        return f"{path} must be the folder of a checkpoint, but is a file: name RUN_DIR/checkpoints/best or the like"
    for below in (path / "checkpoints" / "best", path / "best"):
        if below.exists():
            return f"{path} is not a checkpoint, but contains some: name one of them, such as {below}"
    return f"{path} is not a checkpoint: it has no checkpoint.json; name one such as RUN_DIR/checkpoints/best"
