"""Layers over time: cells become layers, layers become a stack.

Dropout is applied between layers, never on the recurrent path (Zaremba et al. 2014).
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.config import Implementation
from nmt.model.cell import CellState, LSTMCell
from nmt.model.dropout import dropout
from nmt.model.fast.lstm_layer import LSTMLayer, own_layer_pays

log = logging.getLogger(__name__)


class RecurrentState(NamedTuple):
    """The state of every layer, from the lowest to the top one; N rows each."""

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

    @property
    def h_LNH(self) -> Tensor:  # noqa: N802
        """The hidden states of all layers, as torch's LSTM takes them."""
        return torch.stack([layer[0] for layer in self.layers])

    @property
    def c_LNH(self) -> Tensor:  # noqa: N802
        """The cell states of all layers, as torch's LSTM takes them."""
        return torch.stack([layer[1] for layer in self.layers])

    @classmethod
    def unstack(cls, h_LNH: Tensor, c_LNH: Tensor) -> "RecurrentState":
        """Split what torch's LSTM returns into layers."""
        return cls(tuple(zip(h_LNH.unbind(), c_LNH.unbind(), strict=True)))


class RecurrentLayers(Protocol):
    """A stack of recurrent layers: what encoder and decoder need of it."""

    def __call__(
        self, input_TBE: Tensor, state: RecurrentState | None = None, *, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Run over whole sequences.

        Args:
            state: the initial state; zeros if it is None.
            lengths_B: the time steps of each sentence, on the CPU; None: all of them, which is faster.

        Returns:
            The outputs of the top layer `(T, B, H)`, zero at padding, and the state after each sentence's last step.
        """

    def step(self, input_NE: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Run over one time step; returns the output of the top layer `(N, H)` and the state."""


class Layer(Protocol):
    """One layer, run over packed sequences."""

    def __call__(
        self, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]
    ) -> tuple[Tensor, CellState]:
        """Run over all time steps.

        Args:
            input_PE: all time steps, one after the other; step t has `batch_sizes[t]` rows, longest sentences first.
            state: the initial state; zeros if it is None.

        Returns:
            The hidden states of all positions `(P, H)`, and the state after each sentence's last step.
        """


def run_over_time(
    cell: LSTMCell, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]
) -> tuple[Tensor, CellState]:
    """Run a cell over all time steps: the plain `Layer`."""
    input_gates = cell.input_gates(input_PE).split_with_sizes(list(batch_sizes))
    if state is None:
        state = cell.initial_state(input_gates[0])
    outputs: list[Tensor] = []
    last_states: list[CellState] = []  # of the sentences that have ended, shortest first
    for input_gates_NG, size in zip(input_gates, batch_sizes, strict=True):
        if size < len(state[0]):
            last_states.insert(0, tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        state = cell.step(input_gates_NG, state)
        outputs.append(state[0])
    last_states.insert(0, state)
    return torch.cat(outputs), tuple(map(torch.cat, zip(*last_states, strict=True)))


def run_layers(
    layers: Sequence[Layer],
    input_TBE: Tensor,
    state: RecurrentState | None,
    *,
    lengths_B: Tensor | None,
    dropout_between: float = 0.0,
) -> tuple[Tensor, RecurrentState]:
    """Run layers, one on top of the other, over whole sequences; see `RecurrentLayers` for arguments and result."""
    num_steps, num_rows = input_TBE.shape[:2]
    if lengths_B is None:
        packed, values, batch_sizes = None, input_TBE.flatten(0, 1), [num_rows] * num_steps
    else:
        packed = pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False)
        values, batch_sizes = packed.data, packed.batch_sizes.tolist()
        if state is not None and packed.sorted_indices is not None:
            state = state.select(packed.sorted_indices)
    last_states: list[CellState] = []
    for number, layer in enumerate(layers):
        if number > 0:
            values = dropout(values, dropout_between, training=dropout_between > 0)
        values, last_state = layer(values, None if state is None else state.layers[number], batch_sizes)
        last_states.append(last_state)
    last = RecurrentState(tuple(last_states))
    if packed is None:
        return values.view(num_steps, num_rows, -1), last
    output_TBH, _ = pad_packed_sequence(packed._replace(data=values), total_length=num_steps)
    return output_TBH, last if packed.unsorted_indices is None else last.select(packed.unsorted_indices)


