"""The command line: `nmt COMMAND key=value …`.

Whatever a user can fix ends in one line on stderr and exit status 1; Ctrl-C ends with 130, SIGTERM with 143. Heavy
modules are imported only by the commands that need them, and after the settings have been checked.
"""

import importlib
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from nmt.commands.streams import explain_os_error, flush_stdout, open_standard_streams, print_error

if TYPE_CHECKING:
    from nmt.commands.settings import CommandLine

COMMANDS = ("prepare", "train", "translate", "evaluate")

USAGE = """\
nmt: sequence-to-sequence translation with stacked LSTMs (Sutskever, Vinyals & Le 2014)

usage: nmt COMMAND [KEY=VALUE ...]

  nmt prepare    aligned text -> subword models and a binarized corpus (nmt train does it where needed)
                   nmt prepare data=phrasebook
  nmt train      trains; leaves a run directory with config, log, metrics and checkpoints
                   nmt train data=multi30k_en_de model=lstm_2x512 seed=1 run_dir=runs/first
                   nmt train ... resume=true        goes on with an interrupted run
                   nmt train -m seed=1,2,3          trains members of an ensemble, one after the other
  nmt translate  file or stdin -> file or stdout, line for line; several checkpoints are an ensemble
                   nmt translate 'checkpoints=[runs/first/checkpoints/best]' search=beam_12 < in.en > out.de
  nmt evaluate   BLEU, chrF and TER of translations, or of checkpoints on a test set
                   nmt evaluate hypothesis=out.de reference=test.de

  nmt COMMAND --help          its settings and their values
  nmt COMMAND ... --cfg job   the settings that a command line comes to, without running it

Errors are one line; HYDRA_FULL_ERROR=1 shows where they come from."""


class Stopped(BaseException):
    """The command is to end because of a signal: no `Exception`, so that it ends a sweep too."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


def main() -> None:
    """Run the command line and exit with its status."""
    open_standard_streams()
    arguments = sys.argv[1:]
    try:
        status = _show_help(arguments)
        if status is None:
            signal.signal(signal.SIGTERM, _terminate)
            status = _run(arguments[0], arguments[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        _leave(signal.SIGINT)
    except BrokenPipeError:
        _leave(signal.SIGPIPE)
    except Stopped as stop:
        _leave(stop.signal_number)
    except OSError as error:  # of stdout: those of a command have been explained
        if _shows_tracebacks():
            raise
        fail(explain_os_error(error))
    sys.exit(status)


def fail(message: str) -> NoReturn:
    """Say what is wrong, in one line, and exit with status 1."""
    print_error(f"nmt: {message}")
    flush_stdout()
    sys.exit(1)


def _shows_tracebacks() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR", "0") != "0"


def _show_help(arguments: list[str]) -> int | None:
    """Answer what needs no command and return the exit status; None for a command."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 1
    if "--version" in arguments[:2]:
        from nmt import __version__

        print(__version__)  # noqa: T201
        return 0
    if arguments[0] not in COMMANDS:
        fail(f"there is no command {arguments[0]!r}: use one of {', '.join(COMMANDS)} (nmt --help)")
    return None


