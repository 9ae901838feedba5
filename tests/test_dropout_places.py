"""Dropout in a model: each rate acts at its place only, one mask a sentence if so set, never in evaluation mode."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionPlacement, AttentionScore, Bridge, CellKind, DropoutMask, ReadoutInput
from nmt.config import ModelConfig
from nmt.corpus.batching import collate
from nmt.model.decoder import Advanced, DecoderWiring
from nmt.model.dropout import Noise, dropout
from nmt.model.recurrent import Dropouts, LayerStack
from nmt.model.seq2seq import Seq2Seq
from nmt.model.stack_shape import StackShape
from tests.family import FAMILY
from tests.models import MODEL, PAIRS, normal, tiny_model

EQUAL = [([4, 5], [6, 7, 8]), ([6, 9], [5]), ([8, 8], [9, 9])]
PLACES = {
    "dropout_src_embedding",
    "dropout_tgt_embedding",
    "dropout_layers",
    "dropout_encoder_output",
    "dropout_readout",
    "dropout_recurrent",
    "dropout_src_word",
    "dropout_tgt_word",
}
MASKS = pytest.mark.parametrize("mask", list(DropoutMask))
KINDS = pytest.mark.parametrize("kind", list(CellKind))
# Everything that drops anything: attention of several kinds of wiring, two layers on both sides.
WIRINGS = {
    placement.value: replace(
        MODEL,
        attention=AttentionScore.general,
        attention_placement=placement,
        readout_input=ReadoutInput.state_context,
        bridge=Bridge.copy,
        input_feeding=placement == AttentionPlacement.before,
    )
    for placement in AttentionPlacement
}


def batch_of(pairs: Any = PAIRS) -> Any:
    return collate([src for src, _ in pairs], [tgt for _, tgt in pairs])


# --- places ---


def without_layers_below(model: Seq2Seq) -> None:
    """Let each layer but the lowest read nothing of the layer below; what joins its input stays."""
    for stack in (model.encoder.rnn, model.decoder.rnn, model.decoder.upper):
        for index in range(0 if stack is None else len(stack.layers)):
            assert stack is not None
            if stack.shape.first_number + index > 1:
                below = stack.shape.output_dim(index - 1)
                stack.layer(index).forwards.cell_weights.weight_ih_GE[:, :below] = 0


def without_recurrence(model: Seq2Seq) -> None:
    for layer in model.layers():
        layer.cell_weights.weight_hh_GH.zero_()


def without_encoder_output(model: Seq2Seq) -> None:
    model.encoder.register_forward_hook(
        lambda _module, _args, encoding: encoding._replace(output_SBH=torch.zeros_like(encoding.output_SBH))
    )


def without_readout(model: Seq2Seq) -> None:
    model.decoder.register_forward_hook(lambda _module, _args, hidden_TBH: torch.zeros_like(hidden_TBH))


EFFECTS: dict[str, Callable[[Seq2Seq], object]] = {
    "dropout_src_embedding": lambda model: model.encoder.embedding.weight.zero_(),
    "dropout_src_word": lambda model: model.encoder.embedding.weight.zero_(),
    "dropout_tgt_embedding": lambda model: model.decoder.embedding.weight.zero_(),
    "dropout_tgt_word": lambda model: model.decoder.embedding.weight.zero_(),
    "dropout_layers": without_layers_below,
    "dropout_recurrent": without_recurrence,
    "dropout_encoder_output": without_encoder_output,
    "dropout_readout": without_readout,
}


@torch.no_grad()
def assert_drops(config: ModelConfig, rates: dict[str, Any], places: set[str], pairs: Any = PAIRS) -> None:
    """Compare a model in training, where the rates are 1, with one whose places give nothing."""
    dropping = tiny_model(replace(config, **rates), src_vocab_size=12).train()
    expected = tiny_model(config, src_vocab_size=12).eval()
    batch = batch_of(pairs)
    unchanged_MH = expected(batch)
    for place in places:
        EFFECTS[place](expected)
    expected_MH = expected(batch)
    assert not torch.allclose(expected_MH, unchanged_MH)
    torch.testing.assert_close(dropping(batch), expected_MH, rtol=0, atol=1e-12)


def test_every_place_is_tried() -> None:
    names = {name for name in vars(MODEL) if name.startswith("dropout_")} - {"dropout_mask"}
    assert PLACES == names == EFFECTS.keys()


CASES = [
    (mask, place, wiring)
    for mask in DropoutMask
    for place in sorted(PLACES)
    for wiring in WIRINGS
    if place != "dropout_recurrent" or mask == DropoutMask.sentence  # others are refused
    if place != "dropout_readout" or not WIRINGS[wiring].input_feeding  # the readout is fed, too: see below
]


@pytest.mark.parametrize("pairs", [EQUAL, PAIRS], ids=["equal", "mixed"])
@pytest.mark.parametrize(("mask", "place", "wiring"), CASES)
def test_a_rate_acts_at_its_place_only(mask: DropoutMask, place: str, wiring: str, pairs: Any) -> None:
    assert_drops(replace(WIRINGS[wiring], dropout_mask=mask), {place: 1.0}, {place}, pairs)


@MASKS
def test_the_common_rate_is_that_of_embeddings_layers_and_readout(mask: DropoutMask) -> None:
    config = replace(WIRINGS["between"], dropout_mask=mask)
    common = ["dropout_src_embedding", "dropout_tgt_embedding", "dropout_layers", "dropout_readout"]
    for place in common:
        others = {other: 0.0 for other in common if other != place}
        assert_drops(config, {"dropout": 1.0, **others}, {place})


@KINDS
def test_the_recurrent_rate_acts_in_every_cell(kind: CellKind) -> None:
    config = replace(WIRINGS["after"], cell=kind, dropout_mask=DropoutMask.sentence)
    for one in (config, replace(config, attention_placement=AttentionPlacement.before)):
        assert_drops(one, {"dropout_recurrent": 1.0}, {"dropout_recurrent"})


@torch.no_grad()
def test_a_readout_that_is_fed_is_fed_with_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step reads no readout yet; then the dropped ones are zeros, as in a decoder that feeds zeros."""
    config = replace(WIRINGS["after"], input_feeding=True, dropout_readout=1.0)
    dropping, plain = tiny_model(config).train(), tiny_model(config).eval()
    batch = batch_of()
    assert not dropping(batch).any()
    read: list[Tensor] = []
    read_out = DecoderWiring.read_out

    def spy(self: DecoderWiring, advanced: Advanced, embedded_NX: Tensor) -> Tensor:
        assert advanced.context_NX is not None
        read.append(torch.cat((advanced.top_NH, advanced.context_NX), 1))
        return read_out(self, advanced, embedded_NX)

    monkeypatch.setattr(DecoderWiring, "read_out", spy)
    dropping(batch)
    state = plain.decoder.start(plain.encode(batch.src_BS, batch.src_len_B))
    wiring = plain.decoder.wiring()
    for prev_B, expected_BX in zip(batch.tgt_in_BT.t(), read, strict=True):
        embedded_BE = plain.decoder.embedding(prev_B)
        advanced = wiring.advance(embedded_BE, embedded_BE, state)  # never fed: always zeros
        assert advanced.context_NX is not None
        torch.testing.assert_close(torch.cat((advanced.top_NH, advanced.context_NX), 1), expected_BX)
        state = advanced.state


