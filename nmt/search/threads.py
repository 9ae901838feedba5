"""Parallel searches on a CPU, each in its own thread.

A step of a search consists of many short matmuls and longer sums, with bookkeeping between them. Two threads that share
each matmul wait for each other about a hundred times a step; two searches that share only the queue of sources do not.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from nmt.config import SearchConfig

T = TypeVar("T")

ROWS_OF_SEARCH = 256  # with fewer rows a step, each row costs more


def choose_num_searches(config: SearchConfig, *, device: torch.device, num_threads: int) -> int:
    """Return how many searches should share the `config.batch_rows` rows; one on a GPU."""
    if device.type != "cpu":
        return 1
    return max(1, min(num_threads, config.batch_rows // max(ROWS_OF_SEARCH, config.beam_size)))


class _TorchThreads:
    """The number of torch's threads, while searches divide it.

    What a thread sets is also what later threads begin with. Of several calls at the same time, each in a thread of its
    own, none may take what another one has set for a search as the number to divide and to restore.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_calls = 0
        self._num_threads = 0  # before the first of the calls that run now

    @contextmanager
    def restored(self) -> Iterator[int]:
        """Yield the number of torch's threads, and restore it."""
        with self._lock:
            if self._num_calls == 0:
                self._num_threads = torch.get_num_threads()
            self._num_calls += 1
        try:
            yield self._num_threads
        finally:
            with self._lock:
                self._num_calls -= 1
                torch.set_num_threads(self._num_threads)


_TORCH_THREADS = _TorchThreads()


def side_by_side(searches: Sequence[Iterator[T]]) -> Generator[T]:
    """Run each search in its own thread and yield their results as they come.

    torch's threads are divided among the searches. To stop early, close the generator: each search then stops at its
    next result.
    """
    results: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()
    with _TORCH_THREADS.restored() as num_threads:
        threads = [
            threading.Thread(target=_run, args=(search, own_threads, results, stopped), name=f"search {number}")
            for number, (search, own_threads) in enumerate(
                zip(searches, divide_threads(num_threads, len(searches)), strict=True)
            )
        ]
        try:
            for thread in threads:
                thread.start()
            num_running = len(threads)
            while num_running:
                match results.get():
                    case None:
                        num_running -= 1
                    case BaseException() as error:
                        raise error
                    case result:
                        yield result
        finally:
            stopped.set()
            for thread in threads:
                if thread.ident is not None:  # it has started
                    thread.join()


def _run(
    search: Iterator[T],
    num_threads: int,
    results: "queue.SimpleQueue[T | BaseException | None]",
    stopped: threading.Event,
) -> None:
    """Put the results of a search, any error, and finally None into the queue."""
    try:
        torch.get_num_threads()  # at its first use in a thread, torch takes what any thread has set last
        torch.set_num_threads(num_threads)
        for result in search:
            if stopped.is_set():
                return
            results.put(result)
    except BaseException as error:  # raised again in the calling thread
        results.put(error)
    finally:
        results.put(None)


def divide_threads(num_threads: int, num_searches: int) -> list[int]:
    """Return how many threads each search gets: together all of them, but at least one each."""
    return [max(1, (num_threads + number) // num_searches) for number in range(num_searches)]
