"""The text as the model will see it: pairs left out, subwords per word, unknown subwords."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from nmt.choices import Severity, SubwordKind
from nmt.config import DataConfig, SubwordConfig
from nmt.corpus.manifest import SplitReport, read_manifest
from nmt.corpus.prepare import PreparedCorpus
from nmt.corpus.subwords import subword_specs
from nmt.doctor.blocks import SIDES, SplitText
from nmt.doctor.finding import Finding, finding, grade, share, show_share
from nmt.text.subword import UNK_ID, SubwordModel

_MAX_BLOCKS = 2  # of a split, as a sample
_SHORT_PIECES = 3.0  # subwords a word


@dataclass
class SideSubwords:
    """The first lines of a side of a split; words are what spaces separate."""

    num_words: int = 0
    num_subwords: int = 0
    num_unknown: int = 0

    def add(self, lines: Sequence[str], model: SubwordModel) -> None:
        ids = model.encode_flat(lines).ids
        self.num_words += sum(len(line.split()) for line in lines)
        self.num_subwords += len(ids)
        self.num_unknown += int(np.count_nonzero(ids == UNK_ID))

    @property
    def subwords_a_word(self) -> float:
        return self.num_subwords / max(1, self.num_words)


@dataclass(frozen=True)
class SubwordText:
    """The prepared corpus.

    Attributes:
        left_out: the number of training pairs that are left out, by reason.
        splits: figures of each side of a sample of each split; empty if the corpus could not be prepared.
    """

    num_pairs: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    splits: dict[str, dict[str, SideSubwords]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def not_prepared(problem: str) -> SubwordText:
    """Say why the corpus could not be prepared."""
    what, _, advice = problem.rpartition(": ")
    return SubwordText(
        findings=[Finding(Severity.warning, what or problem, advice if what else "see the other findings")]
    )


def subword_text(
    corpus: PreparedCorpus, texts: Sequence[SplitText], data: DataConfig, subword: SubwordConfig
) -> SubwordText:
    """Encode a sample of each split with the models of the prepared corpus."""
    models = dict(zip(SIDES, corpus.subwords(), strict=True))
    report = read_manifest(corpus.directory).splits["train"]
    splits = {}
    for text in texts:
        sides = splits[text.split] = {side: SideSubwords() for side in SIDES}
        again = SplitText(text.split, text.files)  # the first reading has noted how files differ
        for block in islice(again.blocks(), _MAX_BLOCKS):
            for side in SIDES:
                sides[side].add(block.side(side), models[side])
    kinds = {side: getattr(subword_specs(subword), side).kind for side in SIDES}
    findings = [_of_left_out(report, data)]
    for split, of_split in splits.items():
        for side, found in of_split.items():
            findings.append(_of_unknown(f"{split} {side}", found))
            if split == "train" and kinds[side] in (SubwordKind.bpe, SubwordKind.unigram):
                findings.append(_of_size(side, found))
    return SubwordText(report.num_read, report.dropped, splits, findings)


def _of_left_out(report: SplitReport, data: DataConfig) -> Finding:
    if not report.num_dropped:
        return Finding(Severity.ok, "train: no pair is left out of training")
    return finding(
        grade(share(report.num_dropped, report.num_read), notice=0.01, warning=0.1),
        f"train: {show_share(report.num_dropped, report.num_read)} pairs are left out of training: {report.reasons}",
        f"if they are good, raise data.max_len_subwords ({data.max_len_subwords}) or data.max_len_ratio "
        f"({data.max_len_ratio})",
    )


def _of_unknown(place: str, found: SideSubwords) -> Finding:
    return finding(
        grade(share(found.num_unknown, found.num_subwords), notice=0.005, warning=0.05),
        f"{place}: {show_share(found.num_unknown, found.num_subwords)} subwords are unknown",
        "raise subword.vocab_size, use subword=bpe, or set subword.byte_fallback=true",
    )


def _of_size(side: str, found: SideSubwords) -> Finding:
    is_short = found.subwords_a_word > _SHORT_PIECES
    return finding(
        Severity.notice if is_short else Severity.ok,
        f"train {side}: {found.subwords_a_word:.2f} subwords a word",
        "if words are separated by spaces, raise subword.vocab_size: long sequences are slow and hard to learn",
    )
