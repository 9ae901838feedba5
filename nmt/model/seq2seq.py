"""Encoder and decoder together."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nmt.choices import Implementation, TiedEmbeddings
from nmt.config import ModelConfig
from nmt.corpus.batching import Batch
from nmt.errors import ConfigError
from nmt.model.checks import check_model
from nmt.model.decoder import Decoder
from nmt.model.encoder import Encoder, Encoding
from nmt.model.layer import DirectedLayer


class Seq2Seq(nn.Module):
    """Translation by recurrent networks: by default two stacked LSTMs (Sutskever, Vinyals & Le 2014)."""

    def __init__(self, config: ModelConfig, *, src_vocab_size: int, tgt_vocab_size: int) -> None:
        """Make a model without values, which `nmt.model.initialization` sets.

        Raises:
            ConfigError: if settings contradict each other.
        """
        super().__init__()
        check_model(config)
        if config.tied_embeddings == TiedEmbeddings.both and src_vocab_size != tgt_vocab_size:
            raise ConfigError(
                "model.tied_embeddings=both needs one vocabulary of both sides, but they have "
                f"{src_vocab_size} and {tgt_vocab_size} subwords: set subword.joint=true, or use tgt"
            )
        self.config = config
        self.encoder = Encoder(config, src_vocab_size)
        self.decoder = Decoder(config, tgt_vocab_size, src_embedding=self.encoder.embedding)

    def layers(self) -> list[DirectedLayer]:
        """Return all recurrent cells with their parameters, those of the encoder first."""
        return [module for module in self.modules() if isinstance(module, DirectedLayer)]

    @property
    def implementation(self) -> Implementation:
        """Which implementation runs over the parameters: the one laid out for speed, or the plain one.

        It is the plain one, whatever is set, if the equations of a cell that torch has were changed.
        """
        is_reference = any(layer.implementation == Implementation.reference for layer in self.layers())
        return Implementation.reference if is_reference else Implementation.fast

    @implementation.setter
    def implementation(self, implementation: Implementation) -> None:
        for layer in self.layers():
            layer.chosen_implementation = implementation
        if self.decoder.attention is not None:
            self.decoder.attention.implementation = implementation

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        return self.encoder(src_BS, lengths_B)

    def forward(self, batch: Batch, *, sampling: float = 0.0) -> Tensor:
        """Return what the output layer reads for each of the batch's real target tokens, `(M, H)`.

        They are in the order of `batch.tgt_token_M`, without padding. `Decoder.forward` explains `sampling`.
        """
        encoding = self.encoder(batch.src_BS, batch.src_len_B, share=batch.share)
        hidden_TBH = self.decoder(batch.tgt_in_BT, self.decoder.start(encoding), sampling=sampling, share=batch.share)
        return hidden_TBH.flatten(0, 1).index_select(0, batch.tgt_position_M)

    if TYPE_CHECKING:
        __call__ = forward

    def log_probs(self, batch: Batch) -> Tensor:
        """Score the targets with forced decoding: log p of each real target token in nats, `(M,)`."""
        log_prob_MV = torch.log_softmax(self.decoder.output(self(batch)).float(), dim=-1)
        return log_prob_MV.gather(1, batch.tgt_token_M.unsqueeze(1)).squeeze(1)

    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
