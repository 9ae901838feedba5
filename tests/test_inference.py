"""The fast implementation of a model computes the same as the model."""

from dataclasses import replace

import pytest
import torch

from nmt.config import Implementation, SearchPrecision, SourceOrder
from nmt.corpus.batching import collate, pad_source
from nmt.model.decoder import DecoderState
from nmt.model.fast.inference import FastDecoder, FastEncoder, FastModel, prepare_for_inference
from nmt.model.recurrent import RecurrentState
from nmt.model.seq2seq import Seq2Seq
from tests.hardware import needs_bf16, needs_int8
from tests.models import MODEL, PAIRS, Pair, tiny_model

CPU = torch.device("cpu")


def make_model(*, num_layers: int = 2, hidden_dim: int = 16) -> Seq2Seq:
    config = replace(MODEL, num_layers=num_layers, hidden_dim=hidden_dim, init_range=0.5)
    return tiny_model(config, dtype=torch.float32)


def state_of(model: Seq2Seq, num_rows: int) -> DecoderState:
    generator = torch.Generator().manual_seed(7)
    shape = (model.config.num_layers, num_rows, model.config.hidden_dim)
    h_LNH, c_LNH = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    return DecoderState(RecurrentState.unstack(h_LNH, c_LNH))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@torch.no_grad()
def test_a_fast_fp32_step_is_the_plain_step(num_layers: int) -> None:
    model = make_model(num_layers=num_layers, hidden_dim=32).eval()
    prev_N, state = torch.tensor([2, 5, 7, 5]), state_of(model, 4)
    logits_NV, after = model.decoder.step(prev_N, state)
    fast_logits_NV, fast_after = FastDecoder(model.decoder, SearchPrecision.fp32).step(prev_N, state)
    torch.testing.assert_close(fast_logits_NV, logits_NV, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast_after.recurrent, after.recurrent, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("source_order", list(SourceOrder))
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:1], [PAIRS[4]]], ids=["unequal", "one", "empty"])
@torch.no_grad()
def test_steps_from_the_source_on_are_the_whole_sequence(
    pairs: list[Pair], source_order: SourceOrder, num_layers: int
) -> None:
    """Float32 laid out for speed, step by step, against the plain model in float64 with teacher forcing."""
    config = replace(MODEL, num_layers=num_layers, source_order=source_order)
    model, exact = (tiny_model(config, dtype=dtype).eval() for dtype in (torch.float32, torch.float64))
    batch = collate([src for src, _ in pairs], [tgt for _, tgt in pairs])
    hidden_TBH = exact.decoder(batch.tgt_in_BT, exact.decoder.start(exact.encode(batch.src_BS, batch.src_len_B)))
    fast = prepare_for_inference(model, device=CPU, precision=SearchPrecision.fp32)
    assert isinstance(fast, FastModel)
    state = fast.decoder.start(fast.encode(batch.src_BS, batch.src_len_B))
    for prev_B, expected_BV in zip(batch.tgt_in_BT.t(), exact.decoder.output(hidden_TBH), strict=True):
        logits_BV, state = fast.decoder.step(prev_B, state)
        torch.testing.assert_close(logits_BV.double(), expected_BV, rtol=0, atol=1e-5)


@torch.no_grad()
def test_without_a_table_input_gates_are_computed_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().eval()
    prev_N, state = torch.tensor([4, 6]), state_of(model, 2)
    with_table, _ = FastDecoder(model.decoder, SearchPrecision.fp32).step(prev_N, state)
    monkeypatch.setattr("nmt.model.fast.linear.TABLE_BYTES", 0)
    without_table, _ = FastDecoder(model.decoder, SearchPrecision.fp32).step(prev_N, state)
    torch.testing.assert_close(with_table, without_table, rtol=1e-5, atol=1e-5)


@needs_int8
@torch.no_grad()
def test_int8_rounds_states_to_127ths_and_weights_per_output() -> None:
    model = make_model(num_layers=1, hidden_dim=32).eval()
    prev_N, state = torch.tensor([2, 5, 7, 5]), state_of(model, 4)
    _, after = FastDecoder(model.decoder, SearchPrecision.int8).step(prev_N, state)
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = model.decoder.rnn.lstm.all_weights[0]
    scale_G1 = weight_hh_GH.abs().amax(1, keepdim=True) / 127
    rounded_hh_GH = (weight_hh_GH / scale_G1).round() * scale_G1
    rounded_h_NH = (state.recurrent.h_LNH[0] * 127).round() / 127
    gates_NG = model.decoder.embedding(prev_N) @ weight_ih_GE.t() + rounded_h_NH @ rounded_hh_GH.t()
    i, f, g, o = (gates_NG + bias_ih_G + bias_hh_G).chunk(4, 1)
    c_NH = f.sigmoid() * state.recurrent.c_LNH[0] + i.sigmoid() * g.tanh()
    torch.testing.assert_close(after.recurrent.c_LNH[0], c_NH, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after.recurrent.h_LNH[0], o.sigmoid() * c_NH.tanh(), rtol=1e-4, atol=1e-5)


