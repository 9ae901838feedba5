"""Sentence pairs <-> memory-mapped arrays of subword ids.

A prepared corpus is a directory:

    manifest.json        format version, fingerprints, one report per split with the checksums of its files, and its
                         own checksum
    src.subword          both subword models
    tgt.subword
    <split>.src.ids      the ids of all source sentences, one after the other: uint16, or uint32 where the
                         vocabulary has more than 65,536 subwords
    <split>.src.lens     the length of each (int32)
    <split>.src.offsets  where each begins among the ids (int64)
    <split>.tgt.*        the same for the target

Ids are without BOS and EOS. Nothing here grows with the corpus, in writing or in reading, but the files. A split is
checked when it is opened: its files are those that were written, and what they hold fits together. Corpora of format 1
(nmt 0.1.0) have no checksums.

A long text is encoded by two processes where there are two CPUs: the source side here, the target side beside. Each
has a whole side, since in half of the pairs it would meet nearly all words of both. What is written is the same.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128, xxh3_128_hexdigest

from nmt.corpus.manifest import DropReason, SplitReport, read_manifest
from nmt.errors import DataError
from nmt.files import naming
from nmt.text.parallel import SentencePair
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.subword_process import SubwordProcess
from nmt.text.word_table import EncodedTexts

NumProcesses = Literal[1, 2]
Ids: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

_PAIRS_A_BLOCK = 10_000
_BLOCKS_ALONE = 2  # a process takes as long to start as some 7,000 pairs to encode
_RATIO_FROM_LEN = 10  # "Yes." may well be five subwords in another language: short pairs are never too unequal
_PAIRS_CHECKED_AT_ONCE = 1 << 20
_LEN, _OFFSET = np.dtype("<i4"), np.dtype("<i8")


@dataclass(frozen=True)
class PairLimits:
    """Which pairs to leave out of training; lengths are in subwords, without EOS.

    A pair is dropped where a side is empty, where a side is longer than `max_len_subwords`, or where the longer side
    has more than 10 subwords and more than `max_len_ratio` times those of the other.
    """

    max_len_subwords: int
    max_len_ratio: float


@dataclass(frozen=True)
class BinarizedCorpus:
    """One split of a prepared corpus, memory-mapped and read-only.

    Source sentence p is `src_ids[src_offset_P[p] : src_offset_P[p] + src_len_P[p]]`; P is the number of pairs.
    """

    src_ids: Ids
    tgt_ids: Ids
    src_len_P: NDArray[np.int32]
    tgt_len_P: NDArray[np.int32]
    src_offset_P: NDArray[np.int64]
    tgt_offset_P: NDArray[np.int64]
    report: SplitReport

    @property
    def num_pairs(self) -> int:
        """The number of sentence pairs."""
        return len(self.src_len_P)

    def src(self, index: int) -> Ids:
        """Return the ids of a source sentence, in the order of the text, without EOS."""
        begin = self.src_offset_P[index]
        return self.src_ids[begin : begin + self.src_len_P[index]]

    def tgt(self, index: int) -> Ids:
        """Return the ids of a target sentence, without BOS and EOS."""
        begin = self.tgt_offset_P[index]
        return self.tgt_ids[begin : begin + self.tgt_len_P[index]]


def write_split(
    pairs: Iterable[SentencePair],
    directory: Path,
    split: str,
    *,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    limits: PairLimits | None,
    num_processes: NumProcesses = 1,
    progress: Callable[[int], None] | None = None,
) -> SplitReport:
    """Encode pairs and write them as a split of `directory`, in blocks; `limits=None` keeps every pair, empty ones too.

    Of two processes the second is started only where the text is long. `progress` is called with the number of pairs
    done since its last call.

    Raises:
        DataError: there are no pairs, or none is left.
        OSError: a file cannot be written; it names it.
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
            num_pairs = len(src.len_N)
            keep_P = np.ones(num_pairs, dtype=np.bool_)
            if limits is not None:
                keep_P = _within(limits, src.len_N, tgt.len_N, dropped)
            src_side.append(src, keep_P)
            tgt_side.append(tgt, keep_P)
            num_read += num_pairs
            if progress is not None:
                progress(num_pairs)
    report = SplitReport(
        num_read=num_read,
        num_kept=src_side.num_sentences,
        dropped=dropped,
        src_subwords=src_side.num_subwords,
        tgt_subwords=tgt_side.num_subwords,
        src_unknown=src_side.num_unknown,
        tgt_unknown=tgt_side.num_unknown,
        checksums={**src_side.checksums(), **tgt_side.checksums()},
    )
    _check_not_empty(report, split)
    return report


