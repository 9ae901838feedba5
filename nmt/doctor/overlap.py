"""Sentences of the development and test set that are in the training text, so that scores on them say little."""

from dataclasses import dataclass

import numpy as np

from nmt.choices import Severity
from nmt.doctor.finding import Finding, finding, grade, share, show_share, worst
from nmt.doctor.text_hashes import Hashes, TextHashes, joined


@dataclass(frozen=True)
class SplitOverlap:
    """The pairs of a split that are in the training text: exactly, normalized, or with one side, normalized."""

    num_pairs: int
    num_exact: int
    num_normalized: int
    num_sources: int
    num_targets: int


@dataclass(frozen=True)
class Overlap:
    splits: dict[str, SplitOverlap]
    findings: list[Finding]


def overlap(hashes: dict[str, TextHashes]) -> Overlap:
    """Compare the other splits with the training text."""
    train = hashes["train"]
    train_hashes = [joined(parts) for parts in (_kinds(train))]
    splits = {}
    for split, of_split in hashes.items():
        if split != "train":
            own_hashes = [joined(parts) for parts in _kinds(of_split)]
            shared = [_num_shared(own, other) for own, other in zip(own_hashes, train_hashes, strict=True)]
            splits[split] = SplitOverlap(len(own_hashes[0]), *shared)
    return Overlap(splits, [_finding(split, found) for split, found in splits.items()])


def _kinds(hashes: TextHashes) -> tuple[list[Hashes], ...]:
    return hashes.pair, hashes.normalized_pair, hashes.normalized_src, hashes.normalized_tgt


def _num_shared(own: Hashes, train: Hashes) -> int:
    return int(np.count_nonzero(np.isin(own, train)))


def _finding(split: str, found: SplitOverlap) -> Finding:
    if not found.num_sources:
        return Finding(Severity.ok, f"{split}: no source is in the training text")
    severities = [
        grade(share(found.num_normalized, found.num_pairs), notice=0.002, warning=0.02),
        grade(share(found.num_sources, found.num_pairs), notice=0.01, warning=0.2),
    ]
    return finding(
        worst(severities),
        f"{split}: {show_share(found.num_normalized, found.num_pairs)} pairs are in the training text, "
        f"{found.num_exact:,} of them exactly; {show_share(found.num_sources, found.num_pairs)} sources",
        f"remove them from the training text, or scores on {split} will be too high",
    )
