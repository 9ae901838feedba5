from __future__ import annotations

import pytest

from nmt.report.section import Figure, Table


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(AssertionError, match="rows must have 2 cells"):
        Table("a", ("b", "c"), ((1, 2), (3,)))


def test_decimals_belong_to_columns() -> None:
    with pytest.raises(AssertionError):
        Table("a", ("b",), ((1,),), {"c": 1})


@pytest.mark.parametrize(("svg", "caption", "alt"), [("<p>", "c", "a"), ("<svg>", "", "a"), ("<svg>", "c", "")])
def test_a_figure_is_a_picture_with_a_caption_and_a_description(svg: str, caption: str, alt: str) -> None:
    with pytest.raises(AssertionError):
        Figure(svg, caption, alt, Table("a", ("b",), ()))
