"""One override, KEY=VALUE: what is wrong with it, and how many values of a sweep it has."""

import math
import re
from collections.abc import Iterator
from typing import get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep
from hydra.errors import HydraException

from nmt.commands.keys import PRESETS, known_keys, setting_types, unknown_key
from nmt.conf_files import group_options
from nmt.plain import shorten

MAX_JOBS = 1_000  # of a sweep: each is composed and checked before the first one starts


def without_plus(command: str, override: str) -> str:
    """Let `+KEY=VALUE` and `++KEY=VALUE` mean KEY=VALUE if KEY exists."""
    bare = override.lstrip("+")
    return bare if bare.partition("=")[0] in known_keys(command) else override


def is_open_list(override: str) -> bool:
    """Return whether the value begins a list that does not end."""
    value = override.partition("=")[2]
    return value.startswith("[") and "]" not in value


def problems_of_override(command: str, as_typed: str, override: str, *, in_sweep: bool) -> Iterator[str]:
    """Yield what is wrong with an override, typed as `as_typed`, in better words than Hydra's."""
    shown = repr(shorten(as_typed))
    kind = setting_types(command).get(as_typed.lstrip("+").partition("=")[0])
    if get_origin(kind) is list and is_open_list(as_typed):  # quoting would make it a path that begins with [
        yield f"{shown}: the list is not closed: add ]"
        return
    try:
        parsed: Override = OverridesParser.create().parse_override(override)
    except (HydraException, ValueError) as error:  # ValueError: a number of more digits than Python reads
        is_call = re.search(r"=\s*\w+\(.*\)$", override)  # of one of Hydra's functions, such as choice()
        yield (
            f"{shown}: {str(error).splitlines()[0]}"
            if is_call
            else f"{shown} is not a valid KEY=VALUE: quote a value with special characters twice, as in \"KEY='a (b)'\""
        )
        return
    key = parsed.get_key_element().lstrip("+~")
    if not key:
        yield f"{shown} is not a setting: write KEY=VALUE"
    elif parsed.is_delete():
        yield f"{shown} would remove a setting: give it another value instead"
    elif key == "hydra.mode":
        yield "hydra.mode is not for the command line: try several values with -m"
    elif not parsed.is_hydra_override() and key not in known_keys(command):
        yield unknown_key(command, key)
    elif parsed.is_sweep_override() and not in_sweep:
        yield f"{shown} has several values: write a list as 'KEY=[a,b]', or try each value with -m"
    elif parsed.is_sweep_override() and not num_values(parsed):
        yield f"{shown} names no values to try: list them, as in {key}=1,2"
    else:
        yield from _problems_of_value(command, parsed, as_typed.partition("=")[2])


def num_values(override: Override) -> int:
    """Count the values that a sweep tries for one setting, without listing them; MAX_JOBS + 1 if they are endless."""
    value = override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = (float(bound or 0) for bound in (value.start, value.stop, value.step))
        num_steps = (stop - start) / step if step else math.inf
        return max(0, math.ceil(num_steps)) if math.isfinite(num_steps) else MAX_JOBS + 1
    if isinstance(value, Glob):
        return len(value.filter(group_options(override.key_or_group)))
    return len(value.list) if isinstance(value, ChoiceSweep) else 0  # an interval has no list of values


def _problems_of_value(command: str, override: Override, as_typed: str) -> Iterator[str]:
    """Yield what Hydra would accept silently, or explain badly."""
    key, value = override.key_or_group, override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    options, kind = group_options(key), setting_types(command).get(key)
    if options and not isinstance(value, Glob) and not all(_names_options(key, one) for one in values):
        yield f"{key} must be one of {', '.join(options)}, but is {shorten(as_typed) or 'empty'}"
    elif kind is bool and any(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        yield f"{key} must be true or false, but is {shorten(as_typed)}"  # Hydra takes any number but 0 for true


def _names_options(key: str, value: object) -> bool:
    """Return whether a value names an option of a group, or several presets in a list."""
    if isinstance(value, list) and key in PRESETS:
        return bool(value) and all(_names_options("", one) for one in value)
    return isinstance(value, str | QuotedString) and bool(value)  # Hydra keeps quotes in a sweep
