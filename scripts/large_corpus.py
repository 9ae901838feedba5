"""Measure the preparation of a large corpus: pairs per second, memory of all processes, disk, and opening for training.

    scripts/large_corpus.py FOLDER --pairs 12000000 --src train.0.en.gz train.1.en.gz --tgt train.0.fr.gz train.1.fr.gz

The corpus is made in FOLDER by repeating the given files until it has enough pairs. Numbers of the preparation include
hashing the text and learning the subwords.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nmt.choices import BatchUnit
from nmt.config import BatchingConfig
from nmt.corpus.batching import TrainingBatches
from nmt.corpus.binarized import open_split
from nmt.text.parallel import read_lines

_SECONDS_BETWEEN_LOOKS = 0.2
_BATCHING = BatchingConfig(unit=BatchUnit.tokens, size=4_000, min_sentences=16)


class Prepared(NamedTuple):
    """A prepared corpus, and what it took."""

    directory: Path
    seconds: float
    peak_bytes: int


def repeat(paths: Sequence[Path], target: Path, *, num_lines: int) -> None:
    """Write the lines of some files again and again until there are enough."""
    if target.exists() and sum(1 for _ in read_lines(target)) == num_lines:
        return
    with target.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in islice(_endless(paths), num_lines))


def _endless(paths: Sequence[Path]) -> Iterator[str]:
    while True:
        for path in paths:
            yield from read_lines(path)


def prepare(folder: Path, settings: Sequence[str]) -> Prepared:
    """Run `nmt prepare` on train.src and train.tgt of a folder; the first 1,000 pairs are the development set."""
    names = [f"data.{split}.{side}=[{split}.{side}]" for split in ("train", "dev") for side in ("src", "tgt")]
    command = [sys.executable, "-m", "nmt", "prepare", "data=files", "data.name=large", *names]
    command += [
        "data.src_lang=en",
        "data.tgt_lang=fr",
        f"data.dir={folder}",
        f"data.prepared_dir={folder / 'prepared'}",
    ]
    begin, peak_bytes = time.perf_counter(), 0
    with subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, sum(map(_resident_bytes, _with_children(process.pid))))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        assert process.stdout is not None
        directory = process.stdout.read().strip()
    if process.returncode != 0:
        sys.exit(process.returncode)
    return Prepared(Path(directory), time.perf_counter() - begin, peak_bytes)


def _with_children(pid: int) -> list[int]:
    """Return a process and those that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return []
    return [pid, *(found for child in children for found in _with_children(int(child)))]


def _resident_bytes(pid: int) -> int:
    """Return the memory of a process; what it shares with others counts for each."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def report(prepared: Prepared) -> dict[str, float]:
    """Return the figures of a prepared corpus, after opening it and planning the first batches here."""
    begin = time.perf_counter()
    corpus = open_split(prepared.directory, "train", fingerprint=None)
    opened = time.perf_counter()
    num_batches = len(TrainingBatches(corpus, _BATCHING, seed=1).plan())
    return {
        "pairs": corpus.report.num_read,
        "pairs_per_second": round(corpus.report.num_read / prepared.seconds),
        "seconds": round(prepared.seconds, 1),
        "peak_mib_of_all_processes": prepared.peak_bytes >> 20,
        "bytes_per_pair_on_disk": round(_size(prepared.directory) / corpus.num_pairs, 1),
        "seconds_to_open": round(opened - begin, 2),
        "seconds_to_plan_the_first_window": round(time.perf_counter() - opened, 2),
        "batches_of_the_first_window": num_batches,
        "peak_mib_of_opening_and_planning": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    """Make the corpus, prepare it and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--src", type=Path, nargs="+", required=True)
    parser.add_argument("--tgt", type=Path, nargs="+", required=True)
    parser.add_argument("--settings", nargs="*", default=[], help="other settings of nmt prepare")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for side in ("src", "tgt"):
        paths = getattr(arguments, side)
        repeat(paths, arguments.folder / f"train.{side}", num_lines=arguments.pairs)
        repeat(paths, arguments.folder / f"dev.{side}", num_lines=1_000)
    print(json.dumps(report(prepare(arguments.folder, arguments.settings)), indent=2))


if __name__ == "__main__":
    main()
