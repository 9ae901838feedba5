"""Checks of the text that metrics read."""

from __future__ import annotations

import logging
import subprocess
from typing import TYPE_CHECKING

import pytest

from nmt.choices import BleuTokenizer
from nmt.errors import DataError
from nmt.evaluation.plain_text import (
    refuse_markup,
    warn_of_blank_references,
    warn_of_blank_translations,
    warn_of_columns,
    warn_of_unsuitable_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENGLISH = ["the cat sat on the mat.", "a dog barks at the red car, and she reads"]
CHINESE = ["猫坐在垫子上。", "红车旁边有一只狗，她在看书。"]
NAMES = ["Ada", "Grace", "Alan", "Barbara", "Donald"]
SGML = ['<refset setid="x">', '<doc docid="y">', '<seg id="1">A cat.</seg>', '<seg id="2"> A dog. </seg>', "</doc>"]


def warnings(caplog: pytest.LogCaptureFixture, lines: Sequence[str], tokenizer: str = "13a") -> list[str]:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    warn_of_unsuitable_text(lines, name="out.fr", tokenizer=BleuTokenizer(tokenizer), setting="bleu_tokenize")
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "lines",
    [
        SGML,
        ["", "  <srcset setid='x'>"],
        ["<tstset>"],
        ['<?xml version="1.0"?>', "<x>"],
        ["<!DOCTYPE mteval>"],
        ["<mteval>"],
        ['<DOC id="1">'],
        ['<seg id="1">A cat.</seg>'],
        ["a comment", *['<seg id="1">A cat.</seg>'] * 2],
    ],
    ids=lambda lines: str(lines[0]),
)
def test_markup_is_refused(lines: list[str]) -> None:
    with pytest.raises(DataError, match=r"^ref.sgm must be plain text, one sentence a line, but is SGML or XML: take"):
        refuse_markup(lines, name="ref.sgm")


@pytest.mark.parametrize(
    "lines", [[], [""], ENGLISH, ["<document attached>"], ["<b>Note</b>"], ["a", "<seg> is a tag", "b"]], ids=str
)
def test_plain_text_may_contain_tags(lines: list[str]) -> None:
    refuse_markup(lines, name="ref")


def test_the_suggested_command_extracts_the_text(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        refuse_markup(SGML, name="ref.sgm")
    command = str(refused.value).partition("as sed ")[2].partition(" does")[0]
    (tmp_path / "ref.sgm").write_text("\n".join(SGML) + "\n")
    done = subprocess.run(
        f"sed {command} ref.sgm", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "A cat.\n A dog. \n"


def test_plain_text_needs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, ENGLISH) == []
    assert warnings(caplog, []) == []
    assert warnings(caplog, ["", " "]) == []


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("a b .", " ."),
        ("it &apos;s", "&apos;"),
        ("&quot; a &quot;", "&quot;"),
        ("a &amp; b", "&amp;"),
        ("a &lt; b", "&lt;"),
        ("a &#124; b", "&#124;"),
        ("well @-@ known", "@-@"),
    ],
)
def test_tokenized_text_is_noticed(caplog: pytest.LogCaptureFixture, line: str, mark: str) -> None:
    message = f"lines look tokenized ({mark!r}, for example): detokenize them, or the score is not comparable"
    assert warnings(caplog, [line] * 100 + ENGLISH * 5000) == [f"out.fr: 100 of 10100 {message}"]
    assert warnings(caplog, [line, *["the cat sat"] * 9]) == [f"out.fr: 1 of 10 {message}"]
    assert warnings(caplog, [line, *["the cat sat"] * 10]) == []
    assert warnings(caplog, [line] * 100, "none") == []  # without a tokenizer the text must be tokenized


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "none"])
@pytest.mark.parametrize(
    "lines",
    [CHINESE, [*NAMES, "Edsger Dijkstra"], ["ประเทศไทยเป็นประเทศ ที่ตั้งอยู่ในเอเชีย"]],
    ids=["chinese", "names", "thai"],
)
def test_missing_spaces_are_noticed(caplog: pytest.LogCaptureFixture, lines: list[str], tokenizer: str) -> None:
    assert warnings(caplog, lines, tokenizer) == [
        f"out.fr: hardly any spaces, which separate words for BLEU with bleu_tokenize={tokenizer}: "
        "set bleu_tokenize=char, or zh, ja-mecab or ko-mecab"
    ]


@pytest.mark.parametrize("tokenizer", ["zh", "char", "ja-mecab", "flores200"])
def test_other_tokenizers_need_no_spaces(caplog: pytest.LogCaptureFixture, tokenizer: str) -> None:
    assert warnings(caplog, CHINESE, tokenizer) == []


def test_words_that_are_separated_by_spaces_are_fine_in_any_script(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, ["猫 坐 在 垫子 上", "红 车 旁边 有 一 只 狗"]) == []
    assert warnings(caplog, ["고양이가 매트 위에 앉았다", "개가 짖는다"]) == []


@pytest.mark.parametrize(
    ("references", "messages"),
    [
        ({"r": ["a", "b"]}, []),
        ({"r": ["a", "", " "]}, ["r: 2 blank lines, matched only by blank lines"]),
        ({"r": ["a", ""], "s": ["", "b"]}, [f"{name}: 1 blank line, treated as a missing reference" for name in "rs"]),
        (
            {"r": ["a", "b", ""], "s": ["", "", ""]},
            ["s: 2 blank lines, treated as missing references", "r, s: 1 blank line, matched only by blank lines"],
        ),
    ],
)
def test_blank_references_are_counted(
    caplog: pytest.LogCaptureFixture, references: dict[str, list[str]], messages: list[str]
) -> None:
    warn_of_blank_references(references)
    assert [record.getMessage() for record in caplog.records] == messages


def test_systems_with_only_blank_translations_are_named(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_blank_translations({"good": ["a", ""], "empty": ["", " "]})
    assert caplog.messages == ["empty: all translations are blank (2): is it the right file or checkpoint?"]


def test_columns_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_columns(["a\tb", "c"], name="dev.tsv")
    assert caplog.messages == []
    warn_of_columns(["a\tb", "c", "d\te"], name="dev.tsv")
    assert caplog.messages == [
        "dev.tsv: 2 of 3 lines contain tabs, which are read as text: if these are columns, take the one that is meant "
        "(cut -f2 dev.tsv > FILE)"
    ]
