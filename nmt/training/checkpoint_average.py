"""The average of checkpoints: one model, whose parameters are the means of theirs.

It often translates better than each of them, if they are the last ones of one run; models of different seeds have
nothing in common that could be averaged. An average holds no training state, so that no run can resume from it.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from torch import Tensor

from nmt.errors import CheckpointError
from nmt.training.checkpoint import Checkpoint, CheckpointContent, load_checkpoint
from nmt.training.checkpoint_links import read_checkpoint
from nmt.training.snapshot import TrainingSnapshot

log = logging.getLogger(__name__)


def average_checkpoints(paths: Sequence[Path]) -> CheckpointContent:
    """Average the parameters of checkpoints, each with the same weight; everything else is that of the newest.

    If the checkpoints began with different random values, the log warns. Two models are in memory at a time.

    Raises:
        CheckpointError: if a checkpoint cannot be read, or the models or their subwords differ.
    """
    newest: Checkpoint | None = None
    sums: dict[str, Tensor] = {}
    beginnings = set()
    for path in paths:
        loaded = read_checkpoint(path, load_checkpoint)
        if newest is not None:
            _check_alike(loaded, newest)
        beginnings.add(_beginning(loaded))
        for name, parameter in loaded.model.state_dict().items():
            sums[name] = sums.get(name, 0) + parameter.double()
        if newest is None or loaded.info.update > newest.info.update:
            newest = loaded
    assert newest is not None, "there is at least one checkpoint"
    if len(beginnings) > 1:
        log.warning(
            "the checkpoints began with different random values (seed), so that their average may translate badly: "
            "average checkpoints of one run"
        )
    dtypes = {name: parameter.dtype for name, parameter in newest.model.state_dict().items()}
    return CheckpointContent(
        replace(newest.info, scores={}, wall_s=0.0),
        parameters={name: (total / len(paths)).to(dtypes[name]) for name, total in sums.items()},
        config_yaml=yaml.safe_dump(newest.config, sort_keys=False, allow_unicode=True),
        src_subword=newest.src_subword,
        tgt_subword=newest.tgt_subword,
        snapshot=TrainingSnapshot(optimizer={}, random={}, state={}, parameters={}),
    )


def _beginning(checkpoint: Checkpoint) -> object:
    """Return the checkpoint that a run was fine-tuned from, or else the seed of its first values."""
    config = checkpoint.config
    return config.get("training", {}).get("init_from") or config.get("seed")


def _check_alike(one: Checkpoint, other: Checkpoint) -> None:
    fingerprints = [
        (checkpoint.info.src_subword_fingerprint, checkpoint.info.tgt_subword_fingerprint)
        for checkpoint in (one, other)
    ]
    if one.model_config != other.model_config:
        problem = "their model settings differ"
    elif fingerprints[0] != fingerprints[1]:
        problem = "their subwords differ"
    else:
        return
    raise CheckpointError(
        f"{other.path} and {one.path} must be checkpoints of one model, but {problem}: name checkpoints of one run"
    )
