"""The manifest of a prepared corpus: the fingerprint of text and settings, the contents, and checksums of files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from xxhash import xxh3_128_hexdigest

from nmt.errors import DataError
from nmt.files import atomic_write
from nmt.text.subword import SubwordModel

DropReason = Literal["empty", "too_long", "too_unequal"]

SRC_SUBWORD, TGT_SUBWORD = "src.subword", "tgt.subword"
_FORMAT_VERSION = 2
_READABLE_VERSIONS = (1, 2)  # 1 has no checksums
MANIFEST = "manifest.json"
PROGRESS = "progress.json"  # of a corpus that is not complete: a manifest of what has been written so far
_SIDES = ("src", "tgt")
_PARTS = ("ids", "lens", "offsets")


@dataclass(frozen=True)
class SplitReport:
    """The pairs of a split: how many were read, left out and kept. Subwords are counted in the kept pairs, without EOS.

    Attributes:
        dropped: the number of pairs left out, by reason.
        checksums: the xxh3_128 (hex) of each file of the split, by its name.
        kept_by_file: the pairs kept of each file of text; empty if there is only one, or an earlier version wrote it.
    """

    num_read: int
    num_kept: int
    dropped: dict[str, int]
    src_subwords: int
    tgt_subwords: int
    src_unknown: int
    tgt_unknown: int
    checksums: dict[str, str] = field(default_factory=dict)
    kept_by_file: list[int] = field(default_factory=list)

    @property
    def num_dropped(self) -> int:
        return sum(self.dropped.values())

    @property
    def reasons(self) -> str:
        """The pairs left out, as in "2 empty, 1 too long"."""
        return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in self.dropped.items() if count)


@dataclass(frozen=True)
class Manifest:
    """The description of a prepared corpus; `fingerprint` is that of text and settings."""

    fingerprint: str
    src_subword_fingerprint: str
    tgt_subword_fingerprint: str
    src_vocab_size: int
    tgt_vocab_size: int
    splits: dict[str, SplitReport]


def write_manifest(
    directory: Path,
    *,
    fingerprint: str,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    reports: Mapping[str, SplitReport],
    name: str = MANIFEST,
) -> None:
    """Save both subword models and the manifest, which completes the prepared corpus in `directory`.

    Args:
        name: of the manifest, or `PROGRESS`.

    Raises:
        OSError: if a file cannot be written; it names the file.
    """
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
    content: dict[str, Any] = {"format_version": _FORMAT_VERSION, **asdict(manifest)}
    for report in content["splits"].values():
        if not report["kept_by_file"]:
            del report["kept_by_file"]
    content["checksum"] = _checksum_of(content)
    with atomic_write(directory / name) as stream:
        stream.write(json.dumps(content, indent=2).encode() + b"\n")


def read_manifest(directory: Path, *, name: str = MANIFEST) -> Manifest:
    """Read the manifest of a prepared corpus.

    Raises:
        DataError: if `directory` is not a prepared corpus, is damaged, or has another format version.
    """
    path = directory / name
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
        if version in _READABLE_VERSIONS:
            return _parse_manifest(content)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{directory} is not a prepared corpus ({MANIFEST} is missing): run nmt prepare") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise DataError(f"{path} is damaged: remove {directory} and run nmt prepare again") from None
    raise DataError(
        f"{directory} must be of format {_FORMAT_VERSION}, but is of format {version}: "
        "remove it and run nmt prepare again"
    )


def _parse_manifest(content: dict[str, Any]) -> Manifest:
    """Make a manifest from plain values.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: if a key is missing or a value is invalid.
    """
    version = content["format_version"]
    if version > 1 and content.pop("checksum") != _checksum_of(content):
        raise ValueError("checksum")
    del content["format_version"]
    splits = {split: SplitReport(**report) for split, report in content.pop("splits").items()}
    manifest = Manifest(splits=splits, **content)
    texts = [manifest.fingerprint, manifest.src_subword_fingerprint, manifest.tgt_subword_fingerprint]
    counts = [manifest.src_vocab_size, manifest.tgt_vocab_size]
    for split, report in splits.items():
        counts += [report.num_read, report.num_kept, report.src_subwords, report.tgt_subwords]
        counts += [report.src_unknown, report.tgt_unknown, *report.dropped.values(), *report.kept_by_file]
        texts += report.checksums.values()
        if version > 1 and report.checksums.keys() != {f"{split}.{side}.{part}" for side in _SIDES for part in _PARTS}:
            raise ValueError("checksums")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("text")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError("count")
    return manifest


def _checksum_of(content: Mapping[str, Any]) -> str:
    return xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
