"""The data of the run that wrote a checkpoint: its settings and the columns of its text."""

from collections.abc import Sequence
from pathlib import Path

from nmt.choices import Side
from nmt.config import DataConfig
from nmt.corpus.prepare import split_files
from nmt.errors import ConfigError
from nmt.plain import PlainError, from_plain
from nmt.text.columns import Columns
from nmt.training.checkpoint import read_config
from nmt.training.checkpoint_links import read_checkpoint


def data_of_run(checkpoint: Path) -> DataConfig | None:
    """Return the settings of the data that a checkpoint was trained on; None if it does not hold them.

    Raises:
        CheckpointError: if the checkpoint cannot be read.
    """
    values = read_checkpoint(checkpoint, read_config).get("data")
    try:
        return from_plain(DataConfig, values, "data")
    except PlainError:
        return None


def columns_of_runs(checkpoints: Sequence[str], side: Side, *, needed_by: str, instead: str) -> Columns:
    """Return the columns of a side in the training text of the checkpoints.

    Args:
        needed_by: the setting that needs them, for messages.
        instead: what to set if there are none.

    Raises:
        ConfigError: if they were trained on text without columns, or on other columns than each other.
        CheckpointError: if a checkpoint cannot be read.
    """
    found = set()
    for path in map(Path, checkpoints):
        data = data_of_run(path)
        files = split_files(data, data.train) if data is not None else None
        text = None if files is None else files.src if side == Side.src else files.tgt
        if text is None or text.columns is None:
            raise ConfigError(
                f"{needed_by} needs a model trained on columns (data=tsv), but {path} is not: use {instead}"
            )
        found.add(text.columns)
    if len(found) > 1:
        raise ConfigError(
            f"{needed_by} needs checkpoints trained on the same columns, but theirs differ: use {instead}"
        )
    return found.pop()
