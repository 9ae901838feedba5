"""What is known about a checkpoint: from its own files, the run that wrote it, and scores that the user gives."""

import glob
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.card.scores import ScoredText
from nmt.config import DataConfig, ModelConfig
from nmt.corpus.manifest import Manifest, read_manifest
from nmt.errors import DataError
from nmt.plain import PlainError, flatten, from_plain
from nmt.training.checkpoint import load_checkpoint, load_samples, load_state
from nmt.training.checkpoint_format import CheckpointInfo
from nmt.training.metrics_log import read_records
from nmt.training.samples import Sample
from nmt.training.train_state import TrainState


@dataclass(frozen=True)
class Facts:
    """What a card tells; None, or empty, is what is not known.

    Attributes:
        settings: of the run, by key.
        data: None if the checkpoint does not say what it was trained on.
        state: of training; None if the checkpoint can no longer be resumed.
        manifest: of the prepared corpus; None if that is no longer there.
        tgt_tokens_per_s: the median speed of training.
    """

    info: CheckpointInfo
    settings: dict[str, Any]
    model: ModelConfig
    num_parameters: int
    vocab_sizes: tuple[int, int]
    data: DataConfig | None
    state: TrainState | None
    manifest: Manifest | None
    tgt_tokens_per_s: float | None
    samples: list[Sample]
    scores: list[ScoredText]

    @property
    def wall_s(self) -> float | None:
        """Seconds of training, with validations."""
        return self.info.wall_s or (self.state.wall_s if self.state else 0.0) or None


def gather_facts(folder: Path, *, run_dir: Path | None, scores: Sequence[ScoredText]) -> Facts:
    """Collect what is known.

    Args:
        folder: of the checkpoint.
        run_dir: where the metrics of the run are, if they are known.

    Raises:
        CheckpointError: if the checkpoint is missing or damaged.
    """
    loaded = load_checkpoint(folder)
    data = _data(loaded.config)
    state = load_state(folder)
    return Facts(
        info=loaded.info,
        settings=flatten(loaded.config),
        model=loaded.model_config,
        num_parameters=loaded.model.num_parameters(),
        vocab_sizes=(loaded.src_subword.vocab_size, loaded.tgt_subword.vocab_size),
        data=data,
        state=None if state is None else _train_state(state),
        manifest=None if data is None else _manifest(data, loaded.info.corpus_fingerprint),
        tgt_tokens_per_s=None if run_dir is None else _speed(run_dir, loaded.info.update),
        samples=load_samples(folder),
        scores=list(scores),
    )


def _data(config: dict[str, Any]) -> DataConfig | None:
    try:
        return from_plain(DataConfig, config.get("data"), "data")
    except PlainError:
        return None


def _train_state(values: dict[str, Any]) -> TrainState | None:
    try:
        return TrainState.from_json(values)
    except PlainError:
        return None


def _manifest(data: DataConfig, fingerprint: str) -> Manifest | None:
    """Find the prepared corpus by its fingerprint, which is part of its name."""
    pattern = f"{glob.escape(data.name)}-*-{glob.escape(fingerprint[:12])}"
    for directory in Path(data.prepared_dir).glob(pattern):
        try:
            manifest = read_manifest(directory)
        except DataError:
            continue
        if manifest.fingerprint == fingerprint:
            return manifest
    return None


def _speed(run_dir: Path, update: int) -> float | None:
    speeds = [
        float(record["tgt_tokens_per_s"])
        for record in read_records(run_dir)
        if isinstance(record.get("tgt_tokens_per_s"), float) and int(record["update"]) <= update
    ]
    return statistics.median(speeds) if speeds else None
