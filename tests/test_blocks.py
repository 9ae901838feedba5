from __future__ import annotations

from pathlib import Path

import pytest

from nmt.doctor import blocks
from nmt.doctor.blocks import SplitText
from nmt.errors import DataError
from nmt.text.columns import Columns
from nmt.text.parallel import ParallelFiles, TextFiles


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_PAIRS_A_BLOCK", 2)


def split_of(folder: Path, *lines: list[str]) -> SplitText:
    """Write files, alternately of the source and of the target."""
    paths = []
    for number, content in enumerate(lines):
        paths.append(folder / str(number))
        paths[-1].write_text("".join(f"{line}\n" for line in content))
    return SplitText("train", ParallelFiles(TextFiles(tuple(paths[::2])), TextFiles(tuple(paths[1::2]))))


def test_every_pair_is_in_one_block_with_its_line(tmp_path: Path) -> None:
    text = split_of(tmp_path, ["a", "b", "c"], ["A", "B", "C"], ["d", "e"], ["D", "E"])
    assert [(block.src_file.name, block.first_line, block.src, block.tgt) for block in text.blocks()] == [
        ("0", 1, ["a", "b"], ["A", "B"]),
        ("0", 3, ["c"], ["C"]),
        ("2", 1, ["d", "e"], ["D", "E"]),
    ]
    assert text.unequal == []


@pytest.mark.parametrize("extra", [0, 1])
def test_files_of_different_lengths_are_read_as_far_as_both_go(tmp_path: Path, extra: int) -> None:
    lines = [["a", "b", "c"], ["A", "B", "C"]]
    lines[extra].append("x")
    text = split_of(tmp_path, *lines, ["d"], ["D"])
    assert [block.src for block in text.blocks()] == [["a", "b"], ["c"], ["d"]]
    names = (tmp_path / str(1 - extra), tmp_path / str(extra))
    assert text.unequal == [f"{names[0]} ends at line 3, {names[1]} continues"]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    text = split_of(tmp_path, ["a"], ["A"])
    (tmp_path / "0").write_bytes(b"\xe9\n")
    with pytest.raises(DataError, match="must be UTF-8"):
        list(text.blocks())


def test_columns_are_both_sides_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("run\tran\tV\n")
    side = [TextFiles((tmp_path / "a.tsv",), Columns(1, (3,))), TextFiles((tmp_path / "a.tsv",), Columns(2))]
    [block] = SplitText("dev", ParallelFiles(*side)).blocks()
    assert (block.split, block.src, block.tgt) == ("dev", ["<V> run"], ["ran"])
