"""Check that a training run that is killed (SIGKILL) again and again ends exactly like one that is not.

A small model is trained on digits. Each part of a run is a separate process, forked after the imports, which take most
of the start-up time. It is killed at a random moment, and the next part resumes. A finished run is compared bit by bit
with one that was never killed; then the next run begins. With several processes that train together (gloo), one of them
is killed, and the others, which get SIGTERM as from torchrun, must end.
"""

import argparse
import json
import mmap
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import nmt.commands.train  # noqa: F401  # before the forks
from nmt.commands import main as command_line
from nmt.training import resume
from nmt.training.checkpoint import check_files
from nmt.training.checkpoint_links import checkpoints_in, resolve_checkpoint
from nmt.training.checkpoint_store import CheckpointStore
from nmt.training.trainer import Trainer

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FRENCH = ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf")


class Stage(IntEnum):
    """What a process was doing when it was killed."""

    starting = 0
    recovering = 1
    training = 2
    updating = 3
    validating = 4
    copying_a_checkpoint = 5
    writing_a_checkpoint = 6
    saving_scores = 7
    linking_and_pruning = 8
    ending = 9


STAGES: list[tuple[type | ModuleType, str, Stage]] = [
    (resume, "recover", Stage.recovering),
    (Trainer, "run", Stage.training),
    (Trainer, "_update", Stage.updating),
    (Trainer, "_validate", Stage.validating),
    (Trainer, "_save", Stage.copying_a_checkpoint),
    (Trainer, "_finish", Stage.ending),
    (CheckpointStore, "write", Stage.writing_a_checkpoint),
    (CheckpointStore, "record_validation", Stage.saving_scores),
    (CheckpointStore, "settle", Stage.linking_and_pruning),
]


class Watch:
    """Memory shared by a child and its parent: the stages of the child's threads, and whether training has begun."""

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, 3)

    def instrument(self) -> None:
        """Make the calls of the child record their stages."""
        for owner, name, stage in STAGES:
            setattr(owner, name, self._recorded(getattr(owner, name), stage))

    @property
    def stage(self) -> Stage:
        return Stage(self._bytes[1] or self._bytes[0])

    @property
    def has_begun(self) -> bool:
        return bool(self._bytes[2])

    def _recorded(self, function: Callable[..., Any], stage: Stage) -> Callable[..., Any]:
        is_writer = stage in (Stage.writing_a_checkpoint, Stage.saving_scores, Stage.linking_and_pruning)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            before = self._bytes[is_writer]
            self._bytes[is_writer] = stage
            if stage == Stage.training:
                self._bytes[2] = 1
            try:
                return function(*args, **kwargs)
            finally:
                self._bytes[is_writer] = before

        return call


LONGEST_WAIT_S = 60.0  # of the other processes, after one has been killed
GRACE_S = 30.0  # that torchrun gives them after SIGTERM


class Part(NamedTuple):
    """How the processes of a part ended: one killed at a stage (`status` is None), or by themselves with a status.

    Attributes:
        waited_s: the time after the kill in which the others ended.
    """

    stage: Stage
    status: int | None
    waited_s: float = 0.0


