from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nmt.corpus.manifest import PROGRESS, SplitReport, read_manifest
from nmt.corpus.subwords import Subwords
from nmt.corpus.unfinished import UnfinishedCorpus
from nmt.text.subword_learning import learn_subword
from tests.models import CHARACTERS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_tensors

CHECKSUMS = {f"train.{side}.{part}": "0" for side in ("src", "tgt") for part in ("ids", "lens", "offsets")}
REPORT = SplitReport(9, 8, {"empty": 1}, 70, 80, 0, 0, CHECKSUMS)


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords(*(learn_subword([text], CHARACTERS, lang="en") for text in ("abc", "xyz")))


def learn_nothing() -> Subwords:
    raise AssertionError("there are subwords")


def test_the_next_process_finds_subwords_and_reports(tmp_path: Path, subwords: Subwords) -> None:
    first = UnfinishedCorpus(tmp_path, fingerprint="f")
    assert first.subwords(lambda: subwords) is subwords
    assert first.progress("train", advance=print).done is None
    first.progress("train", advance=print).save(REPORT)
    second = UnfinishedCorpus(tmp_path, fingerprint="f")
    assert [model.fingerprint for model in second.subwords(learn_nothing)] == [model.fingerprint for model in subwords]
    assert second.progress("train", advance=print).done == REPORT
    assert second.progress("dev", advance=print).done is None


def test_a_finished_corpus_has_its_manifest_only(tmp_path: Path, subwords: Subwords) -> None:
    corpus = UnfinishedCorpus(tmp_path, fingerprint="f")
    corpus.subwords(lambda: subwords)
    corpus.finish({"train": REPORT})
    assert read_manifest(tmp_path).splits == {"train": REPORT}
    assert not (tmp_path / PROGRESS).exists()
    assert UnfinishedCorpus(tmp_path, fingerprint="f").progress("train", advance=print).done == REPORT


@pytest.mark.parametrize("damaged", [PROGRESS, "src.subword", "tgt.subword", "another text"])
def test_what_is_damaged_or_of_another_text_begins_again(tmp_path: Path, subwords: Subwords, damaged: str) -> None:
    first = UnfinishedCorpus(tmp_path, fingerprint="f")
    first.subwords(lambda: subwords)
    first.progress("train", advance=print).save(REPORT)
    if damaged != "another text":
        (tmp_path / damaged).write_bytes((tmp_path / damaged).read_bytes()[:-2])
    second = UnfinishedCorpus(tmp_path, fingerprint="g" if damaged == "another text" else "f")
    assert second.progress("train", advance=print).done is None
    assert second.subwords(lambda: subwords) is subwords
