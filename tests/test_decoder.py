"""The decoder computes the same step by step as with teacher forcing, in every wiring."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import AttentionPlacement, AttentionScore, Bridge, CellKind, DropoutMask, ReadoutInput, ReadoutKind
from nmt.config import ModelConfig
from nmt.corpus.batching import collate, pad_source
from nmt.model.cell import PlainMap
from nmt.model.decoder import HoistedMap
from nmt.model.decoder_state import DecoderState
from nmt.model.dropout import Noise
from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import BOS_ID
from tests.family import FAMILY
from tests.models import MODEL, PAIRS, cell_states, hidden_states, normal, tiny_model

MODELS = pytest.mark.parametrize("config", [MODEL, *FAMILY.values()], ids=["paper", *FAMILY])
BATCH = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])


def start(model: Seq2Seq) -> DecoderState:
    return model.decoder.start(model.encode(BATCH.src_BS, BATCH.src_len_B))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
@pytest.mark.parametrize("num_layers", [1, 3])
@torch.no_grad()
def test_steps_equal_teacher_forcing(dtype: torch.dtype, tolerance: float, num_layers: int) -> None:
    model = tiny_model(replace(MODEL, num_layers=num_layers), dtype=dtype).eval()
    forced_TBV = model.decoder.output(model.decoder(BATCH.tgt_in_BT, start(model)))
    state = start(model)
    for prev_B, expected_BV in zip(BATCH.tgt_in_BT.t(), forced_TBV, strict=True):
        logits_BV, state = model.decoder.step(prev_B, state)
        torch.testing.assert_close(logits_BV, expected_BV, rtol=0, atol=tolerance)


def wirings() -> list[ModelConfig]:
    """Return every combination of score, placement, input feeding, source vector and input skip connections."""
    attention: list[dict[str, Any]] = [{}]
    attention += [
        {"attention": score, "attention_placement": placement}
        for score in AttentionScore
        for placement in AttentionPlacement
        if score != AttentionScore.none
    ]
    configs = []
    for number, parts in enumerate(attention):
        for feeding in (False, True):
            for source_vector in (False, True):
                has_context = bool(parts) or source_vector
                configs.append(
                    replace(
                        MODEL,
                        **parts,
                        name=", ".join([*parts.values(), *["fed"] * feeding, *["vector"] * source_vector]) or "plain",
                        cell=list(CellKind)[number % len(CellKind)],
                        num_layers=2 + number // 2 % 2,
                        attention_dim=6 if parts else None,
                        bridge=Bridge.dense,
                        input_feeding=feeding,
                        source_vector=source_vector,
                        input_skip=number % 2 == 0,
                        readout=ReadoutKind.tanh,
                        readout_dim=6,
                        readout_input=ReadoutInput.state_context_embedding if has_context else ReadoutInput.state,
                    )
                )
    return configs


@pytest.mark.parametrize("config", wirings(), ids=lambda config: config.name)
@torch.no_grad()
def test_steps_of_any_rows_equal_teacher_forcing_in_every_wiring(config: ModelConfig) -> None:
    """As in search: rows of the sentences in any order, several of some, none of others."""
    model = tiny_model(config).eval()
    forced_TBV = model.decoder.output(model.decoder(BATCH.tgt_in_BT, start(model)))
    sentence_N = torch.tensor([3, 0, 0, 2, 3, 3])
    state = start(model).select(sentence_N)
    for t, prev_B in enumerate(BATCH.tgt_in_BT.t()):
        logits_NV, state = model.decoder.step(prev_B[sentence_N], state)
        torch.testing.assert_close(logits_NV, forced_TBV[t, sentence_N], rtol=0, atol=1e-12)
        if t == 2:
            kept_N = torch.tensor([4, 2, 3])
            sentence_N, state = sentence_N[kept_N], state.select(kept_N)


def by_the_equations(model: Seq2Seq, src: list[int], tgt: list[int]) -> Tensor:
    """Compute the logits of one sentence, part by part, in the order of nmt/model/decoder.py."""
    decoder, config = model.decoder, model.config
    start = decoder.start(model.encode(*pad_source([src])))
    attention, vector_X = decoder.attention, None
    if start.memory is not None and start.memory.vector_BX is not None:
        vector_X = start.memory.vector_BX[0]

    def context_of(h_H: Tensor) -> Tensor:
        assert attention is not None
        assert start.memory is not None
        return attention.over()(h_H.view(1, 1, -1), start.memory).context_BQD[0, 0]

    placement = None if attention is None else config.attention_placement
    layers = [*decoder.rnn.directions(), *(decoder.upper.directions() if decoder.upper is not None else ())]
    states = list(start.recurrent.layers)
    feed_X = torch.zeros(decoder.shape.feed_dim, dtype=torch.float64)
    logits = []
    for token in [BOS_ID, *tgt]:
        embedding_E = decoder.embedding.weight[token]
        context_X = vector_X
        x = [embedding_E, *([] if vector_X is None else [vector_X]), *([feed_X] if config.input_feeding else [])]
        if placement == AttentionPlacement.before:
            context_X = context_of(states[-1][0][0])
            x.append(context_X)
        inputs = x
        for number, layer in enumerate(layers):
            cell = layer.cell()
            states[number] = cell.step(cell.input_gates(torch.cat(inputs).unsqueeze(0)), states[number])
            h_H = states[number][0][0]
            inputs = [h_H]
            if placement == AttentionPlacement.between:
                context_X = context_of(h_H) if number == 0 else context_X
                assert context_X is not None
                inputs.append(context_X)
            inputs += x if config.input_skip else []
        if placement == AttentionPlacement.after:
            context_X = context_of(h_H)
        read = [h_H] if context_X is None else [h_H, context_X, embedding_E]
        assert decoder.readout.linear is not None
        feed_X = torch.tanh(decoder.readout.linear(torch.cat(read)))
        logits.append(decoder.output.weight @ feed_X + decoder.output.bias)
    return torch.stack(logits)


@pytest.mark.parametrize("config", wirings(), ids=lambda config: config.name)
@torch.no_grad()
def test_a_wiring_is_its_equations(config: ModelConfig) -> None:
    model = tiny_model(config).eval()
    src, tgt = PAIRS[1]
    batch = collate([src], [tgt])
    torch.testing.assert_close(
        model.decoder.output(model(batch)), by_the_equations(model, src, tgt), rtol=0, atol=1e-12
    )


@MODELS
@torch.no_grad()
def test_teacher_forcing_at_once_is_teacher_forcing_step_by_step(config: ModelConfig) -> None:
    model = tiny_model(config, src_vocab_size=12).eval()
    expected_TBH = model.decoder(BATCH.tgt_in_BT, start(model))
    torch.manual_seed(1)
    never = 1e-300  # sampling steps, but no random number is so small
    stepped_TBH = model.decoder(BATCH.tgt_in_BT, start(model), sampling=never)
    torch.testing.assert_close(stepped_TBH, expected_TBH, rtol=0, atol=1e-12)


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_map_of_which_a_part_is_computed_before_is_the_whole_map(with_bias: bool) -> None:
    weight_OI, bias_O = normal(6, 9, seed=1), normal(6, seed=2) if with_bias else None
    inputs = [normal(3, size, seed=size) for size in (4, 3, 2)]
    expected_NO = PlainMap(weight_OI, bias_O)(*inputs)
    hoisted = HoistedMap(weight_OI, bias_O, first_dim=4)
    torch.testing.assert_close(hoisted(hoisted.map_first(inputs[0]), *inputs[1:]), expected_NO, rtol=0, atol=1e-12)
    whole = HoistedMap(weight_OI, bias_O, first_dim=9)
    torch.testing.assert_close(whole(whole.map_first(torch.cat(inputs, 1))), expected_NO, rtol=0, atol=1e-12)


@torch.no_grad()
def test_it_starts_from_the_encoders_final_states_layer_by_layer() -> None:
    model = tiny_model()
    encoding = model.encode(BATCH.src_BS, BATCH.src_len_B)
    recurrent = model.decoder.start(encoding).recurrent
    assert torch.equal(hidden_states(recurrent), hidden_states(encoding.final))
    assert torch.equal(cell_states(recurrent), cell_states(encoding.final))


@MODELS
def test_a_position_reads_no_later_token_and_all_before(config: ModelConfig) -> None:
    model = tiny_model(config, src_vocab_size=12)
    embedded: list[Tensor] = []
    embed = model.decoder.embedding.register_forward_hook(lambda _module, _args, output: embedded.append(output))
    hidden_TBH = model.decoder(BATCH.tgt_in_BT, start(model))
    embed.remove()
    [embedded_TBE] = embedded
    for t in (0, 3, 6):
        [gradient_TBE] = torch.autograd.grad(hidden_TBH[t].square().sum(), embedded_TBE, retain_graph=True)
        assert not gradient_TBE[t + 1 :].any()
        assert gradient_TBE[: t + 1].any(2).all()


@MODELS
@torch.no_grad()
def test_selected_and_joined_rows_continue_unchanged(config: ModelConfig) -> None:
    model = tiny_model(config, src_vocab_size=12)
    state = start(model)
    prev_N = torch.tensor([4, 5, 6, 7, 8])
    rows_N = torch.tensor([2, 2, 0, 4])
    logits_NV, after = model.decoder.step(prev_N, state)
    selected_NV, selected_after = model.decoder.step(prev_N[rows_N], state.select(rows_N))
    torch.testing.assert_close(selected_NV, logits_NV[rows_N], rtol=0, atol=1e-12)
    torch.testing.assert_close(selected_after.recurrent, after.select(rows_N).recurrent, rtol=0, atol=1e-12)
    first, last = state.select(torch.tensor([0, 1])), state.select(torch.tensor([2, 3, 4]))
    joined_NV, _ = model.decoder.step(prev_N, first.concat(last))
    torch.testing.assert_close(joined_NV, logits_NV, rtol=0, atol=1e-12)


@torch.no_grad()
def test_dropout_acts_on_embeddings_and_outputs_only_in_training() -> None:
    config = replace(MODEL, num_layers=1)
    plain, dropping = tiny_model(config), tiny_model(replace(config, dropout=0.5))
    expected_TBH = plain.decoder(BATCH.tgt_in_BT, start(plain))
    state = start(plain)
    torch.manual_seed(1)
    hidden_TBH = dropping.train().decoder(BATCH.tgt_in_BT, state)
    is_dropped_TBH = hidden_TBH == 0
    assert 0.3 < is_dropped_TBH.double().mean() < 0.7  # of outputs: an LSTM's own are never exactly zero
    assert not torch.allclose(
        hidden_TBH[~is_dropped_TBH], 2 * expected_TBH[~is_dropped_TBH]
    )  # embeddings were dropped, too
    assert torch.equal(dropping.eval().decoder(BATCH.tgt_in_BT, state), expected_TBH)


@torch.no_grad()
def test_an_empty_source_can_be_translated() -> None:
    model = tiny_model()
    logits_1V, _ = model.decoder.step(torch.tensor([2]), model.decoder.start(model.encode(*pad_source([[]]))))
    assert logits_1V.shape == (1, 12)
    assert torch.isfinite(logits_1V).all()


@pytest.mark.parametrize("name", ["lstm", "attention_2x512", "luong_2015", "bahdanau_2015"])
@torch.no_grad()
def test_with_sampling_the_decoder_reads_its_own_predictions(name: str) -> None:
    """A distribution that is almost one-hot makes a sample the most probable token."""
    model = tiny_model(FAMILY[name]).eval()
    model.decoder.output.weight.mul_(1e4)
    sampled_TBH = model.decoder(BATCH.tgt_in_BT, start(model), sampling=1.0)
    prev_B, state = BATCH.tgt_in_BT[:, 0], start(model)
    predicted = []
    for hidden_BH in sampled_TBH:
        logits_BV, state = model.decoder.step(prev_B, state)
        torch.testing.assert_close(model.decoder.output(hidden_BH), logits_BV, rtol=1e-9, atol=1e-9)
        prev_B = logits_BV.argmax(1)
        predicted.append(prev_B)
    assert not torch.equal(torch.stack(predicted[:-1]), BATCH.tgt_in_BT.t()[1:])  # they are not the true tokens


@torch.no_grad()
def test_a_share_of_the_tokens_is_sampled() -> None:
    torch.manual_seed(1)
    model = tiny_model()
    model.decoder.output.bias[7] += 1e4
    choice = Noise(DropoutMask.value)
    token_B = model.decoder._sample(normal(10_000, MODEL.hidden_dim), torch.full((10_000,), 5), 0.3, choice)
    assert set(token_B.tolist()) == {5, 7}
    assert float((token_B == 7).double().mean()) == pytest.approx(0.3, abs=0.02)
