"""`nmt COMMAND --help`: what a command does, the groups of conf/ that it takes, and every setting."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nmt.commands.settings import SCHEMAS, compose_settings, group_options
from nmt.config import conf_dir
from nmt.plain import flatten
from nmt.schema import Setting, settings_of, without_none

_PREPARE_LOOKS_AT = ("data", "subword", "experiment")  # of the settings of nmt train, all of which it takes


def show_help(command: str, overrides: Sequence[str]) -> None:
    """Print a command's help; the values shown are those that the overrides come to."""
    settings = settings_of(SCHEMAS[command])
    groups = [key for key in settings if group_options(key)]
    if "training" in groups:
        groups.append("experiment")
    if command == "prepare":
        groups = [group for group in groups if group in _PREPARE_LOOKS_AT]
        settings = {key: value for key, value in settings.items() if key.partition(".")[0] in _PREPARE_LOOKS_AT}
    lines = [
        *_header(conf_dir() / f"{command}.yaml"),
        "",
        f"usage: nmt {command} [KEY=VALUE ...] [-m] [--cfg job]",
        "",
        "Groups of settings (GROUP=OPTION):",
        *(line for group in groups for line in _group_lines(group)),
        "",
        "Settings (KEY=VALUE), as they are with this command line:",
        *_setting_lines(settings, compose_settings(command, overrides)),
        "",
        "Paths are taken as typed; ${seed} and the like stand for a setting. -m tries values with commas between them,",
        "one after the other; --cfg job shows the settings as YAML and ends.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _group_lines(group: str) -> Iterator[str]:
    yield f"  {group}"
    for option in group_options(group):
        about = "".join(_header(conf_dir() / group / f"{option}.yaml")[:1])
        yield f"    {option:<18} {about}".rstrip()


def _setting_lines(settings: Mapping[str, Setting], composed: Any) -> Iterator[str]:
    plain: Any = OmegaConf.to_container(composed, throw_on_missing=False)
    values = flatten(plain)
    for key, setting in settings.items():
        if key not in values:  # a group of settings, or one inside a group that is null
            continue
        yield f"  {f'{key}={_as_typed(values[key])}':<42} # {_about(setting)}"


def _about(setting: Setting) -> str:
    """Describe a setting, with its choices if the description does not name them all."""
    kind = without_none(setting.kind)
    choices = [choice.value for choice in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
    if all(choice in setting.description for choice in choices):
        return setting.description
    return f"{setting.description} ({', '.join(choices)})"


def _as_typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "(must be given)" if value == "???" else str(getattr(value, "value", value))


def _header(file: Path) -> list[str]:
    """Return the comment at the top of a file, line by line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:first] if not line.startswith("# @")]
