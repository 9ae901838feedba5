"""The gates of a model's layers while it reads a sentence and its translation.

For an LSTM, the forget, input and output gates; for a GRU, the reset and update gates (`nmt.model.cell`), as in
Karpathy, Johnson & Fei-Fei 2015.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.corpus.batching import collate
from nmt.model.encoder import read_source
from nmt.report.drawing import SERIES, drawing, svg_of
from nmt.report.section import Figure, Section, Table
from nmt.report.trace import traced
from nmt.text.parallel import SentencePair
from nmt.training.checkpoint import Checkpoint

_QUANTILES = (0.1, 0.9)


class GateValues(NamedTuple):
    """The values of a gate after each time step: mean, and 10% and 90% quantile, over the units of the layer."""

    name: str
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class LayerGates(NamedTuple):
    """The gates of a layer, and the subword that it reads at each time step."""

    layer: str
    subwords: tuple[str, ...]
    gates: tuple[GateValues, ...]


class SentenceGates(NamedTuple):
    """The gates of all layers on one pair; cells without gates have none."""

    pair: SentencePair
    layers: tuple[LayerGates, ...]


@torch.no_grad()
def sentence_gates(checkpoint: Checkpoint, pair: SentencePair) -> SentenceGates:
    """Let a model read a source and, with teacher forcing, its translation."""
    src, tgt = checkpoint.src_subword, checkpoint.tgt_subword
    batch = collate([src.encode(pair.src)], [tgt.encode(pair.tgt)])
    with traced(checkpoint.model) as trace:
        checkpoint.model(batch)
    read_S1, _ = read_source(batch.src_BS, batch.src_len_B, checkpoint.model_config.source_order)
    source = [src.pieces[i] for i in read_S1.flatten().tolist()]
    target = [tgt.pieces[i] for i in batch.tgt_in_BT.flatten().tolist()]
    layers = []
    for name, steps in trace.items():
        subwords = target if name.startswith("decoder") else source[::-1] if name.endswith("backward") else source
        gates = [_values(gate, torch.cat([step.gates[gate] for step in steps])) for gate in steps[0].gates]
        layers.append(LayerGates(name, tuple(subwords), tuple(gates)))
    return SentenceGates(pair, tuple(layers))


def _values(name: str, gate_TH: Tensor) -> GateValues:
    low_T, high_T = torch.quantile(gate_TH.double(), torch.tensor(_QUANTILES, dtype=torch.float64), dim=1)
    return GateValues(name, *(tuple(values_T.tolist()) for values_T in (gate_TH.double().mean(1), low_T, high_T)))


def gates_section(sentences: Sequence[SentenceGates]) -> Section:
    """Show the gates of each layer on each sentence."""
    gated = [(found.pair, layer) for found in sentences for layer in found.layers if layer.gates]
    title = "Gates over a sentence"
    if not gated:
        return Section(title, ("The cells of this model have no gates: it is a simple recurrent network.",))
    return Section(
        title,
        paragraphs=(
            "A gate is between 0 and 1. The forget gate of an LSTM and the update gate of a GRU say how much of the "
            "state is kept, the input gate how much is written, the output gate how much is visible, the reset gate "
            "how much of the old state counts for the new one. Lines are means over the units of a layer; bands "
            "contain 80% of the units. Subwords are in the order in which the layer reads them.",
        ),
        figures=tuple(_figure(pair, layer) for pair, layer in gated),
    )


def _figure(pair: SentencePair, layer: LayerGates) -> Figure:
    means = ", ".join(f"{gate.name} {sum(gate.mean) / len(gate.mean):.2f}" for gate in layer.gates)
    columns = [f"{gate.name}, {what}" for gate in layer.gates for what in ("mean", "10%", "90%")]
    values = (values for gate in layer.gates for values in (gate.mean, gate.low, gate.high))
    rows = zip(range(1, len(layer.subwords) + 1), layer.subwords, *values, strict=True)
    return Figure(
        _draw(layer),
        f"{layer.layer[0].upper()}{layer.layer[1:]} on “{pair.src}” → “{pair.tgt}”.",
        f"One line for each gate. Means over the sentence: {means}.",
        Table(
            f"Gates of {layer.layer}",
            ("time step", "subword", *columns),
            tuple(rows),
            decimals=dict.fromkeys(columns, 3),
        ),
    )


def _draw(layer: LayerGates) -> str:
    steps = range(len(layer.subwords))
    with drawing() as figure:
        axes = figure.subplots()
        for gate, colour, marker in zip(layer.gates, SERIES, "osD", strict=False):
            axes.fill_between(steps, gate.low, gate.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(steps, gate.mean, color=colour, marker=marker, markersize=4, label=f"{gate.name} gate")
        axes.set_xticks(steps, layer.subwords, rotation=90)
        axes.set_ylim(0, 1)
        axes.set_ylabel("value")
        figure.legend(loc="outside upper center", ncols=3, fontsize=10)
        return svg_of(figure)
