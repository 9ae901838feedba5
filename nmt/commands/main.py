"""The command line: `nmt COMMAND key=value …`.

A mistake that a user can fix gives one line on stderr and exit status 1; Ctrl-C gives 130, SIGTERM 143. Heavy modules
are imported only by the commands that need them, and after the settings have been checked.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from nmt.commands.os_errors import explain_os_error
from nmt.commands.stop import Stopped
from nmt.commands.streams import fail, open_standard_streams, print_error, shows_tracebacks
from nmt.place import is_first

COMMANDS = ("prepare", "train", "translate", "evaluate", "average", "embeddings", "report", "card", "verify", "doctor")

USAGE = """\
nmt: sequence-to-sequence translation with recurrent networks (Sutskever, Vinyals & Le 2014, and after)

usage: nmt COMMAND [KEY=VALUE ...]

  nmt prepare    aligned text -> subword models and a binarized corpus (nmt train does it if needed)
                   nmt prepare data=phrasebook
  nmt train      trains; writes a run directory with config, log, metrics and checkpoints
                   nmt train                        experiment=quickstart: a small model, in minutes
                   nmt train data=multi30k_en_de model=lstm_2x512 seed=1 run_dir=runs/first
                   nmt train ... resume=true        continues an interrupted run
                   nmt train -m seed=1,2,3          trains members of an ensemble, one after the other
                   nmt train -m hydra/launcher=joblib seed=1,2,3          ... side by side
  nmt translate  file or stdin -> file or stdout, line for line; several checkpoints are an ensemble
                   nmt translate 'checkpoints=[runs/first/checkpoints/best]' search=beam_12 < in.en > out.de
  nmt evaluate   BLEU, chrF, TER, exact match and error rates of translations, or of checkpoints on a test set
                   nmt evaluate hypothesis=out.de reference=test.de
  nmt average    the mean of the last checkpoints of a run, as one checkpoint
                   nmt average 'checkpoints=[A/checkpoints/update_003000,A/checkpoints/update_003500]' output=A/mean
  nmt embeddings word vectors: neighbours, analogies, files; learned from a corpus or taken from a checkpoint
                   nmt embeddings checkpoint=runs/first/checkpoints/best 'neighbours=[house,dog]'
  nmt card       a model card beside a checkpoint: languages, data, recipe, scores, how to use it
                   nmt card run_dir=runs/first
  nmt verify     whether a checkpoint is undamaged and translates as it did when it was written
                   nmt verify checkpoint=runs/first/checkpoints/best
  nmt report     one page about runs: scores with p-values, curves, BLEU by length and word frequency, examples
                   nmt report 'runs=[runs/first,runs/second]' output=report.html
  nmt doctor     examines a corpus before training: alignment, duplicates, overlap of the splits, languages, lengths,
                 subwords; with a model also time, memory and whether it fits one batch
                   nmt doctor data=multi30k_en_de model=lstm_2x512

  nmt COMMAND --help          its settings and their values
  nmt COMMAND ... --cfg job   the settings of a command line, without running it

Errors are one line; HYDRA_FULL_ERROR=1 shows where they come from."""


def main() -> None:
    """Run the command line and exit with its status."""
    open_standard_streams()
    arguments = sys.argv[1:]
    sys.exit(status_of(lambda: _run(arguments)))


def status_of(run: Callable[[], int]) -> int:
    """Return the exit status of `run`: what it returns, or the status for the signal that ends it.

    Raises:
        Failed: after an error, which has been explained.
    """
    signal.signal(signal.SIGTERM, _terminate if is_first() else signal.SIG_DFL)  # only the first process speaks
    try:
        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _status_after(signal.SIGINT)
    except BrokenPipeError:
        return _status_after(signal.SIGPIPE)
    except Stopped as stop:
        return _status_after(stop.signal_number)
    except OSError as error:  # of stdout: those of a command have been explained
        if shows_tracebacks():
            raise
        fail(explain_os_error(error))
    return status


def _answer_without_command(arguments: list[str]) -> int | None:
    """Show help or version and return the exit status; None if there is a command."""
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


def _run(arguments: list[str]) -> int:
    status = _answer_without_command(arguments)
    return _launch(arguments[0], arguments[1:]) if status is None else status


def _launch(command: str, arguments: list[str]) -> int:
    from nmt.commands.launch import launch

    return launch(command, arguments)


def _terminate(signal_number: int, _frame: object) -> NoReturn:
    raise Stopped(signal_number)


def _status_after(signal_number: int) -> int:
    """Return the status that shells expect after a signal; a closed pipe needs no message."""
    if signal_number == signal.SIGPIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python's last flush would complain
    else:
        print_error(f"nmt: stopped by {signal.Signals(signal_number).name}")  # if stderr still has a reader
    return 128 + signal_number
