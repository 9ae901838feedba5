"""Groups of sentences by label and by length, and BLEU for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nmt.choices import Metric
from nmt.evaluation.metrics import (
    SACREBLEU_DEFAULTS,
    MetricOptions,
    build_metric,
    check_aligned,
    check_num_lines,
    without_missing,
)
from nmt.evaluation.tokenizer import check_tokenizer
from nmt.text.parallel import read_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# The longest source of each bucket, in words; None: no limit.
_LENGTH_BUCKETS: tuple[tuple[int | None, str], ...] = (
    (0, "0"),
    (5, "1-5"),
    (10, "6-10"),
    (15, "11-15"),
    (20, "16-20"),
    (30, "21-30"),
    (None, "31+"),
)
LENGTH_BUCKETS = tuple(label for _, label in _LENGTH_BUCKETS)


@dataclass(frozen=True)
class GroupScore:
    """BLEU over the sentences of one group."""

    group: str
    num_sentences: int
    bleu: float


def score_groups(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Sequence[Collection[str]],
    *,
    order: Sequence[str] = (),
    options: MetricOptions = SACREBLEU_DEFAULTS,
) -> list[GroupScore]:
    """Return corpus BLEU over the sentences of each group; `groups[i]` names the groups of sentence i, if any.

    Groups in `order` come first, in its order, and are left out if they are empty. The others follow in the order of
    their first sentences, and alphabetically within a sentence.

    Raises:
        DataError: if counts differ, or there is nothing to score.
        ConfigError: if an option is invalid.
    """
    check_tokenizer(options.bleu_tokenize)
    check_aligned({"the hypotheses": hypotheses, "the groups": groups}, references)
    present = without_missing(references)
    members: dict[str, list[int]] = {group: [] for group in order}
    for i, sentence_groups in enumerate(groups):
        for group in sorted(set(sentence_groups)):
            members.setdefault(group, []).append(i)
    bleu = build_metric(Metric.bleu, None, options)
    return [
        GroupScore(
            group,
            len(rows),
            float(bleu.corpus_score([hypotheses[i] for i in rows], [[ref[i] for i in rows] for ref in present]).score),
        )
        for group, rows in members.items()
        if rows
    ]


def length_bucket(num_words: int) -> str:
    """Return the bucket of `LENGTH_BUCKETS` for a source sentence of `num_words` words."""
    assert num_words >= 0
    return next(label for longest, label in _LENGTH_BUCKETS if longest is None or num_words <= longest)


def read_groups(name: str, *, reference: str, num_sentences: int) -> list[list[str]]:
    """Read the labels of each sentence: a line of labels separated by commas.

    Args:
        reference: the file with `num_sentences` lines, for messages.

    Raises:
        DataError: if the file cannot be read, or the numbers of lines differ.
    """
    groups = [[label for part in line.split(",") if (label := part.strip())] for line in read_lines(Path(name))]
    check_num_lines(name, len(groups), reference=reference, expected=num_sentences)
    return groups


def length_labels(sources: Sequence[str]) -> list[list[str]]:
    """Return the length bucket of each source sentence, as `read_groups` returns labels."""
    return [[length_bucket(len(source.split()))] for source in sources]
