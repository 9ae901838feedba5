"""Stacks of layers of every cell: implementations, directions, connections, steps."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from nmt.choices import Bidirectional, CellKind, Connection, DropoutMask, Implementation
from nmt.model.cell import CELLS
from nmt.model.dropout import Noise
from nmt.model.fast.gru_layer import GRULayer
from nmt.model.fast.lstm_layer import LSTMLayer
from nmt.model.layer import DirectedLayer, TorchLayer, run_over_time
from nmt.model.recurrent import CellStack, Dropouts, LayerStack, Packing, RecurrentState
from nmt.model.stack_shape import StackShape
from tests.hardware import needs_bf16
from tests.models import normal

E, H, T, B = 4, 5, 6, 3
KINDS = pytest.mark.parametrize("kind", list(CellKind))
OWN = {CellKind.lstm: LSTMLayer, CellKind.gru: GRULayer}
OF_TORCH = [CellKind.lstm, CellKind.gru, CellKind.rnn_tanh, CellKind.rnn_relu]
LENGTHS = pytest.mark.parametrize("lengths", [[T, T, T], [2, T, 3]], ids=["equal", "mixed"])
DIRECTIONS = pytest.mark.parametrize("bidirectional", list(Bidirectional))


def stack_of(kind: CellKind = CellKind.lstm, *, num_layers: int = 2, **shape: Any) -> LayerStack:
    made = LayerStack(StackShape(kind, E, H, num_layers, **shape), name="encoder", dropouts=Dropouts(0, 0)).double()
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            parameter.copy_(0.7 * normal(*parameter.shape, seed=number))
    return made


def state_of(kind: CellKind, *, num_layers: int = 2, num_rows: int = B) -> RecurrentState:
    def layer(index: int) -> tuple[Tensor, ...]:
        return tuple(normal(num_rows, H, seed=90 + 10 * index + part) for part in range(CELLS[kind].num_parts))

    return RecurrentState(tuple(layer(index) for index in range(num_layers)))


def run_alone(layer: DirectedLayer, input_TE: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one sentence through a cell, step by step; returns the hidden states and the last state."""
    h_TH, last = run_over_time(layer.cell(), input_TE, None, [1] * len(input_TE))
    return h_TH, tuple(part[0] for part in last)


def lengths_of(lengths: list[int]) -> Tensor | None:
    return None if len(set(lengths)) == 1 else torch.tensor(lengths)


def assert_close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# --- implementations ---


class Results(NamedTuple):
    outputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]


def results_of(rnn: LayerStack, lengths: list[int], noise: Noise | None = None) -> Results:
    """Run a stack from its own first state, if it has one direction, and backpropagate a loss that uses everything."""
    input_TBE, state = normal(T, B, E).requires_grad_(), None
    if rnn.shape.bidirectional == Bidirectional.none:
        state = state_of(rnn.shape.kind)
    output_TBH, last = rnn(input_TBE, state, lengths_B=lengths_of(lengths), noise=noise)
    parts = [part for layer in last.layers for part in layer]
    loss = (output_TBH * normal(*output_TBH.shape, seed=7)).sum() + sum(part.square().sum() for part in parts)
    return Results((output_TBH, *parts), torch.autograd.grad(loss, [input_TBE, *rnn.parameters()]))


def use_loop(rnn: LayerStack) -> None:
    for layer in rnn.directions():
        layer.chosen_implementation = Implementation.reference


