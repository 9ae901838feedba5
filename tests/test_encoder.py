"""The encoder: source order, padding, and what it passes to the decoder."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmt.choices import SourceOrder
from nmt.corpus.batching import pad_source
from nmt.model.encoder import reverse_source
from nmt.text.subword import EOS_ID, PAD_ID
from tests.models import MODEL, PAIRS, cell_states, hidden_states, tiny_model

SOURCES = [src for src, _ in PAIRS]


def test_the_source_is_reversed_except_eos_and_padding() -> None:
    a, b, c, d = 4, 5, 6, 7
    src_BS, lengths_B = pad_source([[a, b, c], [a, b, c, d], [a], []])
    assert reverse_source(src_BS, lengths_B).tolist() == [
        [c, b, a, EOS_ID, PAD_ID],
        [d, c, b, a, EOS_ID],
        [a, EOS_ID, PAD_ID, PAD_ID, PAD_ID],
        [EOS_ID, PAD_ID, PAD_ID, PAD_ID, PAD_ID],
    ]


def test_reversing_twice_gives_the_source_back() -> None:
    src_BS, lengths_B = pad_source(SOURCES)
    assert torch.equal(reverse_source(reverse_source(src_BS, lengths_B), lengths_B), src_BS)


@pytest.mark.parametrize("sources", [SOURCES, [[4, 5, 6], [7, 8, 9], [6, 4, 4]], [[4, 5, 6]]], ids=len)
@torch.no_grad()
def test_reversed_order_is_forward_order_of_reversed_sentences(sources: list[list[int]]) -> None:
    reversing = tiny_model(replace(MODEL, source_order=SourceOrder.reversed)).encoder
    forward = tiny_model(replace(MODEL, source_order=SourceOrder.forward)).encoder
    encoding = reversing(*pad_source(sources))
    expected = forward(*pad_source([src[::-1] for src in sources]))
    assert torch.equal(hidden_states(encoding.final), hidden_states(expected.final))
    assert torch.equal(cell_states(encoding.final), cell_states(expected.final))
    assert torch.equal(encoding.output_SBH, expected.output_SBH)
    unreversed = forward(*pad_source(sources))
    assert not torch.allclose(hidden_states(unreversed.final), hidden_states(expected.final))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
@pytest.mark.parametrize("order", list(SourceOrder))
@torch.no_grad()
def test_padding_and_other_sentences_change_no_result(dtype: torch.dtype, tolerance: float, order: SourceOrder) -> None:
    encoder = tiny_model(replace(MODEL, source_order=order), dtype=dtype).encoder
    together = encoder(*pad_source(SOURCES))

    def assert_close(actual: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)

    for row, src in enumerate(SOURCES):
        alone = encoder(*pad_source([src]))
        assert_close(hidden_states(together.final)[:, row], hidden_states(alone.final)[:, 0])
        assert_close(cell_states(together.final)[:, row], cell_states(alone.final)[:, 0])
        assert_close(together.output_SBH[: len(src) + 1, row], alone.output_SBH[:, 0])


@torch.no_grad()
def test_the_last_output_is_the_top_layers_final_hidden_state() -> None:
    encoding = tiny_model().encoder(*pad_source(SOURCES))
    assert encoding.lengths_B.tolist() == [5, 2, 7, 3, 1]
    for row, length in enumerate(encoding.lengths_B.tolist()):
        torch.testing.assert_close(
            encoding.output_SBH[length - 1, row], hidden_states(encoding.final)[-1, row], rtol=0, atol=1e-12
        )
        assert not encoding.output_SBH[length:, row].any()


@torch.no_grad()
def test_equal_lengths_need_no_packing_and_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_model().encoder
    src_BS, lengths_B = pad_source([[4, 5, 6], [7, 8, 9], [4, 4, 4]])
    packed_TBH, _ = encoder.rnn(encoder.embedding(reverse_source(src_BS, lengths_B).t()), lengths_B=lengths_B)
    monkeypatch.setattr("nmt.model.recurrent.pack_padded_sequence", None)
    torch.testing.assert_close(encoder(src_BS, lengths_B).output_SBH, packed_TBH, rtol=0, atol=1e-12)


@torch.no_grad()
def test_dropout_acts_on_embeddings_only_in_training() -> None:
    encoder = tiny_model(replace(MODEL, num_layers=1, dropout=0.5)).encoder
    expected = tiny_model(replace(MODEL, num_layers=1)).encoder(*pad_source(SOURCES)).output_SBH
    torch.manual_seed(1)
    assert not torch.allclose(encoder.train()(*pad_source(SOURCES)).output_SBH, expected)
    assert torch.equal(encoder.eval()(*pad_source(SOURCES)).output_SBH, expected)
