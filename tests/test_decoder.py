"""The decoder computes the same step by step as with teacher forcing."""

from dataclasses import replace

import pytest
import torch

from nmt.corpus.batching import collate, pad_source
from nmt.model.decoder import DecoderState
from nmt.model.seq2seq import Seq2Seq
from tests.models import MODEL, PAIRS, tiny_model

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


@torch.no_grad()
def test_it_starts_from_the_encoders_final_states_layer_by_layer() -> None:
    model = tiny_model()
    encoding = model.encode(BATCH.src_BS, BATCH.src_len_B)
    recurrent = model.decoder.start(encoding).recurrent
    assert torch.equal(recurrent.h_LNH, encoding.final.h_LNH)
    assert torch.equal(recurrent.c_LNH, encoding.final.c_LNH)


@torch.no_grad()
def test_a_position_reads_no_later_token() -> None:
    model = tiny_model()
    hidden_TBH = model.decoder(BATCH.tgt_in_BT, start(model))
    changed_BT = BATCH.tgt_in_BT.clone()
    changed_BT[:, 3:] = 4
    changed_TBH = model.decoder(changed_BT, start(model))
    torch.testing.assert_close(changed_TBH[:3], hidden_TBH[:3], rtol=0, atol=1e-12)
    assert not torch.allclose(changed_TBH[3:], hidden_TBH[3:])


@torch.no_grad()
def test_selected_and_joined_rows_continue_unchanged() -> None:
    model = tiny_model()
    state = start(model)
    prev_N = torch.tensor([4, 5, 6, 7, 8])
    rows_N = torch.tensor([2, 2, 0, 4])
    logits_NV, after = model.decoder.step(prev_N, state)
    selected_NV, selected_after = model.decoder.step(prev_N[rows_N], state.select(rows_N))
    torch.testing.assert_close(selected_NV, logits_NV[rows_N], rtol=0, atol=1e-12)
    torch.testing.assert_close(selected_after.recurrent.c_LNH, after.select(rows_N).recurrent.c_LNH, rtol=0, atol=1e-12)
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
