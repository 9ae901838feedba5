"""What the memory of a training run holds, for its log."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

_MB = 1_000_000
_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")


class MemoryAccount:
    """Accounts for the memory of updates: parameters, gradients, the optimizer's state, and all else.

    On a GPU the peak is that of torch's allocator; on a CPU that of the process, less what it was when the account was
    opened, so that it must be opened before the first update. Where the peak of an earlier time cannot be
    forgotten (all but Linux) and hides that of the updates, the rest is left out.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._model = model
        self._optimizer = optimizer
        self._device = device
        forget_peak()
        self._before = 0 if device.type == "cuda" else peak_resident_bytes() - self._parameter_bytes()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def describe(self) -> str:
        """Say in one line what the peak since then was made of; asked after an update, when all of it exists."""
        parameters = gradients = self._parameter_bytes()
        states = sum(
            value.nbytes
            for state in self._optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        )
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = peak_resident_bytes() - self._before
        kinds = [("parameters", parameters), ("gradients", gradients), ("optimizer", states)]
        if (rest := peak - parameters - gradients - states) >= 0:
            kinds.append(("activations and all else", rest))
        return f"memory of updates: {', '.join(f'{name} {count / _MB:.0f} MB' for name, count in kinds)}"

    def _parameter_bytes(self) -> int:
        return sum(parameter.nbytes for parameter in self._model.parameters())


def peak_resident_bytes() -> int:
    """Return the most memory that the process has held, since `forget_peak` where the system can forget.

    Linux's own account comes first: getrusage knows no forgetting, and starts a child with its parent's peak.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def forget_peak() -> None:
    """Let the peak begin anew at what the process holds now; only Linux can."""
    with suppress(OSError):
        _FORGET.write_text("5", encoding="utf-8")  # proc(5)
