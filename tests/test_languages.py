from __future__ import annotations

import pytest

from nmt.choices import Severity
from nmt.doctor.finding import worst
from nmt.doctor.languages import LanguageExamination, Languages
from tests.doctor_text import Pairs, block, number_pairs

PAIRS = number_pairs(1_000)


def found_in(train: Pairs, dev: Pairs = PAIRS[:100]) -> Languages:
    examination = LanguageExamination()
    examination.add(block(train))
    examination.add(block(dev, split="dev"))
    return examination.result()


def serious(found: Languages) -> list[tuple[Severity, str]]:
    return [(line.severity, line.summary) for line in found.findings if line.severity != Severity.ok]


def test_one_language_on_each_side_is_ok() -> None:
    found = found_in(PAIRS)
    assert serious(found) == []
    assert found.scripts == {"src": ["LATIN"], "tgt": ["LATIN"]}


def test_no_text_has_no_findings() -> None:
    assert LanguageExamination().result().findings == []


def test_sentences_that_nobody_translated_are_counted() -> None:
    found = found_in(PAIRS + [(src, f" {src}") for src, _ in PAIRS[:100]] + [("7 7", "7 7")])
    expected = 100 + sum(src == tgt for src, tgt in PAIRS)  # figures are equal in all languages
    assert found.splits["train"].num_identical == expected
    assert f"train: {expected} of 1,101" in serious(found)[0][1]


def test_lines_of_another_script_are_counted() -> None:
    found = found_in([*PAIRS, ("Привет мир", "Un deux"), ("Zero Привет", "Un"), ("12", "34")])
    assert found.splits["train"].sides["src"].num_foreign_script == 1
    assert serious(found) == [(Severity.notice, "train src: 1 of 1,003 (0.10%) lines are in another script")]


def test_a_side_may_have_several_scripts() -> None:
    found = found_in([("漢字かな", "kanji")] * 100 + [("カタカナ", "kana")] * 20)
    assert found.scripts["src"] == ["CJK", "HIRAGANA", "KATAKANA"]
    assert found.splits["train"].sides["src"].num_foreign_script == 0


def test_words_of_two_alphabets_are_counted() -> None:
    found = found_in([*PAIRS, ("Zer\u043e one", "Un deux"), ("Zero \u043e\u043d", "Un deux")])
    assert found.splits["train"].sides["src"].num_mixed_words == 1


def test_lines_of_the_other_language_are_counted() -> None:
    found = found_in(PAIRS + [(tgt, tgt) for _, tgt in PAIRS[:20]])
    assert 15 <= found.splits["train"].sides["src"].num_other_language <= 20  # the shortest say too little
    assert found.splits["train"].sides["tgt"].num_other_language == 0


def test_words_of_the_other_language_in_a_sentence_are_no_other_language() -> None:
    found = found_in([*PAIRS, ("Zero one two: un deux trois quatre", "Zéro un deux")])
    assert found.splits["train"].sides["src"].num_other_language == 0


def test_swapped_sides_are_recognized() -> None:
    found = found_in(PAIRS, [(tgt, src) for src, tgt in PAIRS[:100]])
    advice = {line.advice for line in found.findings if line.severity == Severity.warning}
    assert advice == {"the sides are swapped: swap the files"}
    assert len(serious(found)) == 2


@pytest.mark.parametrize(("count", "severity"), [(0, Severity.ok), (2, Severity.notice), (60, Severity.warning)])
def test_many_foreign_lines_are_more_serious_than_few(count: int, severity: Severity) -> None:
    found = found_in([*PAIRS, *[("Привет", "Un")] * count])
    assert worst(line.severity for line in found.findings if line.summary.startswith("train")) == severity
