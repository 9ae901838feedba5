"""From gradients to parameters: the optimizer and gradient clipping."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from nmt.config import OptimizerConfig, OptimizerKind


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
