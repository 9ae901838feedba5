"""The parts of a report: sections with figures and tables; `page` writes them as HTML, `text` and JSON.

`nmt.report.drawing` draws the SVG of a figure.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """A piece of text, marked or not."""

    text: str
    marked: bool = False


# A cell: a number, text, text with marked words, or None: nothing to say
Cell = str | int | float | tuple[Span, ...] | None


@dataclass(frozen=True)
class Table:
    """Numbers and texts with a caption; a number is read in full in the JSON, rounded everywhere else.

    Attributes:
        rows: as many cells each as there are columns; the first cell names the row.
        decimals: digits after the point of the floats of a column, by its title; by default four significant digits.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    decimals: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.caption
        assert all(len(row) == len(self.columns) for row in self.rows), f"rows must have {len(self.columns)} cells"
        assert set(self.decimals) <= set(self.columns)


@dataclass(frozen=True)
class Figure:
    """A picture, and the numbers behind it.

    Attributes:
        svg: a complete SVG element, which takes its colours from the page (`nmt.report.drawing`).
        caption: what is shown, and on what, in a sentence or two.
        alt: what somebody who does not see the picture needs to know: its message, not its look.
    """

    svg: str
    caption: str
    alt: str
    numbers: Table

    def __post_init__(self) -> None:
        assert self.caption
        assert self.alt
        assert "<svg" in self.svg


@dataclass(frozen=True)
class Section:
    """A part of the report; paragraphs come first, then tables, then figures."""

    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
