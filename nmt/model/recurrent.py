"""Layers over time: cells become layers, layers become a stack.

    RecurrentLayer   a `DirectedLayer`, or one for each direction, and the connection from its input to its output
    LayerStack       layers on top of each other, with dropout between them
    CellStack        the same for single time steps, over any linear maps

Sequences are packed: all time steps one after the other; step t has the rows of the sentences that are longer than t,
longest sentences first. Equal lengths are the simple case.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nmt.choices import Connection
from nmt.model.cell import Cell, CellState, LinearMap, MapMaker, PlainMap
from nmt.model.dropout import Noise
from nmt.model.layer import DirectedLayer, Layer
from nmt.model.stack_shape import StackShape


class RecurrentState(NamedTuple):
    """The state of every layer, from the lowest to the top one; N rows each.

    Of a layer of two directions, each part holds the units of the forward direction, then those of the backward one.
    """

    layers: tuple[CellState, ...]

    def select(self, rows_N: Tensor) -> "RecurrentState":
        """Take the rows `rows_N`, in that order; a row may be taken several times."""
        return RecurrentState(tuple(tuple(part.index_select(0, rows_N) for part in layer) for layer in self.layers))

    def concat(self, other: "RecurrentState") -> "RecurrentState":
        """Append the rows of `other`."""
        pairs = zip(self.layers, other.layers, strict=True)
        return RecurrentState(tuple(tuple(map(torch.cat, zip(*both, strict=True))) for both in pairs))

    def float(self) -> "RecurrentState":
        """Convert all parts to float32."""
        return RecurrentState(tuple(tuple(part.float() for part in layer) for layer in self.layers))


class Packing:
    """The rows of packed sequences; without lengths, all sentences are equally long."""

    def __init__(self, batch_sizes: Sequence[int]) -> None:
        self.batch_sizes = list(batch_sizes)

    @property
    def is_equal(self) -> bool:
        """Whether all sentences are equally long."""
        return self.batch_sizes[0] == self.batch_sizes[-1]

    @cached_property
    def sentence_P(self) -> Tensor:  # noqa: N802
        """The sentence of each position."""
        return torch.cat([torch.arange(size) for size in self.batch_sizes])

    @cached_property
    def reversed_P(self) -> Tensor:  # noqa: N802
        """The position that takes the place of each one if every sentence is read backwards."""
        sizes_T = torch.tensor(self.batch_sizes)
        length_B = (sizes_T.unsqueeze(1) > torch.arange(self.batch_sizes[0])).sum(0)
        step_P = torch.repeat_interleave(torch.arange(len(sizes_T)), sizes_T)
        offset_T = torch.cat((torch.zeros(1, dtype=torch.int64), sizes_T.cumsum(0)[:-1]))
        return offset_T[length_B[self.sentence_P] - 1 - step_P] + self.sentence_P


Connect = Callable[[Tensor, Tensor], Tensor]  # the input of a layer and its hidden state -> its output


def run_layer(
    directions: Sequence[Layer],
    connect: Connect,
    input_PX: Tensor,
    joined: Sequence[Tensor],
    state: CellState | None,
    packing: Packing,
) -> tuple[Tensor, CellState]:
    """Run a layer of one or two directions over packed sequences.

    Args:
        joined: what joins the input, `(P, …)` each.
        state: the initial state of a single direction; zeros if it is None.
    """
    input_PE = torch.cat((input_PX, *joined), dim=1) if joined else input_PX
    output_PH, last = directions[0](input_PE, state, packing.batch_sizes)
    if len(directions) == 2:
        reversed_P = packing.reversed_P.to(input_PE.device)
        backward_PH, backward_last = directions[1](input_PE.index_select(0, reversed_P), None, packing.batch_sizes)
        output_PH = torch.cat((output_PH, backward_PH.index_select(0, reversed_P)), dim=1)
        last = tuple(torch.cat(parts, dim=1) for parts in zip(last, backward_last, strict=True))
    return connect(input_PX, output_PH), last


RunLayer = Callable[[Tensor, Sequence[Tensor], CellState | None, Packing], tuple[Tensor, CellState]]


def run_stack(
    layers: Sequence[RunLayer],
    input_TBE: Tensor,
    state: RecurrentState | None = None,
    *,
    lengths_B: Tensor | None = None,
    joined_TBX: Tensor | None = None,
    input_skip: bool = False,
    drop: Callable[[int, Tensor, Packing], Tensor] | None = None,
) -> tuple[Tensor, RecurrentState]:
    """Run layers, one on top of the other, over whole sequences.

    Args:
        state: the initial state; zeros if it is None.
        lengths_B: the time steps of each sentence, on the CPU; None: all of them, which is faster.
        joined_TBX: what joins the input of every layer; only without `lengths_B`.
        input_skip: the input joins that of all layers but the lowest, too.
        drop: dropout of the packed input of the layer with this index.

    Returns:
        The outputs of the top layer `(T, B, H)`, zero at padding, and the state after each sentence's last step.
    """
    num_steps, num_rows = input_TBE.shape[:2]
    packed = None
    if lengths_B is None:
        values, packing = input_TBE.flatten(0, 1), Packing([num_rows] * num_steps)
    else:
        packed = _pack(input_TBE, lengths_B)
        values, packing = packed.data, Packing(packed.batch_sizes.tolist())
        if state is not None and packed.sorted_indices is not None:
            state = state.select(packed.sorted_indices)
    joined = [] if joined_TBX is None else [joined_TBX.flatten(0, 1)]
    lowest, last_states = values, []
    for index, layer in enumerate(layers):
        if drop is not None:
            values = drop(index, values, packing)
        skipped = [lowest] if input_skip and index > 0 else []
        values, last = layer(values, [*joined, *skipped], None if state is None else state.layers[index], packing)
        last_states.append(last)
    final = RecurrentState(tuple(last_states))
    if packed is None:
        return values.view(num_steps, num_rows, -1), final
    output_TBH, _ = pad_packed_sequence(packed._replace(data=values), total_length=num_steps)
    return output_TBH, final if packed.unsorted_indices is None else final.select(packed.unsorted_indices)


def _pack(input_TBE: Tensor, lengths_B: Tensor) -> PackedSequence:
    """Pack sentences, longest first; those of equal length keep their order, on which `nmt.corpus.share` relies.

    torch's own sorting leaves the order of equal lengths to the processor.
    """
    sorted_len_B, order_B = torch.sort(lengths_B, descending=True, stable=True)
    order_B = order_B.to(input_TBE.device)
    packed = pack_padded_sequence(input_TBE.index_select(1, order_B), sorted_len_B)
    return packed._replace(sorted_indices=order_B, unsorted_indices=torch.argsort(order_B))


class Dropouts(NamedTuple):
    """Rates of dropout in a stack: before each layer but number 1, and of the hidden states that layers read."""

    layers: float
    recurrent: float


class RecurrentLayer(nn.Module):
    """One layer: a cell for each direction, and the connection from its input x to its output.

    plain       y = h
    residual    y = h + x                        (He et al. 2016; Wu et al. 2016, §3.1)
    highway     y = t ⊙ h + (1 - t) ⊙ x,  t = σ(W_t x + b_t)      (Srivastava, Greff & Schmidhuber 2015)
    """

    def __init__(self, shape: StackShape, index: int) -> None:
        super().__init__()
        skipped_dim = shape.input_dim if shape.input_skip and index > 0 else 0
        input_dim = shape.output_dim(index - 1) + shape.joined_dim + skipped_dim
        self.forwards = DirectedLayer(shape.kind, input_dim, shape.hidden_dim)
        has_backwards = shape.num_directions(index) == 2
        self.backwards = DirectedLayer(shape.kind, input_dim, shape.hidden_dim) if has_backwards else None
        self.connection = shape.connection_of(index)
        self.transform: nn.Linear | None = None
        if self.connection == Connection.highway:
            self.transform = nn.Linear(shape.output_dim(index), shape.output_dim(index))

    @property
    def directions(self) -> list[DirectedLayer]:
        return [self.forwards] if self.backwards is None else [self.forwards, self.backwards]

    def connect(self, make: MapMaker = PlainMap) -> Connect:
        """Return the connection over maps of its parameters."""
        if self.transform is not None:
            return partial(_highway, make(self.transform.weight, self.transform.bias))
        return _residual if self.connection == Connection.residual else _plain

    def forward(
        self,
        input_PX: Tensor,
        joined: Sequence[Tensor],
        state: CellState | None,
        packing: Packing,
        hidden_masks: Sequence[Tensor | None] = (None, None),
    ) -> tuple[Tensor, CellState]:
        """Run over packed sequences: see `run_layer`.

        Args:
            hidden_masks: of each direction: see `DirectedLayer`.
        """
        directions = [
            partial(layer, hidden_mask_BH=mask_BH)
            for layer, mask_BH in zip(self.directions, hidden_masks, strict=False)
        ]
        return run_layer(directions, self.connect(), input_PX, joined, state, packing)

    if TYPE_CHECKING:
        __call__ = forward


def _plain(_: Tensor, h_NH: Tensor) -> Tensor:
    return h_NH


def _residual(input_NH: Tensor, h_NH: Tensor) -> Tensor:
    return h_NH + input_NH


def _highway(transform: LinearMap, input_NH: Tensor, h_NH: Tensor) -> Tensor:
    t_NH = torch.sigmoid(transform(input_NH))
    return t_NH * h_NH + (1 - t_NH) * input_NH


class CellStack:
    """Layers for single time steps, over any cells; there is no backward direction."""

    def __init__(
        self,
        cells: Sequence[Cell],
        connects: Sequence[Connect],
        *,
        drop: Callable[[int, Tensor], Tensor] | None = None,
    ) -> None:
        """Join cells.

        Args:
            drop: dropout of the input of the layer with this index.
        """
        self.cells, self.connects = tuple(cells), tuple(connects)
        self._drop = drop

    def step(
        self,
        inputs: Sequence[Tensor],
        state: RecurrentState,
        *,
        joined: Sequence[Tensor] = (),
        skipped: Sequence[Tensor] = (),
    ) -> tuple[Tensor, RecurrentState]:
        """Run over one time step.

        Args:
            inputs: of the lowest layer, side by side, `(N, …)` each; the first one is also that of its connection.
            joined: what joins the input of every layer.
            skipped: what joins the input of all layers but the lowest, after `joined`.

        Returns:
            The output of the top layer, `(N, H)`, and the state.
        """
        layers: list[CellState] = []
        below = tuple(inputs)
        for index, (cell, connect) in enumerate(zip(self.cells, self.connects, strict=True)):
            if self._drop is not None:
                below = (self._drop(index, below[0]), *below[1:])
            gates_NG = cell.input_gates(*below, *joined, *(skipped if index > 0 else ()))
            layers.append(cell.step(gates_NG, state.layers[index]))
            below = (connect(below[0], layers[-1][0]),)
        return below[0], RecurrentState(tuple(layers))


class LayerStack(nn.Module):
    """Layers with parameters, one on top of the other."""

    def __init__(self, shape: StackShape, *, name: str, dropouts: Dropouts) -> None:
        super().__init__()
        self.shape, self.name, self.dropouts = shape, name, dropouts
        self.layers = nn.ModuleList(RecurrentLayer(shape, index) for index in range(shape.num_layers))

    @property
    def output_dim(self) -> int:
        return self.shape.output_dim(self.shape.num_layers - 1)

    def layer(self, index: int) -> RecurrentLayer:
        layer = self.layers[index]
        assert isinstance(layer, RecurrentLayer)
        return layer

    def directions(self) -> list[DirectedLayer]:
        """Return all cells with their parameters."""
        return [one for index in range(len(self.layers)) for one in self.layer(index).directions]

    def forward(
        self,
        input_TBE: Tensor,
        state: RecurrentState | None = None,
        *,
        lengths_B: Tensor | None = None,
        joined_TBX: Tensor | None = None,
        noise: Noise | None = None,
    ) -> tuple[Tensor, RecurrentState]:
        """Run over whole sequences: see `run_stack`.

        Args:
            noise: the dropout; None: none.
        """
        num_rows = input_TBE.shape[1]
        layers = [
            partial(self.layer(index), hidden_masks=self._hidden_masks(noise, index, input_TBE, num_rows))
            for index in range(len(self.layers))
        ]
        drop = None if noise is None else partial(self._drop, noise)
        return run_stack(
            layers,
            input_TBE,
            state,
            lengths_B=lengths_B,
            joined_TBX=joined_TBX,
            input_skip=self.shape.input_skip,
            drop=drop,
        )

    if TYPE_CHECKING:
        __call__ = forward

    def stepping(
        self, noise: Noise | None = None, *, num_rows: int = 0, lowest_input: MapMaker = PlainMap
    ) -> CellStack:
        """Return these layers for single steps.

        Args:
            noise: the dropout of a pass over `num_rows` sentences.
            lowest_input: makes the input map of the lowest layer.
        """
        cells, connects = [], []
        for index in range(len(self.layers)):
            layer = self.layer(index)
            [mask_BH] = self._hidden_masks(noise, index, next(layer.parameters()), num_rows)
            maker = lowest_input if index == 0 else PlainMap
            cells.append(layer.forwards.cell(hidden_mask_BH=mask_BH, input_maker=maker))
            connects.append(layer.connect())
        drop = None if noise is None else partial(self._drop, noise)
        return CellStack(cells, connects, drop=drop)

    def place(self, index: int) -> str:
        """Name the layer with this index, as in "encoder layer 1"."""
        return f"{self.name} layer {self.shape.first_number + index}"

    def _drop(self, noise: Noise, index: int, values: Tensor, packing: Packing | None = None) -> Tensor:
        if self.shape.first_number + index == 1:
            return values
        if packing is None:
            return noise.drop(self.place(index), values, self.dropouts.layers)
        return noise.drop_packed(self.place(index), values, self.dropouts.layers, batch_sizes=packing.batch_sizes)

    def _hidden_masks(self, noise: Noise | None, index: int, like: Tensor, num_rows: int) -> list[Tensor | None]:
        """Return the mask of the hidden states that each direction reads; None: no dropout."""
        rate, num_directions = self.dropouts.recurrent, self.shape.num_directions(index)
        if noise is None or rate == 0:
            return [None] * num_directions
        size, names = (num_rows, self.shape.hidden_dim), ("forward", "backward")[:num_directions]
        return [noise.mask(f"{self.place(index)}, {name} state", like, size, rate) for name in names]
