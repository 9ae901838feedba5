"""From sentence pairs to the files of a split of a prepared corpus; `nmt.corpus.binarized` describes their layout.

A long text is encoded by other processes if there are several CPUs. The result is the same. Memory does not grow with
the corpus.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.corpus.manifest import DropReason, SplitReport
from nmt.corpus.split_writer import SplitWriter
from nmt.errors import DataError
from nmt.text.parallel import SentencePair
from nmt.text.subword import SubwordModel
from nmt.text.subword_pool import encode_blocks
from nmt.text.word_table import EncodedTexts

log = logging.getLogger(__name__)

_PAIRS_A_BLOCK = 10_000
_BLOCKS_IN_ONE_PROCESS = 2  # a process takes as long to start as some 7,000 pairs to encode
_PAIRS_BETWEEN_SAVES = 1_000_000
_RATIO_FROM_LEN = 10  # "Yes." can be five subwords in another language: short pairs are never too unequal


@dataclass(frozen=True)
class PairLimits:
    """Which pairs to leave out of training; lengths are in subwords, without EOS.

    A pair is left out if a side is empty or longer than `max_len_subwords`, or if the longer side has more than 10
    subwords and more than `max_len_ratio` times as many as the other.
    """

    max_len_subwords: int
    max_len_ratio: float

    def advice(self, report: SplitReport) -> str:
        """Say what to do about the pairs that these limits left out; no limit makes an empty line useful."""
        limits: dict[DropReason, str] = {
            "too_long": f"data.max_len_subwords ({self.max_len_subwords:,})",
            "too_unequal": f"data.max_len_ratio ({self.max_len_ratio})",
        }
        to_raise = " and ".join(limit for reason, limit in limits.items() if report.dropped.get(reason))
        align = "align the files so that line n translates line n"
        return f"{align}; if they are aligned, raise {to_raise}" if to_raise else align


def _ignore(_: object) -> None: ...


@dataclass(frozen=True)
class Progress:
    """Where the writing of a split begins, and who is told how far it is.

    Attributes:
        done: what `save` was last called with, when the writing was interrupted; None: begin at the first pair.
        advance: called with the number of pairs since its last call.
        save: called with a report of what is safely on disk.
    """

    done: SplitReport | None = None
    advance: Callable[[int], None] = _ignore
    save: Callable[[SplitReport], None] = _ignore


def write_split(
    files: Sequence[Iterable[SentencePair]],
    directory: Path,
    split: str,
    *,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    limits: PairLimits | None,
    num_processes: int = 1,
    progress: Progress | None = None,
) -> SplitReport:
    """Encode the pairs of each file block by block and write them as a split of `directory`.

    Args:
        limits: None: keep every pair, even empty ones.
        num_processes: that may encode; others than this one are started only for a long text.

    Raises:
        DataError: if there are no pairs, or none is left.
        ProcessDiedError: if one of the processes dies.
        OSError: if a file cannot be written; it names the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    progress = progress or Progress()
    with SplitWriter(
        directory,
        split,
        src_subword=src_subword,
        tgt_subword=tgt_subword,
        num_files=len(files),
        done=progress.done,
    ) as writer:
        num_saved = writer.num_read
        if num_saved:
            log.info("corpus: %s: continuing after %s pairs", split, f"{num_saved:,}")
            progress.advance(num_saved)
        blocks = _blocks(_skip(files, writer.num_read))
        with closing(_encoded(blocks, src_subword, tgt_subword, num_processes=num_processes)) as encoded:
            for number, src, tgt in encoded:
                writer.append(src, tgt, _dropped(src.lens, tgt.lens, limits), of_file=number)
                progress.advance(len(src.lens))
                if writer.num_read >= num_saved + _PAIRS_BETWEEN_SAVES:
                    num_saved = writer.num_read
                    writer.sync()
                    progress.save(writer.report())
        report = writer.report()
        if num_saved:  # a long text, which is not to be encoded again if the next split is interrupted
            writer.sync()
            progress.save(report)
    _check_not_empty(report, split, limits)
    return report


def _encoded(
    blocks: Iterator["_Block"], src_subword: SubwordModel, tgt_subword: SubwordModel, *, num_processes: int
) -> Generator[tuple[int, EncodedTexts, EncodedTexts]]:
    """Yield the number of the file and both sides of each block."""
    for block in blocks if num_processes == 1 else islice(blocks, _BLOCKS_IN_ONE_PROCESS):
        yield block.of_file, src_subword.encode_flat(block.src), tgt_subword.encode_flat(block.tgt)
    first = next(blocks, None)
    if first is None:
        return
    file_numbers = deque[int]()

    def texts() -> Iterator[tuple[list[str], list[str]]]:
        for block in chain([first], blocks):
            file_numbers.append(block.of_file)
            yield block.src, block.tgt

    with closing(encode_blocks(texts(), [src_subword, tgt_subword], num_processes=num_processes)) as encoded:
        for src, tgt in encoded:
            yield file_numbers.popleft(), src, tgt


class _Block(NamedTuple):
    """Some pairs of a file, given by its number; a list of pairs would be traversed by the garbage collector."""

    of_file: int
    src: list[str]
    tgt: list[str]


def _blocks(files: Iterable[Iterator[SentencePair]]) -> Iterator[_Block]:
    for number, pairs in enumerate(files):
        while True:
            block = _Block(number, [], [])
            for src, tgt in islice(pairs, _PAIRS_A_BLOCK):
                block.src.append(src)
                block.tgt.append(tgt)
            if not block.src:
                break
            yield block


def _skip(files: Iterable[Iterable[SentencePair]], num_pairs: int) -> Iterator[Iterator[SentencePair]]:
    """Yield the pairs of each file without the first ones of all files, which are read all the same."""
    for pairs in files:
        rest = iter(pairs)
        num_pairs -= sum(1 for _ in islice(rest, num_pairs))
        yield rest


def _dropped(
    src_lens: NDArray[np.int32], tgt_lens: NDArray[np.int32], limits: PairLimits | None
) -> dict[DropReason, NDArray[np.bool_]]:
    """Return which pairs are beyond the limits, by reason."""
    if limits is None:
        return {}
    longer, shorter = np.maximum(src_lens, tgt_lens), np.minimum(src_lens, tgt_lens)
    return {
        "empty": shorter == 0,
        "too_long": longer > limits.max_len_subwords,
        "too_unequal": (longer > _RATIO_FROM_LEN) & (longer > limits.max_len_ratio * np.maximum(1, shorter)),
    }


def _check_not_empty(report: SplitReport, split: str, limits: PairLimits | None) -> None:
    if report.num_read == 0:
        raise DataError(f"the {split} text must have at least one sentence pair, but has none: check its files")
    if report.num_kept == 0 and limits is not None:
        raise DataError(
            f"none of the {report.num_read:,} pairs of the {split} text is left ({report.reasons}): "
            f"{limits.advice(report)}"
        )
