"""Sentence pairs <-> memory-mapped arrays of subword ids.

A prepared corpus is a directory:

    manifest.json        format version, fingerprints, one report per split; written last
    src.subword          both subword models
    tgt.subword
    <split>.src.ids      the ids of all source sentences, one after the other: uint16, or uint32 where the
                         vocabulary has more than 65,536 subwords
    <split>.src.lens     the length of each (int32)
    <split>.src.offsets  where each begins among the ids (int64)
    <split>.tgt.*        the same for the target

Ids are without BOS and EOS. Nothing here grows with the corpus, in writing or in reading, but the files. A directory
that was written half has no manifest; who needs it whole or not at all writes it aside and renames it.

A long text is encoded by two processes where there are two CPUs: the source side here, the target side beside. Each
has a whole side, since in half of the pairs it would meet nearly all words of both. What is written is the same.
"""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from nmt.errors import DataError
from nmt.text.parallel import SentencePair
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.subword_process import SubwordProcess
from nmt.text.word_table import EncodedTexts

DropReason = Literal["empty", "too_long", "too_unequal"]
NumProcesses = Literal[1, 2]
Ids: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

FORMAT_VERSION = 1
SRC_SUBWORD, TGT_SUBWORD = "src.subword", "tgt.subword"
_MANIFEST = "manifest.json"
_PARTS = ("ids", "lens", "offsets")
_PAIRS_A_BLOCK = 10_000
_BLOCKS_ALONE = 2  # a process takes as long to start as some 7,000 pairs to encode
_RATIO_FROM_LEN = 10  # "Yes." may well be five subwords in another language: short pairs are never too unequal
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
class SplitReport:
    """What became of the pairs of a split; subwords and unknown ones are counted in the pairs kept, without EOS."""

    num_read: int
    num_kept: int
    dropped: dict[str, int]
    src_subwords: int
    tgt_subwords: int
    src_unknown: int
    tgt_unknown: int


@dataclass(frozen=True)
class Manifest:
    """What a prepared corpus says of itself; `fingerprint` is that of everything it was made from."""

    fingerprint: str
    src_subword_fingerprint: str
    tgt_subword_fingerprint: str
    src_vocab_size: int
    tgt_vocab_size: int
    splits: dict[str, SplitReport]


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
    )
    _check_not_empty(report, split)
    return report


def write_manifest(
    directory: Path,
    *,
    fingerprint: str,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    reports: Mapping[str, SplitReport],
) -> None:
    """Save both subword models beside the splits, then the manifest, which makes `directory` a prepared corpus."""
    src_subword.save(directory / SRC_SUBWORD)
    tgt_subword.save(directory / TGT_SUBWORD)
    manifest = Manifest(
        fingerprint=fingerprint,
        src_subword_fingerprint=src_subword.fingerprint,
        tgt_subword_fingerprint=tgt_subword.fingerprint,
        src_vocab_size=src_subword.vocab_size,
        tgt_vocab_size=tgt_subword.vocab_size,
        splits=dict(reports),
    )
    content = {"format_version": FORMAT_VERSION, **asdict(manifest)}
    aside = directory / f".{_MANIFEST}.part"
    aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    aside.replace(directory / _MANIFEST)


def read_manifest(directory: Path) -> Manifest:
    """Read what a prepared corpus says of itself.

    Raises:
        DataError: `directory` is no prepared corpus, or one of another format version.
    """
    path = directory / _MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format_version")
        if version == FORMAT_VERSION:
            splits = {split: SplitReport(**report) for split, report in content.pop("splits").items()}
            return Manifest(splits=splits, **content)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{directory} is not a prepared corpus ({_MANIFEST} is missing): run nmt prepare") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path} is damaged: remove {directory} and run nmt prepare again") from None
    raise DataError(
        f"{directory} must be of format {FORMAT_VERSION}, but is of format {version}: "
        "remove it and run nmt prepare again"
    )


def open_split(directory: Path, split: str, *, fingerprint: str | None) -> BinarizedCorpus:
    """Map a split of a prepared corpus into memory; `fingerprint=None` accepts a corpus made from anything.

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
    src_ids, src_len_P, src_offset_P = _map_side(
        directory,
        f"{split}.src",
        num_sentences=report.num_kept,
        num_ids=report.src_subwords,
        id_dtype=_id_dtype(manifest.src_vocab_size),
    )
    tgt_ids, tgt_len_P, tgt_offset_P = _map_side(
        directory,
        f"{split}.tgt",
        num_sentences=report.num_kept,
        num_ids=report.tgt_subwords,
        id_dtype=_id_dtype(manifest.tgt_vocab_size),
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
        self._id_dtype = _id_dtype(vocab_size)
        self._files = ExitStack()
        self._ids, self._lens, self._offsets = (
            self._files.enter_context((directory / f"{name}.{part}").open("wb")) for part in _PARTS
        )

    def __enter__(self) -> "_SideWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def append(self, encoded: EncodedTexts, keep_P: NDArray[np.bool_]) -> None:
        """Write the sentences to keep."""
        ids, len_P = encoded.ids[np.repeat(keep_P, encoded.len_N)], encoded.len_N[keep_P]
        end_P = self.num_subwords + np.cumsum(len_P, dtype=np.int64)
        ids.astype(self._id_dtype).tofile(self._ids)
        len_P.astype(_LEN).tofile(self._lens)
        (end_P - len_P).astype(_OFFSET).tofile(self._offsets)
        self.num_sentences += len(len_P)
        self.num_subwords += len(ids)
        self.num_unknown += int(np.count_nonzero(ids == UNK_ID))


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
        "too_unequal": (longer_P > _RATIO_FROM_LEN) & (longer_P > limits.max_len_ratio * shorter_P),
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


def _map_side(
    directory: Path, name: str, *, num_sentences: int, num_ids: int, id_dtype: np.dtype[Any]
) -> tuple[Ids, NDArray[np.int32], NDArray[np.int64]]:
    ids, lens, offsets = (directory / f"{name}.{part}" for part in _PARTS)
    return _map(ids, id_dtype, num_ids), _map(lens, _LEN, num_sentences), _map(offsets, _OFFSET, num_sentences)


def _map(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    try:
        num_bytes = path.stat().st_size
        if num_bytes != length * dtype.itemsize:
            raise DataError(
                f"{path} must have {length * dtype.itemsize} bytes, but has {num_bytes}: "
                f"remove {path.parent} and run nmt prepare again"
            )
        if length == 0:  # nothing of nothing can be mapped
            return np.empty(0, dtype)
        return np.asarray(np.memmap(path, dtype, mode="r"))  # a plain array: slices of a memmap object are slow
    except FileNotFoundError:
        raise DataError(f"{path} is missing: remove {path.parent} and run nmt prepare again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _id_dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
