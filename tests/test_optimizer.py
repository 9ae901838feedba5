"""Clipping, and the update equations of each optimizer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from nmt.choices import OptimizerKind, ScheduleKind
from nmt.config import OptimizerConfig, ScheduleConfig
from nmt.training.optimizer import build_optimizer, clip_gradients, state_layout

SCHEDULE = ScheduleConfig(
    kind=ScheduleKind.constant,
    halve_from_epoch=5.0,
    halve_every_epochs=0.5,
    warmup_updates=0,
    plateau_factor=0.5,
    plateau_patience=2,
)
SGD = OptimizerConfig(
    kind=OptimizerKind.sgd,
    lr=0.7,
    momentum=0.0,
    beta1=0.9,
    beta2=0.99,
    eps=1e-8,
    weight_decay=0.0,
    schedule=SCHEDULE,
)


def with_gradients(*gradients: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


def gradient(parameters: list[nn.Parameter]) -> list[float]:
    return [value for parameter in parameters if parameter.grad is not None for value in parameter.grad.tolist()]


def test_a_gradient_too_long_is_scaled_to_the_threshold() -> None:
    parameters = with_gradients([6.0, 0.0], [-8.0])
    assert float(clip_gradients(parameters, 5.0)) == pytest.approx(10)
    assert gradient(parameters) == pytest.approx([3.0, 0.0, -4.0])  # 5g/s: the direction is kept


def test_after_clipping_no_norm_is_above_the_threshold() -> None:
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-3, 1.0, 5.0, 1e3, 1e10):
        values = (scale * torch.randn(50, generator=generator)).tolist()
        parameters = with_gradients(values[:20], values[20:])
        clip_gradients(parameters, 5.0)
        after = torch.tensor(gradient(parameters), dtype=torch.float64)
        assert float(after.norm()) <= 5.0 * (1 + 1e-6)  # the gradient is fp32
        cosine = torch.cosine_similarity(after, torch.tensor(values, dtype=torch.float64), dim=0)
        assert float(cosine) == pytest.approx(1)


def test_a_small_gradient_is_untouched() -> None:
    parameters = with_gradients([3.0, 0.1], [-4.0 / 3])
    before = gradient(parameters)
    norm = clip_gradients(parameters, 5.0)
    assert gradient(parameters) == before
    assert float(norm) == pytest.approx(math.sqrt(9 + 0.01 + 16 / 9))


def test_parameters_without_a_gradient_are_skipped() -> None:
    parameters = [*with_gradients([6.0, 8.0]), nn.Parameter(torch.zeros(3))]
    assert float(clip_gradients(parameters, 5.0)) == pytest.approx(10)
    assert parameters[1].grad is None


GRADIENTS = [0.5, -0.2, 0.03, 0.4, -0.6]


def sgd(config: OptimizerConfig, theta: float, gradients: Sequence[float]) -> Iterator[float]:
    """v ← μ·v + g, θ ← θ - lr·v; weight decay λ makes g + λ·θ of the gradient g."""
    velocity = 0.0
    for gradient in gradients:
        velocity = config.momentum * velocity + gradient + config.weight_decay * theta
        theta -= config.lr * velocity
        yield theta


def rmsprop(config: OptimizerConfig, theta: float, gradients: Sequence[float]) -> Iterator[float]:
    """s ← β₂·s + (1 - β₂)·g², v ← μ·v + g / (√s + ε), θ ← θ - lr·v; weight decay as above."""
    square = velocity = 0.0
    for gradient in gradients:
        gradient += config.weight_decay * theta
        square = config.beta2 * square + (1 - config.beta2) * gradient**2
        velocity = config.momentum * velocity + gradient / (math.sqrt(square) + config.eps)
        theta -= config.lr * velocity
        yield theta


def adam(config: OptimizerConfig, theta: float, gradients: Sequence[float]) -> Iterator[float]:
    """Kingma & Ba (2015), algorithm 1; AdamW (Loshchilov & Hutter 2019) takes the decay off the parameters."""
    mean = square = 0.0
    for step, gradient in enumerate(gradients, start=1):
        if config.kind == OptimizerKind.adamw:
            theta -= config.lr * config.weight_decay * theta
        else:
            gradient += config.weight_decay * theta
        mean = config.beta1 * mean + (1 - config.beta1) * gradient
        square = config.beta2 * square + (1 - config.beta2) * gradient**2
        unbiased_mean, unbiased_square = mean / (1 - config.beta1**step), square / (1 - config.beta2**step)
        theta -= config.lr * unbiased_mean / (math.sqrt(unbiased_square) + config.eps)
        yield theta


def adadelta(config: OptimizerConfig, theta: float, gradients: Sequence[float]) -> Iterator[float]:
    """Zeiler (2012), algorithm 1: x ← √(D + ε) / √(s + ε) · g, with D the mean of the x² before, θ ← θ - lr·x."""
    square = change = 0.0
    for gradient in gradients:
        gradient += config.weight_decay * theta
        square = config.beta2 * square + (1 - config.beta2) * gradient**2
        step = math.sqrt(change + config.eps) / math.sqrt(square + config.eps) * gradient
        change = config.beta2 * change + (1 - config.beta2) * step**2
        theta -= config.lr * step
        yield theta


def adagrad(config: OptimizerConfig, theta: float, gradients: Sequence[float]) -> Iterator[float]:
    """Duchi et al. (2011), figure 1, with a diagonal matrix: s ← s + g², θ ← θ - lr·g / (√s + ε)."""
    square = 0.0
    for gradient in gradients:
        gradient += config.weight_decay * theta
        square += gradient**2
        theta -= config.lr * gradient / (math.sqrt(square) + config.eps)
        yield theta


EQUATIONS = {
    OptimizerKind.sgd: sgd,
    OptimizerKind.rmsprop: rmsprop,
    OptimizerKind.adam: adam,
    OptimizerKind.adamw: adam,
    OptimizerKind.adadelta: adadelta,
    OptimizerKind.adagrad: adagrad,
}


def trajectory(config: OptimizerConfig, theta: float) -> list[float]:
    """Return the parameter after each update, computed in float64."""
    parameter = nn.Parameter(torch.tensor([theta], dtype=torch.float64))
    optimizer = build_optimizer([parameter], config)
    positions = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        positions.append(parameter.item())
    return positions


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (OptimizerKind.sgd, {"lr": 0.02}),
        (OptimizerKind.sgd, {"momentum": 0.6}),
        (OptimizerKind.sgd, {"weight_decay": 0.3}),
        (OptimizerKind.rmsprop, {"lr": 0.02}),
        (OptimizerKind.rmsprop, {"beta2": 0.7}),
        (OptimizerKind.rmsprop, {"eps": 0.1}),
        (OptimizerKind.rmsprop, {"momentum": 0.6}),
        (OptimizerKind.rmsprop, {"weight_decay": 0.3}),
        (OptimizerKind.adam, {"lr": 0.02}),
        (OptimizerKind.adam, {"beta1": 0.5}),
        (OptimizerKind.adam, {"beta2": 0.7}),
        (OptimizerKind.adam, {"eps": 0.1}),
        (OptimizerKind.adam, {"weight_decay": 0.3}),
        (OptimizerKind.adamw, {"lr": 0.02}),
        (OptimizerKind.adamw, {"beta1": 0.5}),
        (OptimizerKind.adamw, {"beta2": 0.7}),
        (OptimizerKind.adamw, {"eps": 0.1}),
        (OptimizerKind.adamw, {"weight_decay": 0.3}),
        (OptimizerKind.adadelta, {"lr": 0.02}),
        (OptimizerKind.adadelta, {"beta2": 0.7}),
        (OptimizerKind.adadelta, {"eps": 0.1}),
        (OptimizerKind.adadelta, {"weight_decay": 0.3}),
        (OptimizerKind.adagrad, {"lr": 0.02}),
        (OptimizerKind.adagrad, {"eps": 0.1}),
        (OptimizerKind.adagrad, {"weight_decay": 0.3}),
    ],
)
def test_every_setting_has_the_effect_of_its_equation(kind: OptimizerKind, changes: dict[str, Any]) -> None:
    before = replace(SGD, kind=kind, lr=0.1, eps=1e-3)
    after = replace(before, **changes)
    positions = trajectory(after, 2.0)
    assert positions == pytest.approx(list(EQUATIONS[kind](after, 2.0, GRADIENTS)), rel=1e-12)
    assert trajectory(before, 2.0) == pytest.approx(list(EQUATIONS[kind](before, 2.0, GRADIENTS)), rel=1e-12)
    assert all(abs(one - other) > 1e-4 for one, other in zip(positions[1:], trajectory(before, 2.0)[1:], strict=True))


FASTEST = dict.fromkeys(OptimizerKind, "fused") | {OptimizerKind.rmsprop: "foreach", OptimizerKind.adadelta: None}


@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_torchs_fastest_form_is_taken(kind: OptimizerKind) -> None:
    optimizer = build_optimizer(with_gradients([1.0]), replace(SGD, kind=kind))
    forms = {form for form in ("foreach", "fused") if optimizer.defaults.get(form)}
    assert forms == ({FASTEST[kind]} - {None})


@pytest.mark.parametrize("kind", list(OptimizerKind))
@pytest.mark.parametrize("decay_biases", [True, False])
def test_weight_decay_may_leave_out_one_dimensional_parameters(kind: OptimizerKind, decay_biases: bool) -> None:
    config = replace(SGD, kind=kind, lr=0.1, weight_decay=0.5, decay_biases=decay_biases)
    moved = []
    for weight_decay in (0.5, 0.0):
        parameters = [nn.Parameter(torch.full(shape, 3.0)) for shape in ((2,), (2, 2), (1, 2), (3,))]
        for parameter in parameters:
            parameter.grad = -torch.ones_like(parameter)  # changes sign: all that Adam's first step shows
        build_optimizer(parameters, replace(config, weight_decay=weight_decay)).step()
        moved.append(parameters)
    assert [torch.equal(with_decay, without) for with_decay, without in zip(*moved, strict=True)] == (
        [False] * 4 if decay_biases else [True, False, False, True]
    )
    assert all((parameter != 3.0).all() for parameter in moved[1])


@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_frozen_parameters_have_no_state(kind: OptimizerKind) -> None:
    config = replace(SGD, kind=kind, momentum=0.5)
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model.parameters(), config)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    assert [*optimizer.state] == [model.weight]
    assert {name.partition("/")[0] for name in state_layout(dict(model.named_parameters()), config)} == {"weight"}


def test_sgd_takes_the_gradient_times_the_learning_rate() -> None:
    parameters = with_gradients([1.0, -2.0])
    build_optimizer(parameters, SGD).step()
    assert parameters[0].tolist() == pytest.approx([-0.7, 1.4])


def test_sgd_with_momentum_by_hand() -> None:
    parameters = with_gradients([1.0])
    optimizer = build_optimizer(parameters, replace(SGD, momentum=0.5))
    positions = []
    for _ in range(3):
        optimizer.step()
        positions.append(parameters[0].item())
    # velocities 1, 1.5, 1.75
    assert positions == pytest.approx([-0.7, -0.7 * 2.5, -0.7 * 4.25])


@pytest.mark.parametrize("kind", [OptimizerKind.adam, OptimizerKind.adamw])
def test_adams_first_step_is_the_learning_rate_in_the_gradients_direction(kind: OptimizerKind) -> None:
    parameters = with_gradients([1e-3, -20.0])
    build_optimizer(parameters, replace(SGD, kind=kind, lr=0.1)).step()
    assert parameters[0].tolist() == pytest.approx([-0.1, 0.1], rel=1e-4)


def test_adamw_decays_the_weights_themselves() -> None:
    parameters = with_gradients([1.0])
    nn.init.constant_(parameters[0], 3.0)
    build_optimizer(parameters, replace(SGD, kind=OptimizerKind.adamw, lr=0.1, weight_decay=0.5)).step()
    assert parameters[0].item() == pytest.approx(3.0 * (1 - 0.1 * 0.5) - 0.1, rel=1e-5)


def test_adadeltas_first_step_by_hand() -> None:
    parameters = with_gradients([2.0, -0.1])
    build_optimizer(parameters, replace(SGD, kind=OptimizerKind.adadelta, lr=1.0, beta2=0.95, eps=1e-6)).step()
    # √ε / √(0.05 g² + ε) · g = ±√(1e-6 / 0.05)
    assert parameters[0].tolist() == pytest.approx([-math.sqrt(2e-5), math.sqrt(2e-5)], rel=2e-3)


def test_adagrads_steps_by_hand() -> None:
    parameters = with_gradients([2.0])
    optimizer = build_optimizer(parameters, replace(SGD, kind=OptimizerKind.adagrad, lr=0.1))
    positions = []
    for _ in range(4):
        optimizer.step()
        positions.append(parameters[0].item())
    # a constant gradient: 0.1 · (1 + 1/√2 + 1/√3 + 1/√4)
    assert positions == pytest.approx([-0.1, -0.1 - 0.1 / math.sqrt(2), -0.228446, -0.278446], rel=1e-5)


def test_rmsprops_first_step_by_hand() -> None:
    parameters = with_gradients([2.0, -0.1])
    build_optimizer(parameters, replace(SGD, kind=OptimizerKind.rmsprop, lr=0.01)).step()
    # g / sqrt((1 - beta2) g²) = ±1 / sqrt(0.01)
    assert parameters[0].tolist() == pytest.approx([-0.1, 0.1], rel=1e-5)