def spy_on(layer_class: type[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list to which each run of a layer of this class is added."""
    ran: list[Any] = []
    call = layer_class.__call__

    def spy(self: Any, *args: Any, **settings: Any) -> Any:
        ran.append(self)
        return call(self, *args, **settings)

    monkeypatch.setattr(layer_class, "__call__", spy)
    return ran


@pytest.mark.parametrize("is_own", [False, True], ids=["torch's", "own"])
@pytest.mark.parametrize("kind", OF_TORCH)
@LENGTHS
@DIRECTIONS
def test_fast_layers_are_the_loop_over_steps_in_results_and_gradients(
    bidirectional: Bidirectional, lengths: list[int], kind: CellKind, is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own_layer_pays", "own_gru_layer_pays"):
        monkeypatch.setattr(f"nmt.model.layer.{name}", lambda *_args, **_kwargs: is_own)
    ran = spy_on(OWN.get(kind, TorchLayer) if is_own else TorchLayer, monkeypatch)
    rnn = stack_of(kind, bidirectional=bidirectional)
    fast = results_of(rnn, lengths)
    assert len(ran) == len(rnn.directions())
    use_loop(rnn)
    assert_close(results_of(rnn, lengths), fast)
    assert len(ran) == len(rnn.directions())


@pytest.mark.parametrize("kind", OWN)
@LENGTHS
@DIRECTIONS
def test_our_layers_take_masks_of_hidden_states(
    bidirectional: Bidirectional, lengths: list[int], kind: CellKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = spy_on(OWN[kind], monkeypatch)
    rnn, noise = stack_of(kind, bidirectional=bidirectional), Noise(DropoutMask.sentence)
    rnn.dropouts = Dropouts(0.0, 0.5)
    fast = results_of(rnn, lengths, noise)
    assert len(ran) == len(rnn.directions())
    use_loop(rnn)
    assert_close(results_of(rnn, lengths, noise), fast)  # the same noise has the same masks
    assert not torch.allclose(results_of(rnn, lengths).outputs[0], fast.outputs[0])
    if bidirectional != Bidirectional.none:
        drawn = torch.get_rng_state()
        forward_BH, backward_BH = (
            noise.mask(f"encoder layer 1, {name} state", normal(1), (B, H), 0.5) for name in ("forward", "backward")
        )
        assert not torch.equal(forward_BH, backward_BH)
        assert torch.equal(torch.get_rng_state(), drawn)  # both have been drawn before


@needs_bf16
@KINDS
@LENGTHS
def test_bf16_stays_within_its_precision(lengths: list[int], kind: CellKind) -> None:
    rnn, input_TBE = stack_of(kind).float(), normal(T, B, E, dtype=torch.float32)
    expected_TBH, _ = rnn(input_TBE, lengths_B=lengths_of(lengths))
    with torch.autocast("cpu", torch.bfloat16):
        output_TBH, _ = rnn(input_TBE, lengths_B=lengths_of(lengths))
    scale = max(1.0, float(expected_TBH.detach().abs().max()))  # of an LSTM |h| < 1; bf16 has 8 bits
    torch.testing.assert_close(output_TBH.float(), expected_TBH, rtol=0, atol=0.05 * scale)


# --- directions ---


def test_packed_positions_of_the_sentences_and_of_their_reversal() -> None:
    # sentences a b c d, e f, g: a e g b f c d
    packing = Packing([3, 2, 1, 1])
    assert packing.sentence_P.tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert packing.reversed_P.tolist() == [6, 4, 2, 5, 1, 3, 0]  # d f g c e b a
    assert not packing.is_equal
    assert Packing([2, 2]).is_equal
    assert Packing([2, 2]).reversed_P.tolist() == [2, 3, 0, 1]


@KINDS
@LENGTHS
def test_a_layer_of_two_directions_reads_each_sentence_forwards_and_backwards(
    lengths: list[int], kind: CellKind
) -> None:
    rnn, input_TBE = stack_of(kind, num_layers=1, bidirectional=Bidirectional.all), normal(T, B, E)
    output_TBX, last = rnn(input_TBE, lengths_B=lengths_of(lengths))
    assert output_TBX.shape == (T, B, 2 * H)
    forwards, backwards = rnn.directions()
    for row, length in enumerate(lengths):
        forward_TH, forward_last = run_alone(forwards, input_TBE[:length, row])
        backward_TH, backward_last = run_alone(backwards, input_TBE[:length, row].flip(0))
        assert_close(output_TBX[:length, row], torch.cat((forward_TH, backward_TH.flip(0)), dim=1))
        assert not output_TBX[length:, row].any()
        expected = tuple(map(torch.cat, zip(forward_last, backward_last, strict=True)))
        assert_close(tuple(part[row] for part in last.layers[0]), expected)


@KINDS
@DIRECTIONS
def test_sentences_together_are_each_alone(bidirectional: Bidirectional, kind: CellKind) -> None:
    rnn, input_TBE, lengths = stack_of(kind, num_layers=3, bidirectional=bidirectional), normal(T, B, E), [2, 5, 3]
    state = state_of(kind, num_layers=3) if bidirectional == Bidirectional.none else None
    output_TBH, last = rnn(input_TBE, state, lengths_B=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        rows_1 = torch.tensor([row])
        alone_TBH, alone_last = rnn(input_TBE[:length, [row]], None if state is None else state.select(rows_1))
        assert_close(output_TBH[:length, [row]], alone_TBH)
        assert_close(last.select(rows_1), alone_last)


@pytest.mark.parametrize(
    ("bidirectional", "directions", "dims"),
    [
        (Bidirectional.none, [1, 1, 1], [H, H, H]),
        (Bidirectional.first, [2, 1, 1], [2 * H, H, H]),
        (Bidirectional.all, [2, 2, 2], [2 * H, 2 * H, 2 * H]),
    ],
)
def test_the_layers_that_read_in_both_directions(
    bidirectional: Bidirectional, directions: list[int], dims: list[int]
) -> None:
    rnn = stack_of(num_layers=3, bidirectional=bidirectional)
    assert [len(rnn.layer(index).directions) for index in range(3)] == directions
    _, last = rnn(normal(T, B, E))
    assert [layer[0].shape[1] for layer in last.layers] == dims
    assert rnn.output_dim == dims[-1]


# --- connections ---

Connect = Callable[[Sequence[Tensor], Tensor, int], Tensor]  # outputs below, the stack's input first; h; layer number


def by_hand(rnn: LayerStack, input_TE: Tensor, connect: Connect, *, join: bool = False) -> Tensor:
    """Run one sentence layer by layer, connected by `connect`."""
    outputs = [input_TE]
    for index in range(len(rnn.layers)):
        below_TX = torch.cat((outputs[-1], input_TE), dim=1) if join and index > 0 else outputs[-1]
        h_TH = torch.cat(
            [run_alone(rnn.layer(index).forwards, below_TX)[0]]
            + [run_alone(one, below_TX.flip(0))[0].flip(0) for one in rnn.layer(index).directions[1:]],
            dim=1,
        )
        outputs.append(connect(outputs, h_TH, index + 1))
    return outputs[-1]


@pytest.mark.parametrize("bidirectional", [Bidirectional.none, Bidirectional.all])
def test_a_residual_layer_adds_its_input(bidirectional: Bidirectional) -> None:
    rnn = stack_of(num_layers=4, connection=Connection.residual, connection_from=3, bidirectional=bidirectional)
    output_TBH, _ = rnn(normal(T, B, E))
    for row in range(B):
        expected_TH = by_hand(
            rnn, normal(T, B, E)[:, row], lambda below, h_TH, number: h_TH + below[-1] if number >= 3 else h_TH
        )
        assert_close(output_TBH[:, row], expected_TH)


def test_a_highway_layer_mixes_its_input_in_by_a_gate() -> None:
    rnn = stack_of(num_layers=3, connection=Connection.highway)

    def connect(below: Sequence[Tensor], h_TH: Tensor, number: int) -> Tensor:
        transform = rnn.layer(number - 1).transform
        if number == 1:
            assert transform is None
            return h_TH
        assert transform is not None
        t_TH = 1 / (1 + torch.exp(-(below[-1] @ transform.weight.t() + transform.bias)))
        return t_TH * h_TH + (1 - t_TH) * below[-1]

    output_TBH, _ = rnn(normal(T, B, E))
    assert_close(output_TBH[:, 1], by_hand(rnn, normal(T, B, E)[:, 1], connect))


def test_a_layer_that_changes_the_size_has_no_connection() -> None:
    rnn = stack_of(num_layers=3, connection=Connection.residual, bidirectional=Bidirectional.first)
    assert [rnn.layer(index).connection for index in range(3)] == [
        Connection.plain,
        Connection.plain,  # from two directions to one
        Connection.residual,
    ]


def test_with_input_skip_every_layer_reads_the_input() -> None:
    rnn = stack_of(num_layers=3, input_skip=True)
    output_TBH, _ = rnn(normal(T, B, E))
    expected_TH = by_hand(rnn, normal(T, B, E)[:, 1], lambda _below, h_TH, _number: h_TH, join=True)
    assert_close(output_TBH[:, 1], expected_TH)


# --- steps ---


@KINDS
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"connection": Connection.residual},
        {"connection": Connection.highway},
        {"input_skip": True},
        {"joined_dim": 2, "first_number": 2},
    ],
    ids=["plain", "residual", "highway", "input skip", "joined"],
)
def test_steps_are_the_whole_sequence(shape: dict[str, Any], kind: CellKind) -> None:
    rnn, input_TBE, state = stack_of(kind, num_layers=3, **shape), normal(T, B, E), state_of(kind, num_layers=3)
    joined_TBX = normal(T, B, 2, seed=5) if "joined_dim" in shape else None
    expected_TBH, expected_last = rnn(input_TBE, state, joined_TBX=joined_TBX)
    stepping: CellStack = rnn.stepping()
    for t in range(T):
        joined = [] if joined_TBX is None else [joined_TBX[t]]
        skipped = [input_TBE[t]] if "input_skip" in shape else []
        output_BH, state = stepping.step([input_TBE[t]], state, joined=joined, skipped=skipped)
        assert_close(output_BH, expected_TBH[t])
    assert_close(state, expected_last)


@pytest.mark.parametrize("batch_sizes", [[3, 3, 3], [3, 2, 1]], ids=["equal", "packed"])
@pytest.mark.parametrize("kind", [CellKind.lstm, CellKind.gru, CellKind.rnn_tanh, CellKind.rnn_relu])
def test_torchs_layers_take_inputs_of_another_type_than_their_parameters(
    kind: CellKind, batch_sizes: list[int]
) -> None:
    """So they train in bf16 on a GPU, with gradients of the parameters in float32."""
    torch.manual_seed(1)
    module = DirectedLayer(kind, 4, 5).weights
    assert isinstance(module, nn.RNNBase)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    input_PE = torch.randn(sum(batch_sizes), 4)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        output_PH, last = TorchLayer(module)(input_PE.to(dtype), None, batch_sizes)
        assert output_PH.dtype == last[0].dtype == dtype
        gradients = torch.autograd.grad(output_PH.float().square().sum(), list(module.parameters()))
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        found.append((output_PH.float(), *gradients))
    for exact, rounded in zip(*found, strict=True):
        assert (rounded - exact).norm() < 0.05 * exact.norm()
