"""The presets of conf/model at their full sizes, traced without values: parameters, wiring, shapes.

The sizes are written out from the papers, so that neither a preset nor the wiring changes unnoticed.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionPlacement, AttentionScore, Bridge, CellKind, Connection, SourceOrder
from nmt.model.initialization import initialize
from nmt.model.seq2seq import Seq2Seq
from tests.family import PRESETS, preset

B, S, T = 3, 5, 4


def gates(number: int, inputs: int, units: int) -> int:
    """Count the parameters of a cell: weights of input and state, and torch's two biases."""
    return number * units * (inputs + units + 2)


def lstm(inputs: int, units: int) -> int:
    return gates(4, inputs, units)


def gru(inputs: int, units: int) -> int:
    return gates(3, inputs, units)


def gru_layer_norm(inputs: int, units: int) -> int:
    return gru(inputs, units) + 2 * 3 * units  # gains of the input's and of the state's part


def linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def embeddings(*vocabularies: int, dim: int) -> int:
    return sum(vocabularies) * dim


@dataclass(frozen=True)
class Traced:
    """What a preset must be.

    Attributes:
        vocabularies: of the source and of the target, as in the paper.
        encoder, decoder: inputs and units of each cell, from the lowest layer to the top one; of two directions, both.
        state: the first state of the decoder: layers, tensors of each, units.
        keys, values: units of a position of the memory; 0 without attention.
        vector: units of the source vector; 0 without one.
        readout: what the output layer reads.
    """

    parameters: int
    vocabularies: tuple[int, int]
    encoder: list[tuple[int, int]]
    decoder: list[tuple[int, int]]
    state: tuple[int, int, int]
    readout: int
    keys: int = 0
    values: int = 0
    vector: int = 0


def lstms(dim: int, num_layers: int, *, vocabularies: tuple[int, int], embedding_dim: int | None = None) -> Traced:
    """Describe two stacks of LSTMs without attention."""
    inputs = [embedding_dim or dim, *[dim] * (num_layers - 1)]
    parameters = embeddings(*vocabularies, dim=inputs[0]) + linear(dim, vocabularies[1])
    stack = [(size, dim) for size in inputs]
    return Traced(
        parameters + 2 * sum(lstm(*cell) for cell in stack),
        vocabularies,
        encoder=stack,
        decoder=stack,
        state=(num_layers, 2, dim),
        readout=dim,
    )


