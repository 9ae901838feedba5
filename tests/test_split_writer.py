from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nmt.corpus.split_writer import SplitWriter
from nmt.text.subword_learning import learn_subword
from nmt.text.word_table import EncodedTexts
from tests.models import CHARACTERS

if TYPE_CHECKING:
    from pathlib import Path

    from nmt.corpus.manifest import DropReason, SplitReport
    from nmt.text.subword import SubwordModel

pytestmark = pytest.mark.no_tensors

SRC = EncodedTexts(np.array([4, 5, 1, 6], np.int32), np.array([2, 0, 2], np.int32))
TGT = EncodedTexts(np.array([7, 8, 9], np.int32), np.array([1, 1, 1], np.int32))


@pytest.fixture(scope="module")
def subword() -> SubwordModel:
    return learn_subword(["abcdefghijkl"], CHARACTERS, lang="en")


def writer(folder: Path, subword: SubwordModel, *, done: SplitReport | None = None, num_files: int = 2) -> SplitWriter:
    return SplitWriter(folder, "train", src_subword=subword, tgt_subword=subword, num_files=num_files, done=done)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pairs_are_counted_by_file_and_those_left_out_by_their_first_reason(
    tmp_path: Path, subword: SubwordModel
) -> None:
    dropped: dict[DropReason, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {
        "empty": np.array([False, True, False]),
        "too_long": np.array([False, True, True]),
    }
    with writer(tmp_path, subword) as split:
        split.append(SRC, TGT, dropped, of_file=0)
        split.append(SRC, TGT, {}, of_file=1)
        report = split.report()
    assert (report.num_read, report.num_kept, report.kept_by_file) == (6, 4, [1, 3])
    assert report.dropped == {"empty": 1, "too_long": 1, "too_unequal": 0}
    assert (report.src_subwords, report.tgt_subwords, report.src_unknown, report.tgt_unknown) == (6, 4, 1, 0)
    assert np.fromfile(tmp_path / "train.src.ids", "<u2").tolist() == [4, 5, 4, 5, 1, 6]
    assert np.fromfile(tmp_path / "train.tgt.offsets", "<i8").tolist() == [0, 1, 2, 3]


def test_the_pairs_of_a_single_file_are_not_counted_twice(tmp_path: Path, subword: SubwordModel) -> None:
    with writer(tmp_path, subword, num_files=1) as split:
        split.append(SRC, TGT, {}, of_file=0)
        assert split.report().kept_by_file == []


@pytest.mark.parametrize("num_files", [1, 2])
def test_files_continue_after_a_report_as_if_nothing_had_followed_it(
    tmp_path: Path, subword: SubwordModel, num_files: int
) -> None:
    with writer(tmp_path, subword, num_files=num_files) as split:
        split.append(SRC, TGT, {}, of_file=0)
        done = split.report()
        split.append(SRC, TGT, {}, of_file=num_files - 1)
        expected, content = split.report(), files(tmp_path)
        split.append(TGT, SRC, {}, of_file=0)
    with writer(tmp_path, subword, done=done, num_files=num_files) as split:
        assert split.num_read == 3
        assert split.report() == done
        split.append(SRC, TGT, {}, of_file=num_files - 1)
        assert split.report() == expected
    assert files(tmp_path) == content


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing"])
def test_damaged_files_begin_again(tmp_path: Path, subword: SubwordModel, damage: str) -> None:
    with writer(tmp_path, subword) as split:
        split.append(SRC, TGT, {}, of_file=0)
        done = split.report()
    path = tmp_path / "train.tgt.lens"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "shorter" else content[:-1] + b"x")
    with writer(tmp_path, subword, done=done) as split:
        assert split.num_read == 0
        split.append(SRC, TGT, {}, of_file=0)
        assert split.report() == done
    assert path.read_bytes() == content


def test_without_a_report_earlier_contents_are_lost(tmp_path: Path, subword: SubwordModel) -> None:
    for _ in range(2):
        with writer(tmp_path, subword) as split:
            split.append(SRC, TGT, {}, of_file=0)
            split.sync()
    assert (tmp_path / "train.tgt.ids").stat().st_size == 2 * 3
    assert replace(split.report(), checksums={}).num_read == 3