def start(arguments: Sequence[str], log: Path, watch: Watch, *, num_processes: int) -> list[int]:
    """Run `nmt ARGUMENTS` in separate processes; return their process ids."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    several = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": num_processes}
    places = [
        {**several, "LOCAL_WORLD_SIZE": num_processes, "RANK": rank, "LOCAL_RANK": rank}
        for rank in range(num_processes)
    ]
    watches = [watch, *(Watch() for _ in places[1:])]
    if num_processes == 1:
        places = [{}]
    return [_fork(arguments, log, *process) for process in zip(watches, places, strict=True)]


def _fork(arguments: Sequence[str], log: Path, watch: Watch, place: Mapping[str, object]) -> int:
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    os.environ.update({name: str(value) for name, value in place.items()})
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        watch.instrument()
        with mock.patch.object(sys, "argv", ["nmt", *arguments]):
            command_line.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def kill_after(pids: Sequence[int], watch: Watch, *, victim: int, delay_s: float, from_start: bool) -> Part:
    """Kill the process `victim` some time after the start, or after training has begun, unless it has ended by then.

    Args:
        watch: that of process 0.
    """
    begin = time.monotonic() if from_start else None
    while True:
        ended, status = os.waitpid(pids[victim], os.WNOHANG)
        if ended:
            code, _ = _wait_for_all(pids, {victim: os.waitstatus_to_exitcode(status)})
            return Part(watch.stage, code)
        if begin is None and watch.has_begun:
            begin = time.monotonic()
        if begin is not None and time.monotonic() - begin >= delay_s:
            stage = watch.stage
            os.kill(pids[victim], signal.SIGKILL)
            _, status = os.waitpid(pids[victim], 0)
            is_killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            code, waited_s = _wait_for_all(pids, {victim: os.waitstatus_to_exitcode(status)})
            return Part(stage, None if is_killed else code, waited_s)
        time.sleep(0.0002)


def _wait_for_all(pids: Sequence[int], codes: dict[int, int]) -> tuple[int, float]:
    """Wait until all processes have ended; return the largest exit status, and how long it took in seconds.

    If one has failed, the others get SIGTERM, and after a while SIGKILL, as from torchrun.

    Args:
        codes: of the processes that have ended already; negative if a signal ended them.
    """
    begin = time.monotonic()
    if any(codes.values()):
        for number in set(range(len(pids))) - codes.keys():
            os.kill(pids[number], signal.SIGTERM)
    while len(codes) < len(pids):
        for number in set(range(len(pids))) - codes.keys():
            ended, status = os.waitpid(pids[number], os.WNOHANG)
            if ended:
                codes[number] = os.waitstatus_to_exitcode(status)
            elif any(codes.values()) and time.monotonic() - begin > GRACE_S:
                os.kill(pids[number], signal.SIGKILL)
        time.sleep(0.001)
    return max(codes.values()), time.monotonic() - begin


def differences(run_dir: Path, expected_dir: Path) -> Iterator[str]:
    """Name what differs between two runs, except times and directories."""
    folders = [path / "checkpoints" for path in (run_dir, expected_dir)]
    for name in ("best", "last"):
        updates = [resolve_checkpoint(folder / name).name for folder in folders]
        if updates[0] != updates[1]:
            yield f"{name} is {updates[0]}, but must be {updates[1]}"
    names = [[path.name for path in checkpoints_in(folder).values()] for folder in folders]
    if names[0] != names[1]:
        yield f"checkpoints are {names[0]}, but must be {names[1]}"
    for name in set(names[0]) & set(names[1]):
        yield from _checkpoint_differences(folders[0] / name, folders[1] / name)
    if _without_times(run_dir / "metrics.jsonl") != _without_times(expected_dir / "metrics.jsonl"):
        yield "metrics.jsonl differs"
    if leftovers := sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob(".*.tmp")):
        yield f"leftovers: {', '.join(leftovers)}"


def _checkpoint_differences(checkpoint: Path, expected: Path) -> Iterator[str]:
    exact = [path for pattern in ("*.safetensors", "samples.json") for path in expected.rglob(pattern)]
    for file in sorted(str(path.relative_to(expected)) for path in exact):
        if not (checkpoint / file).is_file() or (checkpoint / file).read_bytes() != (expected / file).read_bytes():
            yield f"{checkpoint.name}/{file} differs"
    if problems := check_files(checkpoint).problems:
        yield f"{checkpoint.name} has {len(problems)} files that are not what its hashes say"
    for file in ("checkpoint.json", "training/state.json"):
        if _without_times(checkpoint / file) != _without_times(expected / file):
            yield f"{checkpoint.name}/{file} differs"


def _without_times(file: Path) -> list[Any]:
    def strip(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # and the hashes of files, which depend on times
        hidden = {"wall_s", "busy_s", "src_tokens_per_s", "tgt_tokens_per_s", "files", "hash"}
        return {name: strip(inner) for name, inner in value.items() if name not in hidden}

    text = file.read_text(encoding="utf-8")
    return [strip(json.loads(part)) for part in (text.splitlines() if file.suffix == ".jsonl" else [text])]


def write_text(folder: Path) -> None:
    """Write digits in English, and in French in reverse order."""
    numbers = random.Random(1)
    for split, num_pairs in (("train", 200), ("dev", 10)):
        rows = [[numbers.randrange(10) for _ in range(numbers.randint(1, 6))] for _ in range(num_pairs)]
        for lang, words, step in (("en", ENGLISH, 1), ("fr", FRENCH, -1)):
            lines = [" ".join(words[digit] for digit in row[::step]) for row in rows]
            (folder / f"{split}.{lang}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def settings(folder: Path, options: argparse.Namespace) -> list[str]:
    return [
        "train",
        "resume=true",
        *("data=files", "data.src_lang=en", "data.tgt_lang=fr", f"data.dir={folder}"),
        *("data.train.src=train.en", "data.train.tgt=train.fr", "data.dev.src=dev.en", "data.dev.tgt=dev.fr"),
        *(f"data.prepared_dir={folder / 'prepared'}", "subword=word", "subword.vocab_size=14"),
        *("model=lstm_tiny", f"model.hidden_dim={options.hidden_dim}", f"model.embedding_dim={options.hidden_dim}"),
        *("model.dropout=0.1", "batching=sentences", "batching.size=8", "batching.min_sentences=4"),
        *("device=cpu", "threads=1", "training.precision=fp32", "optimizer.schedule.kind=plateau"),
        *("optimizer.lr=0.01", "optimizer.schedule.plateau_patience=2", "training.max_epochs=null"),
        *(f"training.max_updates={options.updates}", "training.log_every=2", "training.keep_last=2"),
        *(f"training.checkpoint_every={options.checkpoint_every}", f"training.validate_every={options.validate_every}"),
        *("training.ema=0.9", "training.bleu_every=2", "training.best_by=bleu", "search.max_len_ratio=1"),
    ]


def run(arguments: Sequence[str]) -> int:
    """Kill, resume, compare, and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--updates", type=int, default=50, help="of each run")
    parser.add_argument("--checkpoint-every", type=int, default=3, metavar="UPDATES")
    parser.add_argument("--validate-every", type=int, default=4, metavar="UPDATES")
    parser.add_argument("--hidden-dim", type=int, default=16, help="of the model")
    parser.add_argument("--processes", type=int, default=1, help="that train together")
    parser.add_argument("--longest", type=float, default=0.5, metavar="SECONDS", help="that a part trains at most")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="nmt-torture-") as name:
        return _torture(Path(name), options)


