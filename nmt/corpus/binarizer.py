"""From sentence pairs to the files of a split of a prepared corpus; `nmt.corpus.binarized` describes their layout.

A long text is encoded by other processes if there are several CPUs. The result is the same. Memory does not grow with
the corpus.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128

from nmt.corpus.binarized import LEN_DTYPE, OFFSET_DTYPE, id_dtype
from nmt.corpus.manifest import DropReason, SplitReport
from nmt.errors import DataError
from nmt.files import naming
from nmt.text.parallel import SentencePair
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.subword_pool import encode_blocks
from nmt.text.word_table import EncodedTexts

_PAIRS_A_BLOCK = 10_000
_BLOCKS_IN_ONE_PROCESS = 2  # a process takes as long to start as some 7,000 pairs to encode
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


def write_split(
    pairs: Iterable[SentencePair],
    directory: Path,
    split: str,
    *,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    limits: PairLimits | None,
    num_processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> SplitReport:
    """Encode pairs block by block and write them as a split of `directory`.

    Args:
        limits: None: keep every pair, even empty ones.
        num_processes: that may encode; others than this one are started only for a long text.
        progress: called with the number of pairs since its last call.

    Raises:
        DataError: if there are no pairs, or none is left.
        OSError: if a file cannot be written; it names the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dropped = dict.fromkeys(get_args(DropReason), 0)
    num_read = 0
    with (
        _SideWriter(directory, f"{split}.src", src_subword.vocab_size) as src_side,
        _SideWriter(directory, f"{split}.tgt", tgt_subword.vocab_size) as tgt_side,
        closing(_encoded(pairs, src_subword, tgt_subword, num_processes=num_processes)) as blocks,
    ):
        for src, tgt in blocks:
            num_pairs = len(src.lens)
            keep = np.ones(num_pairs, dtype=np.bool_)
            if limits is not None:
                keep = _within(limits, src.lens, tgt.lens, dropped)
            src_side.append(src, keep)
            tgt_side.append(tgt, keep)
            num_read += num_pairs
            if progress is not None:
                progress(num_pairs)
    report = _report(src_side, tgt_side, num_read=num_read, dropped=dropped)
    _check_not_empty(report, split, limits)
    return report


class _SideWriter:
    """Appends the sentences of one side of a split to its three files."""

    def __init__(self, directory: Path, name: str, vocab_size: int) -> None:
        self.num_sentences = 0
        self.num_subwords = 0
        self.num_unknown = 0
        self._ids = _ArrayFile(directory / f"{name}.ids", id_dtype(vocab_size))
        self._lens = _ArrayFile(directory / f"{name}.lens", LEN_DTYPE)
        self._offsets = _ArrayFile(directory / f"{name}.offsets", OFFSET_DTYPE)

    def __enter__(self) -> "_SideWriter":
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._ids, self._lens, self._offsets):
            file.close()

    def append(self, encoded: EncodedTexts, keep: NDArray[np.bool_]) -> None:
        """Write the sentences to keep."""
        ids, lens = encoded.ids[np.repeat(keep, encoded.lens)], encoded.lens[keep]
        ends = self.num_subwords + np.cumsum(lens, dtype=np.int64)
        self._ids.append(ids)
        self._lens.append(lens)
        self._offsets.append(ends - lens)
        self.num_sentences += len(lens)
        self.num_subwords += len(ids)
        self.num_unknown += int(np.count_nonzero(ids == UNK_ID))

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each file, by its name."""
        return {file.path.name: file.xxh3.hexdigest() for file in (self._ids, self._lens, self._offsets)}


class _ArrayFile:
    """A file of numbers of one type, and the checksum of what was written to it."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.xxh3 = xxh3_128()
        self._dtype = dtype
        with naming(path):
            self._file = path.open("wb", buffering=0)

    def append(self, array: NDArray[Any]) -> None:
        rest = memoryview(array.astype(self._dtype).tobytes())
        self.xxh3.update(rest)
        with naming(self.path):  # numpy's tofile gives no reason if it fails
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        self._file.close()


def _encoded(
    pairs: Iterable[SentencePair], src_subword: SubwordModel, tgt_subword: SubwordModel, *, num_processes: int
) -> Generator[Sequence[EncodedTexts]]:
    """Yield both sides of the pairs, block by block."""
    blocks = _blocks(pairs)
    for src_texts, tgt_texts in blocks if num_processes == 1 else islice(blocks, _BLOCKS_IN_ONE_PROCESS):
        yield src_subword.encode_flat(src_texts), tgt_subword.encode_flat(tgt_texts)
    if block := next(blocks, None):
        rest = chain([block], blocks)
        with closing(encode_blocks(rest, [src_subword, tgt_subword], num_processes=num_processes)) as encoded:
            yield from encoded


def _blocks(pairs: Iterable[SentencePair]) -> Iterator[tuple[list[str], list[str]]]:
    rest = iter(pairs)
    while True:
        src_texts, tgt_texts = [], []  # the garbage collector would traverse a list of pairs again and again
        for src, tgt in islice(rest, _PAIRS_A_BLOCK):
            src_texts.append(src)
            tgt_texts.append(tgt)
        if not src_texts:
            return
        yield src_texts, tgt_texts


def _within(
    limits: PairLimits, src_lens: NDArray[np.int32], tgt_lens: NDArray[np.int32], dropped: dict[str, int]
) -> NDArray[np.bool_]:
    """Return which pairs are within the limits; count the others in `dropped`, each under its first reason."""
    longer, shorter = np.maximum(src_lens, tgt_lens), np.minimum(src_lens, tgt_lens)
    reasons: dict[DropReason, NDArray[np.bool_]] = {
        "empty": shorter == 0,
        "too_long": longer > limits.max_len_subwords,
        "too_unequal": (longer > _RATIO_FROM_LEN) & (longer > limits.max_len_ratio * np.maximum(1, shorter)),
    }
    keep = np.ones(len(longer), dtype=np.bool_)
    for reason, applies in reasons.items():
        dropped[reason] += int(np.count_nonzero(keep & applies))
        keep &= ~applies
    return keep


def _report(src_side: _SideWriter, tgt_side: _SideWriter, *, num_read: int, dropped: dict[str, int]) -> SplitReport:
    return SplitReport(
        num_read=num_read,
        num_kept=src_side.num_sentences,
        dropped=dropped,
        src_subwords=src_side.num_subwords,
        tgt_subwords=tgt_side.num_subwords,
        src_unknown=src_side.num_unknown,
        tgt_unknown=tgt_side.num_unknown,
        checksums={**src_side.checksums(), **tgt_side.checksums()},
    )


def _check_not_empty(report: SplitReport, split: str, limits: PairLimits | None) -> None:
    if report.num_read == 0:
        raise DataError(f"the {split} text must have at least one sentence pair, but has none: check its files")
    if report.num_kept == 0 and limits is not None:
        raise DataError(
            f"none of the {report.num_read:,} pairs of the {split} text is left ({report.reasons}): "
            f"{limits.advice(report)}"
        )
