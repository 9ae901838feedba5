"""A test set and its translations by several systems."""

from collections.abc import Sequence
from dataclasses import dataclass

from nmt.evaluation.metrics import SACREBLEU_DEFAULTS, MetricOptions


@dataclass(frozen=True)
class Translations:
    """A test set, translated by one system or several; the first is the baseline.

    Attributes:
        references: `references[r][i]` is the r-th reference of sentence i.
        systems: the translations by each system, by its name.
        bootstrap_samples: for the 95% intervals of scores; 0: no intervals.
    """

    sources: Sequence[str]
    references: Sequence[Sequence[str]]
    systems: dict[str, list[str]]
    options: MetricOptions = SACREBLEU_DEFAULTS
    bootstrap_samples: int = 1000

    def references_of(self, sentence: int) -> list[str]:
        """Return the references of one sentence; blank ones count as missing if there are others."""
        found = [reference[sentence] for reference in self.references]
        return [reference for reference in found if reference.strip()] or found[:1]
