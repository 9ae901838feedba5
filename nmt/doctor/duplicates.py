"""Pairs that a split has more than once, and sources with several translations."""

from dataclasses import dataclass

import numpy as np

from nmt.choices import Severity
from nmt.doctor.finding import Finding, finding, grade, share, show_share
from nmt.doctor.text_hashes import TextHashes, joined


@dataclass(frozen=True)
class SplitDuplicates:
    """The copies within a split.

    Attributes:
        num_exact: pairs that repeat an earlier one.
        num_normalized: those that do so but for case, punctuation and spaces.
        num_further_targets: different translations of sources that have several, besides one each; normalized.
        num_further_sources: different sources of targets that have several, besides one each; normalized.
    """

    num_pairs: int
    num_exact: int
    num_normalized: int
    num_further_targets: int
    num_further_sources: int


@dataclass(frozen=True)
class Duplicates:
    splits: dict[str, SplitDuplicates]
    findings: list[Finding]


def duplicates(hashes: dict[str, TextHashes]) -> Duplicates:
    """Count the copies within each split."""
    splits = {split: _count(of_split) for split, of_split in hashes.items()}
    return Duplicates(splits, [_finding(split, found) for split, found in splits.items()])


def _count(hashes: TextHashes) -> SplitDuplicates:
    num_pairs = sum(map(len, hashes.pair))
    num_different = len(np.unique(joined(hashes.normalized_pair)))
    return SplitDuplicates(
        num_pairs=num_pairs,
        num_exact=num_pairs - len(np.unique(joined(hashes.pair))),
        num_normalized=num_pairs - num_different,
        num_further_targets=num_different - len(np.unique(joined(hashes.normalized_src))),
        num_further_sources=num_different - len(np.unique(joined(hashes.normalized_tgt))),
    )


def _finding(split: str, found: SplitDuplicates) -> Finding:
    if not found.num_normalized:
        return Finding(Severity.ok, f"{split}: no pair is repeated")
    return finding(
        grade(share(found.num_normalized, found.num_pairs), notice=0.02, warning=0.2),
        f"{split}: {show_share(found.num_normalized, found.num_pairs)} pairs repeat an earlier one, "
        f"{found.num_exact:,} of them exactly",
        "remove them if they are not meant to count several times",
    )
