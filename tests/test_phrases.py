"""Files of phrases, and the phrases of the built-in corpus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nmt.choices import Generator
from nmt.config import GenerateConfig
from nmt.errors import DataError
from nmt.report.phrases import PHRASEBOOK, Phrase, PhrasePlane, default_phrases, read_phrases
from nmt.training.run_data import data_of_run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_has_planes_groups_and_phrases(tmp_path: Path) -> None:
    file = tmp_path / "phrases.tsv"
    file.write_text(
        "# a comment\nvoice\tactive\tA dog runs.\norder\tx\ta b\n\nvoice\tpassive\t It is run. \n"
        "voice\tactive\tA cat runs.\norder\ty\tb a\norder\tx\ta c\n",
        encoding="utf-8",
    )
    assert read_phrases(file) == (
        PhrasePlane(
            "voice",
            (Phrase("active", "A dog runs."), Phrase("passive", "It is run."), Phrase("active", "A cat runs.")),
        ),
        PhrasePlane("order", (Phrase("x", "a b"), Phrase("y", "b a"), Phrase("x", "a c"))),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a\tb\tc\na\tb\n",
            "phrases.tsv, line 2: must be a plane, a group and a phrase, with tabs between them, but is 'a\\tb'",
        ),
        ("a\t\tc\n", "line 1: must be a plane, a group and a phrase, with tabs between them, but is 'a\\t\\tc'"),
        (
            "\n# nothing\n",
            "phrases.tsv must have phrases, but has none: write a plane, a tab, a group, a tab, a phrase",
        ),
        ("a\tb\tc\na\tb\td\n", "phrases.tsv: a plane must have at least 3 phrases, but 'a' has 2: add some"),
    ],
)
def test_a_mistake_is_named(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "phrases.tsv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)):
        read_phrases(file)


def test_the_built_in_phrases_differ_and_have_groups_of_several() -> None:
    for plane in PHRASEBOOK:
        assert len({phrase.text for phrase in plane.phrases}) == len(plane.phrases)
        groups = [phrase.group for phrase in plane.phrases]
        assert len(set(groups)) >= 2
        assert all(groups.count(group) >= 4 for group in groups)


def test_only_the_built_in_corpus_has_phrases_of_its_own(checkpoint: Path) -> None:
    data = data_of_run(checkpoint)
    assert data is not None
    assert default_phrases(data) == ()
    data.generate = GenerateConfig(Generator.phrasebook, 10, 1, 0, 1)
    assert default_phrases(data) == PHRASEBOOK
