"""Unknown words of translations, replaced by the source or by a dictionary."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmt.choices import ReplaceUnk, SubwordKind, Tokenizer
from nmt.errors import DataError
from nmt.search.alignment import Alignment
from nmt.search.translator import Translator
from nmt.search.unknown_words import read_dictionary, replace_unknown_words
from nmt.text.subword import UNK_ID
from nmt.text.subword_learning import learn_subword
from tests.copying import copying_scorer, digit_words
from tests.models import CHARACTERS, tiny_subword
from tests.search import search_config

LINES = ["0 1 Zoë", "x", "0 1 2", "", "0 y-z"]


def translator_of(replace_unk: ReplaceUnk, dictionary: Path | None = None) -> Translator:
    name = None if dictionary is None else str(dictionary)
    config = replace(search_config(2), replace_unk=replace_unk, dictionary=name)
    return Translator(copying_scorer(), digit_words(), config)


def test_an_unknown_word_stays_by_default() -> None:
    assert translator_of(ReplaceUnk.none)("0 1 Zoë") == "0 1 ⁇"


def test_an_unknown_word_becomes_the_aligned_source_word_as_it_is_written() -> None:
    assert translator_of(ReplaceUnk.source)(LINES) == LINES


def test_an_unknown_word_becomes_its_entry_in_the_dictionary_if_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("Zoë\tZoé D.\nx\tξ\nx\tno\n1\tno\n", encoding="utf-8")
    translator = translator_of(ReplaceUnk.dictionary, file)
    assert translator(LINES) == ["0 1 Zoé D.", "ξ", "0 1 2", "", "0 y-z"]


def test_words_are_replaced_with_alignments_and_without() -> None:
    translator = translator_of(ReplaceUnk.source)
    for align in (False, True):
        translations = list(translator.translate(["0 x", "0 1"], align=align))
        assert [translation.text for translation in translations] == ["0 x", "0 1"]
        assert [translation.hypotheses[0].alignment is not None for translation in translations] == [align, align]


def test_the_whole_word_around_an_unknown_subword_is_replaced() -> None:
    subword = tiny_subword()  # characters
    ids = [*subword.encode("12"), UNK_ID, *subword.encode("3 4")[1:]]
    weights = np.array([[0.0, 0.6, 0.4]] * (len(ids) + 1), np.float32)
    words = tuple(number for number, word in enumerate(subword.split_words(ids)) for _ in word)
    alignment = Alignment(weights, ("▁a", "▁b", "</s>"), (), ("A", "B"), (0, 1), words)
    assert subword.decode(ids) == "12⁇3 4"
    assert replace_unknown_words(subword, ids, alignment, dictionary={}) == "B 4"
    assert replace_unknown_words(subword, ids, alignment, dictionary={"B": "C d"}) == "C d 4"


def test_tokens_of_moses_are_replaced_before_they_are_joined() -> None:
    spec = replace(CHARACTERS, kind=SubwordKind.word, vocab_size=7, tokenizer=Tokenizer.moses)
    subword = learn_subword(["go , go .", "go , go ."], spec, lang="en")
    [go] = subword.encode("go")
    [comma] = subword.encode(",")
    alignment = Alignment(np.ones((4, 2), np.float32), ("<unk>", "</s>"), (), ("Rome",), (0,), (0, 1, 2))
    assert replace_unknown_words(subword, [go, comma, UNK_ID], alignment, dictionary={}) == "go, Rome"


@pytest.mark.parametrize("line", ["", "a", "a\t", "\tb", "a\tb\tc"])
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(f"x\ty\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_dictionary(file)
    assert str(caught.value) == (f"{file}, line 2: must be a source word, a tab and its translation, but is {line!r}")
