"""One cell over time: its parameters, and whole sequences by the fastest available means.

Sequences are packed: all time steps one after the other; step t has the rows of the sentences that are longer than t,
longest sentences first. Equal lengths are the simple case.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from nmt.choices import CellKind, Implementation
from nmt.device import without_compaction_warning
from nmt.model.cell import CELLS, Cell, CellState, CellWeights, LinearMap, MapMaker, PlainMap
from nmt.model.fast.gru_layer import GRULayer, own_gru_layer_pays
from nmt.model.fast.lstm_layer import LSTMLayer, own_layer_pays

log = logging.getLogger(__name__)

# Rows of a batch from which cuDNN trains in bf16 under autocast. It starts more kernels than in float32 (TF32): with
# 128 rows of 1,000 units an update took longer, with 1,024 it was faster (docs/decisions.md).
ROWS_IN_BF16 = 256


class Layer(Protocol):
    """One cell, run over packed sequences."""

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
    cell: Cell, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]
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


_TORCH_MODULES: dict[CellKind, Callable[[int, int], nn.RNNBase]] = {
    CellKind.lstm: nn.LSTM,
    CellKind.gru: nn.GRU,
    CellKind.rnn_tanh: nn.RNN,
    CellKind.rnn_relu: partial(nn.RNN, nonlinearity="relu"),
}


class _GateWeights(nn.Module):
    """The parameters of a cell that torch does not have."""

    def __init__(self, cell_class: type[Cell], input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        gates = cell_class.num_gates * hidden_dim
        shapes = {
            "weight_ih": (gates, input_dim),
            "weight_hh": (gates, hidden_dim),
            "bias_ih": (gates,),
            "bias_hh": (gates,),
            **{name: (size * hidden_dim,) for name, size in cell_class.vectors.items()},
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


class DirectedLayer(nn.Module):
    """A cell with its parameters, over whole sequences: see `Layer`.

    Attributes:
        cell_class: the equations.
        weights: torch's own layer if there is one of this kind, which then also runs; otherwise only the parameters.
        watch: returns what runs instead of a cell, to watch it; only with the reference implementation.
    """

    def __init__(self, kind: CellKind, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.kind, self.hidden_dim = kind, hidden_dim
        self.cell_class = CELLS[kind]
        self.chosen_implementation = Implementation.fast
        self.watch: Callable[[Cell], Cell] | None = None
        self.weights: nn.Module
        if kind in _TORCH_MODULES:
            self.weights = _TORCH_MODULES[kind](input_dim, hidden_dim)
        else:
            self.weights = _GateWeights(self.cell_class, input_dim, hidden_dim)

    @property
    def implementation(self) -> Implementation:
        """The chosen implementation; the reference if the cell's equations have been changed."""
        if self.kind in _TORCH_MODULES and not _is_torchs(self.kind, self.cell_class, self.cell_class.step):  # type: ignore[arg-type]
            return Implementation.reference
        return self.chosen_implementation

    @property
    def cell_weights(self) -> CellWeights:
        """The parameters."""
        weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G, *vectors = self.weights.parameters()
        return CellWeights(weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G, tuple(vectors))

    def cell(self, *, hidden_mask_BH: Tensor | None = None, input_maker: MapMaker = PlainMap) -> Cell:
        """Return the cell over these parameters.

        Args:
            hidden_mask_BH: multiplies the hidden state before its matmul.
        """

        def hidden_maker(weight_OI: Tensor, bias_O: Tensor | None) -> LinearMap:
            plain = PlainMap(weight_OI, bias_O)
            return plain if hidden_mask_BH is None else partial(_masked, plain, hidden_mask_BH)

        cell = self.cell_class.over(self.cell_weights, input_maker, hidden_maker)
        return cell if self.watch is None else self.watch(cell)

    def forward(
        self,
        input_PE: Tensor,
        state: CellState | None,
        batch_sizes: Sequence[int],
        *,
        hidden_mask_BH: Tensor | None = None,
    ) -> tuple[Tensor, CellState]:
        """Run over all time steps, the fastest way unless `implementation` forbids it."""
        layer: Layer | None = None
        if self.implementation == Implementation.fast:
            layer = self._fast_layer(input_PE, batch_sizes, hidden_mask_BH)
        if layer is None:
            layer = partial(run_over_time, self.cell(hidden_mask_BH=hidden_mask_BH))
        return layer(input_PE, state, batch_sizes)

    def _fast_layer(self, input_PE: Tensor, batch_sizes: Sequence[int], hidden_mask_BH: Tensor | None) -> Layer | None:
        """Choose the fastest layer for an input; None if there is only the plain one."""
        num_steps, is_packed = len(batch_sizes), batch_sizes[0] != batch_sizes[-1]
        is_masked, on_cpu = hidden_mask_BH is not None, input_PE.device.type == "cpu"
        if self.kind == CellKind.lstm and (
            (is_masked and on_cpu) or own_layer_pays(input_PE, is_packed=is_packed, num_steps=num_steps)
        ):
            return partial(LSTMLayer(*self.cell_weights[:4]), hidden_mask_BH=hidden_mask_BH)
        if self.kind == CellKind.gru and ((is_masked and on_cpu) or own_gru_layer_pays(input_PE, num_steps=num_steps)):
            return partial(GRULayer(*self.cell_weights[:4]), hidden_mask_BH=hidden_mask_BH)
        return TorchLayer(self.weights) if isinstance(self.weights, nn.RNNBase) and not is_masked else None

    if TYPE_CHECKING:
        __call__ = forward


