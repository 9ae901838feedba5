"""Sweeps (-m): every job is composed and checked before the first one starts."""

import itertools
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from nmt.commands.arguments import CommandLine
from nmt.commands.compose import hydra_initialized, to_settings
from nmt.commands.output import output_of_shard
from nmt.commands.overrides import MAX_JOBS, num_values
from nmt.commands.paths import quote_path
from nmt.errors import ConfigError
from nmt.files import is_stream

_READ_BY = {
    "translate": ("input",),
    "evaluate": ("source", "groups", "reference", "hypothesis"),
    "average": (),
    "embeddings": ("vectors",),
    "card": ("scores",),
    "doctor": (),
}
_WRITTEN_BY = {
    "translate": ("alignments",),  # and the output, which depends on the shard
    "evaluate": ("output",),
    "average": ("output",),
    "embeddings": ("output",),
    "card": ("output",),
    "doctor": ("output",),
}


def check_sweep(command: str, overrides: Sequence[str]) -> None:
    """Compose every job of a sweep, and refuse one whose jobs would share a run directory or an output.

    Raises:
        ConfigError: if they would; it names the directory or file.
    """
    with hydra_initialized():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())  # glob() needs the loader
        by_key = {override.get_key_element(): override for override in parser.parse_overrides(list(overrides))}
        num_jobs = math.prod(num_values(override) for override in by_key.values() if override.is_sweep_override())
        if num_jobs > MAX_JOBS:
            raise ConfigError(f"a sweep must have at most {MAX_JOBS:,} jobs, but this one has more: name fewer values")
        composed = [compose(command, overrides=list(job)) for job in itertools.product(*map(_choices, by_key.values()))]
    launcher = by_key.get("hydra/launcher")
    if command == "translate" and launcher is not None and launcher.value() != "basic":
        _check_needs_no_streams(composed)
    if command in _READ_BY:
        _check_outputs(command, composed)
    all_settings = [to_settings(settings)[0] for settings in composed]
    if command == "train":
        _check_run_dirs([settings.run_dir for settings in all_settings])


@contextmanager
def sweep_folder(line: CommandLine) -> Iterator[list[str]]:
    """Give Hydra a folder for its files about a sweep, removed when the sweep ends, unless the user names one.

    Yields:
        overrides to add.
    """
    if not line.is_sweep or any(override.startswith("hydra.sweep.dir=") for override in line.overrides):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="nmt-sweep-") as folder:
        yield [f"hydra.sweep.dir={quote_path(folder)}"]


def _choices(override: Override) -> list[str]:
    """List the overrides of single jobs that an override of a sweep expands to."""
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
    return [f"{override.get_key_element()}={value}" for value in values]


def _check_run_dirs(run_dirs: Sequence[str]) -> None:
    run_dir, count = Counter(map(os.path.realpath, run_dirs)).most_common(1)[0]
    if count > 1:
        raise ConfigError(
            f"{count} jobs of this sweep would share the run directory {run_dir}: "
            "make it different for each, as in 'run_dir=runs/${model.name}-lr${optimizer.lr}-seed${seed}'"
        )


def _check_needs_no_streams(jobs: Sequence[Any]) -> None:
    """Refuse jobs in processes of their own that read stdin, which they do not have, or mix their lines on stdout."""
    for setting in ("input", "output"):
        if any(job[setting] is None for job in jobs):
            raise ConfigError(f"jobs in processes of their own (hydra/launcher) need files: give {setting}=FILE")


def _check_outputs(command: str, jobs: Sequence[Any]) -> None:
    """Refuse jobs that write the same file or one that another reads, and several jobs that read stdin."""
    names = [job[setting] for job in jobs for setting in _WRITTEN_BY[command]]
    if command == "translate":
        names += [output_of_shard(job.output, job.shard) for job in jobs]
    paths = [Path(name) for name in names if name]
    outputs = Counter(os.path.realpath(path) for path in paths if path.is_dir() or not is_stream(path))
    for output, count in outputs.items():
        if count > 1:
            raise ConfigError(
                f"{count} jobs of this sweep would write {output}: "
                "make it different for each, as in 'output=out.beam${search.beam_size}'"
            )
    for job, setting in itertools.product(jobs, _READ_BY[command]):
        for name in [job[setting]] if isinstance(job[setting], str) else job[setting] or ():
            if os.path.realpath(name) in outputs:
                raise ConfigError(f"{setting}={name} is the output of a job of this sweep: name another output")
    if command == "translate" and sum(job.input is None for job in jobs) > 1:
        raise ConfigError(
            f"{len(jobs)} jobs of this sweep would read stdin, which can be read only once: give input=FILE"
        )
