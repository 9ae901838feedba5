"""Parallel searches on a CPU, each in its own thread.

A step of a search consists of many short matmuls and longer sums, with bookkeeping between them. Two threads that share
each matmul wait for each other about a hundred times a step; two searches that share only the queue of sources do not.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
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


def side_by_side(searches: Sequence[Iterator[T]]) -> Generator[T]:
    """Run each search in its own thread and yield their results as they come.

    torch's threads are divided among the searches. To stop early, close the generator: each search then stops at its
    next result.
    """
    num_threads = torch.get_num_threads()
    results: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()
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
        try:
            for thread in threads:
                if thread.ident is not None:  # it has started
                    thread.join()
        finally:
            torch.set_num_threads(num_threads)  # later threads start with the number that any thread has set


def _run(
    search: Iterator[T],
    num_threads: int,
    results: "queue.SimpleQueue[T | BaseException | None]",
    stopped: threading.Event,
) -> None:
    """Put the results of a search, any error, and finally None into the queue."""
    try:
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
