"""Several processes that train one model together: who they are, and what they tell each other.

`torchrun` starts the processes and describes them in the environment. Process 0 reads the settings and writes files;
the others follow it. All see the same gradients, so that their parameters stay equal.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from nmt.errors import ConfigError, LostProcessError
from nmt.place import Place

T = TypeVar("T")

_PATIENCE = timedelta(minutes=30)  # for the others in training; that one is dead is noticed at once
_LONG_PATIENCE = timedelta(days=7)  # while process 0 prepares the corpus


class Group:
    """A process that trains alone: what several would tell each other, it knows."""

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and the log."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients of each process by their sum over all processes."""

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of tensors of equal shape, one of each process."""
        return values

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in their order."""
        return [value]

    def from_first(self, value: T) -> T:
        """Return the value of process 0, however long it takes to compute."""
        return value


ALONE = Group()


class SeveralProcesses(Group):
    """Processes that torchrun has started.

    Every method must be called by all of them, in the same order.

    Raises:
        LostProcessError: from every method, if another process has ended.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.size = place.rank, place.size
        with _naming_lost_processes():
            self._patient = dist.new_group(backend="gloo", timeout=_LONG_PATIENCE)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in with_gradient if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _naming_lost_processes():
            dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, part in zip(with_gradient, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def sum(self, values: Tensor) -> Tensor:
        total = values.clone()
        with _naming_lost_processes():
            dist.all_reduce(total)
        return total

    def gather(self, value: T) -> list[T]:
        values: list[T] = [value] * self.size
        with _naming_lost_processes():
            dist.all_gather_object(values, value)
        return values

    def from_first(self, value: T) -> T:
        values: list[T] = [value]
        with _naming_lost_processes():
            dist.broadcast_object_list(values, src=0, group=self._patient)
        return values[0]


@contextmanager
def join(place: Place) -> Iterator[Group]:
    """Meet the other processes, if there are any.

    Raises:
        ConfigError: if the environment does not say where.
        LostProcessError: if the others do not come.
    """
    if place.size == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _terminable(), _naming_lost_processes():
        dist.init_process_group(
            backend, store=open_store(place), rank=place.rank, world_size=place.size, timeout=_PATIENCE
        )
        group = SeveralProcesses(place)
    try:
        yield group
    finally:
        dist.destroy_process_group()


def open_store(place: Place) -> Store:
    """Open torchrun's store of keys and values that all processes see, and wait for the other processes.

    Raises:
        ConfigError: if the environment does not say where it is.
        LostProcessError: if the others do not come.
    """
    try:
        store: Store = next(iter(rendezvous("env://", timeout=_PATIENCE)))[0]
    except ValueError as error:
        raise ConfigError(f"torchrun must say where its processes meet: start with torchrun ({error})") from None
    return PrefixStore(name_meeting(store, place), store)


def name_meeting(store: Store, place: Place) -> str:
    """Return a name that process 0 has given to the processes that are alive now.

    The store lives through the restarts of torchrun, with what dead processes have left in it, and torchrun counts
    restarts on each node by itself. So each process says something new, and takes only an answer to that.

    Raises:
        LostProcessError: if the others do not come.
    """
    name = greeting = uuid4().hex
    if place.rank > 0:
        store.set(f"greeting/{place.rank}", greeting)
        _wait_until(lambda: store.check([f"answer/{greeting}"]))
        name = store.get(f"answer/{greeting}").decode()
        store.set(f"{name}/{place.rank}", "")
        return name
    missing = set(range(1, place.size))

    def all_have_come() -> bool:
        for rank in tuple(missing):
            if store.check([key := f"greeting/{rank}"]):  # perhaps that of a dead process, before the next one
                store.set(f"answer/{store.get(key).decode()}", name)
            if store.check([f"{name}/{rank}"]):
                missing.remove(rank)
        return not missing

    _wait_until(all_have_come)
    return name


def _wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for other processes; the waits of a store itself would delay signals."""
    end = time.monotonic() + _PATIENCE.total_seconds()
    while not is_so():
        if time.monotonic() > end:
            raise LostProcessError(
                f"another process did not start within {_PATIENCE}: look at its messages, and start all again"
            )
        time.sleep(0.05)


def choose_gpu(place: Place) -> None:
    """Let each process of a machine compute on a GPU of its own.

    Raises:
        ConfigError: if there are fewer GPUs than processes.
    """
    if place.local_size > (num_gpus := torch.cuda.device_count()):
        raise ConfigError(
            f"torchrun must start at most as many processes as there are GPUs ({num_gpus}), but starts "
            f"{place.local_size} on this machine: use --nproc-per-node={num_gpus}, or device=cpu"
        )
    torch.cuda.set_device(place.local_rank)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the process at once: while it waits for others, no Python code runs, so no handler would."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _naming_lost_processes() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ConnectionError) as error:  # what gloo and NCCL raise
        raise LostProcessError(
            "another process of this training has ended or does not answer: continue from the last checkpoint with "
            f"resume=true ({str(error).strip().partition(chr(10))[0]})"
        ) from error
