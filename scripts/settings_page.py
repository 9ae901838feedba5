"""Write docs/settings.md, the reference of all settings, from nmt/config.py, nmt/command_config.py and conf/."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from math import inf
from pathlib import Path
from typing import Any, get_origin

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt.commands.compose import compose_settings
from nmt.commands.help import as_typed
from nmt.commands.keys import PRESETS, SCHEMAS
from nmt.conf_files import about_option, conf_dir, first_comment, group_options
from nmt.plain import describe_type, without_none
from nmt.schema import Setting, settings_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
GROUPS_ARE_WITH = {  # the command whose default option gives the values shown
    **dict.fromkeys(("data", "subword", "model", "optimizer", "batching", "training"), "train"),
    "search": "translate",
}
COMMANDS = (
    "train",
    "translate",
    "evaluate",
    "average",
    "embeddings",
    "report",
    "card",
    "verify",
    "doctor",
)  # nmt prepare takes the settings of nmt train
INTRODUCTION = """\
# Settings

Everything that can be set as KEY=VALUE on the command line of `nmt prepare`, `train`, `translate`,
`evaluate`, `average`, `embeddings`, `report`, `card`, `verify` and `doctor`. `nmt COMMAND
--help` shows the same with the values of a command line.

A group is a folder of `conf/`: GROUP=OPTION takes the values of a file in it, and GROUP.KEY=VALUE
changes one of them. The values below are those of the default options; `null` means none.

This page is generated from `nmt/config.py`, `nmt/command_config.py` and `conf/` by
`.venv/bin/python scripts/settings_page.py`.
"""


def page() -> str:
    """Return the text of docs/settings.md."""
    parts = [INTRODUCTION]
    for command in COMMANDS:
        composed = compose_settings(command, [])
        settings = settings_of(SCHEMAS[command])
        groups = _default_options(command)
        parts.append(_command(command, settings, composed, groups))
        parts += [_group(group, settings, composed) for group in groups if GROUPS_ARE_WITH[group] == command]
        parts += [_options(preset) for preset in PRESETS if command == "train"]
    return "\n".join(parts)


def _default_options(command: str) -> dict[str, str]:
    """Map the groups of a command to their default options."""
    entries = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {group: as_typed(option) for group, option in pairs if group in GROUPS_ARE_WITH}


def _command(command: str, settings: Mapping[str, Setting], composed: DictConfig, groups: Mapping[str, str]) -> str:
    title = "nmt train and nmt prepare" if command == "train" else f"nmt {command}"
    defaults = ",\n".join(f"[`{group}={option}`](#{group})" for group, option in groups.items())
    own = {key: setting for key, setting in settings.items() if key.partition(".")[0] not in groups}
    about = [line.removeprefix(f"nmt {command}: ") for line in first_comment(conf_dir() / f"{command}.yaml")]
    text = "\n".join([about[0][0].upper() + about[0][1:], *about[1:]])
    about_groups = f"Groups and their default options:\n{defaults}\n\n" if groups else ""
    return f"## {title}\n\n{text}\n\n{about_groups}{_table(own, composed)}"


def _group(group: str, settings: Mapping[str, Setting], composed: DictConfig) -> str:
    members = {key: setting for key, setting in settings.items() if key.startswith(f"{group}.")}
    return f"{_options(group)}\n{_table(members, composed)}"


def _options(group: str) -> str:
    rows = [
        f"| [`{option}`](../conf/{group}/{option}.yaml) | {about_option(group, option)} |"
        for option in group_options(group)
    ]
    return "\n".join([f"### {group}", "", f"| {group}= | |", "| --- | --- |", *rows, ""])


def _table(settings: Mapping[str, Setting], composed: DictConfig) -> str:
    rows = list(_rows(settings, composed))
    return "\n".join(["| setting | value | must be | |", "| --- | --- | --- | --- |", *rows, ""])


def _rows(settings: Mapping[str, Setting], composed: DictConfig) -> Iterator[str]:
    for key, setting in settings.items():
        if not is_dataclass(without_none(setting.kind)):
            cells = (f"`{key}`", _value(composed, key), _must_be(setting), setting.description)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(composed: DictConfig, key: str) -> str:
    try:
        value: Any = OmegaConf.select(composed, key, throw_on_missing=True)
    except OmegaConfBaseException:
        return "*must be given*"
    return f"`{as_typed(value)}`"


def _must_be(setting: Setting) -> str:
    kind = describe_type(setting.kind)
    if setting.range is None:
        return kind
    limit = setting.range.limit
    at_most = "" if limit in (None, inf) else f" and at most {limit}"
    if get_origin(setting.kind) is list:
        return f"{kind}, each {setting.range}"
    number, _, null = kind.partition(" or ")
    text = f"{number} {setting.range}{at_most}{f', or {null}' if null else ''}"
    return re.sub(r"\d{5,}", lambda digits: f"{int(digits[0]):,}", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
