"""The section of a report that shows vanishing and exploding gradients."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nmt.report.drawing import DASHES, HEIGHT, SERIES, drawing, logarithmic, svg_of
from nmt.report.gradients import Gradients, ModelGradients, NormCurve
from nmt.report.section import Cell, Figure, Section, Table

_FAR = 10  # time steps before the last one


class _Panel(NamedTuple):
    """Lines in one coordinate system: values by time step, by label."""

    title: str
    lines: Mapping[str, Mapping[int, float]]


def gradients_section(gradients: Gradients) -> Section:
    """Show the cells beside each other, and the layers of the trained model."""
    paragraphs = [
        "How far back does the network learn? Backpropagation carries the gradient of the loss from each time step to "
        "the one before. If it shrinks at every step, it vanishes, and what was read long ago cannot be learned; if it "
        "grows, it explodes.",
        f"Shown is the norm of the gradient of a sentence's loss by the state after each time step, the mean over "
        f"{gradients.num_sentences} sentences, without dropout. Time steps of the encoder are counted back from its "
        "last one, 0.",
        "Beside the trained model is the same model with several cells and the initial values of the run. These decide "
        "much: gates that are half open at first, σ(0) = 0.5, shrink the gradient until training or model.forget_bias "
        "opens them; orthogonal recurrent weights keep it for a while even in a network without gates.",
        _about_clipping(gradients),
    ]
    if gradients.has_attention:
        paragraphs.append(
            "With attention, the decoder reads the output of every time step of the encoder: a short way for the "
            "gradient, which therefore need not vanish in any cell."
        )
    return Section(
        "Vanishing and exploding gradients",
        paragraphs=tuple(paragraphs),
        tables=(_summary(gradients),),
        figures=(_encoder_figure(gradients), _decoder_figure(gradients), _layers_figure(gradients.models[0])),
    )


def _about_clipping(gradients: Gradients) -> str:
    if math.isfinite(gradients.clip_norm):
        norms = [norm for model in gradients.models for norm in model.update_norms]
        num_clipped = sum(norm > gradients.clip_norm for norm in norms)
        here = f"The limit of this run is {gradients.clip_norm:g}, exceeded by {num_clipped} of {len(norms)} gradients."
    else:
        here = "This run does not clip."
    return (
        "Clipping multiplies the gradient of an update by one factor: it bounds what explodes, but does not bring back "
        f"what has vanished. {here}"
    )


def _summary(gradients: Gradients) -> Table:
    of_encoder = _by_cell(gradients, lambda model: model.curves, gradients.encoder_layer)
    of_decoder = _by_cell(gradients, lambda model: model.of_last_token, gradients.decoder_layer)
    largest = {model.label: (max(model.update_norms), max(model.clipped_norms)) for model in gradients.models}
    rows = []
    for label, curve in of_encoder.items():
        norms = _values(curve)
        values = (norms.get(0), norms.get(-_FAR), curve.factor, of_decoder[label].factor)
        rows.append((label, *map(_finite, (*values, *largest[label.partition(":")[0]]))))
    return Table(
        f"The gradient by the state of {gradients.encoder_layer}: its norm at the last time step and {_FAR} steps "
        "before, the factor from a step to the one before (geometric mean); the same factor of the last token's loss "
        f"in {gradients.decoder_layer}; the largest norm of an update's gradient",
        ("cell", "at the last step", f"{_FAR} before", "factor", "decoder's factor", "update", "update, clipped"),
        tuple(rows),
        decimals={"factor": 3, "decoder's factor": 3},
    )


def _by_cell(
    gradients: Gradients, curves_of: Callable[[ModelGradients], Sequence[NormCurve]], layer: str
) -> dict[str, NormCurve]:
    """Return the curves of a layer by model, and by part of the state if there are several."""
    found = {}
    for model in gradients.models:
        own = [curve for curve in curves_of(model) if curve.layer == layer]
        for curve in own:
            found[f"{model.label}: {curve.part}" if len(own) > 1 else model.label] = curve
    return found


def _encoder_figure(gradients: Gradients) -> Figure:
    curves = _by_cell(gradients, lambda model: model.curves, gradients.encoder_layer)
    panels = [_Panel("without clipping", {label: _values(curve) for label, curve in curves.items()})]
    if any(curve.clipped != curve.norms for curve in curves.values()):
        clipped = {label: dict(zip(curve.steps, curve.clipped, strict=True)) for label, curve in curves.items()}
        panels.append(_Panel(f"clipped at norm {gradients.clip_norm:g}", clipped))
    return Figure(
        _draw(panels),
        f"The gradient of the loss by the state of {gradients.encoder_layer}, cell by cell, on a logarithmic scale. "
        "0 is the last time step.",
        _alt_of_cells(curves),
        _numbers("The norms behind the picture", panels),
    )


def _decoder_figure(gradients: Gradients) -> Figure:
    curves = _by_cell(gradients, lambda model: model.of_last_token, gradients.decoder_layer)
    panels = [_Panel("loss of the last token", {label: _values(curve) for label, curve in curves.items()})]
    return Figure(
        _draw(panels),
        f"The gradient of the last token's loss by the state of {gradients.decoder_layer}, cell by cell, on a "
        "logarithmic scale. It reaches a time step only through all later ones; 0 is the last.",
        _alt_of_cells(curves),
        _numbers("The norms behind the picture", panels),
    )


def _alt_of_cells(curves: Mapping[str, NormCurve]) -> str:
    factors = "; ".join(f"{label} {curve.factor:.3f}" for label, curve in curves.items())
    return f"One line for each cell. From a time step to the one before, the norm is multiplied by: {factors}."


def _layers_figure(model: ModelGradients) -> Figure:
    parts = dict.fromkeys(curve.part for curve in model.curves)
    panels = [
        _Panel(part, {curve.layer: _values(curve) for curve in model.curves if curve.part == part}) for part in parts
    ]
    ends = "; ".join(
        f"{curve.layer}, {curve.part}: {curve.norms[0]:.3g} to {curve.norms[-1]:.3g}" for curve in model.curves
    )
    return Figure(
        _draw(panels),
        f"The gradient by the states of all layers ({model.label}), on a logarithmic scale. Time steps up to 0 are the "
        "encoder's, from 1 on the decoder's.",
        f"One line for each layer. From the first to the last time step: {ends}.",
        _numbers("The norms behind the picture", panels),
    )


def _values(curve: NormCurve) -> dict[int, float]:
    return dict(zip(curve.steps, curve.norms, strict=True))


def _draw(panels: Sequence[_Panel]) -> str:
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    with drawing(height=HEIGHT * len(panels) + 20 * ((len(labels) + 1) // 2)) as figure:
        axes_of = figure.subplots(len(panels), squeeze=False, sharex=True, sharey=True)[:, 0]
        for axes, panel in zip(axes_of, panels, strict=True):
            for label, line in panel.lines.items():
                index = labels.index(label)
                shown = [value if 0 < value < math.inf else math.nan for value in line.values()]
                axes.plot(
                    list(line),
                    shown,
                    color=SERIES[index % len(SERIES)],
                    linestyle=DASHES[index // len(SERIES) % len(DASHES)],
                    label=label,
                )
            logarithmic(axes)
            axes.set_title(panel.title)
            axes.set_ylabel("norm of the gradient")
        axes_of[-1].set_xlabel("time step")
        axes_of[-1].xaxis.get_major_locator().set_params(integer=True)
        handles, names = axes_of[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, fontsize=10)
        return svg_of(figure)


def _numbers(caption: str, panels: Sequence[_Panel]) -> Table:
    lines = {
        f"{label}, {panel.title}" if len(panels) > 1 else label: line
        for panel in panels
        for label, line in panel.lines.items()
    }
    steps = sorted({step for line in lines.values() for step in line})
    rows = [(step, *(_finite(line.get(step)) for line in lines.values())) for step in steps]
    return Table(caption, ("time step", *lines), tuple(rows))


def _finite(value: float | None) -> Cell:
    return value if value is not None and math.isfinite(value) else None
