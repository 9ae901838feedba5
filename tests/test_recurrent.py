"""Layers over time: the equations, padding, dropout, and the rows of a state."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from nmt.choices import CellKind, DropoutMask, Implementation
from nmt.model.cell import Cell, CellState, LSTMCell
from nmt.model.dropout import Noise
from nmt.model.fast import lstm_layer
from nmt.model.layer import DirectedLayer, run_over_time
from nmt.model.recurrent import Dropouts, LayerStack, RecurrentState
from nmt.model.stack_shape import StackShape
from tests.hardware import needs_bf16
from tests.models import cell_states, hidden_states, lstm_state, normal

PARTS = (torch.sigmoid, torch.sigmoid, torch.tanh, torch.sigmoid)
Choose = Callable[[str], None]
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["reference", "own layer", "torch's layer"])


@pytest.fixture
def choose_layer(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Force one of the implementations, on any processor."""

    def choose(name: str) -> None:
        implementation = Implementation.reference if name == "reference" else Implementation.fast
        monkeypatch.setattr(DirectedLayer, "implementation", implementation)
        monkeypatch.setattr("nmt.model.layer.own_layer_pays", lambda *_args, **_kwargs: name == "own layer")

    return choose


def stacked(
    *, num_layers: int = 2, dropout: float = 0.0, dtype: torch.dtype = torch.float64, hidden_dim: int = 5
) -> LayerStack:
    shape = StackShape(CellKind.lstm, 4, hidden_dim, num_layers)
    rnn = LayerStack(shape, name="encoder", dropouts=Dropouts(dropout, 0.0)).to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            parameter.copy_(0.7 * normal(*parameter.shape, seed=number, dtype=dtype))
    return rnn


def state_of(num_rows: int, *, num_layers: int = 2, hidden_dim: int = 5) -> RecurrentState:
    size = (num_layers, num_rows, hidden_dim)
    return lstm_state(normal(*size, seed=98), normal(*size, seed=99))


def use_cell(rnn: LayerStack, cell_class: type[Cell]) -> None:
    for layer in rnn.directions():
        layer.cell_class = cell_class


def implementation_of(rnn: LayerStack) -> Implementation:
    [implementation] = {layer.implementation for layer in rnn.directions()}
    return implementation