def open_split(directory: Path, split: str, *, fingerprint: str | None) -> BinarizedCorpus:
    """Map a split of a prepared corpus into memory and check it; `fingerprint=None` accepts one made from anything.

    Raises:
        DataError: `directory` is no prepared corpus, was made from something else, lacks the split, or is damaged.
    """
    manifest = read_manifest(directory)
    if fingerprint is not None and fingerprint != manifest.fingerprint:
        raise DataError(
            f"{directory} was prepared from other text or with other settings (its fingerprint must be "
            f"{fingerprint[:12]}, but is {manifest.fingerprint[:12]}): run nmt prepare again, "
            "or name another data.prepared_dir"
        )
    if split not in manifest.splits:
        raise DataError(
            f"{directory} has no split {split!r}, but only {', '.join(manifest.splits)}: run nmt prepare again"
        )
    report = manifest.splits[split]
    src_ids, src_len_P, src_offset_P = _open_side(
        directory, f"{split}.src", report, num_ids=report.src_subwords, vocab_size=manifest.src_vocab_size
    )
    tgt_ids, tgt_len_P, tgt_offset_P = _open_side(
        directory, f"{split}.tgt", report, num_ids=report.tgt_subwords, vocab_size=manifest.tgt_vocab_size
    )
    return BinarizedCorpus(
        src_ids=src_ids,
        tgt_ids=tgt_ids,
        src_len_P=src_len_P,
        tgt_len_P=tgt_len_P,
        src_offset_P=src_offset_P,
        tgt_offset_P=tgt_offset_P,
        report=report,
    )


class _SideWriter:
    """Appends the sentences of one side of a split to its three files."""

    def __init__(self, directory: Path, name: str, vocab_size: int) -> None:
        self.num_sentences = 0
        self.num_subwords = 0
        self.num_unknown = 0
        self._ids = _ArrayFile(directory / f"{name}.ids", _id_dtype(vocab_size))
        self._lens = _ArrayFile(directory / f"{name}.lens", _LEN)
        self._offsets = _ArrayFile(directory / f"{name}.offsets", _OFFSET)

    def __enter__(self) -> "_SideWriter":
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._ids, self._lens, self._offsets):
            file.close()

    def append(self, encoded: EncodedTexts, keep_P: NDArray[np.bool_]) -> None:
        """Write the sentences to keep."""
        ids, len_P = encoded.ids[np.repeat(keep_P, encoded.len_N)], encoded.len_N[keep_P]
        end_P = self.num_subwords + np.cumsum(len_P, dtype=np.int64)
        self._ids.append(ids)
        self._lens.append(len_P)
        self._offsets.append(end_P - len_P)
        self.num_sentences += len(len_P)
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
        with naming(self.path):  # and not numpy's tofile, which does not say why it fails
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        self._file.close()


def _encoded(
    pairs: Iterable[SentencePair], src_subword: SubwordModel, tgt_subword: SubwordModel, *, num_processes: NumProcesses
) -> Generator[tuple[EncodedTexts, EncodedTexts]]:
    """Yield both sides of the pairs, block by block."""
    blocks = _blocks(pairs)
    for src_texts, tgt_texts in blocks if num_processes == 1 else islice(blocks, _BLOCKS_ALONE):
        yield src_subword.encode_flat(src_texts), tgt_subword.encode_flat(tgt_texts)
    block = next(blocks, None)
    if block is None:
        return
    with SubwordProcess(tgt_subword) as tgt_process:
        while block is not None:
            src_texts, tgt_texts = block
            tgt_process.send(tgt_texts)
            src = src_subword.encode_flat(src_texts)
            block = next(blocks, None)  # read on while the other process is at work
            yield src, tgt_process.receive()


