"""The whole model: sentences are independent of each other, and every parameter learns."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.choices import Implementation, SourceOrder
from nmt.config import ModelConfig
from nmt.corpus.batching import Batch, collate
from nmt.model.seq2seq import Seq2Seq
from tests.family import FAMILY
from tests.hardware import needs_bf16
from tests.models import MODEL, PAIRS, Pair, tiny_model

MODELS = pytest.mark.parametrize("config", [MODEL, *FAMILY.values()], ids=["paper", *FAMILY])


def batch_of(pairs: Sequence[Pair]) -> Batch:
    return collate([src for src, _ in pairs], [tgt for _, tgt in pairs])


def by_sentence(values_M: Tensor, batch: Batch) -> list[Tensor]:
    """Split values of the real target tokens of a batch by sentence."""
    sentence_M = batch.tgt_position_M % batch.num_sentences
    return [values_M[sentence_M == row] for row in range(batch.num_sentences)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
@pytest.mark.parametrize("order", list(SourceOrder))
@MODELS
@torch.no_grad()
def test_padding_and_other_sentences_change_no_result(
    config: ModelConfig, dtype: torch.dtype, tolerance: float, order: SourceOrder
) -> None:
    model = tiny_model(replace(config, source_order=order), src_vocab_size=12, dtype=dtype)
    batch = batch_of(PAIRS)
    logits = by_sentence(model.decoder.output(model(batch)), batch)
    log_probs = by_sentence(model.log_probs(batch), batch)
    for row, pair in enumerate(PAIRS):
        alone = batch_of([pair])
        assert len(logits[row]) == len(pair[1]) + 1
        torch.testing.assert_close(logits[row], model.decoder.output(model(alone)), rtol=0, atol=tolerance)
        torch.testing.assert_close(log_probs[row], model.log_probs(alone), rtol=0, atol=1e-5)  # computed in fp32


@MODELS
def test_padding_and_other_sentences_change_no_gradient(config: ModelConfig) -> None:
    def gradients(model: Seq2Seq) -> list[Tensor]:
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    together, alone = (tiny_model(config, src_vocab_size=12) for _ in range(2))
    together(batch_of(PAIRS)).sum().backward()  # type: ignore[no-untyped-call]
    for pair in PAIRS:
        alone(batch_of([pair])).sum().backward()  # type: ignore[no-untyped-call]
    for one, other in zip(gradients(together), gradients(alone), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@MODELS
@torch.no_grad()
def test_the_contents_of_padding_are_never_read(config: ModelConfig) -> None:
    model = tiny_model(config, src_vocab_size=12)
    batch = batch_of(PAIRS)
    src_BS, tgt_in_BT = batch.src_BS.clone(), batch.tgt_in_BT.clone()
    for row, (src, tgt) in enumerate(PAIRS):
        src_BS[row, len(src) + 1 :] = 9
        tgt_in_BT[row, len(tgt) + 1 :] = 9
    assert not torch.equal(src_BS, batch.src_BS)
    assert not torch.equal(tgt_in_BT, batch.tgt_in_BT)
    assert torch.equal(model(batch._replace(src_BS=src_BS, tgt_in_BT=tgt_in_BT)), model(batch))


@torch.no_grad()
def test_log_probs_are_those_of_the_softmax() -> None:
    model, batch = tiny_model(), batch_of(PAIRS)
    exp_MV = model.decoder.output(model(batch)).exp()
    expected_M = (exp_MV[torch.arange(len(exp_MV)), batch.tgt_token_M] / exp_MV.sum(1)).log()
    torch.testing.assert_close(model.log_probs(batch).double(), expected_M, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=["f64", "f32", "bf16"])
@torch.no_grad()
def test_log_probs_are_computed_in_float32_for_any_precision(dtype: torch.dtype) -> None:
    model, batch = tiny_model(dtype=dtype), batch_of(PAIRS)
    log_prob_M = model.log_probs(batch)
    assert log_prob_M.dtype == torch.float32
    logits_MV = model.decoder.output(model(batch)).float()
    expected_M = F.log_softmax(logits_MV, dim=1)[torch.arange(len(logits_MV)), batch.tgt_token_M]
    torch.testing.assert_close(log_prob_M, expected_M, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_batch_of_one_token_has_one_log_prob() -> None:
    assert tiny_model().log_probs(batch_of([([4], [])])).shape == (1,)


@torch.no_grad()
def test_a_uniform_model_gives_each_token_minus_log_v() -> None:
    model = tiny_model(replace(MODEL, init_range=0.0), tgt_vocab_size=12)
    log_prob_M = model.log_probs(batch_of(PAIRS))
    torch.testing.assert_close(log_prob_M, torch.full_like(log_prob_M, -math.log(12)))


@MODELS
def test_every_parameter_learns_from_the_target(config: ModelConfig) -> None:
    model = tiny_model(config, src_vocab_size=12)
    model.decoder.output(model(batch_of(PAIRS))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@needs_bf16
@MODELS
def test_bf16_stays_within_its_precision_and_gradients_are_float32(config: ModelConfig) -> None:
    model, batch = tiny_model(config, src_vocab_size=12, dtype=torch.float32), batch_of(PAIRS)
    expected_MH = model(batch).detach()
    with torch.autocast("cpu", torch.bfloat16):
        hidden_MH = model(batch)
        logits_MV = model.decoder.output(hidden_MH)
    tolerance = 0.2 * float(expected_MH.std())  # 8 bits, but layer normalization enlarges small differences
    torch.testing.assert_close(hidden_MH.detach().float(), expected_MH, rtol=0, atol=tolerance)
    logits_MV.float().square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.isfinite().all(), name


def test_parameters_by_hand() -> None:
    # embeddings 11×5 and 12×5; LSTMs 4·7·(5+7+2) and 4·7·(7+7+2) on each side; output (7+1)·12
    assert tiny_model().num_parameters() == 55 + 60 + 2 * (392 + 448) + 96


def test_the_reference_scores_additive_attention_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(FAMILY["bahdanau_2015"]).eval()
    batch = batch_of(PAIRS)
    expected_MH = model(batch)
    monkeypatch.setattr("nmt.model.fast.additive_score.additive_scores", None)
    model.implementation = Implementation.reference
    torch.testing.assert_close(model(batch), expected_MH, rtol=0, atol=1e-12)
    model.implementation = Implementation.fast
    with pytest.raises(TypeError):
        model(batch)