@pytest.mark.parametrize("name", FAMILY)
@MASKS
@torch.no_grad()
def test_evaluation_has_no_dropout(mask: DropoutMask, name: str) -> None:
    places = PLACES if mask == DropoutMask.sentence else PLACES - {"dropout_recurrent"}
    rates: dict[str, Any] = dict.fromkeys(places, 0.5)
    plain = tiny_model(FAMILY[name], src_vocab_size=12).eval()
    dropping = tiny_model(replace(FAMILY[name], dropout=0.5, dropout_mask=mask, **rates), src_vocab_size=12)
    torch.manual_seed(1)
    assert not torch.allclose(dropping.train()(batch_of()), plain(batch_of()))
    assert torch.equal(dropping.eval()(batch_of()), plain(batch_of()))


@pytest.mark.parametrize("name", FAMILY)
def test_without_rates_training_takes_no_random_numbers(name: str) -> None:
    model = tiny_model(FAMILY[name], src_vocab_size=12)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found_MH = model.train()(batch_of())
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(found_MH, model.eval()(batch_of()), rtol=0, atol=1e-12)


# --- one mask a sentence ---


@pytest.mark.parametrize("lengths", [None, [6, 2, 4]], ids=["equal", "mixed"])
@MASKS
@torch.no_grad()
def test_a_sentence_has_one_mask_between_layers(mask: DropoutMask, lengths: list[int] | None) -> None:
    shape = StackShape(CellKind.gru, 4, 50, 2)
    rnn = LayerStack(shape, name="encoder", dropouts=Dropouts(0.5, 0.0)).double()
    for parameter in rnn.parameters():
        parameter.copy_(normal(*parameter.shape))
    read: list[Tensor] = []
    rnn.layer(1).register_forward_pre_hook(lambda _module, args: read.append(args[0]))
    torch.manual_seed(1)
    rnn(normal(6, 3, 4), lengths_B=None if lengths is None else torch.tensor(lengths), noise=Noise(mask))
    is_dropped_PH = read[0] == 0
    # packed: step t has the rows of the sentences longer than t, the longest first
    sizes = [sum(length > t for length in lengths or [6] * 3) for t in range(6)]
    masks_of = [
        torch.stack([is_dropped_PH[sum(sizes[:t]) + row] for t, size in enumerate(sizes) if row < size])
        for row in range(3)
    ]
    for mask_TH in masks_of:
        assert 0.2 < mask_TH[0].double().mean() < 0.8
        assert bool((mask_TH == mask_TH[0]).all()) == (mask == DropoutMask.sentence)
    assert not torch.equal(masks_of[0][0], masks_of[1][0])


