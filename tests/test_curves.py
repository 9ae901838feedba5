"""Curves of training: the records of runs, overlaid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nmt.report.curves import curves_section
from nmt.report.runs import Run, read_run
from nmt.training.metrics_log import Record

if TYPE_CHECKING:
    from pathlib import Path

    from nmt.report.section import Figure


@pytest.fixture
def run(run_dir: Path) -> Run:
    return read_run(str(run_dir), name="a")


def with_records(run: Run, name: str, *records: Record) -> Run:
    return replace(run, name=name, records=list(records))


def figures(*runs: Run) -> dict[str, Figure]:
    return {figure.caption.split(" over ")[0]: figure for figure in curves_section(runs).figures}


def train(update: int, **values: float) -> Record:
    return {"kind": "train", "update": update, **values}


def test_a_run_has_a_picture_of_each_measure_that_it_logged(run: Run) -> None:
    assert list(figures(run)) == ["Loss", "Perplexity", "Learning rate", "Norm of the gradient before clipping"]


def test_the_numbers_are_those_of_the_records(run: Run) -> None:
    table = figures(run)["Loss"].numbers
    by_kind = {
        kind: {record["update"]: record["nats_per_token"] for record in run.records if record["kind"] == kind}
        for kind in ("train", "valid")
    }
    assert table.columns == ("update", "a, training", "a, dev")
    assert table.rows == tuple((n, by_kind["train"].get(n), by_kind["valid"].get(n)) for n in (2, 4, 6))


def test_runs_are_overlaid(run: Run) -> None:
    one = with_records(run, "one", train(10, lr=0.5), train(20, lr=0.25))
    two = with_records(run, "two", train(15, lr=0.125), {"kind": "valid", "update": 15, "bleu": 30.0})
    found = figures(one, two)
    rate = found["Learning rate"]
    assert rate.numbers.columns == ("update", "one, training", "two, training")
    assert rate.numbers.rows == ((10, 0.5, None), (15, None, 0.125), (20, 0.25, None))
    assert rate.alt == (
        "Learning rate over updates. one, training: 0.5 at update 10, 0.25 at update 20, between 0.25 and 0.5; "
        "two, training: 0.125 at update 15, 0.125 at update 15, between 0.125 and 0.125."
    )
    assert found["BLEU of translations of the development set"].numbers.rows == ((15, None, 30.0),)


def test_the_threshold_of_clipping_is_shown(run: Run) -> None:
    norms = figures(with_records(run, "a", train(1, grad_norm=7.0)))["Norm of the gradient before clipping"]
    assert ">clipped at 5<" in norms.svg
    assert norms.alt.endswith("; a clips at 5.")


def test_numbers_that_are_not_finite_are_left_out(run: Run) -> None:
    found = figures(with_records(run, "a", train(1, lr=float("nan")), train(2, lr=1.0)))
    assert found["Learning rate"].numbers.rows == ((2, 1.0),)


def test_long_curves_are_thinned_and_keep_their_end(run: Run) -> None:
    rows = figures(with_records(run, "a", *(train(n, lr=1.0) for n in range(1, 1002))))["Learning rate"].numbers.rows
    assert len(rows) <= 400
    assert rows[0][0] == 2
    assert rows[-1][0] == 1001


def test_runs_without_records_have_no_pictures(run: Run) -> None:
    assert figures(with_records(run, "a")) == {}