class CellStack:
    """`RecurrentLayers` over any cells, without dropout."""

    def __init__(self, cells: Sequence[LSTMCell]) -> None:
        self.cells = tuple(cells)

    def __call__(
        self, input_TBE: Tensor, state: RecurrentState | None = None, *, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        layers = [partial(run_over_time, cell) for cell in self.cells]
        return run_layers(layers, input_TBE, state, lengths_B=lengths_B)

    def step(self, input_NE: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        layers: list[CellState] = []
        for cell, before in zip(self.cells, state.layers, strict=True):
            layers.append(cell.step(cell.input_gates(input_NE), before))
            input_NE = layers[-1][0]
        return input_NE, RecurrentState(tuple(layers))


class StackedLSTM(nn.Module):
    """Stacked LSTM layers with the parameters of `nn.LSTM`."""

    cell_class = LSTMCell

    def __init__(self, input_dim: int, hidden_dim: int, *, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.chosen_implementation = Implementation.fast
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers, dropout=dropout if num_layers > 1 else 0.0)

    @property
    def implementation(self) -> Implementation:
        """The chosen implementation; the reference if the fast one would not compute this cell."""
        if not _is_torchs_lstm(self.cell_class, self.cell_class.step):
            return Implementation.reference
        return self.chosen_implementation

    def cells(self) -> list[LSTMCell]:
        """Return the cells of all layers, over these parameters."""
        return [
            self.cell_class(partial(F.linear, weight=w_ih_GE, bias=b_ih_G + b_hh_G), partial(F.linear, weight=w_hh_GH))
            for w_ih_GE, w_hh_GH, b_ih_G, b_hh_G in self.lstm.all_weights
        ]

    def forward(
        self, input_TBE: Tensor, state: RecurrentState | None = None, *, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Run over whole sequences (see `RecurrentLayers`), the fastest way unless `implementation` forbids it."""
        layers: list[Layer]
        if self.implementation == Implementation.reference:
            layers = [partial(run_over_time, cell) for cell in self.cells()]
        elif own_layer_pays(input_TBE, is_packed=lengths_B is not None):
            layers = [LSTMLayer(*weights) for weights in self.lstm.all_weights]
        else:
            return self._run_torch(input_TBE, state, lengths_B=lengths_B)
        dropout_between = self.lstm.dropout if self.training else 0.0
        return run_layers(layers, input_TBE, state, lengths_B=lengths_B, dropout_between=dropout_between)

    if TYPE_CHECKING:
        __call__ = forward

    def step(self, input_NE: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Run over one time step; returns the output of the top layer `(N, H)` and the state."""
        if self.implementation == Implementation.reference:
            return CellStack(self.cells()).step(input_NE, state)
        output_1NH, state = self(input_NE.unsqueeze(0), state)
        return output_1NH[0], state

    def _run_torch(
        self, input_TBE: Tensor, state: RecurrentState | None, *, lengths_B: Tensor | None
    ) -> tuple[Tensor, RecurrentState]:
        if input_TBE.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
            # torch's autocast runs cuDNN's LSTM in fp16, regardless of its dtype: small gradients would vanish
            with torch.autocast("cuda", enabled=False):
                float_state = None if state is None else state.float()
                return self._run_torch(input_TBE.float(), float_state, lengths_B=lengths_B)
        start = None if state is None else (state.h_LNH, state.c_LNH)
        if lengths_B is None:
            output_TBH, last = self.lstm(input_TBE, start)
        else:
            packed = pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False)
            packed_output, last = self.lstm(packed, start)
            output_TBH, _ = pad_packed_sequence(packed_output, total_length=len(input_TBE))
        return output_TBH, RecurrentState.unstack(*last)


@cache
def _is_torchs_lstm(cell_class: type[LSTMCell], step: Callable[..., CellState]) -> bool:
    """Try whether a cell computes the equations of the fast implementation, which are those of torch's LSTM.

    So whoever changes `LSTMCell`, or sets another `cell_class`, trains and translates with the changed equations.
    """
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        line = partial(torch.linspace, dtype=torch.float64, device="cpu")
        gates_NG, weight_GH = line(-2, 2, 24).view(2, 12), line(-1, 1, 36).view(12, 3)
        state = line(-0.9, 0.9, 6).view(2, 3), line(1, -1, 6).view(2, 3)
        cell = cell_class(lambda input_NE: input_NE, partial(F.linear, weight=weight_GH))
        found = step(cell, gates_NG, state)
        expected = torch.lstm_cell(gates_NG, state, torch.eye(12, dtype=torch.float64, device="cpu"), weight_GH)
    is_torchs = len(found) == 2 and all(map(torch.allclose, found, expected))
    if not is_torchs:
        log.warning(
            "%s computes other equations than torch's LSTM: the plain modules run, without the parts that are laid out "
            "for speed",
            cell_class.__name__,
        )
    return is_torchs