@needs_int8
@torch.no_grad()
def test_in_int8_other_sentences_change_no_row() -> None:
    model = make_model(num_layers=2, hidden_dim=32).eval()
    decoder = FastDecoder(model.decoder, SearchPrecision.int8)
    prev_N, state = torch.tensor([2, 5, 7, 9, 8]), state_of(model, 5)
    together, _ = decoder.step(prev_N, state)
    for row in range(5):
        alone, _ = decoder.step(prev_N[row : row + 1], state.select(torch.tensor([row])))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_fp32_encodes_as_the_model_does() -> None:
    model = make_model().eval()
    src_BS, lengths_B = pad_source([[4, 5, 6], [7, 8]])
    final = FastModel(model, SearchPrecision.fp32).encode(src_BS, lengths_B).final
    expected = model.encode(src_BS, lengths_B).final
    assert torch.equal(final.h_LNH, expected.h_LNH)
    assert torch.equal(final.c_LNH, expected.c_LNH)


@needs_bf16
@torch.no_grad()
def test_bf16_multiplies_in_bf16_and_keeps_states_in_float32() -> None:
    model = make_model(hidden_dim=32).eval()
    fast = prepare_for_inference(model, device=CPU, precision=SearchPrecision.bf16)
    assert isinstance(fast, FastModel)
    state = fast.decoder.start(fast.encode(*pad_source([[4, 5, 6], [7, 8, 9]])))
    logits_NV, after = fast.decoder.step(torch.tensor([2, 2]), state)
    assert logits_NV.dtype == torch.bfloat16
    for recurrent in (state.recurrent, after.recurrent):
        assert {part.dtype for layer in recurrent.layers for part in layer} == {torch.float32}


@needs_int8
@torch.no_grad()
def test_int8_rounds_encoder_and_decoder() -> None:
    model = make_model(hidden_dim=32).eval()
    source = pad_source([[4, 5, 6], [7, 8]])
    exact, fast = (
        prepare_for_inference(model, device=CPU, precision=precision)
        for precision in (SearchPrecision.fp32, SearchPrecision.int8)
    )
    assert isinstance(fast, FastModel)
    assert not torch.equal(fast.encode(*source).final.h_LNH, exact.encode(*source).final.h_LNH)
    prev_N, state = torch.tensor([2, 5]), state_of(model, 2)
    assert not torch.equal(fast.decoder.step(prev_N, state)[0], exact.decoder.step(prev_N, state)[0])


def test_a_float64_model_is_searched_unchanged() -> None:
    model = make_model().double().eval()
    assert prepare_for_inference(model, device=CPU, precision=SearchPrecision.fp32) is model


def test_a_float32_model_is_laid_out_for_speed_on_a_cpu() -> None:
    assert isinstance(prepare_for_inference(make_model().eval(), device=CPU, precision=SearchPrecision.fp32), FastModel)


def test_the_reference_implementation_is_the_model_itself() -> None:
    model = make_model().eval()
    model.implementation = Implementation.reference
    assert prepare_for_inference(model, device=CPU, precision=SearchPrecision.fp32) is model
    in_bf16 = prepare_for_inference(model, device=CPU, precision=SearchPrecision.bf16)
    assert isinstance(in_bf16, Seq2Seq)
    assert in_bf16.implementation == Implementation.reference
    assert in_bf16.decoder.output.weight.dtype == torch.bfloat16
    assert model.decoder.output.weight.dtype == torch.float32  # a copy was converted


@needs_int8
@pytest.mark.parametrize("lengths", [[5, 5, 5], [2, 5, 3]])
@torch.no_grad()
def test_the_int8_encoder_reads_like_the_encoder_up_to_its_rounding(lengths: list[int]) -> None:
    model = make_model(num_layers=2, hidden_dim=32).eval()
    src_BS, lengths_B = pad_source(
        [[4 + (3 * row + column) % 7 for column in range(n - 1)] for row, n in enumerate(lengths)]
    )
    exact, fast = (
        model.encode(src_BS, lengths_B),
        FastEncoder(model.encoder, SearchPrecision.int8).encode(src_BS, lengths_B),
    )
    torch.testing.assert_close(fast.final, exact.final, rtol=0, atol=0.03)
    torch.testing.assert_close(fast.output_SBH, exact.output_SBH, rtol=0, atol=0.03)
    assert not torch.equal(fast.final.h_LNH, exact.final.h_LNH)
