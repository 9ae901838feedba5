"""Examples: their order, and what is marked."""

from __future__ import annotations

from nmt.choices import ExampleOrder
from nmt.report.examples import examples_section, mark_differences, mark_missing
from nmt.report.section import Section, Span
from nmt.report.translations import Translations

SOURCES = ["one", "one two three", "one two"]
REFERENCE = ["a big cat", "a red dog", "the old house"]
FIRST = ["a big cat", "a red dog", "old house"]
SECOND = ["a big bat", "zzz", "the old house"]


def sentences(section: Section) -> list[str]:
    return [table.caption.split(",")[0].removeprefix("Sentence ") for table in section.tables]


def examples(systems: dict[str, list[str]], order: ExampleOrder, number: int = 9) -> Section:
    return examples_section(Translations(SOURCES, [REFERENCE], systems), number=number, order=order)


def test_sentences_that_differ_most_come_first() -> None:
    section = examples({"x": FIRST, "y": SECOND}, ExampleOrder.difference)
    assert sentences(section) == ["2", "1", "3"]
    assert section.tables[0].caption == "Sentence 2, 3 words, difference 100.0"


def test_of_one_system_the_worst_come_first() -> None:
    section = examples({"y": SECOND}, ExampleOrder.difference)
    assert sentences(section) == ["2", "1", "3"]
    assert section.tables[1].caption == "Sentence 1, 1 word"


def test_the_longest_come_first_on_request() -> None:
    assert sentences(examples({"x": FIRST, "y": SECOND}, ExampleOrder.length)) == ["2", "3", "1"]


def test_no_more_than_asked_for() -> None:
    assert sentences(examples({"x": FIRST}, ExampleOrder.length, number=2)) == ["2", "3"]


def test_a_table_has_source_reference_and_all_systems() -> None:
    table = examples({"x": FIRST, "y": SECOND}, ExampleOrder.difference).tables[0]
    assert table.rows[0] == ("source", None, "one two three")
    assert table.rows[1] == ("reference", None, (Span("a red dog"),))
    assert table.rows[2] == ("x", 100.0, (Span("a red dog"),))
    assert table.rows[3][2] == (Span("zzz", True),)


def test_words_that_differ_are_marked() -> None:
    assert mark_differences("the black cat sleeps", "the cat sleeps now") == (
        Span("the"),
        Span(" "),
        Span("black", True),
        Span(" "),
        Span("cat sleeps"),
    )
    assert mark_differences("", "the cat") == ()


def test_words_that_no_translation_has_are_marked_in_the_reference() -> None:
    assert mark_missing("the cat sleeps here now", ["the cat", "cat sleeps"]) == (
        Span("the cat sleeps"),
        Span(" "),
        Span("here now", True),
    )
