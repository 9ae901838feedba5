"""Runs a command line through Hydra, which composes the settings and runs the jobs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nmt.commands.arguments import CommandLine, read_arguments
from nmt.commands.compose import register_schemas
from nmt.commands.explain import explain
from nmt.commands.help import show_help
from nmt.commands.jobs import Jobs
from nmt.commands.streams import fail, shows_tracebacks
from nmt.commands.sweep import check_sweep, sweep_folder
from nmt.conf_files import conf_dir
from nmt.errors import ConfigError, NmtError
from nmt.place import find_place


def launch(command: str, arguments: list[str], *, line: CommandLine | None = None) -> int:
    """Run a command and return its exit status; a user's mistake ends the process with one line and status 1.

    Args:
        line: the arguments, if they have been read already.
    """
    jobs = Jobs(command, shows_tracebacks=shows_tracebacks())
    try:
        place = find_place()
        if place.size > 1 and command not in ("train", "translate"):
            raise ConfigError(f"nmt {command} runs in one process, but torchrun has started {place.size}: run it alone")
        if place.rank > 0 and command == "train":
            from nmt.commands.follow import follow

            return follow(place)
        jobs.line = line or read_arguments(command, arguments)
        if place.size > 1 and jobs.line.is_sweep:
            raise ConfigError(f"torchrun runs one job: leave out -m, or run nmt {command} -m without torchrun")
        with _exceptions_come_through():
            _hand_to_hydra(jobs, jobs.line)
    except (NmtError, HydraException, OmegaConfBaseException, OSError, ValueError, YAMLError) as error:
        if jobs.shows_tracebacks or error in jobs.crashes or isinstance(error, BrokenPipeError):
            raise
        fail(explain(error, command, arguments))
    if jobs.num_failed:
        fail(f"{jobs.num_failed} of {jobs.num_started} jobs failed")
    if jobs.error is not None and jobs.shows_tracebacks:
        raise jobs.error
    if jobs.error is not None:
        fail(explain(jobs.error, command, arguments))
    return jobs.status


def _hand_to_hydra(jobs: Jobs, line: CommandLine) -> None:
    register_schemas()
    if line.wants_help:
        show_help(jobs.command, line)
        return
    if line.is_sweep:
        check_sweep(jobs.command, line.for_composing)
    with sweep_folder(line) as more_overrides:
        # options last: one whose value may be left out, such as --info, would take an override for it
        sys.argv = [f"nmt {jobs.command}", *line.overrides, *more_overrides, *line.options]
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=jobs.command)(jobs.run)()


@contextmanager
def _exceptions_come_through() -> Iterator[None]:
    """Let exceptions pass through Hydra, which otherwise prints them on several lines and exits."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
