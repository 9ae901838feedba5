"""The fast implementation of a model computes the same as the model."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import Connection, Implementation, SearchPrecision, SourceOrder
from nmt.config import ModelConfig
from nmt.corpus.batching import collate, pad_source
from nmt.model.decoder_state import DecoderState
from nmt.model.encoder import encoder_shape
from nmt.model.fast.inference import (
    FastDecoder,
    FastEncoder,
    FastModel,
    Part,
    make_map,
    output_limit,
    prepare_for_inference,
)
from nmt.model.fast.linear import Int8Linear
from nmt.model.seq2seq import Seq2Seq
from tests.family import FAMILY
from tests.hardware import needs_bf16, needs_int8
from tests.models import MODEL, PAIRS, Pair, cell_states, hidden_states, lstm_state, normal, tiny_model

CPU = torch.device("cpu")
# the largest error, in standard deviations of the logits
PRECISIONS = [
    (SearchPrecision.fp32, 2e-5),
    pytest.param(SearchPrecision.bf16, 0.08, marks=needs_bf16),
    pytest.param(SearchPrecision.int8, 0.2, marks=needs_int8),
]


def make_model(*, num_layers: int = 2, hidden_dim: int = 16) -> Seq2Seq:
    config = replace(MODEL, num_layers=num_layers, hidden_dim=hidden_dim, init_range=0.5)
    return tiny_model(config, dtype=torch.float32)


def state_of(model: Seq2Seq, num_rows: int) -> DecoderState:
    generator = torch.Generator().manual_seed(7)
    shape = (model.config.num_layers, num_rows, model.config.hidden_dim)
    h_LNH, c_LNH = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    return DecoderState(lstm_state(h_LNH, c_LNH))


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
def step_errors(
    config: ModelConfig, precision: SearchPrecision, implementation: Implementation = Implementation.fast
) -> tuple[float, float]:
    """Step through rows of several sentences in another order, and after a while through fewer of them.

    Returns:
        The largest difference to the logits of the plain model in float64 with teacher forcing, and the standard
        deviation of these.
    """
    model, exact = (tiny_model(config, src_vocab_size=12, dtype=one).eval() for one in (torch.float32, torch.float64))
    model.implementation = implementation
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])
    expected_TBV = exact.decoder.output(
        exact.decoder(batch.tgt_in_BT, exact.decoder.start(exact.encode(batch.src_BS, batch.src_len_B)))
    )
    made = prepare_for_inference(model, device=CPU, precision=precision)
    assert isinstance(made, FastModel) == (implementation == Implementation.fast)
    sentence_N = torch.tensor([3, 0, 0, 2, 3, 3])
    state = made.decoder.start(made.encode(batch.src_BS, batch.src_len_B)).select(sentence_N)
    errors = []
    for t, prev_B in enumerate(batch.tgt_in_BT.t()):
        logits_NV, state = made.decoder.step(prev_B[sentence_N], state)
        errors.append(float((logits_NV.double() - expected_TBV[t, sentence_N]).abs().max()))
        if t == 3:
            kept_N = torch.tensor([4, 2, 3])
            sentence_N, state = sentence_N[kept_N], state.select(kept_N)
    return max(errors), float(expected_TBV.std())


@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("name", FAMILY)
def test_every_wiring_steps_like_the_model(name: str, precision: SearchPrecision, tolerance: float) -> None:
    error, std = step_errors(FAMILY[name], precision)
    assert error < tolerance * std
    assert error > 1e-4 * std or precision == SearchPrecision.fp32  # it is the lower precision


@needs_bf16
@pytest.mark.parametrize("name", FAMILY)
def test_the_reference_steps_in_bf16(name: str) -> None:
    error, std = step_errors(FAMILY[name], SearchPrecision.bf16, Implementation.reference)
    assert 1e-3 * std < error < 0.15 * std  # states are bf16, too


@needs_int8
@pytest.mark.parametrize("name", FAMILY)
def test_no_input_of_an_int8_map_is_beyond_its_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger value would wrap around; all gates are saturated here, so that states reach their limits."""
    read: list[float] = []
    quantized = Int8Linear._quantized

    def spy(self: Int8Linear, input_NI: Tensor) -> Any:
        read.append(float(input_NI.abs().max()) * self._steps)
        return quantized(self, input_NI)

    monkeypatch.setattr(Int8Linear, "_quantized", spy)
    step_errors(replace(FAMILY[name], init_range=9.0), SearchPrecision.int8)
    assert 100 < max(read) <= 127 + 1e-3


