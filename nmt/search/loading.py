"""From checkpoints to scorers, from which a translator is built."""

from collections.abc import Sequence
from pathlib import Path

import torch

from nmt.choices import EnsembleAverage, Implementation, SearchPrecision
from nmt.conf_files import conf_dir
from nmt.config import SearchConfig
from nmt.errors import ConfigError
from nmt.plain import PlainError, from_plain, read_yaml, to_plain
from nmt.search.scorer import EnsembleScorer, ModelScorer
from nmt.training import checkpoint
from nmt.training.checkpoint import Checkpoint
from nmt.training.checkpoint_links import read_checkpoint


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load the model, the subword models and the configuration of a checkpoint.

    `checkpoint.model` is on the CPU and in evaluation mode, `checkpoint.src_subword` and `.tgt_subword` turn text into
    ids and back, `checkpoint.config` is the configuration of the run by group and key, `checkpoint.info` has the update
    and its scores. Loading runs no code of the checkpoint.

    Args:
        path: the folder of a checkpoint, or the link RUN_DIR/checkpoints/best or last to one.

    Raises:
        CheckpointError: if there is no checkpoint, or it is damaged or of a newer format.
    """
    return read_checkpoint(Path(path), checkpoint.load_checkpoint)


def load_scorer(
    checkpoints: Sequence[str | Path],
    *,
    device: torch.device,
    precision: SearchPrecision,
    average: EnsembleAverage,
    implementation: Implementation = Implementation.fast,
    counts_coverage: bool = False,
) -> ModelScorer | EnsembleScorer:
    """Load one checkpoint, or several as an ensemble.

    Raises:
        ConfigError: if no checkpoint is named.
        CheckpointError: if a checkpoint cannot be loaded, or the members do not share a target vocabulary.
    """
    if not checkpoints:
        raise ConfigError("checkpoints must name at least one checkpoint: 'checkpoints=[RUN_DIR/checkpoints/best]'")
    members = []
    for path in checkpoints:
        loaded = load_checkpoint(path)
        loaded.model.implementation = implementation
        members.append(
            ModelScorer(
                loaded.model,
                src_subword=loaded.src_subword,
                tgt_subword=loaded.tgt_subword,
                device=device,
                precision=precision,
                name=str(path),
                counts_coverage=counts_coverage,
            )
        )
    return members[0] if len(members) == 1 else EnsembleScorer(members, average=average)


def default_search_config() -> SearchConfig:
    """Read the default settings of `nmt translate`, conf/search/beam_5.yaml."""
    return _search_config(read_yaml(conf_dir() / "search" / "beam_5.yaml"))


def with_search_settings(
    config: SearchConfig,
    *,
    beam_size: int | None = None,
    n_best: int | None = None,
    precision: str | None = None,
) -> SearchConfig:
    """Replace the settings that are not None.

    Raises:
        ConfigError: if a setting is not of its type.
    """
    given = {"beam_size": beam_size, "n_best": n_best, "precision": precision}
    return _search_config({**to_plain(config), **{key: value for key, value in given.items() if value is not None}})


def _search_config(values: object) -> SearchConfig:
    try:
        return from_plain(SearchConfig, values, "search")
    except PlainError as error:
        raise ConfigError(str(error)) from error
