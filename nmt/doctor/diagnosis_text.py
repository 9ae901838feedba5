"""A diagnosis as JSON, or as text: a line for each finding, with advice, and a table of figures by split and side."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from nmt.choices import Severity
from nmt.doctor.blocks import SIDES
from nmt.doctor.diagnosis import Diagnosis
from nmt.doctor.finding import Finding, share

_MAX_OK_LINES = 2  # of an examination


class FigureTable(NamedTuple):
    """Figures of each side of each split; a figure is empty if it is not known."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def as_json(diagnosis: Diagnosis) -> str:
    """Format as a JSON object."""
    content = {"severity": diagnosis.severity, **asdict(diagnosis)}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def as_text(diagnosis: Diagnosis) -> str:
    """Format as lines for people."""
    findings = list(diagnosis.findings())
    width = max(len(name) for name, _ in findings)
    lines = [
        f"{diagnosis.corpus}, {diagnosis.src_lang} to {diagnosis.tgt_lang}",
        "",
        *_table_lines(figures(diagnosis)),
        "",
    ]
    for name, found in worth_showing(findings):
        lines.append(f"{found.severity:<7}  {name:<{width}}  {found.summary}")
        if found.advice:
            lines.append(f"{'':<7}  {'':<{width}}  -> {found.advice}")
    counts = {severity: sum(found.severity == severity for _, found in findings) for severity in Severity}
    lines += ["", f"{_plural(counts[Severity.warning], 'warning')}, {_plural(counts[Severity.notice], 'notice')}"]
    return "\n".join(lines) + "\n"


def worth_showing(findings: Iterable[tuple[str, Finding]]) -> Iterator[tuple[str, Finding]]:
    """Yield the findings that are not ok; an examination without any has all of its lines, or one if it has many."""
    for name, group in groupby(findings, key=itemgetter(0)):
        of_examination = [found for _, found in group]
        serious = [found for found in of_examination if found.severity != Severity.ok]
        if not serious and len(of_examination) > _MAX_OK_LINES:
            serious = [Finding(Severity.ok, "nothing unusual")]
        yield from ((name, found) for found in serious or of_examination)


def figures(diagnosis: Diagnosis) -> FigureTable:
    """Return the figures of each side of each split as text."""
    splits = diagnosis.lengths.splits
    places = [(split, side) for split in splits for side in SIDES]

    def row(name: str, figure: Callable[[str, str], str]) -> tuple[str, list[str]]:
        return name, [figure(split, side) for split, side in places]

    def words(name: str) -> Callable[[str, str], str]:
        return lambda split, side: f"{getattr(splits[split][side].words, name):,}"

    def subwords(show: Callable[[Any], str]) -> Callable[[str, str], str]:
        encoded = diagnosis.subwords.splits
        return lambda split, side: show(encoded[split][side]) if encoded else ""

    return FigureTable(
        [f"{split} {side}" for split, side in places],
        [
            row("pairs", lambda split, _: f"{diagnosis.alignment.splits[split].num_pairs:,}"),
            row("words a line: mean", words("mean")),
            row("  95% have at most", words("p95")),
            row("  longest", words("longest")),
            row("characters a line: mean", lambda split, side: f"{splits[split][side].characters.mean:,}"),
            row("subwords a word", subwords(lambda found: f"{found.subwords_a_word:.2f}")),
            row("unknown subwords", subwords(lambda found: _percent(found.num_unknown, found.num_subwords))),
            row("lines without capitals", lambda split, side: _lower(diagnosis, split, side)),
            row("letters", lambda split, side: _scripts(diagnosis.characters.splits[split][side].scripts)),
        ],
    )


def _lower(diagnosis: Diagnosis, split: str, side: str) -> str:
    found = diagnosis.case.splits[split][side]
    return _percent(found.num_lower, found.num_cased) if found.num_cased else ""


def _scripts(shares: dict[str, float]) -> str:
    return max(shares, key=lambda script: shares[script]).capitalize() if shares else ""


def _table_lines(table: FigureTable) -> Iterable[str]:
    rows: list[tuple[str, Sequence[str]]] = [("", table.columns), *table.rows]
    width = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    for name, cells in rows:
        line = f"{name:<{width}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        yield line.rstrip()


def _percent(count: int, total: int) -> str:
    return f"{100 * share(count, total):.2f}%"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
