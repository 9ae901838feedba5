"""`nmt COMMAND --help`: what a command does, its groups of conf/, and every setting."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt.command_config import TrainCommand
from nmt.commands.arguments import QUICKSTART, SAYS_WHAT_TO_TRAIN, CommandLine
from nmt.commands.compose import compose_settings
from nmt.commands.keys import PRESETS, SCHEMAS, presets_of
from nmt.conf_files import about_option, conf_dir, first_comment, group_options
from nmt.plain import without_none
from nmt.schema import Setting, settings_of

_USED_BY_PREPARE = ("data", "subword", *PRESETS)  # of the settings of nmt train, all of which it takes

_QUICKSTART_RULE = (
    f"Without settings of {', '.join(SAYS_WHAT_TO_TRAIN[:-1])} or {SAYS_WHAT_TO_TRAIN[-1]},",
    f"the default is {QUICKSTART}: a small model of the built-in corpus, trained in minutes.",
    "",
)


def show_help(command: str, line: CommandLine) -> None:
    """Print a command's help, with the values of this command line."""
    settings = settings_of(SCHEMAS[command])
    groups = [key for key in settings if group_options(key)]
    groups += presets_of(command)
    if command == "prepare":
        groups = [group for group in groups if group in _USED_BY_PREPARE]
        settings = {key: value for key, value in settings.items() if key.partition(".")[0] in _USED_BY_PREPARE}
    lines = [
        *first_comment(conf_dir() / f"{command}.yaml"),
        "",
        f"usage: nmt {command} [KEY=VALUE ...] [-m] [--cfg job]",
        "",
        *(["Groups of settings (GROUP=OPTION):"] if groups else []),
        *(line for group in groups for line in _group_lines(group)),
        *([""] if groups else []),
        "Settings (KEY=VALUE), with the values of this command line:",
        *_setting_lines(settings, compose_settings(command, line.for_composing)),
        "",
        *(_QUICKSTART_RULE if SCHEMAS[command] is TrainCommand else ()),
        "Paths are taken as typed; ${seed} etc. are replaced by the setting. -m runs one job for each of the values",
        "that commas separate; --cfg job prints the settings as YAML and exits.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _group_lines(group: str) -> Iterator[str]:
    yield f"  {group}"
    for option in group_options(group):
        yield f"    {option:<18} {about_option(group, option)}".rstrip()


def _setting_lines(settings: Mapping[str, Setting], composed: DictConfig) -> Iterator[str]:
    for key, declared in settings.items():
        parent = key.rpartition(".")[0]
        is_group = is_dataclass(without_none(declared.kind))
        if is_group or (parent and OmegaConf.select(composed, parent) is None):  # such as data.generate=null
            continue
        yield f"  {f'{key}={as_typed(_value(composed, key))}':<42} # {describe_setting(declared)}"


def _value(composed: DictConfig, key: str) -> Any:
    """Return the value of a setting, or its interpolation if that depends on one that is not given."""
    try:
        return OmegaConf.select(composed, key, throw_on_missing=True)
    except OmegaConfBaseException:
        node: Any = OmegaConf.to_container(composed, resolve=False)
        for part in key.split("."):
            node = node[part]
        return node


def describe_setting(declared: Setting) -> str:
    """Describe a setting, with its choices if the description does not name them all."""
    kind = without_none(declared.kind)
    choices = [choice.value for choice in kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else []
    if all(choice in declared.description for choice in choices):
        return declared.description
    return f"{declared.description} ({', '.join(choices)})"


def as_typed(value: Any) -> str:
    """Format a value as it is typed on the command line."""
    if OmegaConf.is_list(value) or isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "(must be given)" if value == "???" else str(getattr(value, "value", value))
