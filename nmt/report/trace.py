"""What happens inside a model while it runs: the state and the gates of every layer after every time step."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from torch import Tensor

from nmt.choices import Implementation
from nmt.model.cell import Cell, CellState, sigmoid
from nmt.model.layer import DirectedLayer
from nmt.model.recurrent import LayerStack
from nmt.model.seq2seq import Seq2Seq

STATE_PARTS = ("hidden state", "cell state")


class TracedStep(NamedTuple):
    """A time step of a layer, with a row for each sentence that is that long, longest sentences first.

    Attributes:
        state: after the step, hidden state first.
        gates: the values of the gates by name, `(N, H)` each.
    """

    state: CellState
    gates: dict[str, Tensor]


Trace = dict[str, list[TracedStep]]  # by layer, as in "encoder layer 1" and "encoder layer 1, backward"


class TracedCell(Cell):
    """A cell that keeps its states and gates."""

    def __init__(self, steps: list[TracedStep], cell: Cell) -> None:
        super().__init__(cell.input_map, cell.hidden_map, cell.extra)
        self._cell, self._steps = cell, steps
        self._gates: dict[str, Tensor] = {}
        cell.gate = self._keep_gate

    def input_gates(self, *inputs: Tensor) -> Tensor:
        return self._cell.input_gates(*inputs)

    def initial_state(self, input_gates_NG: Tensor) -> CellState:
        return self._cell.initial_state(input_gates_NG)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        self._gates = {}
        state = self._cell.step(input_gates_NG, state)
        self._steps.append(TracedStep(state, self._gates))
        return state

    def _keep_gate(self, name: str, value_NH: Tensor) -> Tensor:
        self._gates[name] = sigmoid(name, value_NH)
        return self._gates[name]


@contextmanager
def traced(model: Seq2Seq) -> Iterator[Trace]:
    """Keep what happens inside a model, which runs its plain modules meanwhile: one pass over one batch."""
    layers = _layers_by_name(model)
    trace: Trace = {name: [] for name in layers}
    chosen = model.implementation
    model.implementation = Implementation.reference
    for name, layer in layers.items():
        layer.watch = partial(TracedCell, trace[name])
    try:
        yield trace
    finally:
        for layer in layers.values():
            layer.watch = None
        model.implementation = chosen


def _layers_by_name(model: Seq2Seq) -> dict[str, DirectedLayer]:
    """Name all cells; the directions of a layer are `forward` and `backward` if there are two."""
    stacks = [model.encoder.rnn, model.decoder.rnn, model.decoder.upper]
    return {name: layer for stack in stacks if stack is not None for name, layer in _layers_of(stack)}


def _layers_of(stack: LayerStack) -> Iterator[tuple[str, DirectedLayer]]:
    for index in range(len(stack.layers)):
        forwards, *backwards = stack.layer(index).directions
        yield stack.place(index), forwards
        for layer in backwards:
            yield f"{stack.place(index)}, backward", layer
