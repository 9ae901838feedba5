"""`nmt COMMAND --help`: what a command does, the groups of conf/ that it takes, and every setting."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nmt.commands.settings import SCHEMAS, compose_settings, group_options, setting_types, without_none
from nmt.config import conf_dir

_PREPARE_LOOKS_AT = ("data", "subword", "experiment")  # of the settings of nmt train, all of which it takes


def show_help(command: str, overrides: Sequence[str]) -> None:
    """Print a command's help; the values shown are those that the overrides come to."""
    types = setting_types(SCHEMAS[command])
    groups = [key for key in types if group_options(key)]
    if "training" in groups:
        groups.append("experiment")
    if command == "prepare":
        groups = [group for group in groups if group in _PREPARE_LOOKS_AT]
        types = {key: kind for key, kind in types.items() if key.partition(".")[0] in _PREPARE_LOOKS_AT}
    lines = [
        *_header(conf_dir() / f"{command}.yaml"),
        "",
        f"usage: nmt {command} [KEY=VALUE ...] [-m] [--cfg job]",
        "",
        "Groups of settings (GROUP=OPTION):",
        *(line for group in groups for line in _group_lines(group)),
        "",
        "Settings (KEY=VALUE), as they stand with this command line:",
        *_setting_lines(types, compose_settings(command, overrides), _all_comments(command, groups)),
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


def _setting_lines(types: Mapping[str, Any], composed: Any, comments: Mapping[str, str]) -> Iterator[str]:
    values = _flat(OmegaConf.to_container(composed, throw_on_missing=False))
    for key, kind in types.items():
        if key not in values:  # a group of settings, or one inside a group that is null
            continue
        setting = f"{key}={_as_typed(values[key])}"
        inner = without_none(kind)
        about = [comments[key]] if key in comments else []
        if isinstance(inner, type) and issubclass(inner, Enum):
            choices = ", ".join(choice.value for choice in inner)
            about = [choices, *about] if not all(choice.value in "".join(about) for choice in inner) else about
        yield f"  {setting:<42} {'# ' + '; '.join(about) if about else ''}".rstrip()


def _as_typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "(must be given)" if value == "???" else str(getattr(value, "value", value))


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _all_comments(command: str, groups: Sequence[str]) -> dict[str, str]:
    """Gather what the files of conf/ say about each setting; a word on it in any option of a group serves for all."""
    comments: dict[str, str] = {}
    for group in groups:
        for option in group_options(group):
            if group != "experiment":
                comments |= _comments(conf_dir() / group / f"{option}.yaml", f"{group}.")
    return comments | _comments(conf_dir() / f"{command}.yaml", "")


def _comments(file: Path, prefix: str) -> dict[str, str]:
    """Map each key of a YAML file to the comment that ends its line."""
    comments, parents = {}, list[tuple[int, str]]()
    for line in file.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"( *)(\w+):(?:.*?\s# (.*))?", line):
            indent, key, comment = len(match[1]), match[2], match[3]
            parents = [*(parent for parent in parents if parent[0] < indent), (indent, key)]
            if comment:
                comments[prefix + ".".join(name for _, name in parents)] = comment
    return comments


def _header(file: Path) -> list[str]:
    """Return the comment at the top of a file, line by line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:first] if not line.startswith("# @")]
