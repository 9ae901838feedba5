"""A trace has the states and gates of a model that runs as always."""

from dataclasses import replace
from math import exp, tanh

import pytest
import torch
from torch import Tensor

from nmt.choices import CellKind, Implementation
from nmt.config import ModelConfig
from nmt.corpus.batching import Batch, collate
from nmt.model.cell import LSTMCell
from nmt.model.seq2seq import Seq2Seq
from nmt.report.trace import TracedStep, traced
from tests.family import BETWEEN, FAMILY
from tests.models import MODEL, tiny_model

MIXED = collate([[4, 5, 6], [7], [8, 9]], [[4], [5, 6, 7], [8]])
GATES = {
    CellKind.lstm: {"forget", "input", "output"},
    CellKind.gru: {"update", "reset"},
    CellKind.rnn_tanh: set[str](),
    CellKind.rnn_relu: set[str](),
    CellKind.lstm_no_forget: {"input", "output"},
    CellKind.lstm_peephole: {"forget", "input", "output"},
    CellKind.lstm_layer_norm: {"forget", "input", "output"},
    CellKind.gru_layer_norm: {"update", "reset"},
}


def model_of(config: ModelConfig) -> Seq2Seq:
    return tiny_model(config, tgt_vocab_size=11).eval()


def last_rows(steps: list[TracedStep]) -> list[Tensor]:
    """Return each sentence's last state, the longest sentence first."""
    num_rows = len(steps[0].state[0])
    return [[step.state[0][row] for step in steps if row < len(step.state[0])][-1] for row in range(num_rows)]


@pytest.mark.parametrize("name", FAMILY)
def test_every_layer_has_every_time_step_and_the_model_computes_the_same(name: str) -> None:
    model = model_of(FAMILY[name])
    model.implementation = Implementation.reference
    with torch.no_grad():
        expected = model(MIXED)
        with traced(model) as trace:
            found = model(MIXED)
    assert torch.equal(found, expected)
    assert len(trace) == len(model.layers())
    for layer, steps in trace.items():
        sizes = [len(step.state[0]) for step in steps]
        assert sizes == ([3, 3, 2, 1][: len(sizes)] if layer.startswith("encoder") else [3] * 4), layer


def test_the_last_states_of_the_encoder_are_those_that_it_returns() -> None:
    model = model_of(MODEL)
    with torch.no_grad(), traced(model) as trace:
        encoding = model.encode(MIXED.src_BS, MIXED.src_len_B)
    for index in range(2):
        found = torch.stack(last_rows(trace[f"encoder layer {index + 1}"]))
        assert torch.equal(found, encoding.final.layers[index][0][[0, 2, 1]])


def test_layers_are_named_by_stack_number_and_direction() -> None:
    with traced(model_of(replace(MODEL, **BETWEEN, num_layers=3, encoder_layers=2))) as trace:
        pass
    assert list(trace) == [
        "encoder layer 1",
        "encoder layer 1, backward",
        "encoder layer 2",
        "encoder layer 2, backward",
        "decoder layer 1",
        "decoder layer 2",
        "decoder layer 3",
    ]


@pytest.mark.parametrize("kind", list(CellKind))
def test_each_cell_names_its_gates(kind: CellKind) -> None:
    model = model_of(replace(MODEL, cell=kind))
    with torch.no_grad(), traced(model) as trace:
        model(MIXED)
    for steps in trace.values():
        for step in steps:
            assert set(step.gates) == GATES[kind]
            assert all(gate.shape == step.state[0].shape for gate in step.gates.values())


def one_unit(kind: CellKind, weights: list[float]) -> tuple[Seq2Seq, Batch]:
    """Make a model whose lowest encoder layer has one unit and these weights: W, U and b for each gate.

    All embeddings are 1; the source is one subword and EOS.
    """
    model = model_of(replace(MODEL, cell=kind, embedding_dim=1, hidden_dim=1, num_layers=1))
    with torch.no_grad():
        model.encoder.embedding.weight.fill_(1.0)
        parameters = model.encoder.rnn.layer(0).forwards.cell_weights
        parts = torch.tensor(weights, dtype=torch.float64).view(3, -1)
        for parameter, values in zip(parameters[:3], parts, strict=True):
            parameter.copy_(values.view(parameter.shape))
        parameters.bias_hh_G.zero_()
    return model, collate([[4]], [[5]])


def sigma(value: float) -> float:
    return 1 / (1 + exp(-value))


def test_the_gates_of_an_lstm_are_those_worked_out_by_hand() -> None:
    #                                           W: i, f, g, o           U                      b
    model, batch = one_unit(CellKind.lstm, [0.5, 1.0, 2.0, -1.0, 3.0, -2.0, 1.0, 0.5, 0.1, 0.2, 0.3, 0.4])
    with torch.no_grad(), traced(model) as trace:
        model(batch)
    first, second = trace["encoder layer 1"]
    c = sigma(0.6) * tanh(2.3)
    h = sigma(-0.6) * tanh(c)
    by_hand = [
        {"input": sigma(0.6), "forget": sigma(1.2), "output": sigma(-0.6)},
        {"input": sigma(0.6 + 3 * h), "forget": sigma(1.2 - 2 * h), "output": sigma(-0.6 + 0.5 * h)},
    ]
    for step, expected in zip((first, second), by_hand, strict=True):
        assert {name: float(gate) for name, gate in step.gates.items()} == pytest.approx(expected, rel=1e-12)
    assert float(first.state[0]) == pytest.approx(h, rel=1e-12)
    assert float(first.state[1]) == pytest.approx(c, rel=1e-12)


def test_the_gates_of_a_gru_are_those_worked_out_by_hand() -> None:
    #                                          W: r, z, n        U                b
    model, batch = one_unit(CellKind.gru, [0.5, 1.0, 2.0, 3.0, -2.0, 1.0, 0.1, 0.2, 0.3])
    with torch.no_grad(), traced(model) as trace:
        model(batch)
    first, second = trace["encoder layer 1"]
    h = (1 - sigma(1.2)) * tanh(2.3)
    assert {name: float(gate) for name, gate in first.gates.items()} == pytest.approx(
        {"reset": sigma(0.6), "update": sigma(1.2)}, rel=1e-12
    )
    assert {name: float(gate) for name, gate in second.gates.items()} == pytest.approx(
        {"reset": sigma(0.6 + 3 * h), "update": sigma(1.2 - 2 * h)}, rel=1e-12
    )


def test_gates_that_a_changed_cell_does_not_name_are_missing() -> None:
    class Open(LSTMCell):
        def step(self, input_gates_NG: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            i, _, g, _ = (input_gates_NG + self.hidden_map(state[0])).chunk(4, dim=1)
            c_NH = state[1] + self.gate("input", i) * torch.tanh(g)
            return torch.tanh(c_NH), c_NH

    model = model_of(MODEL)
    for layer in model.layers():
        layer.cell_class = Open
    with torch.no_grad(), traced(model) as trace:
        model(MIXED)
    assert all(set(step.gates) == {"input"} for steps in trace.values() for step in steps)


def test_a_model_is_left_as_it_was_even_after_an_error() -> None:
    model = model_of(MODEL)
    with torch.no_grad():
        before = model(MIXED)
        with pytest.raises(ZeroDivisionError), traced(model) as trace:
            raise ZeroDivisionError
        assert model.implementation == Implementation.fast
        assert torch.equal(model(MIXED), before)
        model.implementation = Implementation.reference
        model(MIXED)
    assert not any(trace.values())
