"""The sizes of a decoder's parts."""

from typing import NamedTuple

from nmt.choices import AttentionPlacement, AttentionScore, ReadoutInput, ReadoutKind
from nmt.config import ModelConfig
from nmt.model.encoder import encoder_shape
from nmt.model.stack_shape import StackShape


class DecoderShape(NamedTuple):
    """The sizes of a decoder's parts."""

    embedding_dim: int
    value_dim: int  # of an encoder output
    lower: StackShape
    upper: StackShape | None
    readout_input_dim: int
    readout_dim: int | None  # None: no layer
    feed_dim: int  # of the readout, bottleneck included
    context_dim: int

    @property
    def num_layers(self) -> int:
        return self.lower.num_layers + (0 if self.upper is None else self.upper.num_layers)


def decoder_shape(config: ModelConfig) -> DecoderShape:
    """Work out the sizes of all parts."""
    encoder = encoder_shape(config)
    value_dim = encoder.output_dim(encoder.num_layers - 1)
    dim, num_layers = config.decoder_dim or config.hidden_dim, config.decoder_layers or config.num_layers
    embedding_dim = config.tgt_embedding_dim or config.embedding_dim
    has_attention = config.attention != AttentionScore.none
    context_dim = value_dim if has_attention else dim if config.source_vector else 0
    readout_input_dim = dim
    if config.readout_input != ReadoutInput.state:
        readout_input_dim += context_dim
    if config.readout_input == ReadoutInput.state_context_embedding:
        readout_input_dim += embedding_dim
    readout_dim = config.readout_dim
    if readout_dim is None and config.readout != ReadoutKind.linear:
        readout_dim = dim if config.readout == ReadoutKind.tanh else max(1, dim // 2)
    feed_dim = config.output_bottleneck or readout_dim or readout_input_dim
    input_dim = embedding_dim + (dim if config.source_vector else 0) + (feed_dim if config.input_feeding else 0)
    is_between = has_attention and config.attention_placement == AttentionPlacement.between
    if has_attention and config.attention_placement == AttentionPlacement.before:
        input_dim += value_dim
    lower = StackShape(
        config.cell,
        input_dim=input_dim,
        hidden_dim=dim,
        num_layers=1 if is_between else num_layers,
        connection=config.connection,
        connection_from=config.connection_from,
        input_skip=config.input_skip and not is_between,
    )
    upper = None
    if is_between:
        joined_dim = value_dim + (input_dim if config.input_skip else 0)
        upper = lower._replace(input_dim=dim, num_layers=num_layers - 1, joined_dim=joined_dim, first_number=2)
    return DecoderShape(embedding_dim, value_dim, lower, upper, readout_input_dim, readout_dim, feed_dim, context_dim)
