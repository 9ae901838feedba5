"""The encoder: from source ids to states (Sutskever et al. 2014, §2 and §3.3)."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nmt.config import ModelConfig, SourceOrder
from nmt.model.dropout import dropout
from nmt.model.recurrent import RecurrentLayers, RecurrentState, StackedLSTM


class Encoding(NamedTuple):
    """What a decoder may use of a source sentence.

    Attributes:
        final: the state after the last source position, layer by layer.
        output_SBH: the top layer's output in the order in which the source was read, zero at padding.
        lengths_B: source positions of each sentence, EOS included, on the CPU.
    """

    final: RecurrentState
    output_SBH: Tensor
    lengths_B: Tensor


def reverse_source(src_BS: Tensor, lengths_B: Tensor) -> Tensor:
    """Reverse each sentence but leave its EOS and padding in place: `a b c EOS` becomes `c b a EOS` (§3.3)."""
    position_S = torch.arange(src_BS.shape[1], device=src_BS.device)
    last_word_B1 = lengths_B.to(src_BS.device).unsqueeze(1) - 2
    is_word_BS = position_S <= last_word_B1
    return src_BS.gather(1, torch.where(is_word_BS, last_word_B1 - position_S, position_S))


class EncoderWiring:
    """How the parts of an encoder are connected, independent of their implementation."""

    source_order: SourceOrder
    rnn: RecurrentLayers

    def embed(self, token_SB: Tensor) -> Tensor:
        """Return the input of the lowest layer, `(S, B, …)`."""
        raise NotImplementedError

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        """Read source sentences, right-padded, EOS last; `lengths_B` counts EOS and is on the CPU.

        Sentences of equal length need no packing and run at more than twice the speed.
        """
        equal_lengths = int(lengths_B.min()) == src_BS.shape[1]
        if self.source_order == SourceOrder.reversed:
            src_BS = reverse_source(src_BS, lengths_B)
        output_SBH, final = self.rnn(self.embed(src_BS.t()), lengths_B=None if equal_lengths else lengths_B)
        return Encoding(final, output_SBH, lengths_B)


class Encoder(EncoderWiring, nn.Module):
    """An encoder with parameters: an embedding and stacked LSTMs."""

    rnn: StackedLSTM

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.source_order = config.source_order
        self.dropout = config.dropout
        # from_pretrained takes no random numbers: `initialize` sets the values, and random numbers on a meta device
        # would import half of torch
        zeros_VE = torch.zeros(vocab_size, config.embedding_dim)
        self.embedding = nn.Embedding.from_pretrained(zeros_VE, freeze=False)  # type: ignore[no-untyped-call]
        self.rnn = StackedLSTM(
            config.embedding_dim, config.hidden_dim, num_layers=config.num_layers, dropout=config.dropout
        )

    def embed(self, token_SB: Tensor) -> Tensor:
        """Return the embeddings, `(S, B, E)`, with dropout in training."""
        return dropout(self.embedding(token_SB), self.dropout, training=self.training)

    def forward(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        """Encode: see `EncoderWiring.encode`."""
        return self.encode(src_BS, lengths_B)

    if TYPE_CHECKING:
        __call__ = forward