TRACED = {
    "sutskever_2014": lstms(1000, 4, vocabularies=(160_000, 80_000)),
    "lstm_2x512": lstms(512, 2, vocabularies=(8_000, 8_000)),
    "lstm_2x256": lstms(256, 2, vocabularies=(8_000, 8_000)),
    "lstm_phrasebook": lstms(384, 1, vocabularies=(8_000, 8_000), embedding_dim=128),
    "lstm_tiny": lstms(64, 1, vocabularies=(8_000, 8_000)),
    "elman_1990": Traced(
        embeddings(8_000, 8_000, dim=512) + 2 * gates(1, 512, 512) + linear(512, 8_000),
        (8_000, 8_000),
        encoder=[(512, 512)],
        decoder=[(512, 512)],
        state=(1, 1, 512),
        readout=512,
    ),
    "attention_phrasebook": Traced(
        embeddings(1_500, 1_500, dim=128)
        + 2 * gru(128, 128)
        + gru(128, 256)
        + linear(256, 256)  # the bridge
        + 256 * 256  # general
        + linear(256 + 256, 128)  # tanh over state and context
        + 1_500,  # the output's bias: its weights are those of the embedding
        (1_500, 1_500),
        encoder=[(128, 128), (128, 128)],
        decoder=[(128, 256)],
        state=(1, 1, 256),
        keys=256,
        values=256,
        readout=128,
    ),
    "cho_2014": Traced(
        embeddings(15_000, 15_000, dim=100)
        + gru(100, 1000)
        + gru(100 + 1000, 1000)  # the target embedding and the source vector
        + 2 * linear(1000, 1000)  # the source vector and the bridge
        + linear(1000 + 1000 + 100, 2 * 500)  # maxout over state, source vector and embedding
        + 500 * 100  # bottleneck
        + linear(100, 15_000),
        (15_000, 15_000),
        encoder=[(100, 1000)],
        decoder=[(1100, 1000)],
        state=(1, 1, 1000),
        vector=1000,
        readout=100,
    ),
    "bahdanau_2015": Traced(
        embeddings(30_000, 30_000, dim=620)
        + 2 * gru(620, 1000)
        + gru(620 + 2000, 1000)
        + linear(2000, 1000)  # the bridge
        + 1000 * 1000  # W_q
        + 2000 * 1000  # W_k
        + 1000  # v
        + linear(1000 + 2000 + 620, 2 * 500)
        + linear(500, 30_000),
        (30_000, 30_000),
        encoder=[(620, 1000), (620, 1000)],
        decoder=[(2620, 1000)],
        state=(1, 1, 1000),
        keys=1000,
        values=2000,
        readout=500,
    ),
    "luong_2015": Traced(
        embeddings(50_000, 50_000, dim=1000)
        + 7 * lstm(1000, 1000)
        + lstm(1000 + 1000, 1000)  # input feeding
        + 1000 * 1000  # general
        + linear(1000 + 1000, 1000)
        + linear(1000, 50_000),
        (50_000, 50_000),
        encoder=[(1000, 1000)] * 4,
        decoder=[(2000, 1000), *[(1000, 1000)] * 3],
        state=(4, 2, 1000),
        keys=1000,
        values=1000,
        readout=1000,
    ),
    "gnmt_2016": Traced(
        embeddings(32_000, 32_000, dim=1024)
        + 2 * lstm(1024, 1024)  # the first layer of the encoder reads in both directions
        + lstm(2048, 1024)
        + 6 * lstm(1024, 1024)
        + lstm(1024, 1024)
        + 7 * lstm(1024 + 1024, 1024)  # the context joins the input of all upper layers
        + 2 * 1024 * 1024  # W_q and W_k
        + 1024  # v
        + linear(1024, 32_000),
        (32_000, 32_000),
        encoder=[(1024, 1024), (1024, 1024), (2048, 1024), *[(1024, 1024)] * 6],
        decoder=[(1024, 1024), *[(2048, 1024)] * 7],
        state=(8, 2, 1024),
        keys=1024,
        values=1024,
        readout=1024,
    ),
    "sennrich_zhang_2019": Traced(
        embeddings(2_000, 2_000, dim=512)
        + 2 * gru_layer_norm(512, 1024)
        + gru_layer_norm(512, 1024)
        + gru_layer_norm(1024 + 2048, 1024)
        + linear(2048, 2 * 1024)
        + 1024 * 1024
        + 2048 * 1024
        + 1024
        + linear(1024 + 2048 + 512, 512)
        + 2_000,  # the output layer's weights are the embedding's
        (2_000, 2_000),
        encoder=[(512, 1024), (512, 1024)],
        decoder=[(512, 1024), (3072, 1024)],
        state=(2, 1, 1024),
        keys=1024,
        values=2048,
        readout=512,
    ),
    "attention_2x512": Traced(
        embeddings(8_000, 8_000, dim=512)
        + 4 * lstm(512, 256)
        + 2 * lstm(512, 512)
        + 512 * 512
        + linear(512 + 512, 512)
        + linear(512, 8_000),
        (8_000, 8_000),
        encoder=[(512, 256)] * 4,
        decoder=[(512, 512)] * 2,
        state=(2, 2, 512),
        keys=512,
        values=512,
        readout=512,
    ),
    "bigru_256": Traced(
        embeddings(8_000, 8_000, dim=256)
        + 2 * gru(256, 256)
        + gru(256, 256)
        + gru(256 + 512, 256)
        + linear(512, 2 * 256)
        + 256 * 256
        + 512 * 256
        + 256
        + linear(256 + 512 + 256, 256)
        + 8_000,
        (8_000, 8_000),
        encoder=[(256, 256)] * 2,
        decoder=[(256, 256), (768, 256)],
        state=(2, 1, 256),
        keys=256,
        values=512,
        readout=256,
    ),
    "strings_256": Traced(
        embeddings(60, 60, dim=128)
        + 2 * gru(128, 256)
        + gru(128, 256)
        + gru(256 + 512, 256)
        + linear(512, 2 * 256)
        + 256 * 256
        + 512 * 256
        + 256
        + linear(256 + 512 + 128, 128)
        + 60,
        (60, 60),
        encoder=[(128, 256)] * 2,
        decoder=[(128, 256), (768, 256)],
        state=(2, 1, 256),
        keys=256,
        values=512,
        readout=128,
    ),
}


def on_meta(name: str) -> Seq2Seq:
    src_vocab_size, tgt_vocab_size = TRACED[name].vocabularies
    with torch.device("meta"):
        return Seq2Seq(preset(name), src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size).eval()


def test_every_preset_is_traced() -> None:
    assert TRACED.keys() == set(PRESETS)


