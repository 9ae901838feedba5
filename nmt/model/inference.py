"""A model as search runs it: the same parameters, laid out for speed.

Every product of a step reads hidden states, which lie between -1 and 1, and the embedding of the previous token. What
the embedding contributes to the first layer's gates depends on that token alone, so that it is a table, looked up. All
gates of a layer come from one linear layer of `nmt.linear`: prepacked, or in int8.

Shapes: V target vocabulary, L layers, H units, G = 4·H gates, N rows, P packed positions, I inputs and O outputs.
"""

import copy
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.config import SourceOrder
from nmt.device import InferencePrecision
from nmt.linear import Int8Linear, StateLinear, dense_linear, dequantize, quantize
from nmt.model import kernels
from nmt.model.decoder import Decoder, DecoderState
from nmt.model.encoder import Encoder, Encoding, reverse_source
from nmt.model.lstm_layer import last_states, per_step, state_before
from nmt.model.recurrent import RecurrentState, StackedLSTM
from nmt.model.seq2seq import Seq2Seq

TABLE_BYTES = 512 * 2**20  # a larger table of input products would cost more memory and cache than it saves


class InferenceDecoder(Protocol):
    """What search asks of a decoder."""

    def start(self, encoding: Encoding) -> DecoderState: ...

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]: ...


class InferenceModel(Protocol):
    """What search asks of a model."""

    @property
    def decoder(self) -> InferenceDecoder: ...

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding: ...


def prepare_for_inference(model: Seq2Seq, *, device: torch.device, precision: InferencePrecision) -> InferenceModel:
    """Make of a trained model what search steps through; only the plain model follows later changes of its parameters.

    On a CPU a float32 model is laid out for speed. On a GPU bf16 is a copy whose weights and states are bf16. Anything
    else (fp32 on a GPU, a float64 model) is the model itself.
    """
    model = model.to(device)
    if device.type == "cpu" and model.decoder.output.weight.dtype == torch.float32:
        return FastModel(model, precision)
    if precision == "bf16":
        return copy.deepcopy(model).to(torch.bfloat16)
    return model


