"""A report as one HTML page, without scripts and external files, for phones, print, dark mode and screen readers."""

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from nmt.report.section import Cell, Figure, Section, Span, Table
from nmt.report.text import cell_text


def as_html(sections: Sequence[Section], *, title: str, version: str) -> str:
    """Format as a complete page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("nmt.report")
    template, style = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    numbers = iter(range(1, 1 + sum(len(section.figures) for section in sections)))
    return environment.from_string(template).render(
        sections=sections,
        title=title,
        version=version,
        style=Markup(style),
        spans_of=spans_of,
        is_number=is_number,
        svg_of=lambda figure: Markup(inline_svg(figure, prefix=f"figure-{next(numbers)}-")),
    )


def inline_svg(figure: Figure, *, prefix: str) -> str:
    """Return the SVG of a figure for a page: with its text for screen readers, and identifiers of its own."""
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}\1"', figure.svg[figure.svg.index("<svg") :])
    svg = re.sub(r'"#([^"]*)"', rf'"#{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}\1)", svg)
    begin, rest = svg.split(">", maxsplit=1)
    begin = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", begin)
    width = re.search(r'viewBox="\S+ \S+ (\S+) ', begin)
    size = f' style="max-width: {1.25 * float(width[1]):g}px"' if width else ""
    return f'{begin} role="img" aria-label="{escape(figure.alt)}"{size}>{rest.rstrip()}'


def spans_of(table: Table, column: int, cell: Cell) -> tuple[Span, ...]:
    """Return what a cell shows, in pieces."""
    return cell if isinstance(cell, tuple) else (Span(cell_text(table, column, cell)),)


def is_number(cell: Cell) -> bool:
    """Return whether a cell is a number, perhaps one that is formatted already; a missing one is None."""
    if isinstance(cell, str):
        return re.fullmatch(r"[\d.,]+%?", cell) is not None
    return isinstance(cell, int | float) or cell is None
