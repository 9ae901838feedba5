"""What resuming needs in addition to the model: optimizer tensors, random states and training counters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class TrainingSnapshot(NamedTuple):
    """The state of training at one update.

    Attributes:
        optimizer: tensors by name of the parameter, "/" and name in the optimizer.
        random: torch's generator on the CPU, and on the GPU if training uses one.
        state: `TrainState.to_json`.
        parameters: those of training by name, if the model has their moving average; otherwise empty.
    """

    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    state: dict[str, Any]
    parameters: dict[str, Tensor]


def take_snapshot(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    state: dict[str, Any],
    parameters: Mapping[str, Tensor],
) -> TrainingSnapshot:
    """Copy the optimizer's tensors, the random states and the given parameters to the CPU."""
    tensors = {
        f"{name}/{key}": copy_to_cpu(value)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    random = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    return TrainingSnapshot(tensors, random, state, copies(parameters))


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors of a snapshot into an optimizer."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    entries: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition("/")
        entries.setdefault(name, {})[entry] = tensor
    saved = optimizer.state_dict()  # names a parameter by its place among those of all groups
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    saved["state"] |= {place: entries[names[p]] for place, p in enumerate(parameters) if names[p] in entries}
    optimizer.load_state_dict(saved)


def restore_random(random: Mapping[str, Tensor], *, device: torch.device) -> None:
    """Load the states of a snapshot into torch's generators."""
    torch.set_rng_state(random["cpu"])
    if device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], device)


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, so that later updates do not change them."""
    return {name: copy_to_cpu(tensor) for name, tensor in tensors.items()}


def copy_to_cpu(tensor: Tensor) -> Tensor:
    """Copy a tensor to the CPU, so that later updates do not change it."""
    return tensor.detach().to("cpu", copy=True).contiguous()
