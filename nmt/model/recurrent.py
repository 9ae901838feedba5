"""The stacked LSTM and its state.

Shapes: B sentences, T time steps, L layers, E inputs, H units; N = rows of a state (B, or B·K in beam search).
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


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
            lengths_B: steps that count in each sentence, on the CPU; None: all of them, which is much faster.

        Returns:
            Outputs of the top layer `(T, B, H)`, zero where padded, and the state after each sentence's last step.
        """
        if lengths_B is None:
            output_TBH, (h, c) = self.lstm(input_TBE, None if state is None else tuple(state))
        else:
            packed = pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False)
            packed_output, (h, c) = self.lstm(packed, None if state is None else tuple(state))
            output_TBH, _ = pad_packed_sequence(packed_output, total_length=input_TBE.shape[0])
        return output_TBH, RecurrentState(h, c)

    if TYPE_CHECKING:
        __call__ = forward
