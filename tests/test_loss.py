"""The chunked cross-entropy against torch's, and against values worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from nmt.choices import Implementation, TrainingPrecision
from nmt.corpus.batching import collate
from nmt.training import fast_loss
from nmt.training.loss import batch_loss, token_loss
from tests.models import MODEL, PAIRS, tiny_model

M, H, V = 23, 6, 11
ChunkOf = Callable[[int], None]
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", list(Implementation))
SMOOTHINGS = pytest.mark.parametrize("label_smoothing", [0.0, 0.1])


@pytest.fixture
def chunk_of(monkeypatch: pytest.MonkeyPatch) -> ChunkOf:
    """Set the number of tokens in a chunk."""

    def set_tokens(num_tokens: int) -> None:
        monkeypatch.setitem(fast_loss.CHUNK_LOGITS, "cpu", num_tokens * V)

    return set_tokens


def case(dtype: torch.dtype = torch.float64, *, spread: float = 1.0) -> tuple[Tensor, nn.Linear, Tensor]:
    """Make random hidden states, an output layer, and target tokens."""
    generator = torch.Generator().manual_seed(1)
    hidden_MH = torch.randn(M, H, generator=generator, dtype=dtype)
    output = nn.Linear(H, V).to(dtype)
    with torch.no_grad():
        output.weight.copy_(spread * torch.randn(V, H, generator=generator, dtype=dtype))
        output.bias.copy_(torch.randn(V, generator=generator, dtype=dtype))
    token_M = torch.randint(V, (M,), generator=generator)
    return hidden_MH.requires_grad_(), output, token_M


@IMPLEMENTATIONS
def test_the_loss_of_a_uniform_model_is_log_v_per_token(implementation: Implementation) -> None:
    hidden_MH, output, token_M = case()
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    for label_smoothing in (0.0, 0.1):
        loss = token_loss(
            hidden_MH, output, token_M, label_smoothing=label_smoothing, scale=1 / M, implementation=implementation
        )
        assert float(loss.objective.detach()) == pytest.approx(math.log(V), rel=1e-12)
        assert float(loss.nll) == pytest.approx(M * math.log(V), rel=1e-12)


@IMPLEMENTATIONS
def test_a_loss_by_hand(implementation: Implementation) -> None:
    output = nn.Linear(1, 2, dtype=torch.float64)
    with torch.no_grad():
        output.weight.zero_()
        output.bias.copy_(torch.tensor([math.log(3), 0.0], dtype=torch.float64))  # p = 3/4, 1/4
    hidden_MH, token_M = torch.ones(2, 1, dtype=torch.float64, requires_grad=True), torch.tensor([0, 0])
    loss = token_loss(hidden_MH, output, token_M, label_smoothing=0.2, scale=0.5, implementation=implementation)
    assert float(loss.nll) == pytest.approx(2 * math.log(4 / 3), rel=1e-12)
    # the target is 0.9 and 0.1: 1 - ε on the token, ε/2 on each word
    expected = 0.5 * 2 * (0.9 * math.log(4 / 3) + 0.1 * math.log(4))
    assert float(loss.objective.detach()) == pytest.approx(expected, rel=1e-12)
    loss.objective.backward()  # type: ignore[no-untyped-call]
    assert output.bias.grad is not None
    # with respect to the logits, softmax - target: twice 3/4 - 0.9, and its negative; halved by the scale
    assert output.bias.grad.tolist() == pytest.approx([-0.15, 0.15], rel=1e-12)


@IMPLEMENTATIONS
@SMOOTHINGS
@pytest.mark.parametrize("num_tokens", [1, 5, M, 10 * M], ids=lambda n: f"chunks of {n}")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_it_is_torchs_cross_entropy_with_all_gradients(
    implementation: Implementation,
    label_smoothing: float,
    num_tokens: int,
    dtype: torch.dtype,
    tolerance: float,
    chunk_of: ChunkOf,
) -> None:
    chunk_of(num_tokens)
    hidden_MH, output, token_M = case(dtype)
    parameters = (hidden_MH, output.weight, output.bias)
    loss = token_loss(
        hidden_MH, output, token_M, label_smoothing=label_smoothing, scale=0.3, implementation=implementation
    )
    gradients = torch.autograd.grad(loss.objective, parameters)
    logits_MV = output(hidden_MH)
    expected = 0.3 * F.cross_entropy(logits_MV, token_M, reduction="sum", label_smoothing=label_smoothing)
    expected_gradients = torch.autograd.grad(expected, parameters, retain_graph=True)

    torch.testing.assert_close(loss.objective.to(dtype), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        loss.nll.to(dtype), F.cross_entropy(logits_MV, token_M, reduction="sum"), rtol=tolerance, atol=tolerance
    )
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=tolerance, atol=tolerance)


@IMPLEMENTATIONS
@SMOOTHINGS
def test_bf16_stays_within_its_precision(
    implementation: Implementation, label_smoothing: float, chunk_of: ChunkOf
) -> None:
    chunk_of(5)
    hidden_MH, output, token_M = case(torch.float32)
    parameters = (hidden_MH, output.weight, output.bias)
    with torch.autocast("cpu", torch.bfloat16):
        loss = token_loss(
            hidden_MH, output, token_M, label_smoothing=label_smoothing, scale=1 / M, implementation=implementation
        )
    gradients = torch.autograd.grad(loss.objective, parameters)
    expected = F.cross_entropy(output(hidden_MH), token_M, label_smoothing=label_smoothing)
    torch.testing.assert_close(loss.objective.float(), expected, rtol=0.01, atol=0)  # bf16 has 8 bits
    for gradient, expected_gradient in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - expected_gradient).norm() < 0.02 * expected_gradient.norm()


@IMPLEMENTATIONS
@SMOOTHINGS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_extreme_logits_stay_finite(implementation: Implementation, label_smoothing: float, dtype: torch.dtype) -> None:
    hidden_MH, output, token_M = case(dtype, spread=1e4)
    loss = token_loss(
        hidden_MH, output, token_M, label_smoothing=label_smoothing, scale=1.0, implementation=implementation
    )
    loss.objective.backward()  # type: ignore[no-untyped-call]
    expected = F.cross_entropy(
        output(hidden_MH).double(), token_M, reduction="sum", label_smoothing=label_smoothing
    ).detach()
    assert expected > 1e4
    torch.testing.assert_close(loss.objective.detach().double(), expected, rtol=1e-5, atol=0)
    for gradient in (hidden_MH.grad, output.weight.grad, output.bias.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()


def test_padding_has_no_loss() -> None:
    model = tiny_model()
    sums = []
    for pairs in (PAIRS, [PAIRS[1]]):  # the longest target of the batch, with others and by itself
        batch = collate([src for src, _ in pairs], [tgt for _, tgt in pairs])
        loss = token_loss(model(batch), model.decoder.output, batch.tgt_token_M, label_smoothing=0.0, scale=1.0)
        sums.append(float(loss.nll))
    others = [pair for pair in PAIRS if pair != PAIRS[1]]
    for src, tgt in others:
        batch = collate([src], [tgt])
        loss = token_loss(model(batch), model.decoder.output, batch.tgt_token_M, label_smoothing=0.0, scale=1.0)
        sums[1] += float(loss.nll)
    assert sums[0] == pytest.approx(sums[1], rel=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("own", [True, False], ids=["own layer", "torch's layer"])
def test_gradients_of_the_whole_model_are_finite_differences(
    own: bool, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.model.layer.own_layer_pays", lambda *_args, **_settings: own)
    model = tiny_model(replace(MODEL, dropout=dropout)).train()
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])

    def objective() -> Tensor:
        torch.manual_seed(1)  # the same dropout each time
        hidden_MH = model(batch)
        return token_loss(hidden_MH, model.decoder.output, batch.tgt_token_M, label_smoothing=0.1, scale=0.3).objective

    objective().backward()  # type: ignore[no-untyped-call]
    generator, step = torch.Generator().manual_seed(2), 1e-5
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        with torch.no_grad():
            above = float(objective_after(parameter, step * direction, objective))
            below = float(objective_after(parameter, -step * direction, objective))
        assert parameter.grad is not None
        slope = float((parameter.grad * direction).sum())
        assert (above - below) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-8), name


def objective_after(parameter: nn.Parameter, change: Tensor, objective: Callable[[], Tensor]) -> Tensor:
    before = parameter.clone()
    parameter.add_(change)
    value = objective()
    parameter.copy_(before)
    return value


def test_nll_is_neither_smoothed_nor_scaled_and_carries_no_gradient() -> None:
    hidden_MH, output, token_M = case()
    plain = token_loss(hidden_MH, output, token_M, label_smoothing=0.0, scale=1.0)
    other = token_loss(hidden_MH, output, token_M, label_smoothing=0.3, scale=0.01)
    assert float(other.nll) == float(plain.nll) == pytest.approx(float(plain.objective.detach()))
    assert not other.nll.requires_grad


def test_without_gradients_it_computes_the_same() -> None:
    hidden_MH, output, token_M = case()
    expected = token_loss(hidden_MH, output, token_M, label_smoothing=0.1, scale=1.0)
    with torch.no_grad():
        loss = token_loss(hidden_MH, output, token_M, label_smoothing=0.1, scale=1.0)
    assert torch.equal(loss.objective, expected.objective.detach())
    assert not loss.objective.requires_grad


def test_without_gradients_none_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation costs only the forward pass, although the output layer's parameters require gradients."""
    monkeypatch.setattr(fast_loss, "_to_gradient", lambda *_args, **_settings: pytest.fail("a gradient is computed"))
    hidden_MH, output, token_M = case()
    with torch.no_grad():
        token_loss(hidden_MH, output, token_M, label_smoothing=0.0, scale=1.0)


