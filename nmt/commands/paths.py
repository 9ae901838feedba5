"""Quotes paths for Hydra's grammar, so that `=`, spaces, brackets and accents can be part of a name."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import get_origin

from nmt.commands.keys import SCHEMAS
from nmt.schema import settings_of


def quote_paths(command: str, overrides: Sequence[str], *, in_sweep: bool = False) -> list[str]:
    """Quote the values of settings that are paths.

    Commas separate the items of a list and the values of a sweep, unless quoted. A leading `~/` is the home directory.
    `${seed}` and the like are replaced by the setting of that name, if there is one.
    """
    settings = settings_of(SCHEMAS[command])
    quoted = []
    for override in overrides:
        key, equals, value = override.partition("=")
        declared = settings.get(key.lstrip("+"))
        if not equals or value == "null" or declared is None or not declared.is_path:
            quoted.append(override)
        elif get_origin(declared.kind) is list:
            lists = re.split(r"(?<=\]),(?=\[)", value) if in_sweep and value.startswith("[") else [value]
            quoted.append(f"{key}={','.join(_quote_list(paths, settings) for paths in lists)}")
        else:
            paths = _split(value) if in_sweep else [value]
            quoted.append(f"{key}={','.join(quote_path(path, keys=settings) for path in paths)}")
    return quoted


def quote_path(path: str, *, keys: Collection[str] = ()) -> str:
    """Quote one path; `${KEY}` is the value of a setting only for these keys."""
    if len(path) >= 2 and path[0] == path[-1] and path[0] in "'\"":
        path = path[1:-1]
    if path.startswith("~/"):
        path = str(Path(path).expanduser())
    path = re.sub(r"\$\{(?![\w.]+:)(?!(" + "|".join(map(re.escape, keys)) + r")\})", r"\\${", path)
    return "'" + re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + (match[2] and "\\'"), path) + "'"


def _quote_list(value: str, keys: Collection[str]) -> str:
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return f"[{','.join(quote_path(path, keys=keys) for path in _split(inside))}]"


def _split(inside: str) -> list[str]:
    """Split at commas outside quotes; a quote inside a name is a part of it."""
    parts = re.finditer(r"""\s*('[^']*'|"[^"]*")\s*(?=,|$)|([^,]+)""", inside)
    return [part for match in parts if (part := (match[1] or match[2]).strip())]
