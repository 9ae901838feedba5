"""Beam search in several threads of a CPU, each with sentences of its own.

A step consists of many short matmuls and longer sums with bookkeeping between them. Two threads that share each
matmul wait for one another some hundred times a step, and for whatever else runs on their processors; two searches
that share nothing but the list of sources do not.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from nmt.config import SearchConfig
from nmt.search.beam import (
    Found,
    Hypothesis,
    Supply,
    check_search_config,
    max_read_at_once,
    search_as_found,
    search_by_step,
)
from nmt.search.scorer import EncodedSource, StepScorer

StateT = TypeVar("StateT")

ROWS_OF_WORKER = 256  # fewer rows a step cost more each
# About so many shares of the sources for each worker, lest one wait long for another at the end; but no share smaller
# than this, for reading few sources at once costs more each.
SHARES_OF_WORKER = 8
LEAST_SHARE = 16


def num_workers(config: SearchConfig, *, device: torch.device, num_threads: int) -> int:
    """Return how many searches of `config.batch_rows` rows together should run side by side; one on a GPU."""
    if device.type != "cpu":
        return 1
    return max(1, min(num_threads, config.batch_rows // max(ROWS_OF_WORKER, config.beam_size)))


def search_in_threads(
    scorer: StepScorer[StateT], sources: Sequence[EncodedSource], config: SearchConfig, *, workers: int
) -> Generator[Found]:
    """Search all sources and yield each as soon as it is done; torch's threads are divided among the workers.

    Which sentences share a batch depends on the course of the threads, so that log-probabilities may differ in their
    last bits from one run to the next. Close the generator if you leave it before its end.
    """
    own_config = replace(config, batch_rows=config.batch_rows // workers)
    share = max(LEAST_SHARE, _ceil_div(len(sources), workers * SHARES_OF_WORKER))
    num_at_once = min(share, _ceil_div(len(sources), workers), max_read_at_once(own_config))
    supply = Supply(len(sources), num_at_once)
    num_threads = torch.get_num_threads()
    news: queue.SimpleQueue[list[Found] | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def work(own_threads: int) -> None:
        try:
            torch.set_num_threads(own_threads)
            for done in search_by_step(scorer, sources, supply, own_config):
                if stopped.is_set():
                    return
                news.put(done)
        except BaseException as error:  # raised again where the search was asked for
            news.put(error)
        finally:
            news.put(None)

    threads = [
        threading.Thread(target=work, args=(own_threads,), name=f"search {number}")
        for number, own_threads in enumerate(divide_threads(num_threads, workers))
    ]
    try:
        for thread in threads:
            thread.start()
        num_running = workers
        while num_running:
            match news.get():
                case None:
                    num_running -= 1
                case BaseException() as error:
                    raise error
                case done:
                    yield from done
    finally:
        stopped.set()
        try:
            for thread in threads:
                if thread.ident is not None:  # it has started
                    thread.join()
        finally:
            torch.set_num_threads(num_threads)  # what a worker sets is also what threads to come begin with


def divide_threads(num_threads: int, workers: int) -> list[int]:
    """Return how many threads each worker has: all of them together, but one at least."""
    return [max(1, (num_threads + number) // workers) for number in range(workers)]


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def beam_search(
    scorer: StepScorer[StateT],
    sources: Sequence[EncodedSource],
    config: SearchConfig,
    *,
    progress: Callable[[int], None] | None = None,
    workers: int = 1,
) -> list[tuple[Hypothesis, ...]]:
    """Return the n best hypotheses of every source, best first; fewer where fewer finished.

    Where none finished within the maximum length, these are unfinished ones, and say so.

    Args:
        progress: called with the number of sources done since the last call.
        workers: searches that run side by side; `num_workers` knows how many should.

    Raises:
        ConfigError: for an invalid config.
    """
    check_search_config(config)
    results: list[tuple[Hypothesis, ...]] = [()] * len(sources)
    workers = min(workers, len(sources), config.batch_rows // config.beam_size)
    if workers > 1:
        search = search_in_threads(scorer, sources, config, workers=workers)
    else:
        search = search_as_found(scorer, sources, config)
    with contextlib.closing(search):  # what goes wrong in `progress` must end the threads as well
        for found in search:
            results[found.sentence] = found.hypotheses
            if progress is not None:
                progress(1)
    return results
