"""The door: `nmt COMMAND key=value …`.

Whatever a user can mend ends in one line on stderr and exit status 1; Ctrl-C ends with 130, SIGTERM with 143. Heavy
modules are imported only by the commands that need them.
"""

import importlib
import logging
import os
import signal
import sys
from typing import Any, NoReturn

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


class Terminated(BaseException):
    """SIGTERM, as an exception, so that what is half-written is taken away."""


def main() -> None:
    """Run the command line and exit with its status."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 1)
    if arguments[0] == "--version":
        from nmt import __version__

        print(__version__)  # noqa: T201
        sys.exit(0)
    if arguments[0] not in COMMANDS:
        fail(f"there is no command {arguments[0]!r}: use one of {', '.join(COMMANDS)} (nmt --help)")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(_run(arguments[0], arguments[1:]))
    except KeyboardInterrupt:
        _leave(signal.SIGINT)
    except Terminated:
        _leave(signal.SIGTERM)
    except BrokenPipeError:  # the reader of our output has gone, as in `nmt translate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def fail(message: str) -> NoReturn:
    """Say what is wrong, in one line, and exit with status 1."""
    print(f"nmt: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(1)


def _run(command: str, overrides: list[str]) -> int:
    """Let Hydra compose the settings and run the command on them; returns the exit status."""
    show_all = os.environ.get("HYDRA_FULL_ERROR", "0") != "0"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come through to here instead of being printed by Hydra
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from nmt.commands.settings import check_sweep, explain, quote_paths, register_schemas
    from nmt.config import conf_dir
    from nmt.errors import NmtError

    statuses: list[int] = []
    errors: list[NmtError] = []

    def job(composed: DictConfig) -> None:
        try:
            settings: Any = OmegaConf.to_object(composed)
            module = importlib.import_module(f"nmt.commands.{command}")
            statuses.append(module.run(settings, config_yaml=OmegaConf.to_yaml(composed, resolve=True)))
        except NmtError as error:  # not let through to Hydra, which would add a line of its own and end a sweep
            errors.append(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                logging.getLogger("nmt").error("this job failed, the others go on: %s", error)

    try:
        register_schemas()
        sys.argv = [f"nmt {command}", *quote_paths(overrides)]
        check_sweep(command, sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()
    except (NmtError, HydraException, OmegaConfBaseException) as error:
        if show_all:
            raise
        fail(str(error) if isinstance(error, NmtError) else explain(error, command))
    if errors and show_all:
        raise errors[-1]
    if errors:
        fail(f"{len(errors)} of {len(errors) + len(statuses)} jobs failed" if statuses else str(errors[-1]))
    return max(statuses, default=0)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise Terminated


def _leave(signal_number: int) -> NoReturn:
    print(f"nmt: stopped by {signal.Signals(signal_number).name}", file=sys.stderr)  # noqa: T201
    sys.exit(128 + signal_number)
