"""The files of a split of a prepared corpus while they grow; `nmt.corpus.binarized` describes their layout."""

import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128

from nmt.corpus.binarized import LEN_DTYPE, OFFSET_DTYPE, id_dtype
from nmt.corpus.manifest import DropReason, SplitReport
from nmt.files import naming
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.word_table import EncodedTexts

_BUFFER_BYTES = 1 << 20


class SplitWriter:
    """Appends pairs to the files of a split, and counts them."""

    def __init__(
        self,
        directory: Path,
        split: str,
        *,
        src_subword: SubwordModel,
        tgt_subword: SubwordModel,
        num_files: int,
        done: SplitReport | None = None,
    ) -> None:
        """Open the files.

        Args:
            num_files: of text.
            done: an earlier report, to continue from there; if the files have changed since, they begin at the first
                pair, as they do without.
        """
        self.num_read = 0
        self._dropped: dict[str, int] = dict.fromkeys(get_args(DropReason), 0)
        self._kept_by_file = [0] * num_files
        self._src = _SideWriter(directory, f"{split}.src", src_subword.vocab_size)
        self._tgt = _SideWriter(directory, f"{split}.tgt", tgt_subword.vocab_size)
        if done is None or not self._continue(done):
            self._src.keep(0, 0, 0)
            self._tgt.keep(0, 0, 0)

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._src.close()
        self._tgt.close()

    def append(
        self, src: EncodedTexts, tgt: EncodedTexts, dropped: Mapping[DropReason, NDArray[np.bool_]], *, of_file: int
    ) -> None:
        """Write pairs of a file, except for those to leave out, which `dropped` has by reason."""
        keep = np.ones(len(src.lens), dtype=np.bool_)
        for reason, applies in dropped.items():
            self._dropped[reason] += int(np.count_nonzero(keep & applies))  # each under its first reason
            keep &= ~applies
        self._src.append(src, keep)
        self._tgt.append(tgt, keep)
        self.num_read += len(keep)
        self._kept_by_file[of_file] += int(np.count_nonzero(keep))

    def sync(self) -> None:
        """Sync the files to disk."""
        self._src.sync()
        self._tgt.sync()

    def report(self) -> SplitReport:
        """Report on the pairs so far."""
        return SplitReport(
            num_read=self.num_read,
            num_kept=self._src.num_sentences,
            dropped=dict(self._dropped),
            src_subwords=self._src.num_subwords,
            tgt_subwords=self._tgt.num_subwords,
            src_unknown=self._src.num_unknown,
            tgt_unknown=self._tgt.num_unknown,
            checksums=self._checksums(),
            kept_by_file=list(self._kept_by_file) if len(self._kept_by_file) > 1 else [],
        )

    def _continue(self, done: SplitReport) -> bool:
        """Keep what the files held at the time of a report; return whether it is unchanged."""
        self._src.keep(done.num_kept, done.src_subwords, done.src_unknown)
        self._tgt.keep(done.num_kept, done.tgt_subwords, done.tgt_unknown)
        if self._checksums() != done.checksums:
            return False
        self.num_read = done.num_read
        self._dropped |= done.dropped
        self._kept_by_file = list(done.kept_by_file) or [done.num_kept]
        return True

    def _checksums(self) -> dict[str, str]:
        return {**self._src.checksums(), **self._tgt.checksums()}


class _SideWriter:
    """Appends the sentences of one side of a split to its three files."""

    def __init__(self, directory: Path, name: str, vocab_size: int) -> None:
        self.num_sentences = 0
        self.num_subwords = 0
        self.num_unknown = 0
        self._ids = _ArrayFile(directory / f"{name}.ids", id_dtype(vocab_size))
        self._lens = _ArrayFile(directory / f"{name}.lens", LEN_DTYPE)
        self._offsets = _ArrayFile(directory / f"{name}.offsets", OFFSET_DTYPE)

    def keep(self, num_sentences: int, num_subwords: int, num_unknown: int) -> None:
        """Drop all but the first sentences of the files."""
        self.num_sentences, self.num_subwords, self.num_unknown = num_sentences, num_subwords, num_unknown
        self._ids.keep(num_subwords)
        self._lens.keep(num_sentences)
        self._offsets.keep(num_sentences)

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

    def sync(self) -> None:
        for file in (self._ids, self._lens, self._offsets):
            file.sync()

    def close(self) -> None:
        for file in (self._ids, self._lens, self._offsets):
            file.close()


class _ArrayFile:
    """A file of numbers of one type, and the checksum of what was written to it."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.xxh3 = xxh3_128()
        self._dtype = dtype
        with naming(path):
            self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")

    def keep(self, length: int) -> None:
        """Drop all but the first numbers; there are fewer if the file held fewer."""
        self.xxh3 = xxh3_128()
        rest = length * self._dtype.itemsize
        with naming(self.path):
            self._file.seek(0)
            while chunk := self._file.read(min(rest, _BUFFER_BYTES)):
                self.xxh3.update(chunk)
                rest -= len(chunk)
            self._file.truncate()

    def append(self, array: NDArray[Any]) -> None:
        rest = memoryview(array.astype(self._dtype).tobytes())
        self.xxh3.update(rest)
        with naming(self.path):  # numpy's tofile gives no reason if it fails
            while rest:
                rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
