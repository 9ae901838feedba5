"""Figures -> a table on stdout, and JSON beside it."""

import json
import os
import platform
import socket
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import nmt
from benchmarks.timing import spread
from nmt.files import atomic_write

_HEAD = ("", "median", "limit", "share", "min", "quartiles", "max", "")


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        samples: in `unit`; one at least.
        limit: the best that the machine could do, in `unit`, where there is such a thing.
        share: of the limit, turn by turn, or of what the table's title says.
    """

    name: str
    unit: str
    samples: list[float]
    limit: float | None = None
    share: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return spread(self.samples).median


@dataclass(frozen=True)
class Table:
    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def rate_row(
    name: str, unit: str, samples: list[float], *, limits: Sequence[float] | None = None, note: str = ""
) -> Row:
    """Make the row of a figure of which more is better; `limits` are those of the same turns."""
    if limits is None:
        return Row(name, unit, samples, note=note)
    shares = [sample / limit for sample, limit in zip(samples, limits, strict=True)]
    return Row(name, unit, samples, statistics.median(limits), statistics.median(shares), note)


def time_row(
    name: str, unit: str, samples: list[float], *, limits: Sequence[float] | None = None, note: str = ""
) -> Row:
    """Make the row of a figure of which less is better; `limits` are those of the same turns."""
    if limits is None:
        return Row(name, unit, samples, note=note)
    shares = [limit / sample for sample, limit in zip(samples, limits, strict=True)]
    return Row(name, unit, samples, statistics.median(limits), statistics.median(shares), note)


def phase_rows(turns: Sequence[Mapping[str, float]], *, per: Sequence[float]) -> list[Row]:
    """Make one row a phase: milliseconds, and the share of the medians of all phases together.

    Args:
        turns: seconds by phase.
        per: by what each turn's seconds are divided: updates, sentences, …
    """
    names = dict.fromkeys(name for turn in turns for name in turn)
    samples = {
        name: [1e3 * turn.get(name, 0.0) / count for turn, count in zip(turns, per, strict=True)] for name in names
    }
    whole = sum(statistics.median(each) for each in samples.values())
    return [Row(name, "ms", each, share=statistics.median(each) / whole) for name, each in samples.items()]


# --- text ---


def format_table(table: Table) -> str:
    """Lay a table out in columns."""
    lines = [_HEAD, *(_cells(row) for row in table.rows)]
    used = [not head or any(line[i] for line in lines[1:]) for i, head in enumerate(_HEAD)]
    lines = [tuple(cell for cell, is_used in zip(line, used, strict=True) if is_used) for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [table.title]
    for first, *middle, last in lines:
        cells = [first.ljust(widths[0]), *map(str.rjust, middle, widths[1:-1]), last]
        text.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*text, *(f"  {note}" for note in table.notes)]) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    each = spread(row.samples)
    several = len(row.samples) > 1
    return (
        row.name,
        f"{format_number(each.median)} {row.unit}".rstrip(),
        "" if row.limit is None else format_number(row.limit),
        "" if row.share is None else f"{100 * row.share:.1f}%",
        format_number(each.min) if several else "",
        f"{format_number(each.q1)}-{format_number(each.q3)}" if several else "",
        format_number(each.max) if several else "",
        row.note,
    )


def format_number(value: float) -> str:
    """Write a number with about three digits that count."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 or size == 0 else f"{value:.3g}"


# --- JSON ---


def write_json(path: Path, content: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """Write everything that was measured, samples included, all of it or nothing."""
    whole = {**content, "tables": [_table_values(table) for table in tables]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.write(f"{json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode())


def _table_values(table: Table) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            "unit": row.unit,
            **spread(row.samples)._asdict(),
            "limit": row.limit,
            "share": row.share,
            "note": row.note,
            "samples": row.samples,
        }
        for row in table.rows
    ]
    return {"title": table.title, "rows": rows, "notes": table.notes}


# --- the machine ---


def machine_facts(device: torch.device) -> dict[str, Any]:
    """Say on what was measured."""
    facts: dict[str, Any] = {
        "host": socket.gethostname(),
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "memory_bytes": _memory_bytes(),
        "load_average": load_average(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nmt": nmt.__version__,
        "git_revision": _git_revision(),
        "device": device.type,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "gpu_memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return facts


def describe_machine(facts: Mapping[str, Any]) -> str:
    gpu = f"{facts['gpu']}, CUDA {facts['cuda']}; " if "gpu" in facts else ""
    load = facts["load_average"][0]
    return (
        f"{gpu}{facts['cpu']}, {facts['threads']} of {facts['cpu_cores']} cores, load {load}; "
        f"torch {facts['torch']}; nmt {facts['nmt']} at {facts['git_revision'] or 'no revision'}"
    )


def load_average() -> list[float]:
    """Tell of work on this machine, other work included, over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def now() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _git_revision() -> str | None:
    """Return the revision of the checkout, with a + where files differ from it; None for an installed package."""
    checkout = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=checkout, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
