"""What training shows, and what becomes of it when a run is resumed."""

import io
import json
import logging
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from nmt.training.metrics_log import MetricsLog, Record, format_duration

TRAIN: Record = {
    "kind": "train",
    "update": 10,
    "epoch": 0.5,
    "nats_per_token": 2.0,
    "perplexity": 7.389,
    "lr": 0.001,
    "grad_norm": 1.25,
    "src_tokens_per_s": 1234.5,
    "tgt_tokens_per_s": 2345.6,
    "wall_s": 12.0,
}


def write(run_dir: Path, *records: Record, from_update: int = 0) -> None:
    log = MetricsLog(run_dir, from_update=from_update)
    for record in records:
        log.write(record)
    log.close()


def lines_of(run_dir: Path) -> list[Record]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def record(update: int, *, kind: str = "train", value: float = 0.0) -> Record:
    return {"kind": kind, "update": update, "value": value}


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    write(tmp_path, TRAIN, record(10, kind="valid", value=1 / 3))
    assert lines_of(tmp_path) == [TRAIN, {"kind": "valid", "update": 10, "value": 1 / 3}]


def test_a_record_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, from_update=0)
    log.write(TRAIN)
    assert lines_of(tmp_path) == [TRAIN]
    log.close()


def test_records_after_the_resumed_update_are_taken_back(tmp_path: Path) -> None:
    write(tmp_path, record(5), record(10), record(10, kind="valid"), record(15), record(20, kind="valid"))
    write(tmp_path, record(15, value=2.0), from_update=10)
    assert lines_of(tmp_path) == [record(5), record(10), record(10, kind="valid"), record(15, value=2.0)]


@pytest.mark.parametrize("cut", ["", "{", '{"kind": "train", "update"', '{"kind": "train", "update": 15, "va'])
def test_a_line_cut_short_by_a_kill_is_taken_back(tmp_path: Path, cut: str) -> None:
    write(tmp_path, record(5), record(10))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(cut)
    write(tmp_path, record(15), from_update=10)
    assert lines_of(tmp_path) == [record(5), record(10), record(15)]


def test_tensorboard_shows_every_figure_by_kind(tmp_path: Path) -> None:
    write(tmp_path, record(5, value=1.0), record(5, kind="valid", value=2.0), record(10, value=3.0))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert scalars == {"train/value": [(5, 1.0), (10, 3.0)], "valid/value": [(5, 2.0)]}


def test_progress_is_a_line_of_the_log_where_there_is_no_terminal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = MetricsLog(tmp_path, from_update=0)
    with caplog.at_level(logging.INFO):
        log.show_progress(TRAIN, done=0.25, left_s=36.0)
        log.show_progress(TRAIN, done=0.0, left_s=None)
    log.close()
    figures = "update 10 epoch 0.50: loss 2.000, perplexity 7.4, lr 0.001, grad norm 1.25, 1234 + 2346 tokens/s"
    assert caplog.messages == [f"{figures}, 36 s left", figures]


def test_progress_is_a_bar_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    log = MetricsLog(tmp_path, from_update=0)
    with caplog.at_level(logging.INFO):
        log.show_progress(TRAIN, done=0.25, left_s=36.0)
    log.close()
    assert caplog.messages == []
    assert " 25%|" in terminal.getvalue()
    assert "loss 2.00" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (3599, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
