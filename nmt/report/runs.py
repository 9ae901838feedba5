"""A run as a report reads it: its name, settings, metrics and best checkpoint."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nmt.config import DataConfig
from nmt.corpus.prepare import split_files
from nmt.errors import CheckpointError, DataError
from nmt.plain import PlainError, from_plain
from nmt.report.section import Section, Table
from nmt.training.checkpoint import Checkpoint, load_checkpoint
from nmt.training.checkpoint_links import read_checkpoint
from nmt.training.metrics_log import Record, read_records


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: its folder's name, or the path as typed if two runs have one name.
        checkpoint: the best one, loaded.
        records: the lines of metrics.jsonl.
        sentences_per_s: of translation, as measured for this report; None if it was not.
    """

    name: str
    folder: Path
    checkpoint: Checkpoint
    records: list[Record]
    sentences_per_s: float | None = None

    def data(self) -> DataConfig:
        """Return the settings of the text that it was trained on.

        Raises:
            DataError: if the checkpoint does not hold them.
        """
        try:
            return from_plain(DataConfig, self.checkpoint.config.get("data"), "data")
        except PlainError as error:
            raise DataError(f"the settings of the data of {self.folder} are incomplete: {error}") from error

    def training_sources(self) -> Iterator[str]:
        """Yield the source side of the text that it was trained on.

        Raises:
            DataError: if the text cannot be read, or the checkpoint does not say what it was.
        """
        data = self.data()
        return split_files(data, data.train).src.lines({})


def best_checkpoint(run_dir: str) -> str:
    """Name the checkpoint of a run that a report is about."""
    return str(Path(run_dir, "checkpoints", "best"))


def read_run(run_dir: str, *, name: str) -> Run:
    """Read a run.

    Raises:
        CheckpointError: if it is not the folder of a run, or its best checkpoint cannot be loaded.
    """
    folder = Path(run_dir)
    if not (folder / "checkpoints").is_dir():
        raise CheckpointError(
            f"runs must name folders of runs, with checkpoints in them, but {run_dir} is not one: give the run_dir of "
            "nmt train"
        )
    checkpoint = read_checkpoint(Path(best_checkpoint(run_dir)), load_checkpoint)
    return Run(name, folder, checkpoint, read_records(folder))


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path; the whole path if others end in the same."""
    count = Counter(Path(path).name for path in paths)
    return [Path(path).name if count[Path(path).name] == 1 else path for path in paths]


def runs_section(runs: Sequence[Run]) -> Section:
    """List the runs: model, size, training and the speed of translation."""
    columns = ("run", "model", "parameters", "updates", "epochs", "minutes", "perplexity", "sentences/s")
    rows = tuple(_row(run) for run in runs)
    about = (
        "Updates, epochs and minutes of training are those up to the checkpoint. Perplexity is that of a subword of "
        "the development set. Sentences per second were translated for this report, loading included."
    )
    decimals = {"epochs": 1, "minutes": 1, "perplexity": 2, "sentences/s": 0}
    return Section("Runs", (about,), tables=(Table("The best checkpoint of each run", columns, rows, decimals),))


def _row(run: Run) -> tuple[str | int | float | None, ...]:
    checkpoint, info = run.checkpoint, run.checkpoint.info
    return (
        run.name,
        checkpoint.config.get("model", {}).get("name"),
        checkpoint.model.num_parameters(),
        info.update,
        info.epochs,
        info.wall_s / 60 or None,
        info.scores.get("perplexity"),
        run.sentences_per_s,
    )
