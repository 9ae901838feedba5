"""The text of a corpus, block by block, so that memory does not grow with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nmt.errors import UnequalFilesError
from nmt.text.parallel import ParallelFiles, SentencePair, TextFiles, read_pairs

SPLITS = ("train", "dev", "test")
SIDES = ("src", "tgt")
_PAIRS_A_BLOCK = 10_000


class Block(NamedTuple):
    """Successive pairs of one file of each side.

    Attributes:
        first_line: number of the first pair in its files, from 1.
    """

    split: str
    src_file: Path
    tgt_file: Path
    first_line: int
    src: list[str]
    tgt: list[str]

    @property
    def num_pairs(self) -> int:
        return len(self.src)

    def side(self, side: str) -> list[str]:
        return self.src if side == "src" else self.tgt


@dataclass
class SplitText:
    """The files of a split.

    Attributes:
        unequal: how files differ in their numbers of lines, once they have been read.
    """

    split: str
    files: ParallelFiles
    unequal: list[str] = field(default_factory=list)

    def blocks(self) -> Iterator[Block]:
        """Yield all pairs; of files with different numbers of lines, those that are in both.

        Raises:
            DataError: if a file cannot be read.
        """
        src, tgt = self.files.src, self.files.tgt
        for src_path, tgt_path in zip(src.paths, tgt.paths, strict=True):
            one_file = ParallelFiles(TextFiles((src_path,), src.columns), TextFiles((tgt_path,), tgt.columns))
            pairs = read_pairs(one_file)
            first_line = 1
            while (block := self._next(pairs, Block(self.split, src_path, tgt_path, first_line, [], []))).src:
                first_line += block.num_pairs
                yield block

    def _next(self, pairs: Iterator[SentencePair], block: Block) -> Block:
        """Fill a block; it stays empty at the end of a file."""
        try:
            for src, tgt in islice(pairs, _PAIRS_A_BLOCK):
                block.src.append(src)
                block.tgt.append(tgt)
        except UnequalFilesError as error:
            self.unequal.append(str(error).partition(": ")[0])
        return block
