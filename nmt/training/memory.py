"""The memory that training takes, for the log of a run."""

import logging
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from nmt.training.average import ParameterAverage

log = logging.getLogger(__name__)

_MB = 1_000_000
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class MemoryAccount:
    """Measures the memory of updates: parameters, gradients, optimizer state, moving average, and everything else.

    On a GPU the peak is that of torch's allocator. On a CPU it is that of the process, minus what the process used when
    this object was created, which must be before the first update. On systems other than Linux, an earlier peak of the
    process may hide that of the updates; then everything else is not reported.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, average: ParameterAverage, *, device: torch.device
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._average = average
        self._device = device
        reset_peak()
        self._is_logged = False
        self._before = 0 if device.type == "cuda" else peak_resident_bytes() - sum(self._held().values())
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def log_once(self) -> None:
        """Log the account at the first call, which must come after an update, when all of the memory is in use."""
        if not self._is_logged:
            log.info("%s", self.describe())
            self._is_logged = True

    def describe(self) -> str:
        """Describe the peak so far in one line, as `by_kind` returns it."""
        return (
            f"memory of updates: {', '.join(f'{name} {count / _MB:.0f} MB' for name, count in self.by_kind().items())}"
        )

    def by_kind(self) -> dict[str, int]:
        """Return the bytes of the peak so far by kind; call it after an update, when the optimizer has its state."""
        kinds = self._held()
        kinds["gradients"] = sum(parameter.nbytes for parameter in self._model.parameters() if parameter.requires_grad)
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = peak_resident_bytes() - self._before
        if (rest := peak - sum(kinds.values())) >= 0:
            kinds["activations and other"] = rest
        return kinds

    def _held(self) -> dict[str, int]:
        """Return the bytes that are in use between updates, by kind."""
        held = {
            "parameters": sum(parameter.nbytes for parameter in self._model.parameters()),
            "gradients": 0,
            "optimizer": sum(
                value.nbytes
                for state in self._optimizer.state.values()
                for value in state.values()
                if isinstance(value, torch.Tensor)
            ),
        }
        return held | ({"moving average": average} if (average := self._average.num_bytes) else {})


def peak_resident_bytes() -> int:
    """Return the peak of the resident memory of the process, on Linux since `reset_peak`.

    getrusage, used on other systems, has no reset and includes the peak of the parent process.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def reset_peak() -> None:
    """Reset the peak to what the process uses now; has an effect on Linux only."""
    with suppress(OSError):
        _RESET.write_text("5", encoding="utf-8")  # proc(5)