def test_limits_of_the_outputs_of_layers() -> None:
    config = replace(MODEL, num_layers=6, connection_from=3)
    limits = {
        connection: [
            output_limit(encoder_shape(replace(config, connection=connection)), index) for index in range(-1, 6)
        ]
        for connection in Connection
    }
    assert limits[Connection.plain] == limits[Connection.highway] == [1, 1, 1, 1, 1, 1, 1]
    assert limits[Connection.residual] == [1, 1, 1, 2, 3, 4, 5]  # |h + x| ≤ 1 + |x|


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 2, 0, 3], [1, 0, 3, 2], [3, 2, 1], [0], [0, 2, 0]])
def test_a_map_of_tokens_and_other_inputs_is_that_of_all_side_by_side(order: list[int]) -> None:
    embedding_VE, token_N = normal(9, 4, seed=7, dtype=torch.float32), torch.tensor([2, 8, 2])
    given = [token_N, *(normal(3, size, seed=size, dtype=torch.float32) for size in (5, 2, 6))]
    parts = [Part(4, embedding_VE=embedding_VE), Part(5), Part(2), Part(6)]
    whole_NI = torch.cat([embedding_VE[token_N] if number == 0 else given[number] for number in order], dim=1)
    weight_OI, bias_O = normal(7, whole_NI.shape[1], dtype=torch.float32), normal(7, seed=3, dtype=torch.float32)
    made = make_map([parts[number] for number in order], SearchPrecision.fp32, weight_OI, bias_O)
    found_NO = made(*(given[number] for number in order))
    torch.testing.assert_close(found_NO, whole_NI @ weight_OI.t() + bias_O, rtol=1e-5, atol=1e-5)


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
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G, _ = model.decoder.rnn.layer(0).forwards.cell_weights
    scale_G1 = weight_hh_GH.abs().amax(1, keepdim=True) / 127
    rounded_hh_GH = (weight_hh_GH / scale_G1).round() * scale_G1
    rounded_h_NH = (hidden_states(state.recurrent)[0] * 127).round() / 127
    gates_NG = model.decoder.embedding(prev_N) @ weight_ih_GE.t() + rounded_h_NH @ rounded_hh_GH.t()
    i, f, g, o = (gates_NG + bias_ih_G + bias_hh_G).chunk(4, 1)
    c_NH = f.sigmoid() * cell_states(state.recurrent)[0] + i.sigmoid() * g.tanh()
    torch.testing.assert_close(cell_states(after.recurrent)[0], c_NH, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(hidden_states(after.recurrent)[0], o.sigmoid() * c_NH.tanh(), rtol=1e-4, atol=1e-5)


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
    assert torch.equal(hidden_states(final), hidden_states(expected))
    assert torch.equal(cell_states(final), cell_states(expected))


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
    assert not torch.equal(hidden_states(fast.encode(*source).final), hidden_states(exact.encode(*source).final))
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
    exact, fast = model.encode(src_BS, lengths_B), FastEncoder(model.encoder)(src_BS, lengths_B)
    torch.testing.assert_close(fast.final, exact.final, rtol=0, atol=0.03)
    torch.testing.assert_close(fast.output_SBH, exact.output_SBH, rtol=0, atol=0.03)
    assert not torch.equal(hidden_states(fast.final), hidden_states(exact.final))


@needs_bf16
@pytest.mark.parametrize("name", FAMILY)
@torch.no_grad()
def test_in_bf16_no_state_is_rounded_between_steps(name: str) -> None:
    model = tiny_model(FAMILY[name], src_vocab_size=12, dtype=torch.float32).eval()
    fast = FastModel(model, SearchPrecision.bf16)
    state = fast.decoder.start(fast.encode(*pad_source([[4, 5, 6], [7, 8]])))
    for _ in range(2):
        _, state = fast.decoder.step(torch.tensor([4, 5]), state)
        assert {part.dtype for layer in state.recurrent.layers for part in layer} == {torch.float32}
