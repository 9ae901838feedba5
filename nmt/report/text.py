"""A report as text for a terminal, and as JSON."""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from nmt.report.section import Cell, Figure, Section, Table

_MAX_ROWS = 30  # of the numbers behind a picture
_NOTHING = "–"


def as_text(sections: Sequence[Section]) -> str:
    """Format as lines for people; of a picture, its description and the numbers behind it."""
    return "\n".join(line for section in sections for line in _section_lines(section)).strip("\n") + "\n"


def as_json(sections: Sequence[Section]) -> str:
    """Format as a JSON object with everything but the pictures, and numbers in full."""
    value: list[dict[str, Any]] = [asdict(section) for section in sections]
    for section in value:
        for figure in section["figures"]:
            del figure["svg"]
    return json.dumps({"sections": value}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def cell_text(table: Table, column: int, cell: Cell) -> str:
    """Format a cell, the same for terminal and page; marked words are between asterisks."""
    match cell:
        case None:
            return _NOTHING
        case str():
            return cell
        case tuple():
            return "".join(f"*{span.text}*" if span.marked else span.text for span in cell)
        case int():
            return f"{cell:,}"
        case float():
            decimals = table.decimals.get(table.columns[column])
            if decimals is not None:
                return f"{cell:.{decimals}f}"
            return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"


def _section_lines(section: Section) -> Iterator[str]:
    yield from ["", section.title, "=" * len(section.title)]
    for paragraph in section.paragraphs:
        yield from ["", paragraph]
    for table in section.tables:
        yield from ["", *_table_lines(table)]
    for figure in section.figures:
        yield from ["", *_figure_lines(figure)]


def _figure_lines(figure: Figure) -> Iterator[str]:
    yield figure.caption
    yield figure.alt
    yield from _table_lines(figure.numbers, max_rows=_MAX_ROWS)


def _table_lines(table: Table, *, max_rows: int | None = None) -> Iterator[str]:
    """Align columns, numbers to the right; the last column of text is as long as it is."""
    yield table.caption
    rows = [[cell_text(table, column, cell) for column, cell in enumerate(row)] for row in table.rows[:max_rows]]
    widths = [max(map(_width, texts)) for texts in zip(table.columns, *rows, strict=True)]
    is_number = [any(isinstance(row[column], int | float) for row in table.rows) for column in range(len(widths))]
    for row in [table.columns, *rows]:
        cells = (_padded(text, width, right=right) for text, width, right in zip(row, widths, is_number, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
    if len(table.rows) > len(rows):
        yield f"  … {len(table.rows) - len(rows):,} more rows: json=true has all"


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
