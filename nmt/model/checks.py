"""Which settings of a model fit together."""

from collections.abc import Iterator

from nmt.choices import (
    AttentionPlacement,
    AttentionScore,
    Bridge,
    Connection,
    DropoutMask,
    ReadoutInput,
    ReadoutKind,
    TiedEmbeddings,
)
from nmt.config import ModelConfig
from nmt.errors import ConfigError
from nmt.model.cell import CELLS
from nmt.model.decoder_shape import DecoderShape, decoder_shape
from nmt.model.encoder import encoder_shape
from nmt.model.stack_shape import StackShape


def check_model(config: ModelConfig) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: if there are problems; it lists all of them in one line.
    """
    if problems := list(model_problems(config)):
        raise ConfigError("; ".join(problems))


def model_problems(config: ModelConfig) -> Iterator[str]:
    """Yield one line for each contradiction."""
    encoder, decoder = encoder_shape(config), decoder_shape(config)
    yield from _bridge_problems(config, encoder, decoder)
    yield from _attention_problems(config, decoder)
    yield from _readout_problems(config, decoder)
    yield from _layer_problems(config, encoder, decoder)
    if config.dropout_recurrent > 0 and config.dropout_mask != DropoutMask.sentence:
        yield "model.dropout_recurrent must be 0 unless model.dropout_mask is sentence"
    if config.forget_bias != 0 and not CELLS[config.cell].has_forget_gate:
        yield (
            f"model.forget_bias must be 0 for model.cell={config.cell}, which has no forget gate, but is "
            f"{config.forget_bias}"
        )


def _bridge_problems(config: ModelConfig, encoder: StackShape, decoder: DecoderShape) -> Iterator[str]:
    has_attention = config.attention != AttentionScore.none
    if config.bridge in (Bridge.zero, Bridge.learned) and not has_attention and not config.source_vector:
        yield (
            f"model.bridge={config.bridge} needs model.attention or model.source_vector: otherwise the decoder knows "
            "nothing of the source"
        )
    if config.bridge != Bridge.copy:
        return
    if encoder.num_layers != decoder.num_layers:
        yield (
            "model.bridge=copy needs as many layers in the encoder as in the decoder, but they have "
            f"{encoder.num_layers} and {decoder.num_layers}: use dense, mean, zero or learned"
        )
    dim = decoder.lower.hidden_dim
    unequal = [number for number in range(encoder.num_layers) if encoder.output_dim(number) != dim]
    if unequal:
        yield (
            "model.bridge=copy needs layers of equal sizes in encoder and decoder, but layer "
            f"{unequal[0] + 1} has {encoder.output_dim(unequal[0])} and {dim} units: change model.encoder_dim or "
            "decoder_dim, or use dense, mean, zero or learned"
        )


def _attention_problems(config: ModelConfig, decoder: DecoderShape) -> Iterator[str]:
    score, heads, dim = config.attention, config.attention_heads, decoder.lower.hidden_dim
    if score == AttentionScore.none:
        if heads > 1:
            yield f"model.attention_heads must be 1 without model.attention, but is {heads}"
        if config.attention_dim is not None:
            yield f"model.attention_dim must be null without model.attention, but is {config.attention_dim}"
        return
    if config.attention_placement == AttentionPlacement.between and decoder.num_layers < 2:
        yield "model.attention_placement=between needs at least 2 layers in the decoder, but it has 1"
    is_read = config.readout_input != ReadoutInput.state
    if config.attention_placement == AttentionPlacement.after and not is_read:
        yield "model.attention_placement=after needs model.readout_input=state_context, or nothing reads the context"
    if score == AttentionScore.dot and dim != decoder.value_dim:
        yield (
            f"model.attention=dot needs states of equal sizes, but the encoder's outputs have {decoder.value_dim} and "
            f"the decoder's states {dim} units: use general"
        )
    sizes = {"the encoder's outputs": decoder.value_dim}
    if score in (AttentionScore.dot, AttentionScore.general):
        sizes["the decoder's states"] = dim
    else:
        sizes["model.attention_dim"] = config.attention_dim or dim
    for what, size in sizes.items():
        if size % heads:
            yield f"model.attention_heads must divide the size of {what}, {size}, but is {heads}"


def _readout_problems(config: ModelConfig, decoder: DecoderShape) -> Iterator[str]:
    if config.readout_input != ReadoutInput.state and decoder.context_dim == 0:
        yield (
            f"model.readout_input={config.readout_input} needs model.attention or model.source_vector: without them "
            "there is no context"
        )
    is_bare = config.readout == ReadoutKind.linear and config.readout_dim is None
    if is_bare and config.readout_input == ReadoutInput.state_context_embedding:
        yield "model.readout=linear with model.readout_input=state_context_embedding needs model.readout_dim"
    if config.tied_embeddings != TiedEmbeddings.none and decoder.feed_dim != decoder.embedding_dim:
        yield (
            f"model.tied_embeddings={config.tied_embeddings} needs a readout as large as a target embedding, but they "
            f"have {decoder.feed_dim} and {decoder.embedding_dim}: set model.readout_dim or model.output_bottleneck to "
            f"{decoder.embedding_dim}"
        )
    src_dim = encoder_shape(config).input_dim
    if config.tied_embeddings == TiedEmbeddings.both and src_dim != decoder.embedding_dim:
        yield (
            "model.tied_embeddings=both needs source and target embeddings of equal sizes, but they have "
            f"{src_dim} and {decoder.embedding_dim}"
        )


def _layer_problems(config: ModelConfig, encoder: StackShape, decoder: DecoderShape) -> Iterator[str]:
    stacks = [shape for shape in (encoder, decoder.lower, decoder.upper) if shape is not None]
    if config.connection != Connection.plain:
        applied = {shape.connection_of(index) for shape in stacks for index in range(shape.num_layers)}
        if encoder.num_layers == decoder.num_layers == 1:
            yield f"model.connection={config.connection} needs more than one layer"
        elif applied == {Connection.plain}:
            yield (
                f"model.connection={config.connection} connects no layer: it needs layers whose input and output are "
                f"equally large, from number {config.connection_from} on"
            )
    if config.input_skip and encoder.num_layers == 1 and decoder.num_layers == 1:
        yield "model.input_skip needs more than one layer"
