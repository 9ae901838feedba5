"""From samples to a table on stdout, and JSON."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.contenders import Contender, alternate
from benchmarks.processes import revision

HEAD = ("", "median", "least - greatest", "ratio to the first", "of the limit", "peak memory")
NOTES = """\
median: of the repeats. ratio: median, least and greatest of the ratios of the repeats, each to the first line in the
same repeat. limit: if only the matmuls took time, at the fastest rate that the machine reached beside each repeat. peak
memory: of a process, without processes that it started.
"""


class Sample(NamedTuple):
    """The measurement of one process.

    Attributes:
        limit: the best that the machine could do, measured at the same time; None if unknown.
        peak_bytes: the peak memory of the process.
    """

    value: float
    limit: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Table:
    """The samples of each contender, one per repeat."""

    title: str
    unit: str
    rows: dict[str, list[Sample]]


def measure_table(title: str, unit: str, actions: Mapping[str, Callable[[], Sample]], repeats: int) -> Table:
    """Measure all contenders alternately."""
    rows: dict[str, list[Sample]] = {name: [] for name in actions}
    for name, sample in alternate(actions, repeats):
        rows[name].append(sample)
    return Table(title, unit, rows)


def share_of_limit(samples: Sequence[Sample]) -> float | None:
    """Return the share of the limit that is reached: the median of the repeats, each with its own limit."""
    limits = [sample.limit for sample in samples if sample.limit is not None]
    if len(limits) < len(samples):
        return None
    return statistics.median(ratios([sample.value for sample in samples], limits))


def ratios(samples: Sequence[float], others: Sequence[float]) -> list[float]:
    """Divide sample by sample, so that a slow minute, which affects both, cancels out."""
    return [sample / other for sample, other in zip(samples, others, strict=True)]


# --- Text ---


def format_table(table: Table) -> str:
    """Lay a table out in columns, without those that are empty."""
    first = [sample.value for sample in next(iter(table.rows.values()))]
    lines = [HEAD, *(_cells(name, samples, first) for name, samples in table.rows.items())]
    used = [column for column in range(len(HEAD)) if column == 0 or any(line[column] for line in lines[1:])]
    widths = [max(len(line[column]) for line in lines) for column in used]
    text = [f"{table.title}, {table.unit}"]
    for line in lines:
        cells = [line[column] for column in used]
        aligned = [cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]
        text.append("  " + "  ".join(aligned).rstrip())
    return "\n".join(text) + "\n"


def _cells(name: str, samples: Sequence[Sample], first: Sequence[float]) -> tuple[str, ...]:
    values = [sample.value for sample in samples]
    share = share_of_limit(samples)
    peaks = [sample.peak_bytes for sample in samples if sample.peak_bytes is not None]
    return (
        name,
        format_number(statistics.median(values)),
        f"{format_number(min(values))} - {format_number(max(values))}" if len(values) > 1 else "",
        "" if values == first else _with_spread(ratios(values, first)),
        "" if share is None else f"{100 * share:.0f}%",
        f"{max(peaks) / 2**20:,.0f} MiB" if peaks else "",
    )


def _with_spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} - {max(values):.3f})"


def format_number(value: float) -> str:
    """Format a number with about three significant digits."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 or size == 0 else f"{value:.3g}"


# --- JSON ---


def write_json(
    path: Path, machine: dict[str, object], contenders: Sequence[Contender], tables: Sequence[Table]
) -> None:
    """Write the machine, the contenders and every sample."""
    made_of = [{"name": each.name, "checkout": str(each.checkout), "settings": each.settings} for each in contenders]
    content = {"machine": machine, "contenders": made_of, "tables": [_as_json(table) for table in tables]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _as_json(table: Table) -> dict[str, object]:
    rows = {name: [sample._asdict() for sample in samples] for name, samples in table.rows.items()}
    return {"title": table.title, "unit": table.unit, "rows": rows}


# --- The machine ---


def describe_machine(contenders: Sequence[Contender]) -> dict[str, object]:
    """Describe the machine of the measurements."""
    checkouts = dict.fromkeys(contender.checkout for contender in contenders)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nmt": {str(checkout): revision(checkout) for checkout in checkouts},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
