"""The stacked LSTM: the equations, padding, dropout, and the rows of its state."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nmt.config import Implementation
from nmt.model.cell import CellState, LSTMCell
from nmt.model.fast import lstm_layer
from nmt.model.recurrent import CellStack, RecurrentState, StackedLSTM
from tests.hardware import needs_bf16
from tests.models import normal

PARTS = (torch.sigmoid, torch.sigmoid, torch.tanh, torch.sigmoid)
Choose = Callable[[str], None]
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["reference", "own layer", "torch's layer"])


@pytest.fixture
def choose_layer(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Force one of the implementations, on any processor."""

    def choose(name: str) -> None:
        implementation = Implementation.reference if name == "reference" else Implementation.fast
        monkeypatch.setattr(StackedLSTM, "implementation", implementation)
        monkeypatch.setattr("nmt.model.recurrent.own_layer_pays", lambda *_args, **_kwargs: name == "own layer")

    return choose


def stacked(
    *, num_layers: int = 2, dropout: float = 0.0, dtype: torch.dtype = torch.float64, hidden_dim: int = 5
) -> StackedLSTM:
    rnn = StackedLSTM(4, hidden_dim, num_layers=num_layers, dropout=dropout).to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            parameter.copy_(0.7 * normal(*parameter.shape, seed=number, dtype=dtype))
    return rnn


def state_of(num_rows: int, *, num_layers: int = 2, hidden_dim: int = 5) -> RecurrentState:
    size = (num_layers, num_rows, hidden_dim)
    return RecurrentState.unstack(normal(*size, seed=98), normal(*size, seed=99))