def by_the_equations(
    layers: Sequence[DirectedLayer], input_TE: Tensor, h_LH: Tensor, c_LH: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one sentence: i, f, o = σ(Wx + b + Uh + b'), g = tanh(…), c ← f·c + i·g, h ← o·tanh(c), layer by layer."""
    H = layers[0].hidden_dim
    h, c = list(h_LH), list(c_LH)
    outputs = []
    for x in input_TE:
        for number, layer in enumerate(layers):
            W, U, b, b2, _ = layer.cell_weights
            i, f, g, o = (
                W[k * H : (k + 1) * H] @ x
                + b[k * H : (k + 1) * H]
                + U[k * H : (k + 1) * H] @ h[number]
                + b2[k * H : (k + 1) * H]
                for k in range(4)
            )
            sigma = [1 / (1 + torch.exp(-z)) for z in (i, f, o)]
            c[number] = sigma[1] * c[number] + sigma[0] * torch.tanh(g)
            h[number] = sigma[2] * torch.tanh(c[number])
            x = h[number]
        outputs.append(h[-1])
    return torch.stack(outputs), torch.stack(h), torch.stack(c)


@IMPLEMENTATIONS
@pytest.mark.parametrize("lengths", [[6, 6, 6], [2, 6, 3]], ids=["equal", "mixed"])
def test_lstm_is_its_equations(implementation: str, lengths: list[int], choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, state = stacked(), state_of(3)
    input_TBE = normal(6, 3, 4)
    lengths_B = None if len(set(lengths)) == 1 else torch.tensor(lengths)
    output_TBH, last = rnn(input_TBE, state, lengths_B=lengths_B)
    for row, length in enumerate(lengths):
        expected_TH, h_LH, c_LH = by_the_equations(
            rnn.directions(), input_TBE[:length, row], hidden_states(state)[:, row], cell_states(state)[:, row]
        )
        torch.testing.assert_close(output_TBH[:length, row], expected_TH, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(hidden_states(last)[:, row], h_LH, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(cell_states(last)[:, row], c_LH, rtol=1e-12, atol=1e-12)


@IMPLEMENTATIONS
def test_no_state_means_zeros(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, input_TBE = stacked(), normal(3, 2, 4)
    zeros = torch.zeros(2, 2, 5, dtype=torch.float64)
    for lengths_B in (None, torch.tensor([1, 3])):
        expected, _ = rnn(input_TBE, lstm_state(zeros, zeros), lengths_B=lengths_B)
        torch.testing.assert_close(rnn(input_TBE, lengths_B=lengths_B)[0], expected, rtol=0, atol=1e-14)


@IMPLEMENTATIONS
def test_output_is_zero_at_padding_and_padding_is_not_read(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, input_TBE, lengths_B = stacked(), normal(5, 3, 4), torch.tensor([2, 4, 1])  # no sentence fills all steps
    output_TBH, last = rnn(input_TBE, lengths_B=lengths_B)
    assert output_TBH.shape == (5, 3, 5)
    for row, length in enumerate(lengths_B.tolist()):
        assert not output_TBH[length:, row].any()
        assert output_TBH[:length, row].all()
        input_TBE[length:, row] = torch.nan
    again_TBH, last_again = rnn(input_TBE, lengths_B=lengths_B)
    assert torch.equal(output_TBH, again_TBH)
    assert torch.equal(cell_states(last), cell_states(last_again))


@pytest.mark.parametrize("lengths", [[6, 6, 6], [2, 6, 3]], ids=["equal", "mixed"])
def test_implementations_agree_in_results_and_gradients(lengths: list[int], choose_layer: Choose) -> None:
    rnn = stacked(num_layers=3)
    lengths_B = None if len(set(lengths)) == 1 else torch.tensor(lengths)
    results, all_gradients = [], []
    for implementation in ("torch's layer", "own layer", "reference"):
        choose_layer(implementation)
        input_TBE, state = normal(6, 3, 4).requires_grad_(), state_of(3, num_layers=3)
        starts = [part.requires_grad_() for layer in state.layers for part in layer]
        output_TBH, last = rnn(input_TBE, state, lengths_B=lengths_B)
        loss = (output_TBH * normal(6, 3, 5, seed=7)).sum() + (hidden_states(last) * cell_states(last)).sum()
        results.append((output_TBH, hidden_states(last), cell_states(last)))
        all_gradients.append(torch.autograd.grad(loss, [input_TBE, *starts, *rnn.parameters()]))
    for other in (1, 2):
        torch.testing.assert_close(results[other], results[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(all_gradients[other], all_gradients[0], rtol=1e-12, atol=1e-12)


@IMPLEMENTATIONS
@pytest.mark.parametrize("lengths", [None, [6, 4, 4]], ids=["equal", "mixed"])
def test_dropout_acts_between_layers_and_never_on_the_recurrent_path(
    implementation: str, lengths: list[int] | None, choose_layer: Choose
) -> None:
    choose_layer(implementation)
    lengths_B = None if lengths is None else torch.tensor(lengths)
    input_TBE, state = normal(6, 3, 4), state_of(3)
    dropping, plain = stacked(dropout=1.0), stacked()  # everything that is passed to the next layer is dropped
    output_TBH, last = dropping(input_TBE, state, lengths_B=lengths_B, noise=Noise(DropoutMask.value))
    _, plain_last = plain(input_TBE, state, lengths_B=lengths_B)
    torch.testing.assert_close(hidden_states(last)[0], hidden_states(plain_last)[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(cell_states(last)[0], cell_states(plain_last)[0], rtol=0, atol=1e-14)
    zeros_TBH = torch.zeros(6, 3, 5, dtype=torch.float64)
    for row, length in enumerate(lengths or [6, 6, 6]):
        expected_TH, _, _ = by_the_equations(
            plain.directions()[1:], zeros_TBH[:length, row], hidden_states(state)[1:, row], cell_states(state)[1:, row]
        )
        torch.testing.assert_close(output_TBH[:length, row], expected_TH, rtol=0, atol=1e-14)


@IMPLEMENTATIONS
def test_dropout_needs_noise(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    input_TBE = normal(6, 3, 4)
    rnn, plain = stacked(dropout=0.5), stacked()
    torch.manual_seed(1)
    expected_TBH = plain(input_TBE)[0]
    assert not torch.allclose(rnn(input_TBE, noise=Noise(DropoutMask.value))[0], expected_TBH)
    assert torch.equal(rnn(input_TBE)[0], expected_TBH)


@IMPLEMENTATIONS
def test_a_single_layer_has_no_dropout(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    input_TBE = normal(6, 3, 4)
    with_dropout, without = stacked(num_layers=1, dropout=0.5), stacked(num_layers=1)
    assert torch.equal(with_dropout(input_TBE, noise=Noise(DropoutMask.value))[0], without(input_TBE)[0])


@needs_bf16
@pytest.mark.parametrize("lengths", [None, [6, 4, 4]], ids=["equal", "mixed"])
def test_bf16_stays_within_its_precision(lengths: list[int] | None) -> None:
    rnn, input_TBE = stacked(dtype=torch.float32), normal(6, 3, 4, dtype=torch.float32)
    lengths_B = None if lengths is None else torch.tensor(lengths)
    expected_TBH, _ = rnn(input_TBE, lengths_B=lengths_B)
    with torch.autocast("cpu", torch.bfloat16):
        output_TBH, _ = rnn(input_TBE, lengths_B=lengths_B)
    torch.testing.assert_close(output_TBH.float(), expected_TBH, rtol=0, atol=0.05)  # |h| < 1; bf16 has 8 bits


@pytest.mark.parametrize(
    ("num_steps", "is_packed", "with_grad", "on_intel", "own"),
    [
        (2, False, True, True, True),  # training on an Intel processor
        (2, False, True, False, False),  # oneDNN is faster on others
        (1, False, True, True, False),  # a single step leaves nothing to gather
        (2, False, False, True, False),  # without gradients torch's layer is faster
        (2, True, False, False, True),  # packed sequences it takes slowly everywhere
        (1, True, True, False, True),
    ],
)
def test_our_layer_runs_if_it_is_faster(
    num_steps: int, is_packed: bool, with_grad: bool, on_intel: bool, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lstm_layer, "is_intel_cpu", lambda: on_intel)
    input_PE = normal(num_steps * 2, 4, dtype=torch.float32)
    pays = partial(lstm_layer.own_layer_pays, is_packed=is_packed, num_steps=num_steps)
    with torch.set_grad_enabled(with_grad):
        assert pays(input_PE) == own
        # bf16 and other devices always use torch's layer
        assert not pays(input_PE.bfloat16())
        assert not pays(input_PE.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert not pays(input_PE)


def test_the_layer_is_chosen_by_the_number_of_steps_and_by_whether_sentences_are_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[bool, int]] = []

    def pays(_input_PE: Tensor, *, is_packed: bool, num_steps: int) -> bool:
        asked.append((is_packed, num_steps))
        return True

    monkeypatch.setattr("nmt.model.layer.own_layer_pays", pays)
    rnn, input_TBE = stacked(num_layers=1), normal(3, 2, 4)
    rnn(input_TBE)
    rnn(input_TBE, lengths_B=torch.tensor([3, 2]))
    assert asked == [(False, 3), (True, 3)]


def test_rows_of_a_state_are_taken_in_any_order_and_more_than_once() -> None:
    state = state_of(4)
    taken = state.select(torch.tensor([3, 0, 3]))
    for row, origin in enumerate([3, 0, 3]):
        assert torch.equal(hidden_states(taken)[:, row], hidden_states(state)[:, origin])
        assert torch.equal(cell_states(taken)[:, row], cell_states(state)[:, origin])


def test_concat_appends_rows() -> None:
    state, other = state_of(2), state_of(3)
    joined = state.concat(other)
    assert torch.equal(cell_states(joined.select(torch.tensor([0, 1]))), cell_states(state))
    assert torch.equal(hidden_states(joined.select(torch.tensor([2, 3, 4]))), hidden_states(other))


@IMPLEMENTATIONS
@torch.no_grad()
def test_steps_are_the_whole_sequence(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, input_TBE, state = stacked(), normal(6, 3, 4), state_of(3)
    expected_TBH, expected_last = rnn(input_TBE, state)
    for input_BE, expected_BH in zip(input_TBE, expected_TBH, strict=True):
        output_BH, state = rnn.stepping().step((input_BE,), state)
        torch.testing.assert_close(output_BH, expected_BH, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, expected_last, rtol=1e-12, atol=1e-12)


def test_reference_runs_the_cell(monkeypatch: pytest.MonkeyPatch, choose_layer: Choose) -> None:
    """A change of the cell's equations changes everything that the reference computes."""
    input_TBE, lengths_B = normal(4, 2, 4), torch.tensor([4, 2])
    choose_layer("reference")
    expected_TBH, state = stacked()(input_TBE, lengths_B=lengths_B)
    monkeypatch.setattr("nmt.model.cell.torch.tanh", torch.relu)
    assert not torch.allclose(stacked()(input_TBE, lengths_B=lengths_B)[0], expected_TBH)
    assert not torch.allclose(stacked().stepping().step((input_TBE[0],), state)[0], expected_TBH[0])


def test_a_changed_cell_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    """The fast implementations do not compute it, and no result may silently come from the original equations."""

    class Coupled(LSTMCell):
        """The forget gate is what the input gate leaves."""

        def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
            h_NH, c_NH = state
            i, _, g, o = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
            c_NH = (1 - torch.sigmoid(i)) * c_NH + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c_NH), c_NH

    rnn, input_TBE = stacked(), normal(4, 2, 4)
    unchanged_TBH, _ = rnn(input_TBE)
    before = implementation_of(rnn)
    use_cell(rnn, Coupled)
    assert (before, implementation_of(rnn)) == (Implementation.fast, Implementation.reference)
    assert "Coupled computes other equations than torch's LSTM: the plain modules run" in caplog.text
    output_TBH, _ = rnn(input_TBE)
    assert not torch.allclose(output_TBH, unchanged_TBH)
    expected_PH = input_TBE.flatten(0, 1)
    for layer in rnn.directions():
        expected_PH, _ = run_over_time(layer.cell(), expected_PH, None, [2] * 4)
    torch.testing.assert_close(output_TBH.flatten(0, 1), expected_PH, rtol=0, atol=0)


def test_a_cell_that_differs_only_in_its_output_runs_plainly() -> None:
    class WithoutOutputGate(LSTMCell):
        def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
            _, c_NH = super().step(input_gates_NG, state)
            return torch.tanh(c_NH), c_NH

    rnn = stacked()
    use_cell(rnn, WithoutOutputGate)
    assert implementation_of(rnn) == Implementation.reference


def test_equations_written_in_another_way_are_the_same_cell() -> None:
    class Rewritten(LSTMCell):
        def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
            gates_NG = self.hidden_map(state[0]) + input_gates_NG
            i, f, g, o = (part(gate) for part, gate in zip(PARTS, gates_NG.chunk(4, dim=1), strict=True))
            c_NH = f * state[1] + i * g
            return o * torch.tanh(c_NH), c_NH

    rnn = stacked()
    use_cell(rnn, Rewritten)
    assert implementation_of(rnn) == Implementation.fast
