"""Translates sentences, in input order."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import torch

from nmt.choices import Device, Implementation, ReplaceUnk
from nmt.command_config import THREADS
from nmt.config import SearchConfig
from nmt.device import choose_tf32, resolve_device, resolve_search_precision
from nmt.errors import ConfigError
from nmt.plain import problems
from nmt.search.alignment import Aligner, Alignment, ToAlign, require_attention, settings_with_attention
from nmt.search.beam import beam_search, check_search_config
from nmt.search.hypothesis import Hypothesis
from nmt.search.loading import default_search_config, load_scorer, with_search_settings
from nmt.search.scorer import StepScorer
from nmt.search.threads import choose_num_searches
from nmt.search.unknown_words import read_dictionary, replace_unknown_words
from nmt.text.subword import UNK_ID, SubwordModel

log = logging.getLogger(__name__)

_NUM_LINES_NAMED = 5


class TranslatedHypothesis(NamedTuple):
    """A hypothesis as text.

    Attributes:
        text: one line.
        score: log_prob over the length penalty, plus the coverage penalty.
        log_prob: in nats.
        num_tokens: target subwords, EOS included if it is finished.
        finished: False if the maximum length cut it short.
        alignment: if it was asked for; None for an empty line.
    """

    text: str
    score: float
    log_prob: float
    num_tokens: int
    finished: bool
    alignment: Alignment | None = None


class Translation(NamedTuple):
    """A source line and its translations, best first: n_best of them, or as many as search found, but at least one.

    Attributes:
        source: as it was read, including the "\\r" of a line end.
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
    """Translates any number of lines in constant memory: n lines in, n translations out, in order.

        translator = Translator.load("runs/first/checkpoints/best", beam_size=5)
        translator("A dog runs.")                       # a string gives a string
        translator(["A dog runs.", "A cat sleeps."])    # a list gives a list
        for text in translator(open("test.en")): ...    # any other iterable gives an iterator

    `translate` gives hypotheses with their scores and, on request, their alignments.
    """

    def __init__(
        self, scorer: StepScorer[Any], tgt_subword: SubwordModel, config: SearchConfig, *, num_searches: int = 1
    ) -> None:
        """Combine a scorer with the subword model that turns its ids into text.

        Args:
            num_searches: number of parallel searches (`nmt.search.threads`); one gives the same bits in every run.

        Raises:
            ConfigError: if the search config is invalid, or needs attention and the scorer has none.
            DataError: if the dictionary cannot be read.
        """
        check_search_config(config)
        require_attention(scorer.members, settings_with_attention(config))
        self._dictionary = {} if config.dictionary is None else read_dictionary(Path(config.dictionary))
        self.scorer = scorer
        self.tgt_subword = tgt_subword
        self.config = config
        self.num_searches = num_searches

    @classmethod
    def load(
        cls,
        checkpoints: str | Path | Sequence[str | Path],
        *,
        beam_size: int | None = None,
        n_best: int | None = None,
        precision: str | None = None,
        device: str = Device.auto,
        threads: int | None = None,
        search: SearchConfig | None = None,
        implementation: str = Implementation.fast,
    ) -> "Translator":
        """Load a checkpoint, or several as an ensemble.

        On a GPU, this also decides for the whole process how float32 is multiplied (`nmt.device.choose_tf32`).

        Args:
            checkpoints: folders such as RUN_DIR/checkpoints/best.
            beam_size: hypotheses kept at each step; 1 is greedy search.
            n_best: number of translations that `translate` gives for each sentence.
            precision: fp32, bf16, int8, or auto: bf16 if the processor has it, else fp32.
            device: cpu, cuda, or auto: a GPU if there is one.
            threads: CPU threads of torch, for the whole process; None leaves them as they are.
            implementation: fast, or reference: the plain modules, without the parts laid out for speed.
            search: all settings of search, overridden by the arguments above. None: the defaults of `nmt translate`.
                `replace(default_search_config(), max_len_ratio=3.0)` changes other settings.

        Raises:
            ConfigError: if a setting is invalid, or the machine cannot compute as requested.
            CheckpointError: if a checkpoint cannot be loaded, or the members do not share a target vocabulary.
            DataError: if the dictionary of `search` cannot be read.
        """
        paths = [checkpoints] if isinstance(checkpoints, str | Path) else checkpoints
        config = with_search_settings(
            search or default_search_config(), beam_size=beam_size, n_best=n_best, precision=precision
        )
        check_search_config(config)  # before anything large is read
        given: tuple[tuple[str, object, Any], ...] = (
            ("device", device, Device),
            ("implementation", implementation, Implementation),
            ("threads", threads, int | None),
        )
        if wrong := [problem.text for name, value, kind in given for problem in problems(kind, value, name)]:
            raise ConfigError("; ".join(wrong))
        if threads is not None:
            if wanted := THREADS.wanted(threads):
                raise ConfigError(f"threads must be {wanted}, but is {threads}")
            torch.set_num_threads(threads)
        found_device = resolve_device(device)
        found_implementation = Implementation(implementation)
        found_precision = resolve_search_precision(config.precision, found_device, found_implementation)
        choose_tf32(found_precision, found_device)
        scorer = load_scorer(
            paths,
            device=found_device,
            precision=found_precision,
            average=config.ensemble_average,
            implementation=found_implementation,
            counts_coverage=config.coverage_penalty > 0,
        )
        num_searches = choose_num_searches(config, device=found_device, num_threads=torch.get_num_threads())
        return cls(scorer, scorer.tgt_subword, config, num_searches=num_searches)

    @overload  # strings and lists are iterables, too: the first that fits counts
    def __call__(self, source: str) -> str: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, source: list[str]) -> list[str]: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, source: Iterable[str]) -> Iterator[str]: ...

    def __call__(self, source: str | Iterable[str]) -> str | list[str] | Iterator[str]:
        """Translate a line, a list of lines, or, lazily and in constant memory, any other iterable of lines.

        Lines are translated in windows of `config.window_lines`: an iterable is read that far ahead. A line without
        anything to translate gives an empty one. Translations have no line end, whether or not their lines had one.

        Raises:
            TypeError: if the source is none of these, or a line is not a string.
            ValueError: if a line has a line feed before its end, or is not Unicode.
        """
        if isinstance(source, str):
            [text] = self._texts([source])
            return text
        if not isinstance(source, Iterable) or isinstance(source, bytes | bytearray):
            raise TypeError(
                "a Translator takes a string, a list of strings or another iterable of strings, but was given "
                f"{type(source).__name__}"
            )
        texts = self._texts(source)
        return list(texts) if isinstance(source, list) else texts

    def _texts(self, lines: Iterable[str]) -> Iterator[str]:
        return (translation.text for translation in self.translate(map(_one_line, itertools.count(1), lines)))

    def translate(
        self,
        lines: Iterable[str],
        *,
        align: bool = False,
        progress: Callable[[int], None] | None = None,
        lines_before: Callable[[], int] = lambda: 0,
    ) -> Iterator[Translation]:
        """Yield one translation per line, in order; a line without anything to translate gives an empty one.

        Lines are read and searched in windows of `search.window_lines`, within which sentences of similar length
        share a batch. Warns once, at the end, if translations were cut short, and if lines are mostly unknown.

        Args:
            lines: without their line ends; a remaining "\\r" is not translated.
            align: give hypotheses their alignments, for which every translation is read once more.
            progress: called with the number of lines done since the last call.
            lines_before: the number of lines of the text before the first one, for the warning.

        Raises:
            ConfigError: if alignments are asked for and no model has attention.
        """
        require_attention(self.scorer.members, ["align=True"] if align else [])
        num_unfinished = num_mostly_unknown = number = 0
        named: list[int] = []
        remaining = iter(lines)
        while window := list(itertools.islice(remaining, self.config.window_lines)):
            for translation in self._translate_window(window, align=align, progress=progress or (lambda _: None)):
                number += 1
                num_unfinished += not translation.hypotheses[0].finished
                if translation.unknown_share > 0.5:
                    num_mostly_unknown += 1
                    named += [number] if len(named) < _NUM_LINES_NAMED else []
                yield translation
        if num_unfinished:
            log.warning(
                "%d translations reached the maximum length and were cut short: raise search.max_len_ratio or "
                "search.max_len_extra if they should be longer",
                num_unfinished,
            )
        if num_mostly_unknown:
            is_one, first = num_mostly_unknown == 1, lines_before()
            log.warning(
                "%s of %s %s mostly unknown to the model, and %s made up (line %s%s): "
                "%s in the language that it was trained on, and split in the same way?",
                f"{num_mostly_unknown:,}",
                f"{number:,}",
                f"line{'' if number == 1 else 's'} {'is' if is_one else 'are'}",
                "its translation is" if is_one else "their translations are",
                ", ".join(str(first + number) for number in named),
                ", …" if num_mostly_unknown > len(named) else "",
                "is it" if is_one else "are they",
            )

    def _translate_window(
        self, window: Sequence[str], *, align: bool, progress: Callable[[int], None]
    ) -> list[Translation]:
        sentences = [line.removesuffix("\r") for line in window]
        encoded = self.scorer.encode_sources(sentences)
        to_search = [index for index, source in enumerate(encoded) if window[index].strip() and source.num_subwords > 0]
        # longest first: if memory is too small, this fails at once, and the last sentences end at about the same time
        to_search.sort(key=lambda index: -encoded[index].num_subwords)
        progress(len(window) - len(to_search))
        translations = [
            Translation(line, (EMPTY,), source.unknown_share) for line, source in zip(window, encoded, strict=True)
        ]
        sources = [encoded[index] for index in to_search]
        found = beam_search(self.scorer, sources, self.config, progress=progress, num_searches=self.num_searches)
        items = [
            ToAlign(sentences[index], encoded[index], hypothesis)
            for index, n_best in zip(to_search, found, strict=True)
            for hypothesis in n_best
        ]
        hypotheses = iter(self._as_text(items, align=align))
        for index, n_best in zip(to_search, found, strict=True):
            own = tuple(itertools.islice(hypotheses, len(n_best)))
            translations[index] = translations[index]._replace(hypotheses=own)
        return translations

    def _as_text(self, items: Sequence[ToAlign], *, align: bool) -> list[TranslatedHypothesis]:
        """Decode hypotheses, with alignments and without unknown words if this is asked for."""
        replaces = self.config.replace_unk != ReplaceUnk.none
        has_unknown = [replaces and UNK_ID in item.hypothesis.ids for item in items]
        to_align = [item for item, is_unknown in zip(items, has_unknown, strict=True) if align or is_unknown]
        alignments: Iterator[Alignment] = iter(())
        if to_align:
            aligner = Aligner(self.scorer.members, batch_rows=self.config.batch_rows)
            alignments = iter(aligner.align(to_align))
        decoded = []
        texts = self.tgt_subword.decode_batch([item.hypothesis.ids for item in items])
        for item, text, is_unknown in zip(items, texts, has_unknown, strict=True):
            ids, alignment = item.hypothesis.ids, next(alignments) if align or is_unknown else None
            if is_unknown and alignment is not None:
                text = replace_unknown_words(self.tgt_subword, ids, alignment, dictionary=self._dictionary)
            decoded.append(_with_text(item.hypothesis, text, alignment if align else None))
        return decoded


def _with_text(hypothesis: Hypothesis, text: str, alignment: Alignment | None) -> TranslatedHypothesis:
    return TranslatedHypothesis(
        text=text,
        score=hypothesis.score,
        log_prob=hypothesis.log_prob,
        num_tokens=len(hypothesis.ids) + hypothesis.finished,
        finished=hypothesis.finished,
        alignment=alignment,
    )


def _one_line(number: int, line: object) -> str:
    """Return a line without its line feed; its number is for messages.

    Raises:
        TypeError: if it is not a string.
        ValueError: if it has a line feed before its end, or is not Unicode.
    """
    if not isinstance(line, str):
        raise TypeError(f"every source must be a string, but number {number} is of type {type(line).__name__}")
    line = line.removesuffix("\n")
    if "\n" in line:
        raise ValueError(f"every source must be one line, but number {number} has a line feed in it: split it there")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"every source must be Unicode text, but number {number} is not ({error.reason})") from error
    return line
