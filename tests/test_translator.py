"""Lines in, lines out, over a scorer that copies its source."""

import io
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import Normalization
from nmt.errors import ConfigError
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.loading import default_search_config
from nmt.search.scorer import Candidates, EncodedSource, EnsembleScorer, ModelScorer
from nmt.search.translator import Translator
from nmt.text.subword import BOS_ID, EOS_ID, SubwordModel
from nmt.text.subword_learning import learn_subword
from tests.commands import nmt
from tests.models import CHARACTERS
from tests.search import search_config


@pytest.fixture(scope="module")
def subword() -> SubwordModel:
    spec = replace(CHARACTERS, vocab_size=300, byte_fallback=True, normalization=Normalization.identity)
    return learn_subword(["the quick brown fox jumps over the lazy dog"], spec, lang="en")


CopyState = list[list[int]]  # what each row still has to generate


class CopyScorer:
    """Repeats the source, with probability 0.9 a token; EOS has the rest."""

    members: tuple[ModelScorer, ...] = ()

    def __init__(self, subword: SubwordModel) -> None:
        self.subword = subword
        self.tgt_vocab_size = subword.vocab_size
        self.searched: list[int] = []  # lengths, in the order of search

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        return [EncodedSource((ids,)) for ids in self.subword.encode_batch(list(lines))]

    def start(self, sources: Sequence[EncodedSource]) -> CopyState:
        self.searched.extend(source.num_subwords for source in sources)
        return [[BOS_ID, *source.ids_by_member[0]] for source in sources]

    def step(self, prev_N: Tensor, state: CopyState, num_candidates: int) -> Candidates[CopyState]:
        assert [row[0] for row in state] == prev_N.tolist()
        rest = [row[1:] for row in state]
        token_NC = torch.tensor([[row[0] if row else EOS_ID, EOS_ID] for row in rest])[:, :num_candidates]
        log_prob_NC = torch.tensor([[0.9, 0.1 if row else 0.0] for row in rest]).log()[:, :num_candidates]
        return Candidates(log_prob_NC, token_NC, rest)

    def select(self, state: CopyState, rows_N: Tensor) -> CopyState:
        return [state[row] for row in rows_N.tolist()]

    def concat(self, first: CopyState, second: CopyState) -> CopyState:
        return first + second


LINES = ["the fox", "", "jumps over the dog", "   ", "lazy", "\t", "brown fox quick fox", "a", "dog"]


