"""The bridge: the decoder's first state, by hand."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionScore, Bidirectional, Bridge, CellKind, ReadoutInput
from nmt.corpus.batching import pad_source
from nmt.model.cell import CELLS
from nmt.model.recurrent import RecurrentState
from nmt.model.seq2seq import Seq2Seq
from tests.models import MODEL, PAIRS, tiny_model

SOURCE = pad_source([src for src, _ in PAIRS])
KINDS = pytest.mark.parametrize("cell", [CellKind.lstm, CellKind.gru])
H, LAYERS = 6, 2  # of the decoder


def model_of(bridge: Bridge, cell: CellKind, *, source_vector: bool = False) -> Seq2Seq:
    return tiny_model(
        replace(
            MODEL,
            cell=cell,
            bridge=bridge,
            bidirectional=Bidirectional.all,
            encoder_dim=4,
            encoder_layers=3,
            decoder_dim=H,
            decoder_layers=LAYERS,
            attention=AttentionScore.additive,
            readout_input=ReadoutInput.state_context,
            source_vector=source_vector,
        )
    )


def start(model: Seq2Seq) -> RecurrentState:
    return model.decoder.start(model.encode(*SOURCE)).recurrent


def linear(model: Seq2Seq, input_BX: Tensor) -> Tensor:
    layer = model.decoder.bridge.linear
    assert layer is not None
    return torch.tanh(input_BX @ layer.weight.t() + layer.bias)


def as_state(flat_BX: Tensor, cell: CellKind) -> RecurrentState:
    """Cut `[layer 1's h; its c; layer 2's h; …]` into a state."""
    parts = iter(torch.split(flat_BX, H, dim=1))
    return RecurrentState(tuple(tuple(next(parts) for _ in range(CELLS[cell].num_parts)) for _ in range(LAYERS)))


@KINDS
@torch.no_grad()
def test_copy_hands_over_every_state_layer_by_layer(cell: CellKind) -> None:
    model = tiny_model(replace(MODEL, cell=cell, num_layers=3))
    torch.testing.assert_close(start(model), model.encode(*SOURCE).final, rtol=0, atol=0)


@KINDS
@torch.no_grad()
def test_dense_reads_the_last_states_of_all_layers(cell: CellKind) -> None:
    model = model_of(Bridge.dense, cell)
    final = model.encode(*SOURCE).final
    together_BX = torch.cat([part for layer in final.layers for part in layer], dim=1)
    assert together_BX.shape[1] == 3 * 8 * CELLS[cell].num_parts
    torch.testing.assert_close(start(model), as_state(linear(model, together_BX), cell), rtol=0, atol=1e-12)


@KINDS
@torch.no_grad()
def test_dense_reads_the_source_vector_if_there_is_one(cell: CellKind) -> None:
    model = model_of(Bridge.dense, cell, source_vector=True)
    state = model.decoder.start(model.encode(*SOURCE))
    layer, top_h_BX = model.decoder.source_vector, model.encode(*SOURCE).final.layers[-1][0]
    assert layer is not None
    assert state.memory is not None
    vector_BH = torch.tanh(top_h_BX @ layer.weight.t() + layer.bias)
    torch.testing.assert_close(state.memory.vector_BX, vector_BH, rtol=0, atol=1e-12)
    torch.testing.assert_close(state.recurrent, as_state(linear(model, vector_BH), cell), rtol=0, atol=1e-12)


@KINDS
@torch.no_grad()
def test_mean_reads_the_mean_of_each_sentences_outputs(cell: CellKind) -> None:
    model = model_of(Bridge.mean, cell)
    encoding = model.encode(*SOURCE)
    means = [encoding.output_SBH[:length, row].mean(0) for row, length in enumerate(SOURCE[1].tolist())]
    torch.testing.assert_close(start(model), as_state(linear(model, torch.stack(means)), cell), rtol=0, atol=1e-12)


@KINDS
@torch.no_grad()
def test_zero_is_zero_and_learned_is_the_same_for_every_sentence(cell: CellKind) -> None:
    num_sentences, size = len(PAIRS), LAYERS * CELLS[cell].num_parts * H
    zeros_BX = torch.zeros(num_sentences, size, dtype=torch.float64)
    torch.testing.assert_close(start(model_of(Bridge.zero, cell)), as_state(zeros_BX, cell), rtol=0, atol=0)
    learned = model_of(Bridge.learned, cell)
    assert learned.decoder.bridge.state is not None
    expected_BX = learned.decoder.bridge.state.expand(num_sentences, size)
    torch.testing.assert_close(start(learned), as_state(expected_BX, cell), rtol=0, atol=0)
    assert learned.decoder.bridge.state.any()
