"""The sources of a search: a queue that several searches share, and a reader for each of them."""

import threading
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch

from nmt.config import SearchConfig
from nmt.search.scorer import EncodedSource, StepScorer

StateT = TypeVar("StateT")

# Sources that the scorer reads at once, even if the batch has room for fewer: reading only as many as fit took up to
# three times as long.
READ_AT_ONCE = 128
# Each of several searches takes the sources in about this many shares, so that none waits long for another at the end;
# but no share is smaller than the minimum, since reading few sources at once costs more for each.
SHARES_OF_SEARCH = 8
LEAST_SHARE = 16


class SourceQueue:
    """The sources of a search, taken in order, several at a time; it may be shared by threads."""

    def __init__(self, sources: Sequence[EncodedSource], num_at_once: int) -> None:
        self.sources = sources
        self._num_at_once = num_at_once
        self._num_taken = 0
        self._lock = threading.Lock()

    def take(self) -> range:
        """Return the positions of the next sources; empty if there are no more."""
        with self._lock:
            first = self._num_taken
            self._num_taken = min(first + self._num_at_once, len(self.sources))
            return range(first, self._num_taken)


def num_read_at_once(config: SearchConfig, num_sources: int, *, num_searches: int) -> int:
    """Return how many sources a search takes at once if `num_searches` share them.

    There must be enough for the encoder to work efficiently, and for greedy search to fill its batch.
    """
    at_once = max(min(READ_AT_ONCE, config.batch_rows), config.batch_rows // config.beam_size)
    if num_searches == 1:
        return at_once
    share = max(LEAST_SHARE, _ceil_div(num_sources, num_searches * SHARES_OF_SEARCH))
    return min(at_once, share, _ceil_div(num_sources, num_searches))


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


class Entering(NamedTuple, Generic[StateT]):
    """Sources that enter the batch: their positions, and the scorer's state with one row for each."""

    sentences: range
    sources: Sequence[EncodedSource]
    state: StateT


class SourceReader(Generic[StateT]):
    """Lets the scorer read many sources at once, and keeps those for which the batch has no room yet."""

    def __init__(self, scorer: StepScorer[StateT], queue: SourceQueue) -> None:
        self._scorer = scorer
        self._queue = queue
        self._read = self._waiting = range(0)
        self._state: StateT  # one row for each source of `_read`

    def take(self, room: int) -> Entering[StateT] | None:
        """Return the next sources, at most `room`; None if none is left."""
        sources = self._queue.sources
        if not self._waiting:
            self._read = self._waiting = self._queue.take()
            if not self._read:
                return None
            self._state = self._scorer.start([sources[index] for index in self._read])
        entering, self._waiting = self._waiting[:room], self._waiting[room:]
        state = self._state
        if entering != self._read:
            state = self._scorer.select(state, torch.arange(len(entering)) + (entering.start - self._read.start))
        if not self._waiting:
            del self._state  # all its rows have entered
        return Entering(entering, [sources[index] for index in entering], state)