def _torture(folder: Path, options: argparse.Namespace) -> int:
    write_text(folder)
    command, expected = settings(folder, options), folder / "never_killed"
    processes = options.processes
    pids = start([*command, f"run_dir={expected}"], folder / "never_killed.log", Watch(), num_processes=processes)
    status, _ = _wait_for_all(pids, {})
    if status:
        print((folder / "never_killed.log").read_text(encoding="utf-8"), file=sys.stderr)
        return 1
    stages: Counter[str] = Counter()
    moments, num_runs, problems = random.Random(options.seed), 0, list[str]()
    longest_s = 0.0
    while stages.total() < options.kills or num_runs == 0:
        num_runs += 1
        run_dir = folder / f"run{num_runs}"
        while True:
            watch = Watch()
            log = run_dir.with_suffix(".log")
            pids = start([*command, f"run_dir={run_dir}"], log, watch, num_processes=processes)
            victim = moments.randrange(processes) if processes > 1 else 0
            if stages.total() < options.kills:
                from_start = moments.random() < 0.15
                delay_s = moments.uniform(0, 1.5 if from_start else options.longest)
            else:  # the last run continues to its end
                from_start, delay_s = True, 600.0
            part = kill_after(pids, watch, victim=victim, delay_s=delay_s, from_start=from_start)
            if part.status is not None:
                break
            longest_s = max(longest_s, part.waited_s)
            if part.waited_s > LONGEST_WAIT_S:
                problems.append(
                    f"run {num_runs}: after process {victim} was killed ({part.stage.name}), others still waited "
                    f"{LONGEST_WAIT_S:.0f} s"
                )
            stages[part.stage.name.replace("_", " ")] += 1
        found = list(differences(run_dir, expected)) if part.status == 0 else [f"exit status {part.status}"]
        problems += [f"run {num_runs}: {problem}" for problem in found]
        if found:
            print(run_dir.with_suffix(".log").read_text(encoding="utf-8")[-3000:], file=sys.stderr)
    print(f"{stages.total()} kills: " + ", ".join(f"{number} {stage}" for stage, number in stages.most_common()))
    if processes > 1:
        print(f"after each kill, the other processes ended within {longest_s:.1f} s")
    print(f"{num_runs} runs of {options.updates} updates, each resumed to its end")
    print("\n".join(problems) or "all equal to the run that was never killed, bit by bit")
    return 1 if problems else 0