def by_the_equations(lstm: nn.LSTM, input_TE: Tensor, h_LH: Tensor, c_LH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run one sentence: i, f, o = σ(Wx + b + Uh + b'), g = tanh(…), c ← f·c + i·g, h ← o·tanh(c), layer by layer."""
    H = lstm.hidden_size
    h, c = list(h_LH), list(c_LH)
    outputs = []
    for x in input_TE:
        for layer in range(lstm.num_layers):
            W, U, b, b2 = (
                getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            i, f, g, o = (
                W[k * H : (k + 1) * H] @ x
                + b[k * H : (k + 1) * H]
                + U[k * H : (k + 1) * H] @ h[layer]
                + b2[k * H : (k + 1) * H]
                for k in range(4)
            )
            sigma = [1 / (1 + torch.exp(-z)) for z in (i, f, o)]
            c[layer] = sigma[1] * c[layer] + sigma[0] * torch.tanh(g)
            h[layer] = sigma[2] * torch.tanh(c[layer])
            x = h[layer]
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
            rnn.lstm, input_TBE[:length, row], state.h_LNH[:, row], state.c_LNH[:, row]
        )
        torch.testing.assert_close(output_TBH[:length, row], expected_TH, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(last.h_LNH[:, row], h_LH, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(last.c_LNH[:, row], c_LH, rtol=1e-12, atol=1e-12)


@IMPLEMENTATIONS
def test_no_state_means_zeros(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, input_TBE = stacked(), normal(3, 2, 4)
    zeros = torch.zeros(2, 2, 5, dtype=torch.float64)
    for lengths_B in (None, torch.tensor([1, 3])):
        expected, _ = rnn(input_TBE, RecurrentState.unstack(zeros, zeros), lengths_B=lengths_B)
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
    assert torch.equal(last.c_LNH, last_again.c_LNH)


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
        loss = (output_TBH * normal(6, 3, 5, seed=7)).sum() + (last.h_LNH * last.c_LNH).sum()
        results.append((output_TBH, last.h_LNH, last.c_LNH))
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
    dropping, plain = stacked(dropout=1.0).train(), stacked()  # everything that is passed to the next layer is dropped
    output_TBH, last = dropping(input_TBE, state, lengths_B=lengths_B)
    _, plain_last = plain(input_TBE, state, lengths_B=lengths_B)
    torch.testing.assert_close(last.h_LNH[0], plain_last.h_LNH[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(last.c_LNH[0], plain_last.c_LNH[0], rtol=0, atol=1e-14)
    upper = StackedLSTM(5, 5, num_layers=1, dropout=0.0).double()
    upper.lstm.load_state_dict(
        {name.replace("_l1", "_l0"): value for name, value in plain.lstm.state_dict().items() if name.endswith("_l1")}
    )
    upper_state = RecurrentState(state.layers[1:])
    expected_TBH, _ = upper(torch.zeros(6, 3, 5, dtype=torch.float64), upper_state, lengths_B=lengths_B)
    torch.testing.assert_close(output_TBH, expected_TBH, rtol=0, atol=1e-14)


@IMPLEMENTATIONS
def test_dropout_changes_training_but_not_evaluation(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    input_TBE = normal(6, 3, 4)
    rnn, plain = stacked(dropout=0.5), stacked()
    torch.manual_seed(1)
    expected_TBH = plain(input_TBE)[0]
    assert not torch.allclose(rnn.train()(input_TBE)[0], expected_TBH)
    assert torch.equal(rnn.eval()(input_TBE)[0], expected_TBH)


@IMPLEMENTATIONS
def test_a_single_layer_has_no_dropout(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    input_TBE = normal(6, 3, 4)
    with_dropout, without = stacked(num_layers=1, dropout=0.5).train(), stacked(num_layers=1)
    assert torch.equal(with_dropout(input_TBE)[0], without(input_TBE)[0])


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
    input_TBE = normal(num_steps, 2, 4, dtype=torch.float32)
    with torch.set_grad_enabled(with_grad):
        assert lstm_layer.own_layer_pays(input_TBE, is_packed=is_packed) == own
        # bf16 and other devices always use torch's layer
        assert not lstm_layer.own_layer_pays(input_TBE.bfloat16(), is_packed=is_packed)
        assert not lstm_layer.own_layer_pays(input_TBE.to("meta"), is_packed=is_packed)
        with torch.autocast("cpu", torch.bfloat16):
            assert not lstm_layer.own_layer_pays(input_TBE, is_packed=is_packed)


def test_the_layer_is_chosen_by_whether_sentences_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def pays(_input_TBE: Tensor, *, is_packed: bool) -> bool:
        asked.append(is_packed)
        return True

    monkeypatch.setattr("nmt.model.recurrent.own_layer_pays", pays)
    rnn, input_TBE = stacked(), normal(3, 2, 4)
    rnn(input_TBE)
    rnn(input_TBE, lengths_B=torch.tensor([3, 2]))
    assert asked == [False, True]


def test_rows_of_a_state_are_taken_in_any_order_and_more_than_once() -> None:
    state = state_of(4)
    taken = state.select(torch.tensor([3, 0, 3]))
    for row, origin in enumerate([3, 0, 3]):
        assert torch.equal(taken.h_LNH[:, row], state.h_LNH[:, origin])
        assert torch.equal(taken.c_LNH[:, row], state.c_LNH[:, origin])


def test_concat_appends_rows() -> None:
    state, other = state_of(2), state_of(3)
    joined = state.concat(other)
    assert torch.equal(joined.select(torch.tensor([0, 1])).c_LNH, state.c_LNH)
    assert torch.equal(joined.select(torch.tensor([2, 3, 4])).h_LNH, other.h_LNH)


@IMPLEMENTATIONS
@torch.no_grad()
def test_steps_are_the_whole_sequence(implementation: str, choose_layer: Choose) -> None:
    choose_layer(implementation)
    rnn, input_TBE, state = stacked(), normal(6, 3, 4), state_of(3)
    expected_TBH, expected_last = rnn(input_TBE, state)
    for input_BE, expected_BH in zip(input_TBE, expected_TBH, strict=True):
        output_BH, state = rnn.step(input_BE, state)
        torch.testing.assert_close(output_BH, expected_BH, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, expected_last, rtol=1e-12, atol=1e-12)


def test_reference_runs_the_cell(monkeypatch: pytest.MonkeyPatch, choose_layer: Choose) -> None:
    """A change of the cell's equations changes everything that the reference computes."""
    input_TBE, lengths_B = normal(4, 2, 4), torch.tensor([4, 2])
    choose_layer("reference")
    expected_TBH, state = stacked()(input_TBE, lengths_B=lengths_B)
    monkeypatch.setattr("nmt.model.cell.torch.tanh", torch.relu)
    assert not torch.allclose(stacked()(input_TBE, lengths_B=lengths_B)[0], expected_TBH)
    assert not torch.allclose(stacked().step(input_TBE[0], state)[0], expected_TBH[0])


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
    before = rnn.implementation
    rnn.cell_class = Coupled
    assert (before, rnn.implementation) == (Implementation.fast, Implementation.reference)
    assert "Coupled computes other equations than torch's LSTM: the plain modules run" in caplog.text
    output_TBH, _ = rnn(input_TBE)
    assert not torch.allclose(output_TBH, unchanged_TBH)
    expected_TBH, _ = CellStack(rnn.cells())(input_TBE)
    torch.testing.assert_close(output_TBH, expected_TBH, rtol=0, atol=0)


def test_a_cell_that_differs_only_in_its_output_runs_plainly() -> None:
    class WithoutOutputGate(LSTMCell):
        def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
            _, c_NH = super().step(input_gates_NG, state)
            return torch.tanh(c_NH), c_NH

    rnn = stacked()
    rnn.cell_class = WithoutOutputGate
    assert rnn.implementation == Implementation.reference


def test_equations_written_in_another_way_are_the_same_cell() -> None:
    class Rewritten(LSTMCell):
        def step(self, input_gates_NG: Tensor, state: CellState) -> CellState:
            gates_NG = self.hidden_map(state[0]) + input_gates_NG
            i, f, g, o = (part(gate) for part, gate in zip(PARTS, gates_NG.chunk(4, dim=1), strict=True))
            c_NH = f * state[1] + i * g
            return o * torch.tanh(c_NH), c_NH

    rnn = stacked()
    rnn.cell_class = Rewritten
    assert rnn.implementation == Implementation.fast
