"""Work that is done in a process of its own, so that its peak memory is its own; what stands here imports no torch."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from nmt.corpus.binarized import NumProcesses, PairLimits, write_split
from nmt.text.parallel import ParallelFiles, read_lines, read_pairs
from nmt.text.subword import SubwordModel, SubwordSpec, learn_subword

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class Work(NamedTuple):
    """What some work took; memory is resident bytes, `before` that of the process when it began.

    `peak` is of all its processes together.
    """

    seconds: float
    before_bytes: int
    peak_bytes: int


def in_child(function: Callable[Arguments, ResultT], *args: Arguments.args, **kwargs: Arguments.kwargs) -> ResultT:
    """Call a function in a fresh process and return its result."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_rss_bytes() -> int:
    """Return the most memory that this process has had resident.

    Linux's own account comes first: getrusage would start a child with its parent's peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def children_peak_rss_bytes() -> int:
    """Return the most memory that any child waited for has had resident, or this process when it started the child."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def encode_pairs(
    files: ParallelFiles,
    num_pairs: int,
    *,
    src_model: Path,
    tgt_model: Path,
    limits: PairLimits,
    num_processes: NumProcesses,
    folder: Path,
) -> Work:
    """Write the first `num_pairs` pairs as a split."""
    src_subword, tgt_subword = SubwordModel.load(src_model), SubwordModel.load(tgt_model)
    before, begin = peak_rss_bytes(), time.perf_counter()
    write_split(
        islice(read_pairs(files), num_pairs),
        folder,
        "train",
        src_subword=src_subword,
        tgt_subword=tgt_subword,
        limits=limits,
        num_processes=num_processes,
    )
    seconds = time.perf_counter() - begin
    return Work(seconds, before, peak_rss_bytes() + children_peak_rss_bytes())


def learn(paths: tuple[Path, ...], spec: SubwordSpec, *, lang: str, target: Path) -> Work:
    """Learn a subword model from all lines of some files, and save it."""
    before, begin = peak_rss_bytes(), time.perf_counter()
    subword = learn_subword(_lines(paths), spec, lang=lang)
    seconds = time.perf_counter() - begin
    subword.save(target)
    return Work(seconds, before, peak_rss_bytes())


def _lines(paths: tuple[Path, ...]) -> Iterator[str]:
    for path in paths:
        yield from read_lines(path)
