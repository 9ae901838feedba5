"""From gradients to parameters: the optimizer, gradient clipping and the learning rate."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmt.config import OptimizerConfig, OptimizerKind, ScheduleConfig, ScheduleKind


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Make the optimizer, in torch's fused form if there is one."""
    match config.kind:
        case OptimizerKind.sgd:
            return torch.optim.SGD(
                parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
            )
        case OptimizerKind.rmsprop:
            return torch.optim.RMSprop(
                parameters,
                lr=config.lr,
                alpha=config.beta2,
                eps=config.eps,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
                foreach=True,
            )
        case OptimizerKind.adam | OptimizerKind.adamw:
            kind = torch.optim.Adam if config.kind == OptimizerKind.adam else torch.optim.AdamW
            return kind(
                parameters,
                lr=config.lr,
                betas=(config.beta1, config.beta2),
                eps=config.eps,
                weight_decay=config.weight_decay,
                fused=True,
            )


def state_layout(parameters: Mapping[str, Tensor], config: OptimizerConfig) -> dict[str, Tensor]:
    """Describe what the optimizer of `build_optimizer` stores for each parameter after an update.

    Returns:
        Tensors without values by name of the parameter, "/" and name in the optimizer.
    """
    match config.kind:
        case OptimizerKind.sgd:
            names = ["momentum_buffer"] if config.momentum else []
        case OptimizerKind.rmsprop:
            names = ["step", "square_avg", *(["momentum_buffer"] if config.momentum else [])]
        case OptimizerKind.adam | OptimizerKind.adamw:
            names = ["step", "exp_avg", "exp_avg_sq"]
    count = torch.empty((), device="meta")
    return {
        f"{parameter}/{name}": count if name == "step" else torch.empty_like(value, device="meta")
        for parameter, value in parameters.items()
        for name in names
    }


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients by `max_norm / norm` if their joint norm is larger (Sutskever et al. 2014, §3.4).

    Returns:
        The norm before clipping, on the gradients' device.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if norm.device.type == "cpu":  # elsewhere, comparing would wait for the device
        if norm > max_norm:
            torch._foreach_mul_(gradients, max_norm / norm)
    else:
        torch._foreach_mul_(gradients, (max_norm / norm).clamp(max=1.0))
    return norm


@dataclass
class PlateauState:
    """The state of the plateau schedule: reductions so far, the best loss, and validations since then."""

    num_reductions: int = 0
    best_nats_per_token: float = math.inf
    num_bad_validations: int = 0

    def observe(self, nats_per_token: float, schedule: ScheduleConfig) -> None:
        """Count a validation; reduce the rate after `plateau_patience` of them in a row without improvement."""
        if nats_per_token < self.best_nats_per_token:
            self.best_nats_per_token, self.num_bad_validations = nats_per_token, 0
            return
        self.num_bad_validations += 1
        if self.num_bad_validations >= schedule.plateau_patience:
            self.num_reductions, self.num_bad_validations = self.num_reductions + 1, 0


def learning_rate(config: OptimizerConfig, *, update: int, epochs: float, plateau: PlateauState) -> float:
    """Compute the learning rate of an update.

    Args:
        update: 1 for the first.
        epochs: epochs completed before it, with their fraction.

    `halving` halves at `halve_from_epoch` and every `halve_every_epochs` after that (Sutskever et al. 2014, §3.4);
    `inverse_sqrt` decays with the square root of the update after the warm-up (Vaswani et al. 2017, §5.3, scaled so
    that `lr` is the peak). Every schedule warms up linearly over `warmup_updates`.
    """
    schedule = config.schedule
    factor = 1.0
    if update < schedule.warmup_updates:
        factor = update / schedule.warmup_updates
    elif schedule.kind == ScheduleKind.inverse_sqrt:
        factor = math.sqrt(max(1, schedule.warmup_updates) / update)
    if schedule.kind == ScheduleKind.halving and epochs >= schedule.halve_from_epoch:
        factor *= 0.5 ** (1 + math.floor((epochs - schedule.halve_from_epoch) / schedule.halve_every_epochs))
    if schedule.kind == ScheduleKind.plateau:
        factor *= schedule.plateau_factor**plateau.num_reductions
    return config.lr * factor
