"""A model as search runs it: the wiring of encoder and decoder, over parameters laid out for speed.

Tokens are not embedded: the contribution of an embedding to the gates or to the readout depends only on the token and
is looked up in a table.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from nmt.choices import (
    AttentionPlacement,
    AttentionScore,
    Bridge,
    Connection,
    Implementation,
    ReadoutKind,
    SearchPrecision,
)
from nmt.errors import ConfigError
from nmt.model.cell import CELLS, Cell, CellWeights, LinearMap, MapMaker
from nmt.model.decoder import Decoder, DecoderWiring, readout_inputs
from nmt.model.decoder_state import DecoderState
from nmt.model.encoder import Encoder, Encoding, encoder_shape, read_source
from nmt.model.fast.cell import FAST_CELLS
from nmt.model.fast.linear import FastLinear, Int8Linear, SumMap, TokenMap, dense_linear
from nmt.model.layer import DirectedLayer, run_over_time
from nmt.model.recurrent import CellStack, LayerStack, run_layer, run_stack
from nmt.model.seq2seq import Seq2Seq
from nmt.model.stack_shape import StackShape


class InferenceModel(Protocol):
    """What search needs of a model."""

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding: ...

    @property
    def decoder(self) -> "InferenceDecoder": ...


class InferenceDecoder(Protocol):
    """What search needs of a decoder: see `nmt.model.decoder.Decoder`."""

    def start(self, encoding: Encoding) -> DecoderState: ...

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]: ...

    def read(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]: ...


def prepare_for_inference(model: Seq2Seq, *, device: torch.device, precision: SearchPrecision) -> InferenceModel:
    """Return what search steps through; only the plain model follows later changes of its parameters.

    On a CPU a float32 model is laid out for speed. On a GPU, or with `implementation=reference`, bf16 is a copy whose
    weights and states are bf16. Anything else (fp32 on a GPU, a float64 model) is the model itself.

    Raises:
        ConfigError: if int8 is asked of a model that it does not serve.
    """
    model = model.to(device)
    is_reference = model.implementation == Implementation.reference
    if is_reference and precision == SearchPrecision.int8:
        raise ConfigError(
            "search.precision=int8 needs the fast implementation, which computes unchanged cells only: use auto, fp32 "
            "or bf16"
        )
    if not is_reference and device.type == "cpu" and model.decoder.output.weight.dtype == torch.float32:
        return FastModel(model, precision)
    if precision == "bf16":
        return copy.deepcopy(model).to(torch.bfloat16)
    return model


class FastModel:
    """Encodes and steps with copies of a model's parameters, on a CPU."""

    @torch.no_grad()
    def __init__(self, model: Seq2Seq, precision: SearchPrecision) -> None:
        self._use_bf16 = precision == SearchPrecision.bf16
        # in other precisions than int8 torch's own layers are as fast; tokens cannot skip layers
        is_int8 = precision == SearchPrecision.int8 and not model.config.input_skip
        self._encode = FastEncoder(model.encoder) if is_int8 else model.encoder
        self.decoder = FastDecoder(model.decoder, precision)

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        """Read source sentences, right-padded, EOS last; `lengths_B` counts EOS."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._use_bf16):
            encoding = self._encode(src_BS, lengths_B)
        return encoding._replace(final=encoding.final.float(), output_SBH=encoding.output_SBH.float())


class FastEncoder:
    """An encoder in int8; its lowest layer reads tokens."""

    def __init__(self, encoder: Encoder) -> None:
        self._order = encoder.config.source_order
        shape, precision = encoder.rnn.shape, SearchPrecision.int8
        token = Part(shape.input_dim, embedding_VE=encoder.embedding.weight.detach())
        self._layers = []
        for index in range(shape.num_layers):
            layer = encoder.rnn.layer(index)
            read = token if index == 0 else Part(shape.output_dim(index - 1), limit=output_limit(shape, index - 1))
            cells = [fast_cell(one, [read], precision) for one in layer.directions]
            connect = layer.connect(map_maker([read], precision))
            self._layers.append(partial(run_layer, [partial(run_over_time, cell) for cell in cells], connect))

    def __call__(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        token_SB, different_B = read_source(src_BS, lengths_B, self._order)
        output_SBH, final = run_stack(self._layers, token_SB, lengths_B=different_B)
        return Encoding(final, output_SBH, lengths_B)


class FastDecoder:
    """A decoder whose steps read tokens; what is computed once a sentence stays plain."""

    def __init__(self, decoder: Decoder, precision: SearchPrecision) -> None:
        self._decoder = decoder
        config, shape = decoder.config, decoder.shape
        state_limit = _state_limit(decoder)
        token = Part(shape.embedding_dim, embedding_VE=decoder.embedding.weight.detach())
        state = Part(shape.lower.hidden_dim, limit=_bounded(shape.lower, state_limit))
        encoder = encoder_shape(config)
        has_attention = config.attention != AttentionScore.none
        value = Part(shape.value_dim, limit=output_limit(encoder, encoder.num_layers - 1))
        vector = Part(shape.lower.hidden_dim, limit=1.0)
        feed = Part(shape.feed_dim, limit=_readout_limit(decoder))
        read = [token, *[vector] * config.source_vector, *[feed] * config.input_feeding]
        if has_attention and config.attention_placement == AttentionPlacement.before:
            read.append(value)
        skipped = read if config.input_skip else []
        stack = partial(fast_stack, precision=precision, state_limit=state_limit)
        lower = stack(decoder.rnn, read, skipped=[] if shape.upper else skipped)
        upper = None if decoder.upper is None else stack(decoder.upper, [state], joined=[value, *skipped])
        top = Part(state.dim, limit=_top_limit(decoder))
        readout = readout_inputs(config, top, value if has_attention else vector, token)
        bottleneck = Part(decoder.readout.output_dim, limit=None)
        query = top if config.attention_placement == AttentionPlacement.after else state
        output = Part(decoder.readout.output_dim, limit=_readout_limit(decoder))
        self._wiring = DecoderWiring(
            config,
            embed=lambda prev_N: prev_N,
            lower=lower,
            upper=upper,
            attend=None if decoder.attention is None else decoder.attention.over(map_maker([query], precision)),
            readout=decoder.readout.over(map_maker(readout, precision), map_maker([bottleneck], precision)),
            output=make_map([output], precision, decoder.output.weight.detach(), decoder.output.bias.detach()),
        )

    def start(self, encoding: Encoding) -> DecoderState:
        """Begin the translation of each sentence; one row per sentence."""
        return self._decoder.start(encoding)

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step: see `DecoderWiring.step`."""
        return self._wiring.step(prev_N, state)

    def read(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step without the output layer: see `DecoderWiring.read`."""
        return self._wiring.read(prev_N, state)


@dataclass(frozen=True)
class Part:
    """One of the inputs that a map reads side by side.

    Attributes:
        limit: of the absolute values; None: unknown.
        embedding_VE: if the input is a token, its embedding.
    """

    dim: int
    limit: float | None = None
    embedding_VE: Tensor | None = None


def map_maker(parts: Sequence[Part], precision: SearchPrecision) -> MapMaker:
    """Return what makes maps of these inputs."""
    return partial(make_map, parts, precision)


def make_map(parts: Sequence[Part], precision: SearchPrecision, weight_OI: Tensor, bias_O: Tensor | None) -> LinearMap:
    """Make a map for a precision: tables for tokens, one map for all other inputs that are side by side."""
    if len(parts) == 1 and parts[0].embedding_VE is None:
        return fast_linear(weight_OI, bias_O, precision, limit=parts[0].limit)
    maps: list[tuple[LinearMap, int]] = []
    start, weight_OI = 0, weight_OI.detach()
    while start < len(parts):
        embedding_VE = parts[start].embedding_VE
        end = start + 1
        while embedding_VE is None and end < len(parts) and parts[end].embedding_VE is None:
            end += 1
        before, size = (sum(part.dim for part in some) for some in (parts[:start], parts[start:end]))
        own_OI, own_bias_O = weight_OI[:, before : before + size].contiguous(), bias_O if start == 0 else None
        if embedding_VE is not None:
            maps.append((TokenMap(embedding_VE, own_OI, own_bias_O), 1))
        else:
            limits = [part.limit for part in parts[start:end]]
            limit = None if None in limits else max(one for one in limits if one is not None)
            maps.append((fast_linear(own_OI, own_bias_O, precision, limit=limit), end - start))
        start = end
    return SumMap(maps)


def fast_linear(
    weight_OI: Tensor, bias_O: Tensor | None, precision: SearchPrecision, *, limit: float | None = 1.0
) -> FastLinear:
    """Make the linear map for a precision; `limit` is that of the inputs' absolute values, None if it is unknown."""
    if precision == SearchPrecision.int8:
        return Int8Linear(weight_OI, bias_O, limit=limit)
    return dense_linear(weight_OI, bias_O, torch.bfloat16 if precision == SearchPrecision.bf16 else torch.float32)


def fast_cell(
    layer: DirectedLayer, parts: Sequence[Part], precision: SearchPrecision, *, state_limit: float | None = 1.0
) -> Cell:
    """Make a cell over fast maps.

    Args:
        parts: the inputs.
        state_limit: of the absolute values of the hidden state; None: unknown.
    """
    cell_class = FAST_CELLS.get(layer.kind, layer.cell_class)
    weights = layer.cell_weights
    detached = CellWeights(
        weights.weight_ih_GE.detach(),
        weights.weight_hh_GH.detach(),
        weights.bias_ih_G.detach(),
        weights.bias_hh_G.detach(),
        tuple(vector_X.detach() for vector_X in weights.vectors),
    )
    state = Part(layer.hidden_dim, limit=state_limit if layer.cell_class.is_bounded else None)

    def input_maker(weight_OI: Tensor, bias_O: Tensor | None) -> LinearMap:
        linear = make_map(parts, precision, weight_OI, bias_O)
        return lambda *inputs: linear(*inputs).float()  # so that states are not rounded to bf16

    return cell_class.over(detached, input_maker, map_maker([state], precision))


def fast_stack(
    stack: LayerStack,
    lowest: Sequence[Part],
    *,
    joined: Sequence[Part] = (),
    skipped: Sequence[Part] = (),
    precision: SearchPrecision,
    state_limit: float | None = 1.0,
) -> CellStack:
    """Lay out a stack for single steps; see `CellStack.step` for the inputs."""
    shape, cells, connects = stack.shape, [], []
    for index in range(shape.num_layers):
        below = Part(shape.output_dim(index - 1), limit=output_limit(shape, index - 1, state_limit=state_limit))
        read = [*(lowest if index == 0 else [below]), *joined, *(skipped if index > 0 else ())]
        cells.append(fast_cell(stack.layer(index).forwards, read, precision, state_limit=state_limit))
        connects.append(stack.layer(index).connect(map_maker([below], precision)))
    return CellStack(cells, connects)


def output_limit(shape: StackShape, index: int, *, state_limit: float | None = 1.0) -> float | None:
    """Return the largest absolute value of a layer's output; None if it has no limit.

    Args:
        state_limit: of the first hidden state, which a GRU mixes into all later ones; None: unknown.
    """
    if state_limit is None and CELLS[shape.kind].keeps_state:
        return None
    limit = 1.0
    for number in range(index + 1):
        if shape.connection_of(number) == Connection.residual:
            limit += 1
        elif shape.connection_of(number) == Connection.plain:
            limit = 1.0
    return _bounded(shape, limit)


def _bounded(shape: StackShape, limit: float | None) -> float | None:
    return limit if CELLS[shape.kind].is_bounded else None


def _state_limit(decoder: Decoder) -> float | None:
    """Return the largest absolute value of the first hidden state; None if it has no limit."""
    return None if decoder.config.bridge == Bridge.learned else 1.0


def _top_limit(decoder: Decoder) -> float | None:
    shape = decoder.shape.upper or decoder.shape.lower
    return output_limit(shape, shape.num_layers - 1, state_limit=_state_limit(decoder))


def _readout_limit(decoder: Decoder) -> float | None:
    """Return the largest absolute value of what the output layer reads; None if it has no limit."""
    if decoder.readout.bottleneck is not None:
        return None
    if decoder.readout.linear is None:
        encoder = encoder_shape(decoder.config)
        limits = [_top_limit(decoder), output_limit(encoder, encoder.num_layers - 1)]
        return None if None in limits else max(limit for limit in limits if limit is not None)
    return 1.0 if decoder.config.readout == ReadoutKind.tanh else None
