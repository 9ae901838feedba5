"""The texts of an evaluation: files of hypotheses, references and sources, or the test set of the checkpoints' run."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nmt.choices import Side
from nmt.errors import ConfigError
from nmt.evaluation.metrics import check_num_lines
from nmt.evaluation.plain_text import refuse_markup, warn_of_columns
from nmt.text.parallel import ParallelFiles, TextFiles, read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmt.command_config import EvaluateCommand


class EvaluatedTexts(NamedTuple):
    """The texts that translations are made from and compared with.

    Attributes:
        sources: empty if they are not needed.
        references: of each file.
        further_answers: more references, of a test set in columns that has a source on several lines: what is right on
            one of them is right on all. Blank if a sentence has no more.
    """

    sources: list[str]
    references: list[list[str]]
    further_answers: list[list[str]]


def read_text(name: str) -> list[str]:
    """Read a file of plain text, one sentence per line.

    Raises:
        DataError: if it cannot be read, or is markup.
    """
    lines = list(read_lines(Path(name)))
    refuse_markup(lines, name=name)
    warn_of_columns(lines, name=name)
    return lines


def read_texts(settings: EvaluateCommand, test_set: ParallelFiles | None) -> EvaluatedTexts:
    """Read references and, if they are needed, sources, and compare their numbers before translation starts.

    Args:
        test_set: that of the run of the checkpoints, or a file of columns; `settings` name it as source and reference.
            None: plain files.

    Raises:
        DataError: if a file cannot be read or is markup, or the numbers differ.
    """
    if test_set is not None and test_set.src.columns is not None:
        return read_columns(test_set)
    return read_files(settings.source if settings.checkpoints or settings.by_length else None, settings.reference)


def read_columns(test_set: ParallelFiles) -> EvaluatedTexts:
    """Read a test set in columns.

    Raises:
        DataError: if the file cannot be read, or a line has too few fields.
    """
    sources, targets = ([*side.lines({})] for side in (test_set.src, test_set.tgt))
    return EvaluatedTexts(sources, [targets], _further_answers(sources, targets))


def read_files(source: str | None, reference: Sequence[str]) -> EvaluatedTexts:
    """Read a test set from files of plain text, without sources if they are not needed.

    Raises:
        DataError: if a file cannot be read or is markup, or the numbers of lines differ.
    """
    references, sources = [read_text(name) for name in reference], []
    if source is not None:
        sources = read_text(source)
        for name, lines in zip(reference, references, strict=True):
            check_num_lines(source, len(sources), reference=name, expected=len(lines))
    return EvaluatedTexts(sources, references, [])


def _further_answers(sources: Sequence[str], targets: Sequence[str]) -> list[list[str]]:
    """Return what other lines with the same source have as target: reference by reference, blank if there is none."""
    answers: dict[str, dict[str, None]] = {}
    for source, target in zip(sources, targets, strict=True):
        answers.setdefault(source, {})[target] = None
    others = [
        [answer for answer in answers[source] if answer != target]
        for source, target in zip(sources, targets, strict=True)
    ]
    return [list(reference) for reference in zip_longest(*others, fillvalue="")]


def test_set_of_columns(tsv: str, checkpoints: Sequence[str]) -> ParallelFiles:
    """Return a file of columns as a test set, with the columns that the checkpoints were trained on.

    Raises:
        ConfigError: if they were trained on text without columns, or on other columns than each other.
        CheckpointError: if a checkpoint cannot be read.
    """
    # imported here since scoring files needs no torch
    from nmt.training.run_data import columns_of_runs

    src, tgt = (
        columns_of_runs(checkpoints, side, needed_by=f"tsv={tsv}", instead="source=FILE and reference=FILE")
        for side in (Side.src, Side.tgt)
    )
    return ParallelFiles(TextFiles((Path(tsv),), src), TextFiles((Path(tsv),), tgt))


def find_test_set(checkpoints: Sequence[str]) -> ParallelFiles:
    """Return the files of `data.test` of the run that wrote the checkpoints: one for each side, or one of columns.

    Raises:
        ConfigError: if the run has no such test set, or the runs have different ones.
        CheckpointError: if a checkpoint cannot be read.
    """
    # imported here since scoring files needs no torch
    from nmt.corpus.prepare import split_files
    from nmt.training.run_data import data_of_run

    test_sets = set()
    for path in map(Path, checkpoints):
        data = data_of_run(path)
        files = split_files(data, data.test) if data is not None else None
        if files is None or [len(side.paths) for side in (files.src, files.tgt)] != [1, 1]:
            raise ConfigError(
                f"the run of {path} was given no test set (data.test.src and data.test.tgt, one file each, or "
                "data.test.tsv): give source=FILE and reference=FILE"
            )
        test_sets.add(files)
    if len(test_sets) > 1:
        raise ConfigError("the runs of the checkpoints name different test sets: give source=FILE and reference=FILE")
    return test_sets.pop()


def find_tgt_lang(checkpoints: Sequence[str]) -> str | None:
    """Return the target language of the run that wrote the first checkpoint, or None without checkpoints.

    Raises:
        CheckpointError: if the checkpoint cannot be read.
    """
    if not checkpoints:
        return None
    from nmt.training.run_data import data_of_run

    data = data_of_run(Path(checkpoints[0]))
    return data.tgt_lang if data is not None else None
