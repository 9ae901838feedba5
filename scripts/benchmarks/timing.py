"""Clocks: medians with their spread, contenders that alternate, and laps inside one piece of work."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch

WARM_UP_CALLS = 3


class Spread(NamedTuple):
    min: float
    q1: float
    median: float
    q3: float
    max: float


def spread(samples: list[float]) -> Spread:
    """Describe samples, of which there must be one at least; quartiles are interpolated."""
    if len(samples) == 1:
        return Spread(*samples * 5)
    q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(min(samples), q1, median, q3, max(samples))


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; a CPU has when the call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Time one call, from an idle device to an idle device."""
    synchronize(device)
    begin = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - begin


def alternate(
    actions: Mapping[str, Callable[[], object]], *, repeats: int, slice_s: float, device: torch.device
) -> dict[str, list[float]]:
    """Time every action in turn, `repeats` times over (A B C A B C …), so that a slow minute hurts all alike.

    Returns:
        Seconds per call, one sample a turn: the mean of as many calls as fill `slice_s`, of one at least.
    """
    calls: dict[str, int] = {}
    for name, action in actions.items():
        for _ in range(WARM_UP_CALLS):
            action()
        calls[name] = max(1, int(slice_s / max(1e-7, seconds_of(action, device))))
    samples: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            count = calls[name]
            samples[name].append(seconds_of(partial(_call, action, count), device) / count)
    return samples


def _call(action: Callable[[], object], count: int) -> None:
    for _ in range(count):
        action()


class Laps:
    """Adds up the seconds between marks by name; waits for the device at each, so that they mean something on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._last = time.perf_counter()

    def start(self) -> None:
        """Begin a lap; what has passed since the last mark is nobody's."""
        synchronize(self._device)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Put what has passed since the last mark down to `name`."""
        synchronize(self._device)
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        """Return what was added up, and begin anew."""
        taken = dict(self.seconds)
        self.seconds.clear()
        return taken
