"""Columns of tab-separated text."""

from __future__ import annotations

import re

import pytest

from nmt.errors import DataError
from nmt.text.columns import Columns

LINES = ["run\tran\tV;PST", '"a\tb"\tN; SG  DEF', "sheep\t\t", "x\ty\tV\tz"]


def test_the_text_is_one_column_as_it_is() -> None:
    assert list(Columns(1).texts(LINES, name="a")) == ["run", '"a', "sheep", "x"]
    assert list(Columns(2).texts(LINES, name="a")) == ["ran", 'b"', "", "y"]


def test_features_become_symbols_in_front_of_the_text() -> None:
    columns = Columns(1, (3,))
    assert list(columns.texts(LINES, name="a")) == ["<V> <PST> run", '<N> <SG> <DEF> "a', "sheep", "<V> x"]
    assert columns.symbols(LINES, name="a") == {"<V>", "<PST>", "<N>", "<SG>", "<DEF>"}
    assert Columns(1).symbols(LINES, name="a") == set()


def test_features_come_in_the_order_of_their_columns() -> None:
    assert list(Columns(2, (3, 1)).texts(["A\tb\tC"], name="a")) == ["<C> <A> b"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_features_do_not_fill_a_blank_text(blank: str) -> None:
    assert list(Columns(1, (2,)).texts([f"{blank}\tV"], name="a")) == [""]


@pytest.mark.parametrize(
    ("columns", "line_number", "needed", "found"),
    [(Columns(2), 2, 2, 1), (Columns(1, (3,)), 1, 3, 2), (Columns(4), 1, 4, 2), (Columns(1, (2,)), 2, 2, 1)],
)
def test_a_line_with_too_few_fields_is_named(columns: Columns, line_number: int, needed: int, found: int) -> None:
    lines = ["a\tb", "a", "a\tb\tc"]
    message = (
        f"words.tsv, line {line_number}: must have at least {needed} fields separated by tabs, but has {found}: "
        "complete it (data.columns and data.feature_columns say which fields are read)"
    )
    for read in (
        lambda: list(columns.texts(lines, name="words.tsv")),
        lambda: columns.symbols(lines, name="words.tsv"),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            read()
