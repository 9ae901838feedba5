"""Subword models in processes of their own, which receive texts and return ids.

The processes are new interpreters that import only what they need: a fork could inherit locks held by other threads.
They have no state to save: Ctrl-C does not reach them, and they end with the process that started them, even if that
one is killed.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nmt.errors import ProcessDiedError
from nmt.text.subword import SubwordModel
from nmt.text.word_table import EncodedTexts

_CHUNKS_A_PROCESS = 2  # one that it encodes, and one that waits

_subword: SubwordModel  # of a process of a pool


class SubwordPool:
    """Processes that encode texts with one subword model, as a context."""

    def __init__(self, subword: SubwordModel, *, num_processes: int) -> None:
        self._subword, self._num_processes = subword, num_processes

    def __enter__(self) -> "SubwordPool":
        with ExitStack() as resources:  # which ends what has started if the rest fails
            # in a file, since a process that died at its start would not empty a pipe
            folder = Path(resources.enter_context(TemporaryDirectory(prefix="nmt-")))
            self._subword.save(folder / "subword")
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(
                self._num_processes,
                mp_context=context,
                initializer=_start,
                initargs=(folder / "subword", context.Barrier(self._num_processes)),
            )
            resources.callback(self._executor.shutdown, cancel_futures=True)
            # All processes start here, since none is idle before all have started. A later start could meet the end of
            # an executor of which a process has died, and Python 3.11 would wait for the new process for ever.
            try:
                for _ in range(self._num_processes):
                    self.submit([""])
            except BaseException:  # those that have started wait for the others
                for process in list(self._executor._processes.values()):
                    process.kill()
                raise
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    def submit(self, texts: Sequence[str]) -> Future[EncodedTexts]:
        """Begin to encode texts, of which there is at least one; none may contain a line feed."""
        content = "\n".join(texts)  # one string is sent faster than many
        assert content.count("\n") == len(texts) - 1, "there is no text, or one holds a line feed"
        with _without_ctrl_c():  # a process that starts here does not receive it
            return self._executor.submit(_encode, content)


def encode_blocks(
    blocks: Iterable[Sequence[Sequence[str]]], subwords: Sequence[SubwordModel], *, num_processes: int
) -> Generator[list[EncodedTexts]]:
    """Encode blocks that hold some texts for each model, and yield them in order.

    Each model has its own processes: two models in one process would have to look up the words of both. Memory does
    not grow with the number of blocks.

    Args:
        num_processes: of all models, each of which has at least one.

    Raises:
        ProcessDiedError: if a process dies.
    """
    num_each = max(1, num_processes // len(subwords))
    waiting: deque[list[Future[EncodedTexts]]] = deque()
    with ExitStack() as stack:
        with _explaining_death():
            pools = [stack.enter_context(SubwordPool(subword, num_processes=num_each)) for subword in subwords]
        for block in blocks:
            with _explaining_death():
                waiting.append([pool.submit(texts) for pool, texts in zip(pools, block, strict=True)])
            if len(waiting) > _CHUNKS_A_PROCESS * num_each:
                yield _results(waiting.popleft())
        while waiting:
            yield _results(waiting.popleft())


def _results(futures: Iterable[Future[EncodedTexts]]) -> list[EncodedTexts]:
    with _explaining_death():
        return [future.result() for future in futures]


@contextmanager
def _explaining_death() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise ProcessDiedError(
            "a process that encodes text has died: free memory if there was too little, "
            "or allow only one CPU (taskset -c 0 nmt …), for which no process is started"
        ) from None


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; threads and processes that start in it never receive it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In a process of a pool


def _start(model: Path, all_started: Barrier) -> None:
    global _subword
    os.setsid()  # a signal to the whole group is for the caller
    threading.Thread(target=_end_with_caller, daemon=True).start()
    _subword = SubwordModel.load(model)
    all_started.wait()


def _end_with_caller() -> None:
    caller = multiprocessing.parent_process()
    assert caller is not None
    caller.join()
    os._exit(1)


def _encode(content: str) -> EncodedTexts:
    return _subword.encode_flat(content.split("\n"))
