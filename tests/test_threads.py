"""Parallel searches find what one search finds; an error in a thread reaches the caller."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch

from nmt.search.beam import beam_search, search
from nmt.search.scorer import EncodedSource, ModelScorer
from nmt.search.source_queue import SourceQueue
from nmt.search.threads import choose_num_searches, divide_threads, side_by_side
from tests.search import search_config
from tests.test_scorer import LINES, log_probs_of, tiny_scorer

CPU = torch.device("cpu")


class CountingScorer(ModelScorer):
    """Records how many sources it reads at a time and with how many threads; can fail."""

    fails_at_read: int | None = None

    def __init__(self) -> None:
        vars(self).update(vars(tiny_scorer()))
        self.reads: list[int] = []
        self.torch_threads = set[int]()

    def start(self, sources: Sequence[EncodedSource]):  # type: ignore[no-untyped-def]
        self.torch_threads.add(torch.get_num_threads())
        self.reads.append(len(sources))
        if self.fails_at_read is not None and len(self.reads) >= self.fails_at_read:
            raise MemoryError("no room")
        return super().start(sources)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("num_searches", [2, 3, 5])
def test_parallel_searches_find_what_one_finds(beam_size: int, num_searches: int) -> None:
    scorer = tiny_scorer()  # float64: equal in any batch
    sources = scorer.encode_sources([f"{first} {second}" for first in LINES for second in LINES])
    config = replace(search_config(beam_size, n_best=beam_size), batch_rows=20 * beam_size * num_searches)
    expected = beam_search(scorer, sources, config)
    found = beam_search(scorer, sources, config, num_searches=num_searches)
    assert [[h.ids for h in n_best] for n_best in found] == [[h.ids for h in n_best] for n_best in expected]
    assert log_probs_of(found) == pytest.approx(log_probs_of(expected), abs=1e-12)


def test_sources_and_threads_are_divided_and_threads_restored() -> None:
    scorer = CountingScorer()
    sources = scorer.encode_sources(LINES * 20)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = beam_search(scorer, sources, replace(search_config(2), batch_rows=40), num_searches=2)
        assert _threads_of_a_new_thread() == 4
    finally:
        torch.set_num_threads(before)
    assert all(found)
    assert max(scorer.reads) < len(sources)
    assert scorer.torch_threads == {2}
    assert sum(scorer.reads) == len(sources)


def test_each_search_keeps_its_own_number_of_threads() -> None:
    all_run = threading.Barrier(2, timeout=60)

    def results() -> Iterator[int]:
        all_run.wait()
        yield torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert sorted(side_by_side([results(), results()])) == [1, 2]
    finally:
        torch.set_num_threads(before)


def test_calls_at_the_same_time_leave_the_number_of_threads_as_it_was() -> None:
    def results(is_running: threading.Event, may_end: threading.Event) -> Iterator[int]:
        is_running.set()
        assert may_end.wait(timeout=60)
        yield torch.get_num_threads()

    def call(*events: threading.Event) -> None:
        seen.extend(side_by_side([results(*events), results(*events)]))

    seen: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    try:
        running, may_end = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
        calls = [threading.Thread(target=call, args=events) for events in zip(running, may_end, strict=True)]
        for number, thread in enumerate(calls):
            thread.start()
            assert running[number].wait(timeout=60)
        for number, thread in enumerate(calls):  # the first one ends while the second still runs
            may_end[number].set()
            thread.join()
        assert _threads_of_a_new_thread() == 8
    finally:
        torch.set_num_threads(before)
    assert seen == [4, 4, 4, 4]


def test_searches_share_all_threads() -> None:
    assert divide_threads(3, 2) == [1, 2]
    assert divide_threads(16, 3) == [5, 5, 6]
    assert divide_threads(1, 2) == [1, 1]


@pytest.mark.parametrize("num_sources", [1, 2, 3])
def test_searches_are_limited_by_sources_and_rows(num_sources: int) -> None:
    scorer = CountingScorer()
    sources = scorer.encode_sources(LINES[:num_sources])
    found = beam_search(scorer, sources, replace(search_config(2), batch_rows=4), num_searches=8)
    assert len(found) == num_sources
    assert all(found)
    assert beam_search(scorer, [], search_config(2), num_searches=8) == []


def test_an_error_in_a_thread_reaches_the_caller_and_ends_the_others() -> None:
    scorer = CountingScorer()
    scorer.fails_at_read = 3
    sources = scorer.encode_sources(LINES * 20)
    with pytest.raises(MemoryError, match="no room"):
        beam_search(scorer, sources, replace(search_config(2), batch_rows=40), num_searches=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("search")]


def test_an_error_in_the_caller_ends_the_threads() -> None:
    scorer = CountingScorer()
    sources = scorer.encode_sources(LINES * 200)

    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    try:
        beam_search(scorer, sources, replace(search_config(2), batch_rows=8), num_searches=2, progress=interrupt)
    except KeyboardInterrupt:  # while the exception, and with it its frames, still exists
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("search")]
    else:
        pytest.fail("the interrupt must reach the caller")
    assert sum(scorer.reads) < len(sources)


def test_an_interrupt_while_threads_start_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        starts.append(thread)
        if len(starts) == 2:
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    scorer = CountingScorer()
    with pytest.raises(KeyboardInterrupt):
        beam_search(scorer, scorer.encode_sources(LINES * 20), replace(search_config(2), batch_rows=40), num_searches=3)
    assert not starts[0].is_alive()


def _threads_of_a_new_thread() -> int:
    """Ask a new thread: a setting holds for the thread that makes it and for threads that start later."""
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]


def test_closing_the_generator_ends_the_threads() -> None:
    scorer = CountingScorer()
    sources = scorer.encode_sources(LINES * 200)
    queue, config = SourceQueue(sources, 16), replace(search_config(2), batch_rows=4)
    found = side_by_side([search(scorer, queue, config) for _ in range(2)])
    next(found)
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("search")]
    assert sum(scorer.reads) < len(sources)


@pytest.mark.parametrize(
    ("batch_rows", "beam_size", "num_threads", "expected"),
    [
        (512, 5, 2, 2),
        (512, 5, 1, 1),
        (512, 5, 16, 2),
        (4096, 5, 8, 8),
        (255, 5, 8, 1),
        (512, 400, 8, 1),
    ],
)
def test_every_search_has_enough_rows(batch_rows: int, beam_size: int, num_threads: int, expected: int) -> None:
    config = replace(search_config(beam_size), batch_rows=batch_rows)
    assert choose_num_searches(config, device=CPU, num_threads=num_threads) == expected
    assert choose_num_searches(config, device=torch.device("cuda"), num_threads=num_threads) == 1
