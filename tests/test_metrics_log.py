"""The metrics of a run, and what happens to them when it is resumed."""

import io
import json
import logging
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from nmt.training.metrics_log import MetricsLog, Record, format_duration
from tests.disks import largest_file

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


def test_a_record_can_be_read_while_the_run_continues(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, from_update=0)
    log.write(TRAIN)
    assert lines_of(tmp_path) == [TRAIN]
    log.close()


def test_records_after_the_resumed_update_are_removed(tmp_path: Path) -> None:
    write(tmp_path, record(5), record(10), record(10, kind="valid"), record(15), record(20, kind="valid"))
    write(tmp_path, record(15, value=2.0), from_update=10)
    assert lines_of(tmp_path) == [record(5), record(10), record(10, kind="valid"), record(15, value=2.0)]


@pytest.mark.parametrize("cut", ["", "{", '{"kind": "train", "update"', '{"kind": "train", "update": 15, "va'])
def test_a_line_truncated_by_a_kill_is_removed(tmp_path: Path, cut: str) -> None:
    write(tmp_path, record(5), record(10))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(cut)
    write(tmp_path, record(15), from_update=10)
    assert lines_of(tmp_path) == [record(5), record(10), record(15)]


def test_the_validation_at_which_a_run_resumes_may_be_removed(tmp_path: Path) -> None:
    records = [record(5), record(5, kind="valid"), record(10), record(10, kind="valid")]
    write(tmp_path, *records)
    MetricsLog(tmp_path, from_update=10, with_validation=True).close()
    assert lines_of(tmp_path) == records
    MetricsLog(tmp_path, from_update=10, with_validation=False).close()
    assert lines_of(tmp_path) == records[:-1]


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xfe", b'{"kind": "train", "upd', b"[1]", b"null", b"{}", b'{"kind": "train", "update": "5"}', b"[" * 10**5],
)
def test_damaged_lines_do_not_affect_valid_ones(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, record(5))
    file = tmp_path / "metrics.jsonl"
    good = file.read_bytes()
    file.write_bytes(good + damage + b"\n\n" + good.replace(b"5", b"7") + good.replace(b"5", b"9")[:-1])
    write(tmp_path, record(10), from_update=9)
    assert lines_of(tmp_path) == [record(5), record(7), record(9), record(10)]
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == damage + b"\n"
    assert caplog.messages == [f"{file} has invalid lines (1): moved to {file}.damaged"]


def test_a_log_with_nothing_to_remove_is_not_rewritten(tmp_path: Path) -> None:
    write(tmp_path, record(5))
    before = (tmp_path / "metrics.jsonl").stat().st_ino
    write(tmp_path, from_update=5)
    assert (tmp_path / "metrics.jsonl").stat().st_ino == before


def test_a_full_disk_loses_records_with_one_warning_per_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = MetricsLog(tmp_path, from_update=0)
    log.write(record(5))
    with largest_file(10):
        log.write(record(6))
        log.write(record(7))
    log.write(record(8))
    log.close()
    assert lines_of(tmp_path) == [record(5), record(8)]
    assert scalars_of(tmp_path) == {"train/value": [(5, 0.0), (8, 0.0)]}
    metrics, events = caplog.messages
    end = " cannot be written (File too large): its new records are lost, everything else continues; free some space"
    assert metrics == f"{tmp_path / 'metrics.jsonl'}{end}"
    assert events.startswith(f"{tmp_path / 'tensorboard'}/events.out.tfevents.")
    assert events.endswith(end)


def scalars_of(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_discards_removed_records(tmp_path: Path) -> None:
    write(tmp_path, record(5, value=1.0), record(10, value=2.0), record(15, value=3.0))
    write(tmp_path, record(15, value=4.0), from_update=10)
    assert scalars_of(tmp_path) == {"train/value": [(5, 1.0), (10, 2.0), (15, 4.0)]}


def test_tensorboard_shows_every_number_by_kind(tmp_path: Path) -> None:
    write(tmp_path, record(5, value=1.0), record(5, kind="valid", value=2.0), record(10, value=3.0))
    assert scalars_of(tmp_path) == {"train/value": [(5, 1.0), (10, 3.0)], "valid/value": [(5, 2.0)]}


def test_progress_is_a_line_of_the_log_without_a_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
