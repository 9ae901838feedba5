"""The encoder: from source ids to states and outputs (Sutskever et al. 2014, §2; Bahdanau et al. 2015, §3.2)."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nmt.choices import SourceOrder
from nmt.config import ModelConfig
from nmt.corpus.share import BatchShare
from nmt.model.dropout import Noise
from nmt.model.recurrent import Dropouts, LayerStack, RecurrentState
from nmt.model.stack_shape import StackShape
from nmt.transfer import to_device


class Encoding(NamedTuple):
    """What a decoder may use of a source sentence.

    Attributes:
        final: the state after the last source position, layer by layer.
        output_SBH: the top layer's output in the order in which the source was read, zero at padding; of two
            directions, side by side.
        lengths_B: source positions of each sentence, EOS included, on the CPU.
    """

    final: RecurrentState
    output_SBH: Tensor
    lengths_B: Tensor


def reverse_source(src_BS: Tensor, lengths_B: Tensor) -> Tensor:
    """Reverse each sentence but leave its EOS and padding in place: `a b c EOS` becomes `c b a EOS` (§3.3)."""
    position_S = torch.arange(src_BS.shape[1], device=src_BS.device)
    last_word_B1 = to_device(lengths_B, src_BS.device).unsqueeze(1) - 2
    is_word_BS = position_S <= last_word_B1
    return src_BS.gather(1, torch.where(is_word_BS, last_word_B1 - position_S, position_S))


def read_source(src_BS: Tensor, lengths_B: Tensor, order: SourceOrder) -> tuple[Tensor, Tensor | None]:
    """Return the source in the order in which it is read, `(S, B)`, and its lengths if they differ.

    Sentences of equal length need no packing and run at more than twice the speed.
    """
    if order == SourceOrder.reversed:
        src_BS = reverse_source(src_BS, lengths_B)
    is_equal = int(lengths_B.min()) == src_BS.shape[1]
    return src_BS.t(), None if is_equal else lengths_B


class Encoder(nn.Module):
    """An encoder with parameters: an embedding and stacked recurrent layers."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        # from_pretrained takes no random numbers: `initialize` sets the values, and random numbers on a meta device
        # would import half of torch
        shape = encoder_shape(config)
        zeros_VE = torch.zeros(vocab_size, shape.input_dim)
        self.embedding = nn.Embedding.from_pretrained(zeros_VE, freeze=False)  # type: ignore[no-untyped-call]
        dropouts = Dropouts(rate_of(config.dropout_layers, config), config.dropout_recurrent)
        self.rnn = LayerStack(shape, name="encoder", dropouts=dropouts)

    def forward(self, src_BS: Tensor, lengths_B: Tensor, *, share: BatchShare | None = None) -> Encoding:
        """Read source sentences, right-padded, EOS last; `lengths_B` counts EOS and is on the CPU.

        Args:
            share: which rows of a larger batch they are, for dropout.
        """
        config = self.config
        noise = Noise(config.dropout_mask, share, packs_source=True) if self.training else None
        token_SB, different_B = read_source(src_BS, lengths_B, config.source_order)
        input_SBE = self.embedding(token_SB)
        if noise is not None:
            input_SBE = noise.drop_words(input_SBE, config.dropout_src_word)
            input_SBE = noise.drop("source", input_SBE, rate_of(config.dropout_src_embedding, config))
        output_SBH, final = self.rnn(input_SBE, lengths_B=different_B, noise=noise)
        if noise is not None:
            output_SBH = noise.drop("encoder output", output_SBH, config.dropout_encoder_output)
        return Encoding(final, output_SBH, lengths_B)

    if TYPE_CHECKING:
        __call__ = forward


def encoder_shape(config: ModelConfig) -> StackShape:
    """Return the sizes of an encoder's layers."""
    return StackShape(
        config.cell,
        input_dim=config.src_embedding_dim or config.embedding_dim,
        hidden_dim=config.encoder_dim or config.hidden_dim,
        num_layers=config.encoder_layers or config.num_layers,
        bidirectional=config.bidirectional,
        connection=config.connection,
        connection_from=config.connection_from,
        input_skip=config.input_skip,
    )


def rate_of(rate: float | None, config: ModelConfig) -> float:
    """Return a rate of dropout; None stands for `model.dropout`."""
    return config.dropout if rate is None else rate