@pytest.mark.parametrize("name", FAMILY)
@torch.no_grad()
def test_masks_of_a_pass_are_the_same_at_every_step(name: str) -> None:
    """With the same noise, steps are the whole sequence, which has one mask a sentence at every place."""
    config = replace(
        FAMILY[name],
        dropout_mask=DropoutMask.sentence,
        dropout_layers=0.5,
        dropout_recurrent=0.5,
        dropout_readout=0.5,
        dropout_tgt_embedding=0.5,
    )
    if config.input_feeding or config.attention_placement == AttentionPlacement.before:
        config = replace(config, input_feeding=False, attention_placement=AttentionPlacement.after)
        config = replace(config, readout_dim=7, readout_input=ReadoutInput.state_context, output_bottleneck=None)
    decoder = tiny_model(config, src_vocab_size=12).decoder
    batch = batch_of()
    model = tiny_model(config, src_vocab_size=12).eval()
    state = model.decoder.start(model.encode(batch.src_BS, batch.src_len_B))
    noise = Noise(DropoutMask.sentence)
    torch.manual_seed(1)
    embedded_TBE = decoder.embedding(batch.tgt_in_BT.t())
    expected_TBH = decoder._run_at_once(embedded_TBE, state, noise)
    drawn = torch.get_rng_state()
    found_TBH = decoder._run_steps(batch.tgt_in_BT.t(), embedded_TBE, state, noise, sampling=0.0)
    assert torch.equal(torch.get_rng_state(), drawn)  # no other masks
    torch.testing.assert_close(found_TBH, expected_TBH, rtol=0, atol=1e-12)
    other_TBH = decoder._run_at_once(embedded_TBE, state, Noise(DropoutMask.sentence))
    assert not torch.allclose(other_TBH, expected_TBH)


@KINDS
@torch.no_grad()
def test_a_recurrent_mask_is_that_of_the_sentence_at_every_step(kind: CellKind) -> None:
    rnn = LayerStack(StackShape(kind, 4, 5, 1), name="encoder", dropouts=Dropouts(0.0, 0.5)).double()
    for number, parameter in enumerate(rnn.parameters()):
        parameter.copy_(0.7 * normal(*parameter.shape, seed=number))
    noise, input_TBE, lengths = Noise(DropoutMask.sentence), normal(6, 3, 4), [2, 6, 3]
    torch.manual_seed(3)
    output_TBH, _ = rnn(input_TBE, lengths_B=torch.tensor(lengths), noise=noise)
    after = torch.get_rng_state()
    mask_BH = noise.mask("encoder layer 1, forward state", input_TBE, (3, 5), 0.5)
    torch.manual_seed(3)
    assert torch.equal(mask_BH, dropout(torch.ones(3, 5, dtype=torch.float64), 0.5, training=True))
    assert torch.equal(torch.get_rng_state(), after)  # there is no other mask
    assert set(mask_BH.flatten().tolist()) == {0.0, 2.0}
    for place, row in enumerate([1, 2, 0]):  # packed sentences are in order of length
        cell = rnn.directions()[0].cell(hidden_mask_BH=mask_BH[[place]])
        state = cell.initial_state(cell.input_gates(input_TBE[0, [row]]))
        for t in range(lengths[row]):
            gates_1G = cell.input_gates(input_TBE[t, [row]])
            state = cell.step(gates_1G, state)
            torch.testing.assert_close(output_TBH[t, [row]], state[0], rtol=0, atol=1e-12)
