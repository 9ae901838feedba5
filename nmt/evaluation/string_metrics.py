"""Scores of strings that need not be sentences: exact match, and edit rates over characters and words.

They are metrics of sacreBLEU, which resamples and compares them in the same way as BLEU. Text is compared in Unicode's
normal form C, with a single space for each run of white space and none at the ends of a line. Of several references the
best one counts.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.base import Metric as SacrebleuMetric
from sacrebleu.metrics.base import Score, Signature

from nmt import __version__
from nmt.choices import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

STRING_METRICS = frozenset({Metric.exact, Metric.cer, Metric.wer})


class StringMetric(SacrebleuMetric):
    """A ratio of two counts that are summed over the corpus, in percent.

    Attributes:
        label: as scores are printed.
        unit: what is compared.
    """

    label: ClassVar[str]
    unit: ClassVar[str]

    def __init__(self, references: Sequence[Sequence[str]] | None, *, lowercase: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lowercase = lowercase
        if references is not None:
            self._ref_cache = self._cache_references(references)

    @abstractmethod
    def count(self, hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
        """Return what a sentence adds to the numerator and to the denominator."""

    def get_signature(self) -> Signature:
        signature = Signature(self.__dict__)
        case = "lc" if self.lowercase else "mixed"
        signature.info |= {"case": case, "unit": self.unit, "norm": "nfc", "version": f"nmt-{__version__}"}
        return signature

    def _preprocess_segment(self, sent: str) -> str:
        line = " ".join(sent.split())
        return unicodedata.normalize("NFC", line.lower() if self.lowercase else line)

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": refs}  # already preprocessed

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[int]:
        return list(self.count(hypothesis, ref_kwargs["references"]))

    def _aggregate_and_compute(self, stats: list[list[int]]) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        numerator, denominator = map(float, stats)
        share = numerator / denominator if denominator else float(numerator > 0)  # blank references: as in TER
        return Score(self.label, 100 * share)


class ExactMatch(StringMetric):
    """The share of lines that equal a reference."""

    label = "exact"
    unit = "line"

    def count(self, hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
        return int(hypothesis in references), 1


class CharacterErrorRate(StringMetric):
    """Edits (Levenshtein 1966) per character of the references, spaces included."""

    label = "CER"
    unit = "char"

    def count(self, hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
        return _fewest_edits(hypothesis, references)


class WordErrorRate(StringMetric):
    """Edits (Levenshtein 1966) per word of the references; spaces separate words."""

    label = "WER"
    unit = "word"

    def count(self, hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
        return _fewest_edits(hypothesis.split(), [reference.split() for reference in references])


def _fewest_edits(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the number of edits to the nearest reference and its length; of equally near ones, take the longest."""
    edits, negative_length = min((Levenshtein.distance(hypothesis, one), -len(one)) for one in references)
    return edits, -negative_length
