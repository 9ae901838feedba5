"""Reads the tables and descriptions of pictures in an HTML page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class PageTable:
    caption: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


class Page(HTMLParser):
    """What a page has, in its order: tables, and the texts of pictures for screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[PageTable] = []
        self.labels: list[str | None] = []
        self._text = ""
        self._in_head = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "svg":
            self.labels.append(dict(attrs).get("aria-label"))
        elif tag == "table":
            self.tables.append(PageTable())
        elif tag in ("thead", "tbody"):
            self._in_head = tag == "thead"
        elif tag == "tr" and not self._in_head:
            self.tables[-1].rows.append([])
        elif tag in ("caption", "th", "td"):
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self.tables[-1].caption = self._text
        elif tag in ("th", "td") and self._in_head:
            self.tables[-1].columns.append(self._text)
        elif tag in ("th", "td"):
            self.tables[-1].rows[-1].append(self._text)


def read_page(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page
