"""Curves of training: loss, perplexity, BLEU, learning rate and gradient norm over updates, runs overlaid."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmt.report.drawing import DASHES, INK, SERIES, drawing, logarithmic, svg_of
from nmt.report.runs import Run
from nmt.report.section import Figure, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_POINTS = 400  # of a curve; longer ones are thinned evenly


class Measure(NamedTuple):
    """What a picture shows: a number of the records of a run.

    Attributes:
        kinds: of records, `train` and `valid`, that have it.
    """

    field: str
    name: str
    kinds: tuple[str, ...]
    about: str
    is_logarithmic: bool = False


MEASURES = (
    Measure("nats_per_token", "loss (nats per subword)", ("train", "valid"), "Loss"),
    Measure("perplexity", "perplexity of a subword", ("train", "valid"), "Perplexity", is_logarithmic=True),
    Measure("bleu", "BLEU", ("valid",), "BLEU of translations of the development set"),
    Measure("lr", "learning rate", ("train",), "Learning rate"),
    Measure("grad_norm", "gradient norm", ("train",), "Norm of the gradient before clipping", is_logarithmic=True),
)
_KINDS = {"train": "training", "valid": "dev"}


class Curve(NamedTuple):
    """One line of a picture."""

    run: str
    kind: str
    values: dict[int, float]  # by update

    @property
    def label(self) -> str:
        return f"{self.run}, {_KINDS[self.kind]}"


def curves_section(runs: Sequence[Run]) -> Section:
    """Draw a picture for each measure that the runs have logged."""
    figures = []
    for measure in MEASURES:
        curves = list(_curves(runs, measure))
        if any(curve.values for curve in curves):
            limits = {run.name: _clip_norm(run) for run in runs} if measure.field == "grad_norm" else {}
            figures.append(_figure(measure, curves, {name: norm for name, norm in limits.items() if norm}))
    about = (
        "Lines are the training text, points the development set. A training loss is the mean since the record before; "
        f"of a run with more than {_MAX_POINTS} records, every second, third and so on is shown."
    )
    return Section("Training curves", (about,), tuple(figures))


def _curves(runs: Sequence[Run], measure: Measure) -> Iterator[Curve]:
    for run in runs:
        for kind in measure.kinds:
            values = {}
            for record in run.records:
                value = record.get(measure.field)
                if record["kind"] == kind and isinstance(value, int | float) and math.isfinite(value):
                    values[int(record["update"])] = float(value)
            yield Curve(run.name, kind, _thinned(values))


def _thinned(values: dict[int, float]) -> dict[int, float]:
    """Keep every n-th value, the last one included."""
    step = math.ceil(len(values) / _MAX_POINTS) or 1
    kept = [*values][::-1][::step]
    return {update: values[update] for update in reversed(kept)}


def _clip_norm(run: Run) -> float | None:
    value = run.checkpoint.config.get("training", {}).get("clip_norm")
    return float(value) if isinstance(value, int | float) else None


def _figure(measure: Measure, curves: Sequence[Curve], limits: dict[str, float]) -> Figure:
    """Draw the curves of a measure.

    Args:
        limits: the norm to which each run clips its gradient.
    """
    with drawing() as figure:
        axes = figure.subplots()
        names = list(dict.fromkeys(curve.run for curve in curves))
        for curve in curves:
            _plot(axes, curve, measure, number=names.index(curve.run))
        for limit in sorted(set(limits.values())):
            axes.axhline(limit, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=f"clipped at {limit:g}")
        if measure.is_logarithmic:
            logarithmic(axes)
        axes.set_xlabel("updates")
        axes.set_ylabel(measure.name)
        axes.legend(fontsize=10)
        svg = svg_of(figure)
    caption = f"{measure.about} over updates{', and the norm to which it is clipped' if limits else ''}."
    return Figure(svg, caption, _alt(measure, curves, limits), _numbers(measure, curves))


def _plot(axes: "Axes", curve: Curve, measure: Measure, *, number: int) -> None:
    is_dev = curve.kind == "valid"
    axes.plot(
        list(curve.values),
        list(curve.values.values()),
        color=SERIES[number % len(SERIES)],
        linestyle=DASHES[number % len(DASHES)],
        linewidth=1 if is_dev else 1.8,
        marker="o" if is_dev else None,
        markersize=5,
        label=curve.label if len(measure.kinds) > 1 else curve.run,
    )


def _alt(measure: Measure, curves: Sequence[Curve], limits: dict[str, float]) -> str:
    """Say between which values each curve runs."""
    parts = []
    for curve in curves:
        if curve.values:
            (first, begin), *_, (last, end) = [*curve.values.items()] * 2
            lowest, highest = min(curve.values.values()), max(curve.values.values())
            parts.append(
                f"{curve.label}: {begin:.4g} at update {first:,}, {end:.4g} at update {last:,}, "
                f"between {lowest:.4g} and {highest:.4g}"
            )
    parts += [f"{run} clips at {limit:g}" for run, limit in limits.items()]
    return f"{measure.about} over updates. {'; '.join(parts)}."


def _numbers(measure: Measure, curves: Sequence[Curve]) -> Table:
    updates = sorted({update for curve in curves for update in curve.values})
    rows = tuple((update, *(curve.values.get(update) for curve in curves)) for update in updates)
    return Table(f"{measure.about}, by update", ("update", *(curve.label for curve in curves)), rows)
