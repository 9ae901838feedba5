"""The texts of an evaluation: files of hypotheses, references and sources, or the test set of the checkpoints' run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmt.errors import ConfigError
from nmt.evaluation.metrics import check_num_lines
from nmt.evaluation.plain_text import refuse_markup
from nmt.text.parallel import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read_text(name: str) -> list[str]:
    """Read a file of plain text, one sentence per line.

    Raises:
        DataError: if it cannot be read, or is markup.
    """
    lines = list(read_lines(Path(name)))
    refuse_markup(lines, name=name)
    return lines


def read_sources(name: str, *, references: Sequence[Sequence[str]], reference_names: Sequence[str]) -> list[str]:
    """Read the sentences to translate, and compare their number with the references before translation starts.

    Raises:
        DataError: if the file cannot be read, or the numbers differ.
    """
    sources = read_text(name)
    for reference_name, reference in zip(reference_names, references, strict=True):
        check_num_lines(reference_name, len(reference), reference=name, expected=len(sources))
    return sources


def find_test_set(checkpoints: Sequence[str]) -> tuple[str, str]:
    """Return the source and the reference file of `data.test` of the run that wrote the checkpoints.

    Raises:
        ConfigError: if the run has no test set with one file per side, or the runs have different ones.
        CheckpointError: if a checkpoint cannot be read.
    """
    test_sets = set()
    for path in map(Path, checkpoints):
        data = _data_of_run(path)
        sides = [(data.get("test") or {}).get(side) or [] for side in ("src", "tgt")]
        if [len(files) for files in sides] != [1, 1]:
            raise ConfigError(
                f"the run of {path} was given no test set (data.test.src and data.test.tgt, one file each): "
                "give source=FILE and reference=FILE"
            )
        test_sets.add((str(Path(data["dir"], sides[0][0])), str(Path(data["dir"], sides[1][0]))))
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
    lang = _data_of_run(Path(checkpoints[0])).get("tgt_lang")
    return lang if isinstance(lang, str) else None


def _data_of_run(checkpoint: Path) -> Mapping[str, Any]:
    """Return the `data` settings of the run that wrote a checkpoint."""
    # imported here since scoring files needs no torch
    from nmt.training.checkpoint import read_config
    from nmt.training.checkpoint_links import read_checkpoint

    return read_checkpoint(checkpoint, read_config).get("data") or {}
