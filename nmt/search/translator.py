"""Sentences -> sentences, in input order."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from nmt.config import SearchConfig
from nmt.search.beam import Hypothesis, check_search_config
from nmt.search.scorer import StepScorer
from nmt.search.workers import beam_search
from nmt.text.subword import SubwordModel

log = logging.getLogger(__name__)

_NUM_LINES_NAMED = 5


class TranslatedHypothesis(NamedTuple):
    """A hypothesis as text.

    Attributes:
        text: one line.
        score: log_prob over the length penalty.
        log_prob: in nats.
        num_tokens: target subwords, EOS included if it is finished.
        finished: False where the maximum length cut it short.
    """

    text: str
    score: float
    log_prob: float
    num_tokens: int
    finished: bool


class Translation(NamedTuple):
    """A source line and its translations, best first: n_best of them, or as many as search found; one at least.

    Attributes:
        source: as it was read, the "\\r" of a line end included.
        unknown_share: the share of its characters that the model does not know.
    """

    source: str
    hypotheses: tuple[TranslatedHypothesis, ...]
    unknown_share: float = 0.0

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text


EMPTY = TranslatedHypothesis(text="", score=0.0, log_prob=0.0, num_tokens=0, finished=True)


class Translator:
    """Translates any number of lines in constant memory: n lines in, n translations out, in order."""

    def __init__(
        self, scorer: StepScorer[Any], tgt_subword: SubwordModel, config: SearchConfig, *, workers: int = 1
    ) -> None:
        """Join what scores and what spells.

        Args:
            workers: searches that run side by side (`search.workers`); one gives the same bits in every run.

        Raises:
            ConfigError: for a search config that cannot be.
        """
        check_search_config(config)
        self.scorer = scorer
        self.tgt_subword = tgt_subword
        self.config = config
        self.workers = workers
        self.num_unfinished = 0  # lines of the last `translate` whose best translation is unfinished
        self.num_mostly_unknown = 0  # its lines of which the model knows less than half

    def translate(
        self, lines: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Translation]:
        """Yield one translation per line, in order; a line without anything to translate gives an empty one.

        Lines are read and searched in windows of `search.window_lines`, within which sentences of similar length
        share a batch. Warns once, at the end, if translations were cut short, and if lines are mostly unknown.

        Args:
            lines: without their line ends, but for a "\\r", which is not translated.
            progress: called with the number of lines done since the last call.
        """
        self.num_unfinished, self.num_mostly_unknown, number = 0, 0, 0
        named: list[int] = []
        remaining = iter(lines)
        while window := list(itertools.islice(remaining, self.config.window_lines)):
            for translation in self._translate_window(window, progress or (lambda _: None)):
                number += 1
                self.num_unfinished += not translation.hypotheses[0].finished
                if translation.unknown_share > 0.5:
                    self.num_mostly_unknown += 1
                    named += [number] if len(named) < _NUM_LINES_NAMED else []
                yield translation
        if self.num_unfinished:
            log.warning(
                "%d translations reached the maximum length and were cut short: raise search.max_len_ratio or "
                "search.max_len_extra if they ought to be longer",
                self.num_unfinished,
            )
        if self.num_mostly_unknown:
            log.warning(
                "%s of %s lines are mostly unknown to the model, and their translations are invented (line %s%s): "
                "are they in the language that it was trained on?",
                f"{self.num_mostly_unknown:,}",
                f"{number:,}",
                ", ".join(map(str, named)),
                ", …" if self.num_mostly_unknown > len(named) else "",
            )

    def _translate_window(self, window: Sequence[str], progress: Callable[[int], None]) -> list[Translation]:
        encoded = self.scorer.encode_sources([line.removesuffix("\r") for line in window])
        to_search = [index for index, source in enumerate(encoded) if window[index].strip() and source.num_subwords > 0]
        # longest first: what does not fit into memory fails at once, and the last batch empties evenly
        to_search.sort(key=lambda index: -encoded[index].num_subwords)
        progress(len(window) - len(to_search))
        translations = [
            Translation(line, (EMPTY,), source.unknown_share) for line, source in zip(window, encoded, strict=True)
        ]
        sources = [encoded[index] for index in to_search]
        found = beam_search(self.scorer, sources, self.config, progress=progress, workers=self.workers)
        texts = iter(self.tgt_subword.decode_batch([hypothesis.ids for n_best in found for hypothesis in n_best]))
        for index, n_best in zip(to_search, found, strict=True):
            hypotheses = tuple(_spelled(hypothesis, next(texts)) for hypothesis in n_best)
            translations[index] = translations[index]._replace(hypotheses=hypotheses)
        return translations


def _spelled(hypothesis: Hypothesis, text: str) -> TranslatedHypothesis:
    return TranslatedHypothesis(
        text=text,
        score=hypothesis.score,
        log_prob=hypothesis.log_prob,
        num_tokens=len(hypothesis.ids) + hypothesis.finished,
        finished=hypothesis.finished,
    )
