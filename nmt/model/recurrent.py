"""The stacked LSTM and its state.

Shapes: B sentences, T time steps, L layers, E inputs, H units; N = rows of a state (B, or B·K in beam search).
"""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nmt.device import is_intel_cpu
from nmt.model.dropout import dropout
from nmt.model.lstm_layer import lstm_layer


class RecurrentState(NamedTuple):
    """Hidden and cell states of every layer, `(L, N, H)` each."""

    h_LNH: Tensor
    c_LNH: Tensor

    def select(self, rows_N: Tensor) -> "RecurrentState":
        """Take the rows `rows_N`, in that order; a row may be taken several times."""
        return RecurrentState(self.h_LNH.index_select(1, rows_N), self.c_LNH.index_select(1, rows_N))

    def concat(self, other: "RecurrentState") -> "RecurrentState":
        """Put the rows of `other` behind these."""
        return RecurrentState(torch.cat((self.h_LNH, other.h_LNH), 1), torch.cat((self.c_LNH, other.c_LNH), 1))


class StackedLSTM(nn.Module):
    """LSTM layers over time (Hochreiter & Schmidhuber 1997, with forget gates), gates in torch's order i, f, g, o.

    Dropout acts on what goes from one layer to the next, never on the recurrent path (Zaremba et al. 2014).
    """

    def __init__(self, input_dim: int, hidden_dim: int, *, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers, dropout=dropout if num_layers > 1 else 0.0)

    def forward(
        self, input_TBE: Tensor, state: RecurrentState | None = None, *, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Run over all time steps.

        Args:
            state: where to start; zeros where it is None.
            lengths_B: steps that count in each sentence, on the CPU; None: all of them, which is faster.

        Returns:
            Outputs of the top layer `(T, B, H)`, zero where padded, and the state after each sentence's last step.
        """
        if input_TBE.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
            # torch's autocast runs cuDNN's LSTM in fp16, whatever its dtype: small gradients would vanish
            with torch.autocast("cuda", enabled=False):
                float_state = None if state is None else RecurrentState(state.h_LNH.float(), state.c_LNH.float())
                return self.forward(input_TBE.float(), float_state, lengths_B=lengths_B)
        packed = None if lengths_B is None else pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False)
        if _own_layer_pays(input_TBE, is_packed=packed is not None):
            return self._run_own_layers(input_TBE, state, packed)
        if packed is None:
            output_TBH, (h, c) = self.lstm(input_TBE, state)
        else:
            packed_output, (h, c) = self.lstm(packed, state)
            output_TBH, _ = pad_packed_sequence(packed_output, total_length=len(input_TBE))
        return output_TBH, RecurrentState(h, c)

    if TYPE_CHECKING:
        __call__ = forward

    def _run_own_layers(
        self, input_TBE: Tensor, state: RecurrentState | None, packed: PackedSequence | None
    ) -> tuple[Tensor, RecurrentState]:
        """Do what `nn.LSTM` does, with its parameters, by `lstm_layer`."""
        num_steps, num_rows, _ = input_TBE.shape
        if state is None:
            zeros_LBH = input_TBE.new_zeros(self.lstm.num_layers, num_rows, self.lstm.hidden_size)
            state = RecurrentState(zeros_LBH, zeros_LBH)
        batch_sizes = [num_rows] * num_steps if packed is None else packed.batch_sizes.tolist()
        if packed is not None and packed.sorted_indices is not None:
            state = state.select(packed.sorted_indices)
        values = input_TBE.flatten(0, 1) if packed is None else packed.data
        h_by_layer, c_by_layer = [], []
        for layer in range(self.lstm.num_layers):
            if layer > 0:
                values = dropout(values, self.lstm.dropout, training=self.training)
            parameter = partial(_layer_parameter, self.lstm, layer)
            values, h_BH, c_BH = lstm_layer(
                values,
                state.h_LNH[layer],
                state.c_LNH[layer],
                weight_ih_GE=parameter("weight_ih"),
                weight_hh_GH=parameter("weight_hh"),
                bias_G=parameter("bias_ih") + parameter("bias_hh"),
                batch_sizes=batch_sizes,
            )
            h_by_layer.append(h_BH)
            c_by_layer.append(c_BH)
        last = RecurrentState(torch.stack(h_by_layer), torch.stack(c_by_layer))
        if packed is None:
            return values.view(num_steps, num_rows, -1), last
        output_TBH, _ = pad_packed_sequence(packed._replace(data=values), total_length=num_steps)
        return output_TBH, last if packed.unsorted_indices is None else last.select(packed.unsorted_indices)


def _layer_parameter(lstm: nn.LSTM, layer: int, kind: str) -> Tensor:
    parameter: Tensor = getattr(lstm, f"{kind}_l{layer}")
    return parameter


def _own_layer_pays(input_TBE: Tensor, *, is_packed: bool) -> bool:
    """Tell whether `lstm_layer` is faster than torch's: docs/decisions.md has the measurements.

    torch's layer wins where it computes in bf16, without gradients, or in fp32 through oneDNN on a processor that is
    not Intel's; packed sequences it takes at less than half its rate everywhere.
    """
    if input_TBE.device.type != "cpu" or torch.is_autocast_enabled("cpu") or input_TBE.dtype == torch.bfloat16:
        return False
    return is_packed or (torch.is_grad_enabled() and len(input_TBE) > 1 and is_intel_cpu())
