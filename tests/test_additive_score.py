"""The scores of additive attention, chunk by chunk, are those of the plain broadcast."""

import pytest
import torch
from torch import Tensor

from nmt.model.fast import additive_score
from nmt.model.fast.additive_score import additive_scores
from tests.hardware import needs_bf16
from tests.models import normal

B, T, S, A = 3, 4, 6, 5
# One target position (the last chunk of a sentence smaller), several, one sentence, several, all
CHUNKS = pytest.mark.parametrize("chunk_values", [1, 3 * S * A, T * S * A, 2 * T * S * A, 10**6])


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    sizes = ((B, T, A), (B, S, A), (A,))
    query_BTA, key_BSA, v_A = (normal(*size, seed=n, dtype=dtype).requires_grad_() for n, size in enumerate(sizes))
    return query_BTA, key_BSA, v_A


def plain_scores(query_BTA: Tensor, key_BSA: Tensor, v_A: Tensor) -> Tensor:
    return torch.tanh(query_BTA.unsqueeze(2) + key_BSA.unsqueeze(1)) @ v_A


@CHUNKS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_scores_and_gradients_are_those_of_the_broadcast(
    chunk_values: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additive_score, "CHUNK_VALUES", chunk_values)
    tensors, weights_BTS = inputs(dtype), normal(B, T, S, seed=9, dtype=dtype)
    own_BTS, expected_BTS = additive_scores(*tensors), plain_scores(*tensors)
    torch.testing.assert_close(own_BTS, expected_BTS, rtol=tolerance, atol=tolerance)
    own = torch.autograd.grad((own_BTS * weights_BTS).sum(), tensors)
    expected = torch.autograd.grad((expected_BTS * weights_BTS).sum(), tensors)
    torch.testing.assert_close(own, expected, rtol=tolerance, atol=tolerance)


@CHUNKS
def test_gradients_are_finite_differences(chunk_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive_score, "CHUNK_VALUES", chunk_values)
    assert torch.autograd.gradcheck(additive_scores, inputs())


def test_no_more_than_a_chunk_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    chunks = additive_score._chunks

    def watched(*tensors: Tensor) -> object:
        for place, sigmoid_BTSA in chunks(*tensors):
            sizes.append(sigmoid_BTSA.numel())
            yield place, sigmoid_BTSA

    monkeypatch.setattr(additive_score, "_chunks", watched)
    monkeypatch.setattr(additive_score, "CHUNK_VALUES", 3 * S * A)
    additive_scores(*inputs()).sum().backward()  # type: ignore[no-untyped-call]
    assert sizes == 2 * B * [3 * S * A, S * A]  # forward and backward; four target positions as three and one


def test_large_values_saturate() -> None:
    query_BTA, key_BSA, v_A = inputs(torch.float32)
    scores_BTS = additive_scores(1e30 * query_BTA.sign(), key_BSA, v_A)
    torch.testing.assert_close(scores_BTS, (query_BTA.sign() @ v_A).unsqueeze(2).expand(B, T, S))


@needs_bf16
def test_scores_are_float32_under_autocast() -> None:
    query_BTA, key_BSA, v_A = inputs(torch.float32)
    expected_BTS = additive_scores(query_BTA.bfloat16(), key_BSA.bfloat16(), v_A)
    with torch.autocast("cpu", torch.bfloat16):
        own_BTS = additive_scores(query_BTA.bfloat16(), key_BSA.bfloat16(), v_A)
    assert own_BTS.dtype == torch.float32
    assert torch.equal(own_BTS, expected_BTS)
