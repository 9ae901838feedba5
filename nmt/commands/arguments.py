"""The words after `nmt COMMAND`: Hydra's options, and settings to override."""

import argparse
import itertools
import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from nmt.command_config import DoctorCommand, TrainCommand
from nmt.commands.keys import PRESETS, SCHEMAS
from nmt.commands.overrides import is_open_list, problems_of_override, without_plus
from nmt.commands.paths import quote_path, quote_paths
from nmt.errors import ConfigError

QUICKSTART = "experiment=quickstart"  # what `nmt train` trains by default: it ends in minutes
SAYS_WHAT_TO_TRAIN = ("data", "subword", "model", "optimizer", "batching", "training", *PRESETS)

_HYDRA_AS_IN_CONF = (
    "hydra/job_logging=stderr",
    "hydra/hydra_logging=stderr",
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
)


class CommandLine(NamedTuple):
    """A command line, sorted, with paths quoted for Hydra.

    Attributes:
        config_dir: the user's folder with more options of groups.
        is_quickstart: QUICKSTART has been added, because the command line does not say what to train.
    """

    options: list[str]
    overrides: list[str]
    is_sweep: bool = False
    wants_help: bool = False
    config_dir: str | None = None
    is_quickstart: bool = False

    @property
    def for_composing(self) -> list[str]:
        """The overrides for `compose_settings`, which takes no options."""
        if self.config_dir is None:
            return self.overrides
        return [f"hydra.searchpath=[{quote_path(f'file://{os.path.realpath(self.config_dir)}')}]", *self.overrides]


def read_arguments(command: str, arguments: Sequence[str]) -> CommandLine:
    """Sort the words of a command line into options and overrides, which may come in any order.

    Raises:
        ConfigError: if words are neither or invalid; it names all of them.
    """
    if split := _split_list(arguments):
        raise ConfigError(f"the shell splits {split[0]!r} at a space: quote the list: {shlex.quote(' '.join(split))}")
    typed = [word for word in arguments if not word.startswith("-") and re.match(r"[^=]*=|~", word)]
    options = [word for word in arguments if word not in typed]
    parsed, unknown = _parse_options(options)
    if parsed.shell_completion:  # Hydra's own command, whose arguments look like settings
        return CommandLine(list(arguments), [])
    if parsed.hydra_help:  # which knows Hydra's settings alone
        return CommandLine(options, [])
    unknown += [word for word in options if word == "--"]  # which argparse leaves out
    problems = [f"there is no option {word} (nmt {command} --help)" for word in unknown]
    problems += [f"{word!r} is not a setting: write KEY=VALUE" for word in parsed.overrides]
    if parsed.config_path is not None:
        problems.append("--config-path would hide nmt's own settings: add a folder with --config-dir=FOLDER")
    overrides = [without_plus(command, override) for override in typed]
    overrides = quote_paths(command, overrides, in_sweep=parsed.multirun)
    for as_typed, override in zip(typed, overrides, strict=True):
        problems.extend(problems_of_override(command, as_typed, override, in_sweep=parsed.multirun))
    if parsed.config_name is None:
        problems += _problems_without_model(command, overrides)
    if problems:
        raise ConfigError("; ".join(problems))
    is_quickstart = parsed.config_name is None and not _says_what_to_train(command, overrides)
    if is_quickstart:
        overrides = [QUICKSTART, *overrides]
    if parsed.config_name is not None:  # the user's file may lack what conf/COMMAND.yaml sets for Hydra
        overrides = [*_HYDRA_AS_IN_CONF, *overrides]
    return CommandLine(options, overrides, parsed.multirun, parsed.help, parsed.config_dir, is_quickstart)


def _problems_without_model(command: str, overrides: Sequence[str]) -> list[str]:
    """Refuse settings of a model that is not chosen, of a command that needs none, in better words than Hydra's."""
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    if SCHEMAS[command] is not DoctorCommand or {"model", "experiment"}.intersection(keys):
        return []
    return [
        f"{key} needs a model: add model=NAME"
        for key in keys
        if key.startswith("model.") or key == "training.init_from"
    ]


def _split_list(arguments: Sequence[str]) -> list[str]:
    """Find the words of a list that was typed with spaces and without quotes: `KEY=[A,`, `B]`."""
    for first, word in enumerate(arguments):
        if is_open_list(word):
            rest = itertools.takewhile(lambda item: "=" not in item, arguments[first + 1 :])
            for num_items, item in enumerate(rest, start=1):
                if item.endswith("]"):
                    return list(arguments[first : first + num_items + 1])
    return []


def _says_what_to_train(command: str, overrides: Sequence[str]) -> bool:
    """Return whether the overrides choose data, model or training; commands that do not train need no such choice."""
    groups = {override.lstrip("+").partition("=")[0].partition(".")[0] for override in overrides}
    return SCHEMAS[command] is not TrainCommand or not groups.isdisjoint(SAYS_WHAT_TO_TRAIN)


def _parse_options(options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse the options of `hydra.main`, which also parses them itself.

    Raises:
        ConfigError: if an option lacks its value, or has one that Hydra does not know.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("overrides", nargs="*")
    for names in (
        ("--help", "-h"),
        ("--hydra-help",),
        ("--version",),
        ("--multirun", "-m"),
        ("--run", "-r"),
        ("--resolve",),
        ("--shell-completion", "-sc"),
    ):
        parser.add_argument(*names, action="store_true")
    for names in (
        ("--config-dir", "-cd"),
        ("--config-name", "-cn"),
        ("--config-path", "-cp"),
        ("--experimental-rerun",),
        ("--package", "-p"),
    ):
        parser.add_argument(*names)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    about = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=about)
    try:
        return parser.parse_known_args(options)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
