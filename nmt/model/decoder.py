"""The decoder: one step, and a whole sequence with teacher forcing (Sutskever et al. 2014, §2)."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.model.cell import LinearMap
from nmt.model.dropout import dropout
from nmt.model.encoder import Encoding
from nmt.model.recurrent import RecurrentLayers, RecurrentState, StackedLSTM


class DecoderState(NamedTuple):
    """What the decoder remembers between two steps; search only selects and appends rows of it."""

    recurrent: RecurrentState

    def select(self, rows_N: Tensor) -> "DecoderState":
        """Take the rows `rows_N`, in that order; a row may be taken several times."""
        return DecoderState(self.recurrent.select(rows_N))

    def concat(self, other: "DecoderState") -> "DecoderState":
        """Append the rows of `other`."""
        return DecoderState(self.recurrent.concat(other.recurrent))


class DecoderWiring:
    """How the parts of a decoder are connected for one step, independent of their implementation."""

    rnn: RecurrentLayers
    output: LinearMap

    def embed(self, prev_N: Tensor) -> Tensor:
        """Return the input of the lowest layer, `(N, …)`."""
        raise NotImplementedError

    def start(self, encoding: Encoding) -> DecoderState:
        """Start from the encoder's final hidden and cell states, layer by layer; one row per sentence."""
        return DecoderState(encoding.final)

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read the previous token of each row; returns the logits of the next, `(N, V)`, and the new state."""
        hidden_NH, recurrent = self.rnn.step(self.embed(prev_N), state.recurrent)
        return self.output(hidden_NH), DecoderState(recurrent)


class Decoder(DecoderWiring, nn.Module):
    """A decoder with parameters: an embedding, stacked LSTMs and an output layer."""

    rnn: StackedLSTM
    output: nn.Linear

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        zeros_VE = torch.zeros(vocab_size, config.embedding_dim)
        self.embedding = nn.Embedding.from_pretrained(zeros_VE, freeze=False)  # type: ignore[no-untyped-call]
        self.rnn = StackedLSTM(
            config.embedding_dim, config.hidden_dim, num_layers=config.num_layers, dropout=config.dropout
        )
        self.output = nn.Linear(config.hidden_dim, vocab_size)

    def embed(self, prev_N: Tensor) -> Tensor:
        """Return the embeddings, of any shape of tokens, with dropout in training."""
        return dropout(self.embedding(prev_N), self.dropout, training=self.training)

    def forward(self, tgt_in_BT: Tensor, state: DecoderState) -> Tensor:
        """Run over `BOS y_1 … y_n` (teacher forcing); returns the states before the output layer, `(T, B, H)`.

        The output layer is left to the caller, who applies it to real tokens only.
        """
        hidden_TBH, _ = self.rnn(self.embed(tgt_in_BT.t()), state.recurrent)
        return dropout(hidden_TBH, self.dropout, training=self.training)

    if TYPE_CHECKING:
        __call__ = forward