@pytest.mark.parametrize("window_lines", [1, 2, 4, 100])
def test_n_lines_in_n_lines_out_in_order(
    subword: SubwordModel, window_lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    translator = Translator(CopyScorer(subword), subword, search_config(window_lines=window_lines))
    translations = list(translator.translate(LINES))
    assert [translation.source for translation in translations] == LINES
    assert [translation.text for translation in translations] == [line.strip() for line in LINES]
    assert caplog.messages == []


def test_empty_lines_are_not_searched(subword: SubwordModel) -> None:
    scorer = CopyScorer(subword)
    translations = list(Translator(scorer, subword, search_config(2, n_best=2)).translate(["", " ", "\u3000"]))
    assert scorer.searched == []
    for translation in translations:
        ((text, score, log_prob, num_tokens, finished, _),) = translation.hypotheses
        assert (text, score, log_prob, num_tokens, finished) == ("", 0.0, 0.0, 0, True)


def test_a_line_without_subwords_is_empty_and_not_searched(subword: SubwordModel) -> None:
    class Dropping(CopyScorer):
        def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
            return super().encode_sources([line.strip("~") for line in lines])

    scorer = Dropping(subword)
    translations = list(Translator(scorer, subword, search_config()).translate(["fox", "~~", "dog"]))
    assert [translation.text for translation in translations] == ["fox", "", "dog"]
    assert translations[1].hypotheses[0].finished
    assert len(scorer.searched) == 2
    assert 0 not in scorer.searched


def test_a_line_of_one_subword_is_searched(subword: SubwordModel) -> None:
    class First(CopyScorer):
        def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
            return [EncodedSource((source.ids_by_member[0][1:2],)) for source in super().encode_sources(lines)]

    scorer = First(subword)
    (translation,) = Translator(scorer, subword, search_config()).translate(["x"])
    assert translation.text == "x"
    assert scorer.searched == [1]


def test_a_new_translator_makes_one_search(subword: SubwordModel) -> None:
    assert Translator(CopyScorer(subword), subword, search_config()).num_searches == 1


def test_no_lines_give_no_translations(subword: SubwordModel) -> None:
    assert list(Translator(CopyScorer(subword), subword, search_config()).translate([])) == []


@pytest.mark.parametrize("line", ["fox\u2028dog", "fox\x0bdog", "fox\x85dog", "fox\rdog", "été ☃"])
def test_a_line_with_unusual_characters_is_one_line(subword: SubwordModel, line: str) -> None:
    translations = list(Translator(CopyScorer(subword), subword, search_config()).translate([line, "the"]))
    assert [translation.source for translation in translations] == [line, "the"]
    assert translations[0].text == subword.decode(subword.encode(line))
    assert translations[1].text == "the"


def test_no_text_contains_a_line_feed(subword: SubwordModel) -> None:
    (translation,) = Translator(CopyScorer(subword), subword, search_config()).translate(["fox\ndog"])
    assert translation.text == "fox dog"


def test_a_window_is_searched_longest_first_and_windows_in_order(subword: SubwordModel) -> None:
    scorer = CopyScorer(subword)
    list(Translator(scorer, subword, search_config(window_lines=3)).translate(["a", "the", "fo", "x", "lazy dog", "q"]))
    assert scorer.searched[:3] == sorted(scorer.searched[:3], reverse=True)
    assert scorer.searched[3:] == sorted(scorer.searched[3:], reverse=True)
    assert scorer.searched[3] > scorer.searched[0]


def test_only_one_window_is_read_ahead(subword: SubwordModel) -> None:
    num_read = 0

    def lines() -> Iterator[str]:
        nonlocal num_read
        for _ in range(20):
            num_read += 1
            yield "fox"

    translations = Translator(CopyScorer(subword), subword, search_config(window_lines=5)).translate(lines())
    assert num_read == 0
    next(translations)
    assert num_read == 5


def test_progress_counts_every_line_once(subword: SubwordModel) -> None:
    steps: list[int] = []
    translator = Translator(CopyScorer(subword), subword, search_config(window_lines=4))
    list(translator.translate(LINES, progress=steps.append))
    assert sum(steps) == len(LINES)
    assert min(steps) >= 0


def test_a_translator_runs_parallel_searches(subword: SubwordModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def search(*arguments: Any, num_searches: int, **settings: Any) -> list[tuple[Hypothesis, ...]]:
        asked.append(num_searches)
        return beam_search(*arguments, num_searches=num_searches, **settings)

    monkeypatch.setattr("nmt.search.translator.beam_search", search)
    translations = list(Translator(CopyScorer(subword), subword, search_config(), num_searches=3).translate(LINES))
    assert [translation.text for translation in translations] == [line.strip() for line in LINES]
    assert asked == [3]


def test_n_best_come_with_their_scores(subword: SubwordModel) -> None:
    translator = Translator(CopyScorer(subword), subword, search_config(2, n_best=2))
    (translation,) = translator.translate(["dog"])
    num_subwords = len(subword.encode("dog"))
    first, second = translation.hypotheses
    assert (first.text, first.num_tokens, first.finished) == ("dog", num_subwords + 1, True)
    assert first.log_prob == first.score == pytest.approx((num_subwords + 1) * math.log(0.9), rel=1e-6)
    assert (second.text, second.num_tokens, second.finished) == ("", 1, True)
    assert second.log_prob == pytest.approx(math.log(0.1), rel=1e-6)


def test_unfinished_translations_are_counted_and_warned_of_once(
    subword: SubwordModel, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(search_config(window_lines=2), max_len_ratio=0.0, max_len_extra=4)
    translator = Translator(CopyScorer(subword), subword, config)
    with caplog.at_level(logging.WARNING):
        translations = list(translator.translate(["the quick fox", "a", "", "jumps over", "dog"]))
    assert [translation.hypotheses[0].finished for translation in translations] == [False, True, True, False, True]
    assert translations[0].hypotheses[0].num_tokens == 4
    assert [record.name for record in caplog.records] == ["nmt.search.translator"]
    assert [record.getMessage() for record in caplog.records] == [
        "2 translations reached the maximum length and were cut short: raise search.max_len_ratio or "
        "search.max_len_extra if they should be longer"
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(list(translator.translate(["a"]))) == 1
    assert caplog.messages == []


def test_calls_at_the_same_time_warn_each_of_its_own_lines(
    subword: SubwordModel, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(search_config(window_lines=1), max_len_ratio=0.0, max_len_extra=4)
    translator = Translator(CopyScorer(subword), subword, config)
    first, second = translator.translate(["the quick fox", "jumps over", "a"]), translator.translate(["a"])
    assert [next(first).source, next(second).source] == ["the quick fox", "a"]
    with caplog.at_level(logging.WARNING):
        assert list(second) == []
        assert caplog.messages == []
        assert len(list(first)) == 2
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "2 translations reached the maximum length and were cut short"
    ]


@pytest.mark.parametrize("line", ["the fox\r", "\r", "the\rfox\r"])
def test_the_cr_of_a_line_end_is_not_translated(subword: SubwordModel, line: str) -> None:
    [translation] = Translator(CopyScorer(subword), subword, search_config()).translate([line])
    assert translation.source == line
    assert translation.text == line.removesuffix("\r")


class PuzzledScorer(CopyScorer):
    """Reads the unknown share of a line from the line itself."""

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        return [EncodedSource((self.subword.encode(line),), unknown_share=float(line)) for line in lines]


def test_lines_that_are_mostly_unknown_are_warned_of_once(
    subword: SubwordModel, caplog: pytest.LogCaptureFixture
) -> None:
    translator = Translator(PuzzledScorer(subword), subword, search_config(window_lines=2))
    lines = ["0.0", "0.5", "0.51", "1.0"]
    with caplog.at_level(logging.WARNING):
        assert [translation.unknown_share for translation in translator.translate(lines)] == [0, 0.5, 0.51, 1]
    assert caplog.messages == [
        "2 of 4 lines are mostly unknown to the model, and their translations are made up (line 3, 4): "
        "are they in the language that it was trained on, and split in the same way?"
    ]
    caplog.clear()
    list(translator.translate(["1.0"]))
    assert caplog.messages == [
        "1 of 1 line is mostly unknown to the model, and its translation is made up (line 1): "
        "is it in the language that it was trained on, and split in the same way?"
    ]
    caplog.clear()
    list(translator.translate(["1.0"] * 7))
    assert "7 of 7 lines are mostly unknown" in caplog.text
    assert "(line 1, 2, 3, 4, 5, …)" in caplog.text
    caplog.clear()
    list(translator.translate(lines[:2]))
    assert caplog.messages == []


def test_an_invalid_config_is_refused(subword: SubwordModel) -> None:
    with pytest.raises(ConfigError, match=r"search\.n_best must be at most search\.beam_size \(1\), but is 2"):
        Translator(CopyScorer(subword), subword, search_config(1, n_best=2))


@pytest.fixture
def translator(subword: SubwordModel) -> Translator:
    return Translator(CopyScorer(subword), subword, search_config(window_lines=2))


def test_a_string_gives_a_string_a_list_a_list_and_an_iterable_an_iterator(translator: Translator) -> None:
    assert translator("the fox") == "the fox"
    assert translator("") == ""
    assert translator(["the fox", "", "lazy dog"]) == ["the fox", "", "lazy dog"]
    assert translator([]) == []
    texts = translator(line for line in ("the fox", "", "lazy dog"))
    assert iter(texts) is texts
    assert list(texts) == ["the fox", "", "lazy dog"]
    assert list(translator(("a", "dog"))) == ["a", "dog"]


def test_an_iterable_is_read_one_window_ahead(translator: Translator) -> None:
    read: list[int] = []
    texts = translator(read.append(number) or "fox" for number in range(10))  # type: ignore[func-returns-value]
    assert read == []
    assert next(texts) == "fox"
    assert read == [0, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_end_is_not_translated(translator: Translator, end: str) -> None:
    assert translator(f"the fox{end}") == "the fox"
    assert list(translator(io.StringIO("the fox\nlazy dog\n"))) == ["the fox", "lazy dog"]


@pytest.mark.parametrize(
    ("source", "kind"), [(None, "NoneType"), (3, "int"), (b"fox", "bytes"), (bytearray(b"fox"), "bytearray")]
)
def test_a_source_of_another_type_is_refused_at_once(translator: Translator, source: Any, kind: str) -> None:
    with pytest.raises(
        TypeError,
        match=f"^a Translator takes a string, a list of strings or another iterable of strings, but was given {kind}$",
    ):
        translator(source)


def test_a_line_that_is_not_a_string_is_refused_by_number(translator: Translator) -> None:
    lines: list[Any] = ["fox", None]
    with pytest.raises(TypeError, match=r"^every source must be a string, but number 2 is of type NoneType$"):
        translator(lines)


@pytest.mark.parametrize("source", ["the fox\nthe dog", "\nthe fox", "the fox\n\n"])
def test_several_lines_in_one_are_refused(translator: Translator, source: str) -> None:
    with pytest.raises(ValueError, match=r"^every source must be one line, but number 1 has a line feed in it: split"):
        translator(source)


def test_a_line_that_is_not_unicode_is_refused_by_number(translator: Translator) -> None:
    with pytest.raises(ValueError, match=r"^every source must be Unicode text, but number 2 is not \(surrogates"):
        translator(["fox", "caf\udce9"])


def test_a_translator_is_loaded_from_a_checkpoint_or_an_ensemble(checkpoint: Path, digits: Path) -> None:
    lines = (digits / "test.en").read_text().splitlines()
    done = nmt("translate", f"checkpoints={checkpoint}", "search=greedy", f"input={digits / 'test.en'}", "threads=1")
    expected = done.out.splitlines()
    one = Translator.load(checkpoint, beam_size=1, device="cpu")
    assert one(lines) == expected
    assert isinstance(one.scorer, ModelScorer)
    twins = Translator.load([checkpoint, str(checkpoint)], beam_size=1, precision="fp32")
    assert isinstance(twins.scorer, EnsembleScorer)
    assert twins(lines) == Translator.load(str(checkpoint), beam_size=1, precision="fp32")(lines)


def test_keywords_override_the_search_config(checkpoint: Path) -> None:
    config = replace(default_search_config(), max_len_extra=3, beam_size=7)
    assert Translator.load(checkpoint, search=config).config == config
    assert Translator.load(checkpoint, search=config, beam_size=2, n_best=2).config == replace(
        config, beam_size=2, n_best=2
    )
    assert Translator.load(checkpoint).config == default_search_config()
    [translation] = Translator.load(checkpoint, beam_size=3, n_best=3).translate(["one two"])
    assert len(translation.hypotheses) > 1


def test_threads_are_unchanged_unless_given(checkpoint: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert Translator.load(checkpoint, device="cpu").num_searches == 2
        assert torch.get_num_threads() == 2
        assert Translator.load(checkpoint, device="cpu", threads=1).num_searches == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, r"^search\.beam_size must be at least 1, but is 0"),
        ({"n_best": 6}, r"^search\.n_best must be at most search\.beam_size \(5\), but is 6$"),
        ({"device": "gpu"}, "^device must be one of auto, cpu, cuda, but is 'gpu'$"),
        ({"threads": 0}, "^threads must be at least 1, but is 0$"),
        ({"threads": "2"}, "^threads must be a whole number or null, but is '2'$"),
        ({"threads": 1.5, "implementation": None}, "^implementation must be one of fast, reference, but is null; thr"),
        ({"precision": "fp16"}, r"^search\.precision must be one of auto, fp32, bf16, int8, but is 'fp16'$"),
    ],
)
def test_invalid_settings_are_refused_before_a_checkpoint_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Translator.load("nothing", **settings)
