"""A report as text and JSON."""

from __future__ import annotations

import json

import pytest

from nmt.report.section import Cell, Figure, Section, Span, Table
from nmt.report.text import as_json, as_text, cell_text

TABLE = Table("Scores", ("system", "n", "BLEU"), (("a", 1000, 12.345), ("日本", None, 1.0)), {"BLEU": 1})
FIGURE = Figure("<svg/>", "A picture.", "It rises.", Table("Numbers", ("x",), tuple((n,) for n in range(40))))
SECTION = Section("Title", ("Some words.",), (FIGURE,), (TABLE,))


def test_columns_are_aligned_and_pictures_described() -> None:
    text = as_text([SECTION])
    assert text.startswith(
        "Title\n=====\n\nSome words.\n\nScores\n"
        "  system      n  BLEU\n"
        "  a       1,000  12.3\n"
        "  日本        –   1.0\n"
        "\nA picture.\nIt rises.\nNumbers\n"
    )
    assert text.endswith("  29\n  … 10 more rows: json=true has all\n")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, "–"),
        ("a", "a"),
        (1234567, "1,234,567"),
        (0.00123456, "0.001235"),
        (12345.6, "12,346"),
        ((Span("a"), Span(" "), Span("b", True)), "a *b*"),
    ],
)
def test_cells_are_formatted(cell: Cell, expected: str) -> None:
    assert cell_text(Table("t", ("c",), ()), 0, cell) == expected


def test_json_has_everything_but_pictures_in_full() -> None:
    [section] = json.loads(as_json([SECTION]))["sections"]
    assert section["tables"][0]["rows"][0] == ["a", 1000, 12.345]
    assert len(section["figures"][0]["numbers"]["rows"]) == 40
    assert set(section["figures"][0]) == {"caption", "alt", "numbers"}