def _run(command: str, arguments: list[str]) -> int:
    """Let Hydra compose the settings and run the command on them; returns the exit status."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from nmt.commands.settings import explain, read_arguments
    from nmt.errors import NmtError

    show_all = _shows_tracebacks()
    jobs = _Jobs(command, show_all=show_all)
    try:
        line = read_arguments(command, arguments)
        jobs.is_sweep = line.is_sweep
        with _exceptions_come_through():
            _hand_to_hydra(jobs, line)
    except (NmtError, HydraException, OmegaConfBaseException, OSError, ValueError) as error:
        if show_all or error in jobs.crashes or isinstance(error, BrokenPipeError):
            raise
        fail(explain(error, command, arguments))
    if jobs.num_failed:
        fail(f"{jobs.num_failed} of {jobs.num_started} jobs failed")
    if jobs.error is not None and show_all:
        raise jobs.error
    if jobs.error is not None:
        fail(explain(jobs.error, command, arguments))
    return jobs.status


class _Jobs:
    """Runs a command's jobs for Hydra, one or those of a sweep, and keeps what Hydra would not give back."""

    def __init__(self, command: str, *, show_all: bool) -> None:
        self.command = command
        self.show_all = show_all
        self.is_sweep = False
        self.num_started = 0
        self.num_failed = 0  # of a sweep
        self.status = 0
        self.error: Exception | None = None  # of a single job
        self.crashes: list[Exception] = []  # what no user can fix

    def run(self, composed: Any) -> None:
        """Run one job; what the user can fix is kept, since Hydra would add a line of its own, or end the sweep."""
        from omegaconf.errors import OmegaConfBaseException

        from nmt.commands.settings import check_schema, explain, to_settings
        from nmt.errors import NmtError

        self.num_started += 1
        try:
            check_schema(self.command, composed)
            settings, config_yaml = to_settings(composed)
            _warn_of_threads(settings.threads)
            with _full_memory_explained(self.command):
                status = importlib.import_module(f"nmt.commands.{self.command}").run(settings, config_yaml=config_yaml)
        except BrokenPipeError:  # the reader of our output has gone, as in `nmt translate … | head`
            raise Stopped(signal.SIGPIPE) from None
        except (NmtError, OmegaConfBaseException, OSError) as error:
            if not self.is_sweep:
                self.error = error
                return
            # not kept: its traceback would hold the model of the job, in the GPU's memory too, while the others run
            self.num_failed += 1
            message = explain(error, self.command, [])
            logging.getLogger("nmt").error("this job failed, the others go on: %s", message, exc_info=self.show_all)
            return
        except Exception as error:
            self.crashes.append(error)
            raise
        if status > 128:
            raise Stopped(status - 128)
        self.status = max(self.status, status)


def _hand_to_hydra(jobs: _Jobs, line: "CommandLine") -> None:
    """Let Hydra compose the settings and run the jobs, or show the help."""
    import hydra

    from nmt.commands.help import show_help
    from nmt.commands.settings import check_sweep, register_schemas, sweep_folder
    from nmt.config import conf_dir

    register_schemas()
    if line.wants_help:
        show_help(jobs.command, line.for_composing)
        return
    if line.is_sweep:
        check_sweep(jobs.command, line.for_composing)

    def job(composed: Any) -> None:
        jobs.run(composed)

    with sweep_folder(line) as more_overrides:
        sys.argv = [f"nmt {jobs.command}", *line.options, *line.overrides, *more_overrides]
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=jobs.command)(job)()


@contextmanager
def _full_memory_explained(command: str) -> Iterator[None]:
    """Say what to do where the memory is full, in torch's words or in those of a library below it."""
    from nmt.errors import NmtError

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        if not on_cpu and not re.search(r"out of memory|_STATUS_ALLOC_FAILED", str(error)):
            raise
        for_training = (
            "lower batching.size and raise training.accumulate, or take a smaller model, in a new run_dir "
            "(training.init_from keeps what was learned); or lower search.batch_rows where BLEU was being measured"
        )
        advice = for_training if command == "train" else "lower search.batch_rows"
        raise NmtError(f"the {'computer' if on_cpu else 'GPU'}'s memory is full: {advice}") from error


@contextmanager
def _exceptions_come_through() -> Iterator[None]:
    """Let exceptions come through Hydra, which prints them on several lines and exits otherwise."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _warn_of_threads(threads: int | None) -> None:
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads is not None and threads > num_cpus:
        logging.getLogger("nmt").warning("threads=%d is more than the %d processors here: slower", threads, num_cpus)


def _terminate(signal_number: int, _frame: object) -> NoReturn:
    raise Stopped(signal_number)


def _leave(signal_number: int) -> NoReturn:
    """Exit as shells expect of what a signal ends; a reader that has gone needs no message."""
    if signal_number == signal.SIGPIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's last flush would complain
    else:
        print_error(f"nmt: stopped by {signal.Signals(signal_number).name}")  # unless Ctrl-C has ended the reader, too
    sys.exit(128 + signal_number)
