"""Resuming a run: from which checkpoint, and which settings may differ from before.

A run resumes with the settings that it was started with. A setting that is newer than the version that started the run
keeps its default, which means "as before", even if conf/ has another value for new runs.
"""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from nmt.command_config import TrainCommand
from nmt.config import OptimizerConfig
from nmt.errors import CheckpointError, ConfigError, DamagedCheckpointError
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import flatten, from_plain, parse_yaml, to_plain
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import load_checkpoint, load_snapshot, read_config, read_new_settings
from nmt.training.checkpoint_files import check_finite, check_same_layout
from nmt.training.checkpoint_links import find_last, read_checkpoint
from nmt.training.checkpoint_recovery import Recovery, recover
from nmt.training.dev_set import decisive_text_measures
from nmt.training.optimizer import state_layout
from nmt.training.snapshot import TrainingSnapshot

log = logging.getLogger(__name__)

# What may differ when a run resumes: limits, the learning rate, logging, device, and the locations of files
# (fingerprints protect their contents).
MAY_CHANGE = (
    "optimizer.lr",
    "optimizer.schedule.",
    "training.max_",
    "training.patience",
    "training.log_every",
    "training.keep_last",
    "training.samples",
    "data.dir",
    "data.prepared_dir",
    "data.test",
    "search.batch_rows",
    "search.window_lines",
    "device",
    "threads",
    "implementation",
    "run_dir",
    "resume",
)
# Settings of a model that may differ in a run that starts from its parameters.
_NOT_SHAPE = ("name", "dropout", "init", "forget_bias")
# The values of these in conf/ have changed since version 0.1.0: a run keeps those that it was started with.
KEPT = ("subword.normalization", "subword.src_normalization", "subword.tgt_normalization")


def find_start(run_dir: Path, *, resume: bool) -> Recovery:
    """Find the checkpoint that a run resumes from, and repair the damage of kills and copies.

    With `resume`, a run without a checkpoint starts from the beginning, so that one command starts and continues it.

    Raises:
        CheckpointError: if the directory holds a run and `resume` is false, or all of its checkpoints are damaged.
    """
    checkpoints_dir = run_dir / "checkpoints"
    if not resume:
        if (run_dir / "config.yaml").exists() or find_last(checkpoints_dir) is not None:
            raise CheckpointError(
                f"{run_dir} already holds a run: add resume=true to continue it, or name another run_dir"
            )
        return Recovery(None, [])
    recovery = recover(checkpoints_dir)
    if recovery.checkpoint is None:
        note = f"resume=true, but {run_dir} holds no checkpoint to resume from: a new run starts there"
        return Recovery(None, [*recovery.notes, note])
    return recovery


class ResumedSettings(NamedTuple):
    """The settings of a resumed run, and how they differ from before, in lines for the log."""

    settings: TrainCommand
    config_yaml: str
    changes: list[str]


def settings_to_resume(checkpoint: Path, config_yaml: str, *, typed: Collection[str]) -> ResumedSettings:
    """Compare the settings of a command with those of the run that it resumes.

    Args:
        typed: the keys given on the command line; others that are newer than the run keep their defaults.

    Raises:
        ConfigError: if settings differ that must not; it names all of them.
    """
    now = parse_yaml(config_yaml)
    assert isinstance(now, dict)
    before = flatten(read_config(checkpoint))
    for key, value in [*read_new_settings(checkpoint).items(), *((key, before[key]) for key in KEPT if key in before)]:
        if key not in typed:
            _set(now, key, value)
    settings = from_plain(TrainCommand, now)
    after = flatten(now)
    changes = {
        key: f"{key} was {before.get(key)} and is {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key != "resume"
    }
    may_change = MAY_CHANGE if decisive_text_measures(settings) else (*MAY_CHANGE, "search.")
    if forbidden := [change for key, change in changes.items() if not key.startswith(may_change)]:
        raise ConfigError(
            f"{settings.run_dir} cannot be resumed with different settings: {'; '.join(forbidden)} "
            "(repeat the settings that it was started with)"
        )
    text: str = yaml.safe_dump(now, sort_keys=False, allow_unicode=True)
    return ResumedSettings(settings, text, list(changes.values()))