def _masked(linear: LinearMap, mask_BH: Tensor, h_NH: Tensor) -> Tensor:
    """Apply a map to masked states; when short sentences have ended, the others are the first rows."""
    return linear(h_NH * mask_BH[: len(h_NH)])


class TorchLayer:
    """torch's own layer as a `Layer`."""

    def __init__(self, module: nn.RNNBase) -> None:
        self._module = module

    def __call__(
        self, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]
    ) -> tuple[Tensor, CellState]:
        if input_PE.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
            # left to itself, autocast runs cuDNN's layers in fp16, whatever its dtype: small gradients would vanish
            dtype = torch.get_autocast_dtype("cuda") if batch_sizes[0] >= ROWS_IN_BF16 else torch.float32
            with torch.autocast("cuda", enabled=False):
                cast_state = None if state is None else tuple(part.to(dtype) for part in state)
                output_PH, last = self._run(input_PE.to(dtype), cast_state, batch_sizes)
            return output_PH, tuple(part.float() for part in last)
        return self._run(input_PE, state, batch_sizes)

    def _run(self, input_PE: Tensor, state: CellState | None, batch_sizes: Sequence[int]) -> tuple[Tensor, CellState]:
        module = self._module
        weights = [weight.to(input_PE.dtype) for weight in module.parameters()]
        if state is None:
            zeros_BH = input_PE.new_zeros(batch_sizes[0], module.hidden_size)
            state = (zeros_BH, zeros_BH) if module.mode == "LSTM" else (zeros_BH,)
        # cuDNN refuses slices, such as those of a bridge
        parts = tuple(part.unsqueeze(0).contiguous() for part in state)
        start = parts if module.mode == "LSTM" else parts[0]
        run, options = _FUNCTIONS[module.mode], (True, 1, 0.0, module.training, False)  # with biases, one layer
        with without_compaction_warning() if input_PE.is_cuda and input_PE.dtype == torch.bfloat16 else nullcontext():
            if batch_sizes[0] == batch_sizes[-1]:
                input_TBE = input_PE.view(len(batch_sizes), batch_sizes[0], -1)
                output_TBH, *last = run(input_TBE, start, weights, *options, False)
                output_PH = output_TBH.flatten(0, 1)
            else:
                output_PH, *last = run(input_PE, torch.tensor(batch_sizes), start, weights, *options)
        return output_PH, tuple(part.squeeze(0) for part in last)


# by torch's names of the cells; unlike the modules, they take weights of another dtype than that of the parameters
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


@cache
def _is_torchs(kind: CellKind, cell_class: type[Cell], step: Callable[..., CellState]) -> bool:
    """Try whether a cell computes the equations of the fast implementations, which are those of torch's cells.

    So whoever changes a cell, or sets another `cell_class`, trains and translates with the changed equations.
    """
    del step  # only a key of the cache
    with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.device("cpu"):
        line = partial(torch.linspace, dtype=torch.float64)
        num_gates, num_parts = cell_class.num_gates * 3, CELLS[kind].num_parts
        input_NE, weight_ih_GE = line(-2, 2, 8).view(2, 4), line(1, -1, num_gates * 4).view(num_gates, 4)
        weight_hh_GH, bias_ih_G, bias_hh_G = (
            line(-1, 1, num_gates * 3).view(num_gates, 3),
            line(-1, 1, num_gates),
            line(1, -2, num_gates),
        )
        state = tuple(line(-0.9, 0.9, 6 * num_parts).view(num_parts, 2, 3).unbind())
        cell = cell_class.over(CellWeights(weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G), PlainMap, PlainMap)
        found = cell.step(cell.input_gates(input_NE), state)
        expected = _torch_step(kind, input_NE, state, weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G)
    is_torchs = len(found) == num_parts and all(map(torch.allclose, found, expected))
    if not is_torchs:
        log.warning(
            "%s computes other equations than torch's %s: the plain modules run, without the parts that are laid out "
            "for speed",
            cell_class.__name__,
            _TORCH_NAMES[kind],
        )
    return is_torchs


_TORCH_NAMES = {
    CellKind.lstm: "LSTM",
    CellKind.gru: "GRU",
    CellKind.rnn_tanh: "recurrent network",
    CellKind.rnn_relu: "recurrent network",
}


def _torch_step(kind: CellKind, input_NE: Tensor, state: CellState, *weights: Tensor) -> CellState:
    match kind:
        case CellKind.lstm:
            h_NH, c_NH = torch.lstm_cell(input_NE, state, *weights)
            return h_NH, c_NH
        case CellKind.gru:
            return (torch.gru_cell(input_NE, state[0], *weights),)
        case CellKind.rnn_tanh:
            return (torch.rnn_tanh_cell(input_NE, state[0], *weights),)
        case _:
            return (torch.rnn_relu_cell(input_NE, state[0], *weights),)
