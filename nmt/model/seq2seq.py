"""Encoder and decoder together, and how their parameters are initialized."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nmt.config import Implementation, ModelConfig
from nmt.corpus.batching import Batch
from nmt.model.decoder import Decoder
from nmt.model.encoder import Encoder, Encoding


class Seq2Seq(nn.Module):
    """Translation by two stacked LSTMs (Sutskever, Vinyals & Le 2014)."""

    def __init__(self, config: ModelConfig, *, src_vocab_size: int, tgt_vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, src_vocab_size)
        self.decoder = Decoder(config, tgt_vocab_size)

    @property
    def implementation(self) -> Implementation:
        """Which implementation runs over the parameters: the one laid out for speed, or the plain one.

        It is the plain one, whatever is set, if the cell is not the LSTM that the fast one computes.
        """
        return self.encoder.rnn.implementation

    @implementation.setter
    def implementation(self, implementation: Implementation) -> None:
        self.encoder.rnn.chosen_implementation = self.decoder.rnn.chosen_implementation = implementation

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        return self.encoder(src_BS, lengths_B)

    def forward(self, batch: Batch) -> Tensor:
        """Return the states before the output layer of the batch's real target tokens, `(M, H)`.

        They are in the order of `batch.tgt_token_M`, without padding.
        """
        state = self.decoder.start(self.encode(batch.src_BS, batch.src_len_B))
        hidden_TBH = self.decoder(batch.tgt_in_BT, state)
        return hidden_TBH.flatten(0, 1).index_select(0, batch.tgt_position_M)

    if TYPE_CHECKING:
        __call__ = forward

    def log_probs(self, batch: Batch) -> Tensor:
        """Score the targets with forced decoding: log p of each real target token in nats, `(M,)`."""
        log_prob_MV = torch.log_softmax(self.decoder.output(self(batch)).float(), dim=-1)
        return log_prob_MV.gather(1, batch.tgt_token_M.unsqueeze(1)).squeeze(1)

    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


@torch.no_grad()
def initialize(model: Seq2Seq, *, generator: torch.Generator) -> None:
    """Initialize every parameter uniformly in ±`init_range` (Sutskever et al. 2014, §3.4).

    `forget_bias` is then added to the forget gates' input biases (Jozefowicz et al. 2015, §2.2); the paper has none.
    """
    config = model.config
    for parameter in model.parameters():
        parameter.uniform_(-config.init_range, config.init_range, generator=generator)
    for rnn in (model.encoder.rnn, model.decoder.rnn):
        for layer in range(config.num_layers):
            bias = getattr(rnn.lstm, f"bias_ih_l{layer}")
            bias[config.hidden_dim : 2 * config.hidden_dim] += config.forget_bias
