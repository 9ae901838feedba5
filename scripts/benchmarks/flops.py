"""Floating-point operations of a model, counted from its shapes: matrix products alone, a multiplication and an
addition as two.

Shapes: E embedding, H units, L layers, V target vocabulary.
"""

from typing import NamedTuple

from nmt.config import ModelConfig

BACKWARD_PER_FORWARD = 2  # a product's backward pass is two products of its size: by its input and by its weight


class Flops(NamedTuple):
    """By kind of product, since the kinds run at different rates: rows differ."""

    input: float = 0.0  # of a layer's input, over all time steps at once
    recurrent: float = 0.0  # of the previous hidden state, step by step
    output: float = 0.0  # of the output layer

    @property
    def total(self) -> float:
        return self.input + self.recurrent + self.output

    def times(self, factor: float) -> "Flops":
        return Flops(self.input * factor, self.recurrent * factor, self.output * factor)

    def plus(self, other: "Flops") -> "Flops":
        return Flops(self.input + other.input, self.recurrent + other.recurrent, self.output + other.output)


def recurrent_position(config: ModelConfig) -> Flops:
    """Count one position through all layers of one side: 2·4·H·(E + H) for a layer whose input has E dimensions."""
    gates, layers = 4 * config.hidden_dim, config.num_layers
    input_dims = config.embedding_dim + (layers - 1) * config.hidden_dim
    return Flops(input=2.0 * gates * input_dims, recurrent=2.0 * gates * config.hidden_dim * layers)


def output_token(config: ModelConfig, tgt_vocab_size: int) -> Flops:
    """Count the output layer for one target token: 2·H·V."""
    return Flops(output=2.0 * config.hidden_dim * tgt_vocab_size)


def forward(config: ModelConfig, tgt_vocab_size: int, *, src_tokens: float, tgt_tokens: float) -> Flops:
    """Count a forward pass over real tokens, EOS included; what padding costs is not counted as work done."""
    both_sides = recurrent_position(config).times(src_tokens + tgt_tokens)
    return both_sides.plus(output_token(config, tgt_vocab_size).times(tgt_tokens))


def update(config: ModelConfig, tgt_vocab_size: int, *, src_tokens: float, tgt_tokens: float) -> Flops:
    """Count forward and backward passes; clipping and the optimizer make no products."""
    passes = 1 + BACKWARD_PER_FORWARD
    return forward(config, tgt_vocab_size, src_tokens=src_tokens, tgt_tokens=tgt_tokens).times(passes)


def decode_step(config: ModelConfig, tgt_vocab_size: int) -> Flops:
    """Count one row of one decoder step in search.

    The first layer's input product is counted, though search may look it up in a table.
    """
    return recurrent_position(config).plus(output_token(config, tgt_vocab_size))