class FastModel:
    """Encodes and steps with copies of a model's parameters."""

    def __init__(self, model: Seq2Seq, precision: InferencePrecision) -> None:
        self._encoder = FastEncoder(model.encoder) if precision == "int8" else model.encoder
        self._use_bf16 = precision == "bf16"
        self.decoder = FastDecoder(model.decoder, precision)

    def encode(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        """Read source sentences, right-padded, EOS last; `lengths_B` counts EOS."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._use_bf16):
            encoding = self._encoder(src_BS, lengths_B)
        final = encoding.final
        return encoding._replace(final=RecurrentState(final.h_LNH.float(), final.c_LNH.float()))


class FastEncoder:
    """Encodes like `Encoder`, in int8; in other precisions torch's own layers are as fast."""

    @torch.no_grad()
    def __init__(self, encoder: Encoder) -> None:
        self._source_order = encoder.source_order
        layers = _layers(encoder.rnn)
        self._input_gates: list[Callable[[Tensor], Tensor]] = [_TokenGates(encoder.embedding, encoder.rnn)]
        self._input_gates += [Int8Linear(w_GE, b_ih_G + b_hh_G) for w_GE, _, b_ih_G, b_hh_G in layers[1:]]
        self._hidden_gates = [Int8Linear(w_GH, None) for _, w_GH, _, _ in layers]

    def __call__(self, src_BS: Tensor, lengths_B: Tensor) -> Encoding:
        if self._source_order == SourceOrder.reversed:
            src_BS = reverse_source(src_BS, lengths_B)
        packed = pack_padded_sequence(src_BS.t(), lengths_B, enforce_sorted=False)
        batch_sizes = packed.batch_sizes.tolist()
        last_h: list[Tensor] = []
        last_c: list[Tensor] = []
        below = packed.data  # tokens, then the hidden states of a layer
        for input_gates, hidden_gates in zip(self._input_gates, self._hidden_gates, strict=True):
            below, c_PH = _run_layer(input_gates(below), hidden_gates, batch_sizes)
            last_h.append(last_states(per_step(below, batch_sizes)))
            last_c.append(last_states(per_step(c_PH, batch_sizes)))
        final = RecurrentState(dequantize(torch.stack(last_h)), torch.stack(last_c))
        output_SBH, _ = pad_packed_sequence(packed._replace(data=dequantize(below)), total_length=src_BS.shape[1])
        assert packed.unsorted_indices is not None
        return Encoding(final.select(packed.unsorted_indices), output_SBH, lengths_B)


def _run_layer(gates_PG: Tensor, hidden_gates: StateLinear, batch_sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Run a layer from zero over packed positions, given its inputs' share of the gates; returns quantized h, and c."""
    shape = (len(gates_PG), gates_PG.shape[1] // 4)
    h_PH, c_PH = gates_PG.new_empty(shape, dtype=hidden_gates.state_dtype), gates_PG.new_empty(shape)
    gates, h, c = (per_step(whole, batch_sizes) for whole in (gates_PG, h_PH, c_PH))
    c_BH = torch.zeros_like(c[0])
    for t, size in enumerate(batch_sizes):
        if t > 0:
            gates[t].add_(hidden_gates(h[t - 1][:size]))
        kernels.lstm_cell(gates[t], state_before(c, c_BH, t, size), h_NH=h[t], c_NH=c[t])
    return h_PH, c_PH


class FastDecoder:
    """Steps like `Decoder.step`, from a copy of its parameters: later changes of the decoder do not reach it.

    In int8 its hidden states are quantized between two steps.
    """

    @torch.no_grad()
    def __init__(self, decoder: Decoder, precision: InferencePrecision) -> None:
        self._decoder = decoder
        self._token_gates = _TokenGates(decoder.embedding, decoder.rnn)
        (_, first_hh_GH, _, _), *others = _layers(decoder.rnn)
        self._gates = [_linear(first_hh_GH, None, precision)]  # the first layer's input and biases come from the table
        for w_GE, w_GH, b_ih_G, b_hh_G in others:
            self._gates.append(_linear(torch.cat((w_GE, w_GH), dim=1), b_ih_G + b_hh_G, precision))
        self._output = _linear(decoder.output.weight.detach(), decoder.output.bias.detach(), precision)

    def start(self, encoding: Encoding) -> DecoderState:
        state = self._decoder.start(encoding)
        if self._output.state_dtype == torch.uint8:
            return DecoderState(state.recurrent._replace(h_LNH=quantize(state.recurrent.h_LNH)))
        return state

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one previous token per row; returns the next logits `(N, V)`, float32 or bf16, and the state."""
        before = state.recurrent
        h_LNH, c_LNH = torch.empty_like(before.h_LNH), torch.empty_like(before.c_LNH)
        for layer, gates in enumerate(self._gates):
            if layer == 0:
                gates_NG = gates(before.h_LNH[0]).float()
                gates_NG += self._token_gates(prev_N)
            else:
                gates_NG = gates(torch.cat((h_LNH[layer - 1], before.h_LNH[layer]), dim=1)).float()
            kernels.lstm_cell(gates_NG, before.c_LNH[layer], h_NH=h_LNH[layer], c_NH=c_LNH[layer])
        return self._output(h_LNH[-1]), DecoderState(RecurrentState(h_LNH, c_LNH))


class _TokenGates:
    """What a token contributes to the gates of the first layer, biases included: a table, or the product itself."""

    def __init__(self, embedding: nn.Embedding, rnn: StackedLSTM) -> None:
        weight_ih_GE, _, bias_ih_G, bias_hh_G = _layers(rnn)[0]
        self._embedding_VE = embedding.weight.detach()
        self._weight_ih_GE = weight_ih_GE
        self._bias_G = bias_ih_G + bias_hh_G
        self._table_VG: Tensor | None = None
        if len(self._embedding_VE) * len(weight_ih_GE) * weight_ih_GE.element_size() <= TABLE_BYTES:
            self._table_VG = torch.addmm(self._bias_G, self._embedding_VE, weight_ih_GE.t())

    def __call__(self, token_N: Tensor) -> Tensor:
        if self._table_VG is not None:
            return self._table_VG.index_select(0, token_N)
        return torch.addmm(self._bias_G, self._embedding_VE.index_select(0, token_N), self._weight_ih_GE.t())


def _layers(rnn: StackedLSTM) -> list[list[Tensor]]:
    """Return weight_ih, weight_hh, bias_ih and bias_hh of each layer."""
    return [[parameter.detach() for parameter in layer] for layer in rnn.lstm.all_weights]


def _linear(weight_OI: Tensor, bias_O: Tensor | None, precision: InferencePrecision) -> StateLinear:
    if precision == "int8":
        return Int8Linear(weight_OI, bias_O)
    return dense_linear(weight_OI, bias_O, torch.bfloat16 if precision == "bf16" else torch.float32)
