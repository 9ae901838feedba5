"""The metrics of a run: metrics.jsonl, TensorBoard, and a progress bar or lines of the log."""

import json
import logging
import math
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from nmt.files import RecordFile, atomic_write, naming

log = logging.getLogger(__name__)

Record = dict[str, int | float | str]


class MetricsLog:
    """Writes records in every form; `close` must be called. A full disk loses records, but never ends the run."""

    def __init__(self, run_dir: Path, *, from_update: int, with_validation: bool = True) -> None:
        """Open the logs; records after the update at which a run resumes are removed.

        Args:
            from_update: the update at which the run resumes.
            with_validation: keep the record of the validation at `from_update`.
        """
        _truncate(run_dir / "metrics.jsonl", from_update, with_validation=with_validation)
        self._jsonl = RecordFile(run_dir / "metrics.jsonl")
        self._tensorboard = _EventFile(run_dir / "tensorboard", purge_step=from_update + 1)
        self._bar: Any = None
        self._redirect: Any = None
        if sys.stderr.isatty():
            # if a terminal does not report its size, tqdm would print empty lines
            size = shutil.get_terminal_size(fallback=(120, 24))
            bar_format = "{percentage:3.0f}%|{bar:10}|{postfix}"
            self._bar = tqdm(total=100, bar_format=bar_format, ncols=size.columns, nrows=size.lines)
            self._redirect = logging_redirect_tqdm()
            self._redirect.__enter__()
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                    handler.setLevel(logging.INFO)  # the redirection loses the console's level

    def write(self, record: Record) -> None:
        """Append a record with `kind`, `update` and numbers; infinite numbers are left out."""
        record = {name: value for name, value in record.items() if not (isinstance(value, float) and math.isinf(value))}
        self._jsonl.append(f"{json.dumps(record)}\n".encode())
        kind, update = record["kind"], int(record["update"])
        scalars = {
            f"{kind}/{name}": float(value)
            for name, value in record.items()
            if isinstance(value, int | float) and name != "update"
        }
        self._tensorboard.add_scalars(scalars, update)

    def show_progress(self, record: Record, *, done: float, left_s: float | None) -> None:
        """Show a training record: on the bar at a terminal, otherwise as a line of the log.

        Args:
            done: the share of the run that is done, from 0 to 1.
            left_s: estimated seconds to the end, if known.
        """
        left = "" if left_s is None else f", {format_duration(left_s)} left"
        norm = f"{record['grad_norm']:.2f}"
        speed = f"{record['src_tokens_per_s']:.0f} + {record['tgt_tokens_per_s']:.0f} tokens/s{left}"
        # below the console's level if it has a bar: the line then goes to train.log only
        log.log(
            logging.INFO if self._bar is None else logging.DEBUG,
            f"update {record['update']} epoch {record['epoch']:.2f}: loss {record['nats_per_token']:.3f}, "
            f"perplexity {record['perplexity']:.1f}, lr {record['lr']:.2g}, grad norm {norm}, {speed}",
        )
        if self._bar is not None:
            self._bar.n = min(100, round(100 * done))
            self._bar.set_postfix_str(
                f"{record['update']}: loss {record['nats_per_token']:.2f}, ppl {record['perplexity']:.1f}, "
                f"lr {record['lr']:.2g}, norm {norm}, {speed}"
            )

    def close(self) -> None:
        self._jsonl.close()
        self._tensorboard.close()
        if self._bar is not None:
            self._redirect.__exit__(None, None, None)
            self._bar.close()


class NoMetrics:
    """What processes other than number 0 have instead of a `MetricsLog`: it writes nothing."""

    def write(self, record: Record) -> None:
        pass

    def show_progress(self, record: Record, *, done: float, left_s: float | None) -> None:
        pass

    def close(self) -> None:
        pass


class _EventFile:
    """A file of TensorBoard events. TensorBoard's own writer has a thread that ends with a traceback on a full disk."""

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        """Start a file; TensorBoard discards the events of earlier files from `purge_step` on."""
        now = time.time_ns()  # TensorBoard reads files in the order of their names
        name = f"events.out.tfevents.{now // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{now}"
        self._file = RecordFile(folder / name)
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(Event(step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        self._file.close()

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        RecordWriter(self).write(event.SerializeToString())

    def write(self, record: bytes) -> None:
        """Receive an encoded event from TensorBoard's RecordWriter."""
        self._file.append(record)


def format_duration(seconds: float) -> str:
    """Format a duration: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def read_records(run_dir: Path) -> list[Record]:
    """Read the metrics of a run, which may still be training; damaged lines are left out, a missing file is empty."""
    file = run_dir / "metrics.jsonl"
    if not file.exists():
        return []
    with naming(file):
        return [record for line in file.read_bytes().split(b"\n") if (record := _parse(line)) is not None]


def _truncate(file: Path, from_update: int, *, with_validation: bool) -> None:
    """Remove the records after an update and a truncated last line; move other damaged lines to a file."""
    if not file.exists():
        return
    content = file.read_bytes()
    *lines, cut = content.split(b"\n")
    kept, damaged = [], []
    for line in lines if _parse(cut) is None else [*lines, cut]:
        record = _parse(line)
        if record is None:
            damaged.append(line)
        elif record["update"] < from_update or (
            record["update"] == from_update and (with_validation or record["kind"] != "valid")
        ):
            kept.append(line)
    if damaged := [line for line in damaged if line.strip()]:
        place = file.with_name(f"{file.name}.damaged")
        with naming(place), place.open("ab") as stream:
            stream.write(b"".join(line + b"\n" for line in damaged))
        log.warning("%s has invalid lines (%d): moved to %s", file, len(damaged), place)
    if (new := b"".join(line + b"\n" for line in kept)) != content:
        with atomic_write(file) as stream:
            stream.write(new)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode())
        is_record = isinstance(record["update"], int) and isinstance(record["kind"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if is_record else None
