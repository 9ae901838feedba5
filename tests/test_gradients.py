"""Norms of gradients by states: finite differences, networks whose gradients are known, and clipping."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from nmt.choices import CellKind, Implementation, LossPer
from nmt.command_config import TrainCommand
from nmt.corpus.batching import Batch, collate
from nmt.errors import ConfigError
from nmt.model.cell import Cell, CellState
from nmt.plain import from_plain
from nmt.report.gradients import (
    NormCurve,
    initial_model,
    last_tokens,
    make_batches,
    measure_gradients,
    measure_model,
)
from nmt.report.trace import STATE_PARTS
from nmt.search.loading import load_checkpoint
from nmt.text.parallel import SentencePair
from tests.checkpoints import loaded, model_of_both
from tests.family import ATTENTION, BETWEEN
from tests.models import MODEL, tiny_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nmt.config import ModelConfig, TrainingConfig
    from nmt.model.seq2seq import Seq2Seq

ONE = collate([[4, 5, 6]], [[7, 8]])
ORTHOGONAL = torch.linalg.qr(torch.arange(1.0, 10).view(3, 3).double().sin())[0]
PAIRS = [
    SentencePair("one two three", "un deux trois"),
    SentencePair("four", "quatre"),
    SentencePair("five six", "cinq six"),
]


@pytest.fixture
def training(checkpoint: Path) -> TrainingConfig:
    """Settings of a run, with the loss of a sentence, neither smoothed nor clipped."""
    config = from_plain(TrainCommand, load_checkpoint(checkpoint).config).training
    return replace(config, loss_per=LossPer.sentence, label_smoothing=0.0, clip_norm=math.inf)


def curve_of(curves: Sequence[NormCurve], layer: str, part: str = "hidden state") -> NormCurve:
    [found] = [curve for curve in curves if (curve.layer, curve.part) == (layer, part)]
    return found


# --- finite differences ---


class Nudged(Cell):
    """A cell that adds to its state after the time step with this index."""

    def __init__(self, cell: Cell, *, at: int, part: int, nudge_H: Tensor) -> None:
        super().__init__(cell.input_map, cell.hidden_map, cell.extra)
        self._cell, self._at, self._part, self._nudge_H = cell, at, part, nudge_H

    def input_gates(self, *inputs: Tensor) -> Tensor:
        return self._cell.input_gates(*inputs)

    def initial_state(self, input_gates_NG: Tensor) -> CellState:
        return self._cell.initial_state(input_gates_NG)

    def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
        state = self._cell.step(input_gates_NG, state)
        if self._at == 0 and self._part == 0:
            state = (state[0] + self._nudge_H, *state[1:])
        elif self._at == 0:  # an LSTM: h = o ⊙ tanh(c)
            h_NH, c_NH = state
            state = (h_NH / torch.tanh(c_NH) * torch.tanh(c_NH + self._nudge_H), c_NH + self._nudge_H)
        self._at -= 1
        return state


def numeric_norm(model: Seq2Seq, batch: Batch, *, layer: int, at: int, part: int) -> float:
    """Return the norm of the gradient by a state, from the loss with each unit a bit larger and smaller."""
    watched, eps, slopes = model.layers()[layer], 1e-6, []
    for unit_H in torch.eye(watched.hidden_dim, dtype=torch.float64):
        losses = []
        for sign in (1, -1):
            watched.watch = lambda cell, nudge_H=sign * eps * unit_H: Nudged(cell, at=at, part=part, nudge_H=nudge_H)
            with torch.no_grad():
                losses.append(float(-model.log_probs(batch).double().sum()))
        slopes.append((losses[0] - losses[1]) / (2 * eps))
    watched.watch = None
    return math.hypot(*slopes)


@pytest.mark.parametrize(
    ("config", "layer", "at", "name", "part"),
    [
        (MODEL, 0, 1, "encoder layer 1", 0),
        (MODEL, 0, 1, "encoder layer 1", 1),
        (MODEL, 1, 0, "encoder layer 2", 0),
        (MODEL, 2, 1, "decoder layer 1", 1),
        (replace(MODEL, cell=CellKind.gru), 1, 2, "encoder layer 2", 0),
        (replace(MODEL, cell=CellKind.rnn_tanh, **BETWEEN), 1, 1, "encoder layer 1, backward", 0),
        (replace(MODEL, cell=CellKind.gru, **ATTENTION, input_feeding=True), 2, 0, "decoder layer 1", 0),
    ],
    ids=["lstm h", "lstm c", "top", "decoder c", "gru", "backward", "stepped"],
)
def test_norms_are_those_of_finite_differences(
    config: ModelConfig,
    layer: int,
    at: int,
    name: str,
    part: int,
    training: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # log_probs computes in float32 otherwise
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    model = tiny_model(config).eval()
    found = curve_of(measure_model(model, [ONE], training, label="").curves, name, STATE_PARTS[part])
    model.implementation = Implementation.reference
    expected = numeric_norm(model, ONE, layer=layer, at=at, part=part)
    assert found.norms[at] == pytest.approx(expected, rel=1e-6)
    assert expected > 1e-6


# --- networks whose gradients are known ---


def linear_elman(scale: float) -> Seq2Seq:
    """Make an Elman network whose states are 0, so that a step multiplies the gradient by its recurrent weights."""
    model = tiny_model(replace(MODEL, cell=CellKind.rnn_tanh, num_layers=1, hidden_dim=3)).eval()
    with torch.no_grad():
        for layer in model.layers():
            for parameter in layer.cell_weights[:4]:
                parameter.zero_()
            layer.cell_weights.weight_hh_GH.copy_(scale * ORTHOGONAL)
    return model


LONG = collate([[4] * 20], [[5, 6]])


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0], ids=["vanishes", "stays", "explodes"])
def test_the_gradient_of_an_elman_network_changes_geometrically(scale: float, training: TrainingConfig) -> None:
    curve = curve_of(measure_model(linear_elman(scale), [LONG], training, label="").curves, "encoder layer 1")
    assert curve.steps == tuple(range(-20, 1))
    assert curve.norms == pytest.approx([curve.norms[-1] * scale**n for n in range(20, -1, -1)], rel=1e-9)
    assert curve.factor == pytest.approx(scale, rel=1e-9)


@pytest.mark.parametrize("forget", [1.0, 0.25])
def test_the_cell_state_of_an_lstm_is_multiplied_by_its_forget_gate_only(
    forget: float, training: TrainingConfig
) -> None:
    model = tiny_model(replace(MODEL, num_layers=1, hidden_dim=3)).eval()
    with torch.no_grad():
        for layer in model.layers():
            for parameter in layer.cell_weights[:4]:
                parameter.zero_()
            layer.cell_weights.bias_ih_G[3:6] = 50.0 if forget == 1 else math.log(forget / (1 - forget))
    measured = measure_model(model, [LONG], training, label="")
    curve = curve_of(measured.curves, "encoder layer 1", "cell state")
    assert curve.norms == pytest.approx([curve.norms[-1] * forget**n for n in range(20, -1, -1)], rel=1e-9)
    assert curve_of(measured.curves, "encoder layer 1").norms[:-1] == (0.0,) * 20  # no recurrent weights


def test_without_a_gradient_there_is_no_factor() -> None:
    assert math.isnan(NormCurve("", "", (-1, 0), (1.0, 0.0), (1.0, 0.0)).factor)
    assert math.isnan(NormCurve("", "", (0,), (1.0,), (1.0,)).factor)


# --- clipping ---


def test_clipping_bounds_the_norm_of_an_update_and_scales_all_states_alike(training: TrainingConfig) -> None:
    measured = measure_model(linear_elman(2.0), [LONG], replace(training, clip_norm=0.5), label="")
    [norm], [clipped_norm] = measured.update_norms, measured.clipped_norms
    assert norm > 1000
    assert clipped_norm == pytest.approx(0.5, rel=1e-9)
    for curve in measured.curves:
        assert curve.clipped == pytest.approx([value * 0.5 / norm for value in curve.norms], rel=1e-9)


def test_clipping_changes_nothing_below_its_limit(training: TrainingConfig) -> None:
    measured = measure_model(linear_elman(0.5), [LONG], replace(training, clip_norm=1000.0), label="")
    assert measured.clipped_norms == measured.update_norms
    assert all(curve.clipped == curve.norms for curve in measured.curves)


def test_the_norm_of_an_update_is_that_of_all_parameters(training: TrainingConfig) -> None:
    model = tiny_model().eval()
    measured = measure_model(model, [ONE], training, label="")
    assert all(parameter.grad is None for parameter in model.parameters())
    (-model.log_probs(ONE).sum()).backward()  # type: ignore[no-untyped-call]
    grads = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    [norm] = measured.update_norms
    assert norm == pytest.approx(float(torch.stack(grads).norm()), rel=1e-5)


# --- batches ---


@pytest.mark.parametrize("loss_per", list(LossPer))
def test_padding_and_batches_change_no_mean_over_sentences(loss_per: LossPer, training: TrainingConfig) -> None:
    training, model = replace(training, loss_per=loss_per), tiny_model().eval()
    pairs = [([4, 5, 6], [7]), ([5], [8, 9, 10]), ([6, 7], [4, 5])]
    singles = [measure_model(model, [collate([src], [tgt])], training, label="") for src, tgt in pairs]
    src, tgt = zip(*pairs, strict=True)
    together = measure_model(model, [collate(src[:2], tgt[:2]), collate(src[2:], tgt[2:])], training, label="")
    for which in ("curves", "of_last_token"):
        for curve in getattr(together, which):
            own = [curve_of(getattr(single, which), curve.layer, curve.part) for single in singles]
            by_step = [dict(zip(one.steps, one.norms, strict=True)) for one in own]
            for step, norm in zip(curve.steps, curve.norms, strict=True):
                values = [norms[step] for norms in by_step if step in norms]
                assert norm == pytest.approx(sum(values) / len(values), rel=1e-9)
            assert set(curve.steps) == {step for norms in by_step for step in norms}


def test_time_steps_of_few_sentences_are_left_out(training: TrainingConfig) -> None:
    src = [[4, 5]] * 17 + [[4, 5, 6]] * 2 + [[4, 5, 6, 7]]  # 15% have step -3, 5% step -4
    measured = measure_model(tiny_model().eval(), [collate(src, [[5]] * 20)], training, label="")
    assert curve_of(measured.curves, "encoder layer 1").steps == (-3, -2, -1, 0)


def test_the_last_tokens_of_a_batch_are_the_ends_of_its_sentences() -> None:
    batch = collate([[4], [5], [6]], [[7], [8, 9, 10], []])
    last = last_tokens(batch)
    assert last.tgt_token_M.tolist() == [3, 3, 3]  # EOS
    assert last.tgt_position_M.tolist() == [2, 3, 10]  # of (T, B) = (4, 3)
    assert torch.equal(last.tgt_in_BT, batch.tgt_in_BT)


def test_the_loss_of_the_last_token_is_counted_back_and_reaches_only_earlier_steps(training: TrainingConfig) -> None:
    model = linear_elman(0.5)
    measured = measure_model(model, [collate([[4]], [[5, 6, 7]])], training, label="")
    [curve] = measured.of_last_token
    assert (curve.layer, curve.steps) == ("decoder layer 1", (-3, -2, -1, 0))
    assert curve.norms == pytest.approx([curve.norms[-1] * 0.5**n for n in (3, 2, 1, 0)], rel=1e-9)


def test_batches_are_those_of_the_run_without_blank_lines(checkpoint: Path) -> None:
    model = load_checkpoint(checkpoint)
    batching = from_plain(TrainCommand, model.config).batching
    batches = make_batches(model, [*PAIRS, SentencePair("", "un"), SentencePair("one", " ")], batching)
    assert sum(batch.num_sentences for batch in batches) == len(PAIRS)


# --- a run ---


def test_the_trained_model_is_beside_each_cell_with_the_initial_values_of_its_run(checkpoint: Path) -> None:
    model = load_checkpoint(checkpoint)
    found = measure_gradients(model, PAIRS)
    assert [one.label for one in found.models] == [
        "lstm, trained",
        "lstm, initial",
        "rnn_tanh, initial",
        "gru, initial",
    ]
    assert found.num_sentences == len(PAIRS)
    assert (found.encoder_layer, found.decoder_layer) == ("encoder layer 1", "decoder layer 1")
    assert not found.has_attention
    assert found.models[0].curves != found.models[1].curves
    assert all(norm > 0 for one in found.models for norm in one.update_norms)


def test_initial_values_are_those_of_the_seed() -> None:
    trained = loaded(model_of_both(seed=5))
    for name, value in initial_model(trained, CellKind.lstm, seed=5).named_parameters():
        assert torch.equal(value, trained.model.get_parameter(name))
    assert not initial_model(trained, CellKind.lstm, seed=5).training


def test_a_forget_bias_is_left_out_where_there_is_no_forget_gate() -> None:
    model = model_of_both()
    model.config.forget_bias = 1.0
    assert initial_model(loaded(model), CellKind.gru, seed=1).config.forget_bias == 0
    assert initial_model(loaded(model), CellKind.lstm, seed=1).config.forget_bias == 1


def test_a_checkpoint_without_settings_of_training_is_refused() -> None:
    with pytest.raises(ConfigError, match="runs/tiny must have the settings of its training, but has not"):
        measure_gradients(loaded(model_of_both(), config={"seed": 1}), PAIRS)