def test_the_paper_has_384_million_weights() -> None:
    assert TRACED["sutskever_2014"].parameters == 384_000_000 + 64_000 + 80_000  # and two biases a gate, and b_o


@pytest.mark.parametrize("name", PRESETS)
def test_the_number_of_parameters_and_the_inputs_of_every_cell(name: str) -> None:
    model, expected = on_meta(name), TRACED[name]
    assert model.num_parameters() == expected.parameters

    def cells(part: torch.nn.Module) -> list[tuple[int, int]]:
        weights = [layer.cell_weights for layer in model.layers() if layer in set(part.modules())]
        return [(one.weight_ih_GE.shape[1], one.weight_hh_GH.shape[1]) for one in weights]

    assert cells(model.encoder) == expected.encoder
    assert cells(model.decoder) == expected.decoder


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_of_states_memory_and_logits(name: str) -> None:
    model, expected = on_meta(name), TRACED[name]
    token_BS, token_BT = (torch.zeros(B, size, dtype=torch.int64, device="meta") for size in (S, T))
    state = model.decoder.start(model.encode(token_BS, torch.full((B,), S)))
    num_layers, num_parts, dim = expected.state
    assert [[part.shape for part in layer] for layer in state.recurrent.layers] == [[(B, dim)] * num_parts] * num_layers
    keys, values, vector = expected.keys, expected.values, expected.vector
    if keys or vector:
        assert state.memory is not None
        assert shape_of(state.memory.keys_BSA) == ((B, S, keys) if keys else None)
        assert shape_of(state.memory.values_BSD) == ((B, S, values) if values else None)
        assert shape_of(state.memory.vector_BX) == ((B, vector) if vector else None)
    else:
        assert state.memory is None
    assert model.decoder(token_BT, state).shape == (T, B, expected.readout)
    logits_BV, after = model.decoder.step(token_BT[:, 0], state)
    assert logits_BV.shape == (B, expected.vocabularies[1])
    assert [[part.shape for part in layer] for layer in after.recurrent.layers] == [[(B, dim)] * num_parts] * num_layers


def shape_of(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


@pytest.mark.parametrize(
    ("name", "cell", "order", "bridge", "score", "placement"),
    [
        ("sutskever_2014", "lstm", "reversed", "copy", "none", None),
        ("elman_1990", "rnn_tanh", "reversed", "copy", "none", None),
        ("cho_2014", "gru", "forward", "dense", "none", None),
        ("bahdanau_2015", "gru", "forward", "mean", "additive", "before"),
        ("luong_2015", "lstm", "reversed", "copy", "general", "after"),
        ("gnmt_2016", "lstm", "forward", "zero", "additive", "between"),
        ("sennrich_zhang_2019", "gru_layer_norm", "forward", "mean", "additive", "between"),
        ("attention_2x512", "lstm", "forward", "copy", "general", "after"),
        ("bigru_256", "gru", "forward", "mean", "additive", "between"),
        ("strings_256", "gru", "forward", "mean", "additive", "between"),
    ],
)
def test_the_wiring(name: str, cell: str, order: str, bridge: str, score: str, placement: str | None) -> None:
    config = preset(name)
    assert config.name == name
    assert (config.cell, config.source_order, config.bridge, config.attention) == (
        CellKind(cell),
        SourceOrder(order),
        Bridge(bridge),
        AttentionScore(score),
    )
    assert placement is None or config.attention_placement == AttentionPlacement(placement)
    assert config.input_feeding == (name == "luong_2015")
    assert config.source_vector == (name == "cho_2014")


def test_the_states_of_attention_2x512_are_not_tiny_at_the_start() -> None:
    # from Xavier's values, 0.02: it took three times as many updates to learn (docs/decisions.md, initial values)
    model = Seq2Seq(preset("attention_2x512"), src_vocab_size=50, tgt_vocab_size=50)
    initialize(model, generator=torch.Generator().manual_seed(1))
    src_BS = torch.arange(4, 44).view(4, 10)
    with torch.no_grad():
        encoding = model.eval().encode(src_BS, torch.full((4,), 10))
    assert encoding.output_SBH.std() > 0.06


def test_gnmt_has_residual_connections_from_the_third_layer_on() -> None:
    model = on_meta("gnmt_2016")
    connections = [model.encoder.rnn.layer(index).connection for index in range(8)]
    assert connections == [Connection.plain] * 2 + [Connection.residual] * 6
    assert model.decoder.upper is not None
    connections = [model.decoder.rnn.layer(0).connection]
    connections += [model.decoder.upper.layer(index).connection for index in range(7)]
    assert connections == [Connection.plain] * 2 + [Connection.residual] * 6
