from __future__ import annotations

from collections import Counter

import pytest

from nmt.choices import Severity
from nmt.doctor.characters import CharacterCounts, Characters, characters, script_of, scripts
from tests.doctor_text import Pairs, block


def found_in(train: Pairs, dev: Pairs) -> Characters:
    counts = {"train": CharacterCounts(["src"]), "dev": CharacterCounts(["src"])}
    counts["train"].add(block(train))
    counts["dev"].add(block(dev, split="dev"))
    return characters(counts, {"src": str.lower, "tgt": str})


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "LATIN"),
        ("é", "LATIN"),
        ("ª", "LATIN"),
        ("ﬁ", "LATIN"),
        ("Ａ", "LATIN"),
        ("д", "CYRILLIC"),
        ("µ", "GREEK"),
        ("漢", "CJK"),
        ("か", "HIRAGANA"),
        ("한", "HANGUL"),
        ("1", None),
        (" ", None),
        ("ʰ", None),
        ("\u0301", None),
    ],
)
def test_letters_have_scripts(character: str, script: str | None) -> None:
    assert script_of(character) == script


def test_scripts_are_shares_of_the_letters() -> None:
    assert scripts(Counter("abc д 12")) == {"LATIN": 0.75, "CYRILLIC": 0.25}
    assert scripts(Counter("12")) == {}


def test_the_same_characters_are_ok() -> None:
    found = found_in([("ab", "é")], [("ba", "éé")])
    assert found.findings == []
    assert found.splits["dev"]["tgt"].num_characters == 2


def test_new_characters_are_named() -> None:
    [found] = found_in([("ab", "c")], [("abab" * 10 + "dde\u200b", "c")]).findings
    assert found.severity == Severity.warning
    assert found.summary == (
        "dev src: 4 of 44 (9.09%) characters are not in the training text: d U+0064, e U+0065, U+200B"
    )


def test_characters_that_normalization_makes_equal_are_not_new() -> None:
    assert found_in([("ab", "c")], [("AB", "c")]).findings == []
    assert [line.summary[:10] for line in found_in([("ab", "c")], [("ab", "C")]).findings] == ["dev tgt: 1"]


def test_decomposed_characters_are_new_only_where_nothing_composes_them() -> None:
    [found] = found_in([("é", "é")], [("e\u0301", "e\u0301")]).findings
    assert found.summary.startswith("dev tgt: 2 of 2 (100.00%) characters are not in the training text: e U+0065, ")


def test_a_rare_new_character_is_a_notice() -> None:
    [found] = found_in([("a", "b")], [("a" * 999 + "c", "b")]).findings
    assert found.severity == Severity.notice


@pytest.mark.parametrize(("text", "count"), [("a\ufffd", 1), ("a\x85\x80", 2), ("a\tb", 0)])
def test_signs_of_a_wrong_encoding_are_counted(text: str, count: int) -> None:
    found = found_in([(text, "b")], [])
    assert found.splits["train"]["src"].num_misread == count
    assert [line.severity for line in found.findings] == [Severity.warning] * bool(count)
