"""Sentence pairs as memory-mapped arrays of subword ids.

A prepared corpus is a directory:

    manifest.json        format version, fingerprints, one report per split with the checksums of its files, and its
                         own checksum
    src.subword          both subword models
    tgt.subword
    <split>.src.ids      the ids of all source sentences, one after the other: uint16, or uint32 if the
                         vocabulary has more than 65,536 subwords
    <split>.src.lens     the length of each (int32)
    <split>.src.offsets  index of the first id of each (int64)
    <split>.tgt.*        the same for the target

Ids are without BOS and EOS. Memory does not grow with the corpus. A split is checked when it is opened, for which all
of it is read: its files must match their checksums, and their contents must be consistent. Corpora of format 1 (nmt
0.1.0) have no checksums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128

from nmt.corpus.manifest import SplitReport, read_manifest
from nmt.errors import DataError

Ids: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

LEN_DTYPE, OFFSET_DTYPE = np.dtype("<i4"), np.dtype("<i8")
_NUMBERS_CHECKED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class BinarizedCorpus:
    """One split of a prepared corpus, memory-mapped and read-only.

    Source sentence p is `src_ids[src_offsets[p] : src_offsets[p] + src_lens[p]]`.
    """

    src_ids: Ids
    tgt_ids: Ids
    src_lens: NDArray[np.int32]
    tgt_lens: NDArray[np.int32]
    src_offsets: NDArray[np.int64]
    tgt_offsets: NDArray[np.int64]
    report: SplitReport

    @property
    def num_pairs(self) -> int:
        """The number of sentence pairs."""
        return len(self.src_lens)

    def src(self, index: int) -> Ids:
        """Return the ids of a source sentence, in the order of the text, without EOS."""
        begin = self.src_offsets[index]
        return self.src_ids[begin : begin + self.src_lens[index]]

    def tgt(self, index: int) -> Ids:
        """Return the ids of a target sentence, without BOS and EOS."""
        begin = self.tgt_offsets[index]
        return self.tgt_ids[begin : begin + self.tgt_lens[index]]


def open_split(directory: Path, split: str, *, fingerprint: str | None) -> BinarizedCorpus:
    """Map a split of a prepared corpus into memory and check it; `fingerprint=None` accepts any.

    Raises:
        DataError: if `directory` is not a prepared corpus, was prepared from other text, lacks the split, or is
            damaged.
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
    src = _open_side(directory, f"{split}.src", report, num_ids=report.src_subwords, vocab_size=manifest.src_vocab_size)
    tgt = _open_side(directory, f"{split}.tgt", report, num_ids=report.tgt_subwords, vocab_size=manifest.tgt_vocab_size)
    return BinarizedCorpus(
        src_ids=src.ids,
        tgt_ids=tgt.ids,
        src_lens=src.lens,
        tgt_lens=tgt.lens,
        src_offsets=src.offsets,
        tgt_offsets=tgt.offsets,
        report=report,
    )


class _Side(NamedTuple):
    """The three arrays of one side of a split."""

    ids: Ids
    lens: NDArray[np.int32]
    offsets: NDArray[np.int64]


def _open_side(directory: Path, name: str, report: SplitReport, *, num_ids: int, vocab_size: int) -> _Side:
    """Map the three files of a side, and check that they are complete and consistent."""
    files = [
        _File(directory / f"{name}.{part}", dtype, length, report.checksums.get(f"{name}.{part}"))
        for part, dtype, length in (
            ("ids", id_dtype(vocab_size), num_ids),
            ("lens", LEN_DTYPE, report.num_kept),
            ("offsets", OFFSET_DTYPE, report.num_kept),
        )
    ]
    side = _Side(*(file.map() for file in files))
    ids, lens, offsets = files
    largest = max((int(block.max()) for block in ids.blocks()), default=0)
    if largest >= vocab_size:
        raise _damaged(ids.path, f"holds the id {largest}, but the vocabulary ends at {vocab_size}")
    end = 0
    for of_lens, of_offsets in zip(lens.blocks(), offsets.blocks(), strict=True):
        if int(of_lens.min()) < 0:
            raise _damaged(lens.path, "holds a negative length")
        ends = end + np.cumsum(of_lens, dtype=np.int64)
        if not np.array_equal(of_offsets, ends - of_lens):
            raise _damaged(offsets.path, "does not fit the lengths")
        end = int(ends[-1])
    if end != num_ids:
        raise _damaged(lens.path, f"holds {end} ids in all, but there are {num_ids}")
    return side


class _File(NamedTuple):
    """A file of numbers; `checksum` is None in format 1.

    It is checked by reading it block by block, since memory that is mapped counts as used once it has been read.
    """

    path: Path
    dtype: np.dtype[Any]
    length: int
    checksum: str | None

    def map(self) -> NDArray[Any]:
        """Map the file into memory.

        Raises:
            DataError: if it is missing or has another size.
        """
        with self._explaining():
            num_bytes = self.path.stat().st_size
            if num_bytes != self.length * self.dtype.itemsize:
                raise _damaged(self.path, f"must have {self.length * self.dtype.itemsize} bytes, but has {num_bytes}")
            # a plain array, as slices of a memmap object are slow; mmap refuses an empty file
            return np.asarray(np.memmap(self.path, self.dtype, mode="r")) if self.length else np.empty(0, self.dtype)

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the numbers block by block.

        Raises:
            DataError: at the end, if they do not match the checksum.
        """
        xxh3 = xxh3_128()
        with self._explaining(), self.path.open("rb") as file:
            while content := file.read(_NUMBERS_CHECKED_AT_ONCE * self.dtype.itemsize):
                xxh3.update(content)
                yield np.frombuffer(content, self.dtype)
        if self.checksum is not None and xxh3.hexdigest() != self.checksum:
            raise _damaged(self.path, "has changed since it was written")

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise _damaged(self.path, "is missing") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from None


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(f"{path} {problem}: remove {path.parent} and run nmt prepare again")


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the type of ids in files."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
