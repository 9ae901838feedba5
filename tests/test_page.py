"""The page: self-contained, every picture with its text and its numbers, nothing interpreted that is text."""

from __future__ import annotations

import re

import pytest

from nmt.report.drawing import SERIES, drawing, svg_of
from nmt.report.page import as_html, inline_svg, is_number
from nmt.report.section import Figure, Section, Span, Table
from tests.pages import read_page

TABLE = Table('A <b> & "c"', ("text", "n"), (("<script>alert(1)</script>", 1.5), ("&amp;", None)))
MARKED = Table("Marked", ("text", "sentence"), (("x", (Span("a & b "), Span("<c>", True))),))


def figure(alt: str = 'Says "so" & <more>.') -> Figure:
    with drawing() as canvas:
        canvas.subplots().plot([1, 2], [2, 1], color=SERIES[0])
        return Figure(svg_of(canvas), "A caption.", alt, TABLE)


def html() -> str:
    sections = [Section("One & two", ("A <p>.",), (figure(), figure("Other.")), (TABLE, MARKED)), Section("Three")]
    return as_html(sections, title="A <title>", version="1")


def test_text_is_never_markup() -> None:
    page = html()
    assert "<script" not in page
    found = read_page(page)
    assert found.tables[0].rows == [["<script>alert(1)</script>", "1.5"], ["&amp;", "–"]]
    assert found.tables[0].caption == TABLE.caption
    assert "<mark>&lt;c&gt;</mark>" in page


def test_pictures_have_their_description_and_numbers() -> None:
    found = read_page(html())
    assert found.labels == ['Says "so" & <more>.', "Other."]
    assert [table.caption for table in found.tables] == [TABLE.caption, MARKED.caption, TABLE.caption, TABLE.caption]


def test_identifiers_are_unique_and_references_lead_to_them() -> None:
    page = html()
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    targets = re.findall(r'(?:href="#|url\(#|labelledby=")([^")]+)', page)
    assert targets
    assert set(targets) <= set(identifiers)


def test_nothing_comes_from_elsewhere() -> None:
    page = html()
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b|@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_a_picture_grows_to_its_column_and_no_further() -> None:
    svg = inline_svg(
        Figure('<svg xmlns="http://a" width="80" height="9" viewBox="0 0 80 9"></svg>', "c", "a", TABLE), prefix="p"
    )
    assert svg == '<svg viewBox="0 0 80 9" role="img" aria-label="a" style="max-width: 100px"></svg>'


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("100,000", True), ("18.72", True), ("0.00%", True), (None, True), (3, True), ("Latin", False), ("3 of 4", False)],
)
def test_formatted_numbers_are_numbers_which_are_not_broken(cell: str | int | None, expected: bool) -> None:
    assert is_number(cell) == expected


def test_short_words_are_not_broken_on_a_phone() -> None:
    table = Table("Figures", ("figure", "a", "b"), (("letters", "Latin", "a sentence that is longer"),))
    html = as_html([Section("Corpus", tables=(table,))], title="Page", version="1")
    assert re.search(r'class="short">\s*Latin', html)
    assert not re.search(r'class="short">\s*a sentence', html)
