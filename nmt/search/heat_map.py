"""Pictures of alignments: a self-contained SVG with source subwords as columns and target subwords as rows."""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from nmt.search.alignment import Alignment

_CELL = 26  # pixels
_FONT = 13
_CHARACTER = 0.7 * _FONT  # width of most letters; East Asian characters are as wide as _FONT
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Colours(NamedTuple):
    """The colours of a picture, in CSS."""

    background: str
    text: str
    cell: str
    grid: str


ON_WHITE = Colours("white", "black", "#1f5a96", "#ddd")


def heat_map(alignment: Alignment, *, title: str, colours: Colours = ON_WHITE) -> str:
    """Draw the weights of an alignment; a cell is as dark as its weight is large, and its tooltip has the number."""
    left, top = _space_for(alignment.target), _space_for(alignment.source)
    width, height = left + _CELL * len(alignment.source) + _FONT, top + _CELL * len(alignment.target) + _FONT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="{_FONT}">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{width}" height="{height}" style="fill: {colours.background}"/>',
        f'<g style="fill: {colours.text}">',
        *_labels(alignment, left, top),
        f'</g><g style="fill: {colours.cell}; stroke: {colours.grid}">',
        *_cells(alignment, left, top),
        "</g></svg>",
    ]
    return "\n".join(lines) + "\n"


def _labels(alignment: Alignment, left: int, top: int) -> Iterator[str]:
    for column, subword in enumerate(alignment.source):
        x, y = left + _CELL * column + (_CELL + _FONT) // 2, top - 6
        yield f'<text transform="translate({x} {y}) rotate(-90)">{_text(subword)}</text>'
    for row, subword in enumerate(alignment.target):
        x, y = left - 6, top + _CELL * row + (_CELL + _FONT) // 2
        yield f'<text x="{x}" y="{y}" text-anchor="end">{_text(subword)}</text>'


def _cells(alignment: Alignment, left: int, top: int) -> Iterator[str]:
    for row, target in enumerate(alignment.target):
        for column, source in enumerate(alignment.source):
            weight = f"{alignment.weights[row, column]:.4f}"
            yield (
                f'<rect x="{left + _CELL * column}" y="{top + _CELL * row}" width="{_CELL}" height="{_CELL}" '
                f'fill-opacity="{weight}">'
                f"<title>{_text(target)} to {_text(source)}: {weight}</title></rect>"
            )


def _space_for(subwords: tuple[str, ...]) -> int:
    def width(subword: str) -> float:
        return sum(_FONT if unicodedata.east_asian_width(character) in "WF" else _CHARACTER for character in subword)

    return _FONT + round(max(map(width, subwords)))


def _text(text: str) -> str:
    """Escape a text for XML, which has no control characters, not even escaped."""
    return escape(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text))
