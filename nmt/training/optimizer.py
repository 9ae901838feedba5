"""From gradients to parameters: the optimizer and gradient clipping."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nmt.choices import OptimizerKind
from nmt.config import OptimizerConfig


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Make the optimizer of the parameters that require gradients, in torch's fastest form of it."""
    groups = _groups([parameter for parameter in parameters if parameter.requires_grad], config)
    lr, eps = config.lr, config.eps
    match config.kind:
        case OptimizerKind.sgd:
            return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, fused=True)
        case OptimizerKind.rmsprop:
            return torch.optim.RMSprop(
                groups, lr=lr, alpha=config.beta2, eps=eps, momentum=config.momentum, foreach=True
            )
        case OptimizerKind.adam | OptimizerKind.adamw:
            kind = torch.optim.Adam if config.kind == OptimizerKind.adam else torch.optim.AdamW
            return kind(groups, lr=lr, betas=(config.beta1, config.beta2), eps=eps, fused=True)
        case OptimizerKind.adadelta:  # torch chooses foreach on a GPU; on a CPU it would take half as long again
            return torch.optim.Adadelta(groups, lr=lr, rho=config.beta2, eps=eps)
        case OptimizerKind.adagrad:  # torch 2.6 has no fused form on a GPU
            is_on_cpu = groups[0]["params"][0].device.type == "cpu"
            return torch.optim.Adagrad(groups, lr=lr, eps=eps, fused=is_on_cpu or None)


def _groups(parameters: Sequence[nn.Parameter], config: OptimizerConfig) -> list[dict[str, Any]]:
    """Divide the parameters by their weight decay: all of them, or biases and the like without."""
    decay = config.weight_decay
    if config.decay_biases:
        return [{"params": parameters, "weight_decay": decay}]
    weights = {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": decay}
    others = {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0}
    return [group for group in (weights, others) if group["params"]]


def state_layout(parameters: Mapping[str, Tensor], config: OptimizerConfig) -> dict[str, Tensor]:
    """Describe what the optimizer of `build_optimizer` stores for each parameter after an update.

    Returns:
        Tensors without values by name of the parameter, "/" and name in the optimizer.
    """
    momentum = ["momentum_buffer"] if config.momentum else []
    match config.kind:
        case OptimizerKind.sgd:
            names = momentum
        case OptimizerKind.rmsprop:
            names = ["step", "square_avg", *momentum]
        case OptimizerKind.adam | OptimizerKind.adamw:
            names = ["step", "exp_avg", "exp_avg_sq"]
        case OptimizerKind.adadelta:
            names = ["step", "square_avg", "acc_delta"]
        case OptimizerKind.adagrad:
            names = ["step", "sum"]
    count = torch.empty((), device="meta")
    return {
        f"{parameter}/{name}": count if name == "step" else torch.empty_like(value, device="meta")
        for parameter, value in parameters.items()
        for name in names
        if value.requires_grad
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
