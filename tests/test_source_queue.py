"""The queue of sources, and how many of them a search reads at once."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nmt.search.beam import beam_search
from nmt.search.scorer import EncodedSource, ModelScorer
from nmt.search.source_queue import READ_AT_ONCE, SourceQueue, num_read_at_once
from tests.search import search_config
from tests.test_scorer import LINES, tiny_scorer


class ReadingScorer(ModelScorer):
    """Records how many sources it reads at a time."""

    def __init__(self) -> None:
        vars(self).update(vars(tiny_scorer()))
        self.reads: list[int] = []

    def start(self, sources: Sequence[EncodedSource]):  # type: ignore[no-untyped-def]
        self.reads.append(len(sources))
        return super().start(sources)


def test_a_queue_gives_every_source_once_in_order() -> None:
    queue = SourceQueue([EncodedSource(([number],)) for number in range(7)], 3)
    assert [list(queue.take()) for _ in range(5)] == [[0, 1, 2], [3, 4, 5], [6], [], []]


@pytest.mark.parametrize(
    ("beam_size", "batch_rows", "expected"),
    [(5, 512, 128), (12, 512, 128), (12, 60, 60), (1, 512, 512), (2, 301, 150), (2, 256, 128), (1, 100, 100)],
)
def test_one_search_reads_what_fills_its_batch(beam_size: int, batch_rows: int, expected: int) -> None:
    config = replace(search_config(beam_size), batch_rows=batch_rows)
    found = num_read_at_once(config, 10_000, num_searches=1)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize(
    ("num_sources", "num_searches", "expected"), [(10_000, 2, 128), (800, 2, 50), (100, 2, 16), (20, 2, 10), (1, 2, 1)]
)
def test_several_searches_read_shares(num_sources: int, num_searches: int, expected: int) -> None:
    config = replace(search_config(5), batch_rows=256)
    assert num_read_at_once(config, num_sources, num_searches=num_searches) == expected


def test_few_sources_are_not_read_one_by_one() -> None:
    scorer = ReadingScorer()
    beam_search(scorer, scorer.encode_sources(LINES * 8), replace(search_config(2), batch_rows=200), num_searches=2)
    assert sorted(scorer.reads) == [16, 16, 16]


def test_one_search_reads_more_sources_than_it_has_room_for() -> None:
    scorer = ReadingScorer()
    sources = scorer.encode_sources(LINES * 50)
    beam_search(scorer, sources, replace(search_config(8), batch_rows=READ_AT_ONCE))
    assert scorer.reads == [READ_AT_ONCE, READ_AT_ONCE, len(sources) - 2 * READ_AT_ONCE]


def test_the_rows_of_the_batch_limit_what_is_read_at_once() -> None:
    scorer = ReadingScorer()
    sources = scorer.encode_sources(LINES * 4)
    beam_search(scorer, sources, replace(search_config(4), batch_rows=12))
    assert scorer.reads == [12, 12]
