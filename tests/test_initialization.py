"""The initial values of parameters."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionScore, CellKind, Connection, Initializer, RecurrentInitializer
from nmt.model.cell import CELLS
from nmt.model.initialization import initialize
from nmt.model.recurrent import RecurrentLayer
from nmt.model.seq2seq import Seq2Seq
from tests.family import BETWEEN, FAMILY
from tests.models import MODEL, tiny_model

KINDS = pytest.mark.parametrize("cell", list(CellKind))
FORGETTING = [CellKind.lstm, CellKind.lstm_peephole, CellKind.lstm_layer_norm]


def parameters(model: Seq2Seq) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def gates_of(weight_GX: Tensor, cell: CellKind) -> tuple[Tensor, ...]:
    return weight_GX.detach().chunk(CELLS[cell].num_gates)


def assert_uniform(values: Tensor, bound: float, name: str) -> None:
    values = values.flatten().double()
    assert values.abs().max() <= bound * (1 + 1e-6), name
    # of n values, the largest is beyond (1 - x) of the bound unless all miss that share, with probability (1 - x)^n
    assert values.abs().max() >= bound * (1 - 20 / len(values)), name
    # the standard deviation of a uniform distribution is bound / √3, that of the mean √n smaller
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * len(values)), name


def assert_gaussian(values: Tensor, std: float, name: str) -> None:
    values = values.flatten().double()
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(2 * len(values))), name
    assert abs(values.mean()) < 5 * std / math.sqrt(len(values)), name
    assert values.abs().max() > 2 * std, name


# --- the paper's model ---


def test_every_parameter_starts_uniformly_in_the_range() -> None:
    config = replace(MODEL, embedding_dim=40, hidden_dim=50, init_range=0.08)
    model = tiny_model(config, src_vocab_size=100, tgt_vocab_size=100, dtype=torch.float32)
    for name, values in parameters(model).items():
        assert -0.08 <= values.min() < -0.07, name
        assert 0.07 < values.max() <= 0.08, name
        # the standard deviation of a uniform distribution is range / sqrt 3, that of the mean sqrt n smaller
        assert abs(values.mean()) < 5 * 0.08 / math.sqrt(3 * values.numel()), name


def test_the_papers_model_keeps_its_numbers() -> None:
    """A seed gives the parameters of version 0.1.0: embedding, layers and output layer, one generator for all."""
    model = tiny_model(replace(MODEL, num_layers=4, init_range=0.08), seed=7, dtype=torch.float32)
    lstms = [
        shape
        for layer in range(4)
        for shape in ((28, 7 if layer else 5), (28, 7), (28,), (28,))  # input and recurrent weights, two biases
    ]
    shapes = [(11, 5), *lstms, (12, 5), *lstms, (12, 7), (12,)]
    generator = torch.Generator().manual_seed(7)
    for (name, values), shape in zip(parameters(model).items(), shapes, strict=True):
        assert torch.equal(values, torch.empty(shape).uniform_(-0.08, 0.08, generator=generator)), name
    first = [0.0055876062251627445, -0.04819148778915405]  # recorded with version 0.1.0
    assert model.encoder.embedding.weight.flatten()[:2].tolist() == pytest.approx(first, rel=1e-6)
    last = [0.04968096688389778, -0.01384030282497406]
    assert model.decoder.output.bias[:2].tolist() == pytest.approx(last, rel=1e-6)


def test_only_the_generator_decides_the_initialization() -> None:
    torch.manual_seed(1)
    first, other = tiny_model(seed=1), tiny_model(seed=2)
    torch.manual_seed(2)
    again = tiny_model(seed=1)
    for one, same, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)


@pytest.mark.parametrize("cell", FORGETTING)
def test_the_forget_bias_is_added_only_to_the_forget_gates(cell: CellKind) -> None:
    config = replace(MODEL, cell=cell)
    plain, biased = tiny_model(config, dtype=torch.float32), tiny_model(config, dtype=torch.float32)
    biased.config = replace(config, forget_bias=1.0)
    initialize(biased, generator=torch.Generator().manual_seed(1))
    H = MODEL.hidden_dim
    first_bias_G = plain.encoder.rnn.layer(0).forwards.cell_weights.bias_ih_G
    assert len(set(first_bias_G[H : 2 * H].tolist())) == H  # without it they are like any other
    for (name, before), after in zip(plain.named_parameters(), biased.parameters(), strict=True):
        expected = before.detach().clone()
        if "bias_ih" in name:
            expected[H : 2 * H] += 1  # torch's order i, f, g, o
        torch.testing.assert_close(after.detach(), expected, rtol=0, atol=1e-6)


# --- the family ---


@pytest.mark.parametrize("init", list(Initializer))
@pytest.mark.parametrize("name", FAMILY)
def test_every_parameter_is_set(name: str, init: Initializer) -> None:
    model = Seq2Seq(replace(FAMILY[name], init=init), src_vocab_size=12, tgt_vocab_size=12)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    initialize(model, generator=torch.Generator().manual_seed(1))
    assert all(values.isfinite().all() for values in parameters(model).values())


@pytest.mark.parametrize("init", list(Initializer))
@KINDS
def test_gains_are_1_and_biases_0_unless_uniform(cell: CellKind, init: Initializer) -> None:
    model = tiny_model(replace(MODEL, cell=cell, init=init, **BETWEEN), dtype=torch.float32)
    for name, values in parameters(model).items():
        last = name.split(".")[-1]
        if last.startswith("gain_"):
            assert (values == 1).all(), name
        elif last.startswith(("bias", "peephole")):
            assert bool(values.any()) == (init == Initializer.uniform), name
        else:
            assert len(set(values.flatten().tolist())) > 0.9 * values.numel(), name


@KINDS
def test_xavier_is_bounded_gate_by_gate(cell: CellKind) -> None:
    config = replace(MODEL, **BETWEEN)
    config = replace(config, cell=cell, embedding_dim=40, hidden_dim=50, encoder_dim=30, init=Initializer.xavier)
    model = tiny_model(config, src_vocab_size=100, tgt_vocab_size=100, dtype=torch.float32)
    for layer in model.layers():
        for weight_GX in layer.cell_weights[:2]:
            for gate_HX in gates_of(weight_GX, cell):
                assert_uniform(gate_HX, math.sqrt(6 / sum(gate_HX.shape)), "gate")
    values = parameters(model)
    for name, shape in {
        "decoder.bridge.linear.weight": (2 * CELLS[cell].num_parts * 50, 60),
        "decoder.attention.query.weight": (50, 50),
        "decoder.attention.key.weight": (50, 60),
        "decoder.output.weight": (100, 50),
    }.items():
        assert values[name].shape == shape
        assert_uniform(values[name], math.sqrt(6 / sum(shape)), name)
    assert_uniform(values["decoder.attention.vector"], math.sqrt(6 / 51), "v")
    for name in ("encoder.embedding.weight", "decoder.embedding.weight"):
        assert_gaussian(values[name], 1 / math.sqrt(40), name)


def test_gaussian_has_its_standard_deviation() -> None:
    config = replace(MODEL, **BETWEEN)
    config = replace(config, hidden_dim=50, embedding_dim=40, init=Initializer.gaussian, init_std=0.3)
    model = tiny_model(config, src_vocab_size=100, tgt_vocab_size=100, dtype=torch.float32)
    for name, values in parameters(model).items():
        if values.dim() == 2 or name.endswith("vector"):
            assert_gaussian(values, 0.3, name)


@pytest.mark.parametrize("init", list(Initializer))
@KINDS
def test_recurrent_weights_are_orthogonal_gate_by_gate(cell: CellKind, init: Initializer) -> None:
    config = replace(MODEL, cell=cell, init=init, init_recurrent=RecurrentInitializer.orthogonal, **BETWEEN)
    orthogonal = tiny_model(config)
    plain = tiny_model(replace(config, init_recurrent=RecurrentInitializer.same))
    for layer in orthogonal.layers():
        for gate_HH in gates_of(layer.cell_weights.weight_hh_GH, cell):
            torch.testing.assert_close(gate_HH @ gate_HH.t(), torch.eye(len(gate_HH)).double(), rtol=0, atol=1e-5)
    # the others stay as they are, except embeddings, whose values xavier takes last
    expected = parameters(plain)
    for name, values in parameters(orthogonal).items():
        is_taken_last = "embedding" in name and init == Initializer.xavier
        assert torch.equal(values, expected[name]) != ("weight_hh" in name or is_taken_last), name


def test_a_highway_layer_mostly_passes_its_input_on_at_first() -> None:
    config = replace(MODEL, connection=Connection.highway, num_layers=3)
    uniform, gaussian = (tiny_model(replace(config, init=init)) for init in (Initializer.uniform, Initializer.gaussian))
    biases = [
        module.transform.bias
        for model in (uniform, gaussian)
        for module in model.modules()
        if isinstance(module, RecurrentLayer) and module.transform is not None
    ]
    assert len(biases) == 8
    for bias_H in biases[:4]:
        assert -1.5 <= bias_H.min() < -1.0 < bias_H.max() <= -0.5
    for bias_H in biases[4:]:
        assert (bias_H == -1).all()


def test_attention_scores_start_unequal() -> None:
    """v is a weight, not a bias: at 0 no query would prefer a position."""
    config = replace(MODEL, **BETWEEN)
    for init in Initializer:
        for score in (AttentionScore.additive, AttentionScore.concat):
            attention = tiny_model(replace(config, init=init, attention=score)).decoder.attention
            assert attention is not None
            assert attention.vector is not None
            assert attention.vector.all()
