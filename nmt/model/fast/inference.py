"""A model as search runs it: the wiring of encoder and decoder, over parameters laid out for speed.

The lowest layer of encoder and decoder reads tokens: the contribution of an embedding to the gates depends only on the
token and is looked up in a table.
"""

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from nmt.config import Implementation, SearchPrecision
from nmt.errors import ConfigError
from nmt.model.cell import LinearMap
from nmt.model.decoder import Decoder, DecoderWiring
from nmt.model.encoder import Encoder, EncoderWiring, Encoding
from nmt.model.fast.cell import FastLSTMCell, double_candidate
from nmt.model.fast.linear import FastLinear, Int8Linear, TokenMap, dense_linear
from nmt.model.recurrent import CellStack, StackedLSTM
from nmt.model.seq2seq import Seq2Seq


class InferenceModel(Protocol):
    """What search needs of a model."""

    @property
    def decoder(self) -> DecoderWiring: ...

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding: ...


def prepare_for_inference(model: Seq2Seq, *, device: torch.device, precision: SearchPrecision) -> InferenceModel:
    """Return what search steps through; only the plain model follows later changes of its parameters.

    On a CPU a float32 model is laid out for speed. On a GPU, or with `implementation=reference`, bf16 is a copy whose
    weights and states are bf16. Anything else (fp32 on a GPU, a float64 model) is the model itself.

    Raises:
        ConfigError: if int8 is asked of a model with a changed cell, which the fast implementation does not compute.
    """
    model = model.to(device)
    is_reference = model.implementation == Implementation.reference
    if is_reference and precision == SearchPrecision.int8:
        raise ConfigError(
            "search.precision=int8 needs the fast implementation, which computes an unchanged LSTM only: use auto, "
            "fp32 or bf16"
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
        # in other precisions than int8 torch's own layers are as fast
        self._encoder = FastEncoder(model.encoder, precision) if precision == SearchPrecision.int8 else model.encoder
        self.decoder = FastDecoder(model.decoder, precision)

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        """Read source sentences, right-padded, EOS last; `lengths_B` counts EOS."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._use_bf16):
            encoding = self._encoder.encode(src_BS, lengths_B)
        return encoding._replace(final=encoding.final.float())


class FastEncoder(EncoderWiring):
    def __init__(self, encoder: Encoder, precision: SearchPrecision) -> None:
        self.source_order = encoder.source_order
        self.rnn = fast_stack(encoder.embedding, encoder.rnn, precision)

    def embed(self, token_SB: Tensor) -> Tensor:
        return token_SB  # the lowest layer reads tokens


class FastDecoder(DecoderWiring):
    def __init__(self, decoder: Decoder, precision: SearchPrecision) -> None:
        self.rnn = fast_stack(decoder.embedding, decoder.rnn, precision)
        output = decoder.output
        self.output = fast_linear(output.weight.detach(), output.bias.detach(), precision)

    def embed(self, prev_N: Tensor) -> Tensor:
        return prev_N  # the lowest layer reads tokens


def fast_stack(embedding: nn.Embedding, rnn: StackedLSTM, precision: SearchPrecision) -> CellStack:
    """Lay out a stack whose input is tokens: the embedding belongs to the lowest layer's input map."""
    cells: list[FastLSTMCell] = []
    for weights in rnn.lstm.all_weights:
        weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = (double_candidate(weight.detach()) for weight in weights)
        bias_G = bias_ih_G + bias_hh_G
        input_map: LinearMap
        if cells:
            input_map = fast_linear(weight_ih_GE, bias_G, precision)
        else:
            input_map = TokenMap(embedding.weight.detach(), weight_ih_GE, bias_G)
        cells.append(FastLSTMCell(input_map, fast_linear(weight_hh_GH, None, precision)))
    return CellStack(cells)


def fast_linear(weight_OI: Tensor, bias_O: Tensor | None, precision: SearchPrecision) -> FastLinear:
    """Make the linear map for a precision."""
    if precision == "int8":
        return Int8Linear(weight_OI, bias_O)
    return dense_linear(weight_OI, bias_O, torch.bfloat16 if precision == SearchPrecision.bf16 else torch.float32)
