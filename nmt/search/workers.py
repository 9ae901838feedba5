"""Beam search in several threads of a CPU, each with sentences of its own.

A step consists of many short products and longer sums with books to keep between them. Two threads that share each
product wait for one another some hundred times a step, and for whatever else runs on their processors; two searches
that share nothing but the list of sources do not.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from nmt.config import SearchConfig
from nmt.search.beam import (
    READ_AT_ONCE,
    Found,
    Hypothesis,
    Supply,
    check_search_config,
    search_as_found,
    search_by_step,
)
from nmt.search.scorer import EncodedSource, StepScorer

StateT = TypeVar("StateT")

ROWS_OF_WORKER = 256  # fewer rows a step cost more each
SHARES_OF_WORKER = 8  # so often does a worker take new sources, at least, lest one wait long for another at the end


def num_workers(config: SearchConfig, *, device: torch.device, num_threads: int) -> int:
    """Return how many searches of `config.batch_rows` rows together should run side by side; one on a GPU."""
    if device.type != "cpu":
        return 1
    return max(1, min(num_threads, config.batch_rows // max(ROWS_OF_WORKER, config.beam_size)))


def search_in_threads(
    scorer: StepScorer[StateT], sources: Sequence[EncodedSource], config: SearchConfig, *, workers: int
) -> Iterator[Found]:
    """Search all sources and yield each as soon as it is done; torch's threads are divided among the workers.

    Which sentences share a batch depends on the course of the threads, so that log-probabilities may differ in their
    last bits from one run to the next.
    """
    share = -(-len(sources) // (workers * SHARES_OF_WORKER))
    supply = Supply(len(sources), max(1, min(READ_AT_ONCE, share)))
    own_config = replace(config, batch_rows=config.batch_rows // workers)
    threads_before = torch.get_num_threads()
    news: queue.SimpleQueue[list[Found] | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        try:
            torch.set_num_threads(max(1, threads_before // workers))
            for done in search_by_step(scorer, sources, supply, own_config):
                if stopped.is_set():
                    return
                news.put(done)
        except BaseException as error:  # raised again where the search was asked for
            news.put(error)
        finally:
            news.put(None)

    threads = [threading.Thread(target=work, name=f"search {number}") for number in range(workers)]
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
        for thread in threads:
            thread.join()
        torch.set_num_threads(threads_before)  # what a worker sets is also what threads to come begin with


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
        ConfigError: for a config that cannot be.
    """
    check_search_config(config)
    results: list[tuple[Hypothesis, ...]] = [()] * len(sources)
    if workers > 1 and len(sources) > 1:
        as_found = search_in_threads(scorer, sources, config, workers=workers)
    else:
        as_found = search_as_found(scorer, sources, config)
    for found in as_found:
        results[found.sentence] = found.hypotheses
        if progress is not None:
            progress(1)
    return results