def _blocks(pairs: Iterable[SentencePair]) -> Iterator[tuple[list[str], list[str]]]:
    rest = iter(pairs)
    while True:
        src_texts, tgt_texts = [], []  # no list of pairs, which the garbage collector would go through again and again
        for src, tgt in islice(rest, _PAIRS_A_BLOCK):
            src_texts.append(src)
            tgt_texts.append(tgt)
        if not src_texts:
            return
        yield src_texts, tgt_texts


def _within(
    limits: PairLimits, src_len_P: NDArray[np.int32], tgt_len_P: NDArray[np.int32], dropped: dict[str, int]
) -> NDArray[np.bool_]:
    """Say which pairs are within the limits, and count the others in `dropped`, each for its first reason."""
    longer_P, shorter_P = np.maximum(src_len_P, tgt_len_P), np.minimum(src_len_P, tgt_len_P)
    reasons: dict[DropReason, NDArray[np.bool_]] = {
        "empty": shorter_P == 0,
        "too_long": longer_P > limits.max_len_subwords,
        "too_unequal": (longer_P > _RATIO_FROM_LEN) & (longer_P > limits.max_len_ratio * np.maximum(1, shorter_P)),
    }
    keep_P = np.ones(len(longer_P), dtype=np.bool_)
    for reason, applies_P in reasons.items():
        dropped[reason] += int(np.count_nonzero(keep_P & applies_P))
        keep_P &= ~applies_P
    return keep_P


def _check_not_empty(report: SplitReport, split: str) -> None:
    if report.num_read == 0:
        raise DataError(f"the {split} text must have at least one sentence pair, but has none: check its files")
    if report.num_kept == 0:
        reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in report.dropped.items() if count)
        raise DataError(
            f"none of the {report.num_read} pairs of the {split} text is left ({reasons}): "
            "check that the files are aligned, or raise the limits"
        )


def _open_side(
    directory: Path, name: str, report: SplitReport, *, num_ids: int, vocab_size: int
) -> tuple[Ids, NDArray[np.int32], NDArray[np.int64]]:
    """Map the three files of a side, and check that they are whole and fit together."""
    ids = _map(directory / f"{name}.ids", _id_dtype(vocab_size), num_ids, report)
    len_P = _map(directory / f"{name}.lens", _LEN, report.num_kept, report)
    offset_P = _map(directory / f"{name}.offsets", _OFFSET, report.num_kept, report)
    if num_ids > 0 and (largest := int(ids.max())) >= vocab_size:
        raise _damaged(directory / f"{name}.ids", f"holds the id {largest}, but the vocabulary ends at {vocab_size}")
    end = 0
    for begin in range(0, report.num_kept, _PAIRS_CHECKED_AT_ONCE):
        block = slice(begin, begin + _PAIRS_CHECKED_AT_ONCE)
        if int(len_P[block].min()) < 0:
            raise _damaged(directory / f"{name}.lens", "holds a negative length")
        end_P = end + np.cumsum(len_P[block], dtype=np.int64)
        if not np.array_equal(offset_P[block], end_P - len_P[block]):
            raise _damaged(directory / f"{name}.offsets", "does not fit the lengths")
        end = int(end_P[-1])
    if end != num_ids:
        raise _damaged(directory / f"{name}.lens", f"holds {end} ids in all, but there are {num_ids}")
    return ids, len_P, offset_P


def _map(path: Path, dtype: np.dtype[Any], length: int, report: SplitReport) -> NDArray[Any]:
    try:
        num_bytes = path.stat().st_size
        if num_bytes != length * dtype.itemsize:
            raise _damaged(path, f"must have {length * dtype.itemsize} bytes, but has {num_bytes}")
        # a plain array: slices of a memmap object are slow; and nothing of nothing can be mapped
        array = np.asarray(np.memmap(path, dtype, mode="r")) if length else np.empty(0, dtype)
    except FileNotFoundError:
        raise _damaged(path, "is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if report.checksums and xxh3_128_hexdigest(array.data) != report.checksums[path.name]:
        raise _damaged(path, "is not as it was written")
    return array


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(f"{path} {problem}: remove {path.parent} and run nmt prepare again")


def _id_dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