def objective_and_gradients(
    of_objective: Callable[[Tensor], Tensor], hidden_MH: Tensor, output: nn.Linear, token_M: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    loss = token_loss(hidden_MH, output, token_M, label_smoothing=0.1, scale=0.3)
    value = of_objective(loss.objective)
    return value, torch.autograd.grad(value, (hidden_MH, output.weight, output.bias))


@pytest.mark.parametrize(
    "of_objective",
    [lambda x: 2 * x, lambda x: -x / 3, lambda x: x**2, lambda x: x + x.exp() / 1000, lambda x: 0 * x],
    ids=["twice", "negative", "squared", "a sum", "none"],
)
def test_functions_of_the_objective_have_its_gradient(
    of_objective: Callable[[Tensor], Tensor], chunk_of: ChunkOf
) -> None:
    chunk_of(5)
    hidden_MH, output, token_M = case()
    value, gradients = objective_and_gradients(of_objective, hidden_MH, output, token_M)
    expected = of_objective(0.3 * F.cross_entropy(output(hidden_MH), token_M, reduction="sum", label_smoothing=0.1))
    expected_gradients = torch.autograd.grad(expected, (hidden_MH, output.weight, output.bias))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_factor_is_that_of_finite_differences() -> None:
    hidden_MH, output, token_M = case()
    _, gradients = objective_and_gradients(lambda x: 7 * x, hidden_MH, output, token_M)
    step = 1e-6
    for tensor, gradient in zip((hidden_MH, output.weight, output.bias), gradients, strict=True):
        place = tuple(size // 2 for size in tensor.shape)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[place] += sign * step
                values.append(7 * token_loss(hidden_MH, output, token_M, label_smoothing=0.1, scale=0.3).objective)
                tensor[place] -= sign * step
        assert float(gradient[place]) == pytest.approx(float(values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-7)


def test_nothing_waits_for_a_gpu_and_no_gradient_is_copied() -> None:
    """A tensor on the device `meta` has no value to read; reading that of a GPU would wait."""
    gradients = fast_loss._Gradients(*(torch.empty(size, device="meta") for size in ((M, H), (V, H), (V,))))
    context = SimpleNamespace(gradients=gradients, scale=0.3)
    returned = fast_loss._LinearCrossEntropy.backward(context, torch.empty((), device="meta"), torch.empty(()))
    assert all(one is other for one, other in zip(returned, gradients, strict=False))


@pytest.mark.parametrize("implementation", list(Implementation))
def test_a_batch_has_the_loss_of_the_models_implementation(
    implementation: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunked: list[bool] = []
    compute = fast_loss.chunked_token_loss

    def watched(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        chunked.append(True)
        return compute(*args, **options)

    monkeypatch.setattr("nmt.training.loss.chunked_token_loss", watched)
    model, batch = tiny_model(), collate(*map(list, zip(*PAIRS, strict=True)))
    model.implementation = implementation
    loss = batch_loss(model, batch, precision=TrainingPrecision.fp32, label_smoothing=0.0, scale=1.0)
    assert float(loss.nll) == pytest.approx(-float(model.log_probs(batch).detach().sum()), rel=1e-5)
    assert bool(chunked) == (implementation == Implementation.fast)