def load_parameters(
    model: Seq2Seq, path: Path, *, corpus_fingerprint: str, corpus: Path, subwords: tuple[SubwordModel, SubwordModel]
) -> None:
    """Load the parameters of a checkpoint of the same run into a model.

    Raises:
        CheckpointError: if the checkpoint is damaged, or the run was trained on other text or subwords.
    """
    last = load_checkpoint(path)
    if last.info.corpus_fingerprint != corpus_fingerprint:
        raise CheckpointError(
            f"{last.path} was trained on other text (corpus {last.info.corpus_fingerprint[:12]}) than "
            f"{corpus}: restore the text, or start a new run_dir"
        )
    if [model.fingerprint for model in subwords] != [last.src_subword.fingerprint, last.tgt_subword.fingerprint]:
        raise CheckpointError(
            f"{last.path} was trained with other subword models than those in {corpus}: restore that folder, or copy "
            "the checkpoint's src.subword and tgt.subword to it"
        )
    model.load_state_dict(last.model.state_dict())


def load_start(model: Seq2Seq, path: Path) -> None:
    """Load the parameters that fine-tuning starts from into a model.

    Raises:
        CheckpointError: if the checkpoint is damaged.
        ConfigError: if its model is a different one.
    """
    start = read_checkpoint(path, load_checkpoint)
    found, wanted = to_plain(start.model_config), to_plain(model.config)
    differences = [
        f"model.{key}={'null' if value is None else value}"
        for key, value in found.items()
        if not key.startswith(_NOT_SHAPE) and value != wanted[key]
    ]
    if differences:
        raise ConfigError(f"the model of training.init_from={start.path} is different: set {' '.join(differences)}")
    model.load_state_dict(start.model.state_dict())
    log.info("starting from the parameters of %s (update %d)", start.path, start.info.update)


def read_snapshot(path: Path, *, model: nn.Module, optimizer: OptimizerConfig, ema: float) -> TrainingSnapshot:
    """Read what resuming needs in addition to the model, and check that it fits it.

    Raises:
        CheckpointError: if it is missing or damaged, or belongs to another model or optimizer.
    """
    snapshot = load_snapshot(path)
    folder, parameters = path / "training", dict(model.named_parameters())
    for name, tensors, layout in (
        ("optimizer", snapshot.optimizer, state_layout(parameters, optimizer)),
        ("parameters", snapshot.parameters, parameters if ema else {}),
    ):
        check_same_layout(folder / f"{name}.safetensors", tensors, layout)
        check_finite(folder / f"{name}.safetensors", tensors, what="values")
    _check_random(folder / "random.safetensors", snapshot.random)
    _check_counts(folder / "state.json", snapshot.state)
    return snapshot


def _check_random(file: Path, random: Mapping[str, Tensor]) -> None:
    """Check size and dtype: with others, torch would read beyond the end of a random state."""
    states = {"cpu": torch.get_rng_state()}
    if "cuda" in random:
        states["cuda"] = torch.empty(16, dtype=torch.uint8)  # seed and offset
    check_same_layout(file, random, states)


def _check_counts(file: Path, values: Mapping[str, Any]) -> None:
    """Refuse negative counts and NaN."""
    for key, value in flatten(values).items():
        if (isinstance(value, int) and value < 0) or value != value:
            raise DamagedCheckpointError(
                f"{file} is damaged: {key} must be a number at least 0, but is {value}: "
                "use another checkpoint of the run"
            )


def _set(config: dict[str, Any], key: str, value: object) -> None:
    *groups, name = key.split(".")
    for group in groups:
        config = config[group]
    config[name] = value
