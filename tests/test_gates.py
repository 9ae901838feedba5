"""Gates over a sentence: means and quantiles over units, beside the subwords in the order of reading."""

from dataclasses import replace

import pytest
import torch

from nmt.choices import Bidirectional, Bridge, CellKind, SourceOrder
from nmt.report.gates import SentenceGates, gates_section, sentence_gates
from nmt.text.parallel import SentencePair
from nmt.training.checkpoint import Checkpoint
from tests.checkpoints import SRC, TGT, loaded
from tests.models import MODEL, tiny_model

PAIR = SentencePair("0 1", "a b c")


def checkpoint_of(kind: CellKind = CellKind.lstm, **settings: object) -> Checkpoint:
    config = replace(MODEL, cell=kind, num_layers=1, **settings)  # type: ignore[arg-type]
    return loaded(tiny_model(config, src_vocab_size=SRC.vocab_size, tgt_vocab_size=TGT.vocab_size))


def test_subwords_are_in_the_order_in_which_each_layer_reads_them() -> None:
    checkpoint = checkpoint_of(
        source_order=SourceOrder.forward, bidirectional=Bidirectional.all, bridge=Bridge.mean, encoder_dim=3
    )
    source = [*(SRC.pieces[i] for i in SRC.encode(PAIR.src)), "</s>"]
    target = ["<s>", *(TGT.pieces[i] for i in TGT.encode(PAIR.tgt))]
    assert {layer.layer: list(layer.subwords) for layer in sentence_gates(checkpoint, PAIR).layers} == {
        "encoder layer 1": source,
        "encoder layer 1, backward": source[::-1],
        "decoder layer 1": target,
    }
    [encoder, _] = sentence_gates(checkpoint_of(), PAIR).layers  # reversed
    assert list(encoder.subwords) == [*source[-2::-1], "</s>"]


def test_values_are_means_and_quantiles_over_the_units() -> None:
    checkpoint = checkpoint_of(hidden_dim=11)
    layer = checkpoint.model.encoder.rnn.layer(0).forwards
    with torch.no_grad():
        for parameter in layer.cell_weights[:4]:
            parameter.zero_()
        layer.cell_weights.bias_ih_G[11:22] = torch.logit(torch.linspace(0.2, 0.7, 11, dtype=torch.float64))
    [encoder, _] = sentence_gates(checkpoint, PAIR).layers
    gates = {gate.name: gate for gate in encoder.gates}
    assert set(gates) == {"forget", "input", "output"}
    num_steps = len(encoder.subwords)
    for values, expected in zip(gates["forget"][1:], (0.45, 0.25, 0.65), strict=True):
        assert values == pytest.approx([expected] * num_steps, rel=1e-9)
    assert gates["input"].mean == pytest.approx([0.5] * num_steps)


def test_the_section_has_a_picture_of_each_layer_with_its_numbers() -> None:
    found = sentence_gates(checkpoint_of(CellKind.gru), PAIR)
    section = gates_section([found])
    assert len(section.figures) == len(found.layers) == 2
    for figure, layer in zip(section.figures, found.layers, strict=True):
        assert figure.caption == f"{layer.layer.capitalize()} on “0 1” → “a b c”."
        assert figure.numbers.columns[:3] == ("time step", "subword", f"{layer.gates[0].name}, mean")
        assert [row[1] for row in figure.numbers.rows] == list(layer.subwords)
        assert [row[2] for row in figure.numbers.rows] == list(layer.gates[0].mean)
        for gate in layer.gates:
            assert f"{gate.name} gate</text>" in figure.svg
            assert f"{gate.name} {sum(gate.mean) / len(gate.mean):.2f}" in figure.alt


def test_cells_without_gates_are_said_to_have_none() -> None:
    found = sentence_gates(checkpoint_of(CellKind.rnn_tanh), PAIR)
    assert isinstance(found, SentenceGates)
    section = gates_section([found])
    assert section.paragraphs == ("The cells of this model have no gates: it is a simple recurrent network.",)
    assert not section.figures
