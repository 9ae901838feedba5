"""What a setting is: type, range, default and description, declared beside each other, and the one check of them all.

    lr: float = setting("learning rate", Range(above=0, below=inf))

The check knows nothing of Hydra, so that it serves the saved settings of a checkpoint as well as a command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from math import inf
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from nmt.errors import ConfigError

MISSING: Any = "???"  # OmegaConf's mark of a value that must be given

_LARGEST_INT = 2**31 - 1  # SentencePiece and torch count with 32 bits
_LONGEST_SHOWN = 80  # characters of a value in a message
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Range:
    """What a number must be; nan is in no range.

    Attributes:
        below: `inf` means finite.
        limit: the largest value that is sane, where the bounds do not say it. A message names it only if it is
            exceeded. None: 2^31 - 1, or no limit if there is an upper bound. `inf` allows inf itself.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    limit: float | None = None

    @property
    def upper(self) -> float:
        """The least upper bound, limit included."""
        bounds = [bound for bound in (self.at_most, self.below, self.limit) if bound is not None]
        return min(bounds, default=_LARGEST_INT)

    def wanted(self, value: float) -> str | None:
        """Say what `value` must be; None if it is that."""
        within = (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )
        if not within:
            return str(self)
        return f"at most {_show_number(self.upper)}" if value > self.upper else None

    def __str__(self) -> str:
        named = (("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below))
        words = [f"{word} {_show_number(bound)}" for word, bound in named if bound is not None and bound != inf]
        return " and ".join([*words, "finite"] if self.below == inf else words)


class Setting(NamedTuple):
    """One setting, or a group of them (which has no description)."""

    kind: Any  # its type
    description: str
    range: Range | None  # of a number


def setting(description: str, range: Range | None = None, *, default: Any = MISSING) -> Any:  # noqa: A002
    """Declare a setting as a field of a dataclass; without `default`, conf/ must give its value.

    A setting added after version 0.1.0 has a default that means "as before", for the checkpoints and runs of then.
    """
    return field(default=default, metadata={"description": description, "range": range})


@cache
def settings_of(schema: type, prefix: str = "") -> dict[str, Setting]:
    """Map the key of every setting to what it is, groups of settings included, each before its members."""
    kinds = get_type_hints(schema)
    found: dict[str, Setting] = {}
    for declared in fields(schema):
        kind, metadata = kinds[declared.name], declared.metadata
        found[prefix + declared.name] = Setting(kind, metadata.get("description", ""), metadata.get("range"))
        inner = without_none(kind)
        if is_dataclass(inner):
            found |= settings_of(inner, f"{prefix}{declared.name}.")  # type: ignore[arg-type]
    return found


def check_settings(config: object, *, prefix: str = "") -> None:
    """Check type and range of every setting of a dataclass, inner groups included.

    Args:
        prefix: what stands before the keys in messages, such as `model.` for a `ModelConfig`.

    Raises:
        ConfigError: with every problem in one line.
    """
    if problems := list(setting_problems(config, prefix=prefix)):
        raise ConfigError("; ".join(problems))


def setting_problems(config: object, *, prefix: str = "") -> Iterator[str]:
    """Yield what is wrong with type or range, setting by setting."""
    schema: type = type(config)
    for key, declared in settings_of(schema).items():
        if "." in key:  # found below, with the group that it belongs to
            continue
        value, inner = getattr(config, key), without_none(declared.kind)
        if value is None and inner is not declared.kind:
            continue
        if not _has_type(value, inner):
            yield f"{prefix}{key} must be {describe_type(declared.kind)}, but is {show_value(value)}"
        elif is_dataclass(inner):
            yield from setting_problems(value, prefix=f"{prefix}{key}.")
        elif declared.range is not None and (wanted := declared.range.wanted(value)):
            yield f"{prefix}{key} must be {wanted}, but is {show_value(value)}"


def without_none(kind: Any) -> Any:
    """Strip `| None` from a type."""
    alternatives = [part for part in get_args(kind) if part is not type(None)]
    return alternatives[0] if type(None) in get_args(kind) else kind


def describe_type(kind: Any) -> str:
    """Say what a setting of a type must be."""
    inner = without_none(kind)
    if is_dataclass(inner):
        text = "a group of settings"
    elif get_origin(inner) is list:
        text = "a list such as [a,b]"
    elif issubclass(inner, Enum):
        text = f"one of {', '.join(choice.value for choice in inner)}"
    else:
        text = _TYPE_NAMES[inner]
    return f"{text} or null" if inner is not kind else text


def show_value(value: object) -> str:
    """Show a value in a message: as typed on a command line, and a long one cut."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = hex(value) if isinstance(value, int) and abs(value) > 10**_LONGEST_SHOWN else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _has_type(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


def _show_number(number: float) -> str:
    """Write a bound; a large power of two as such."""
    if isinstance(number, int) and number > _LARGEST_INT and number & (number - 1) == 0:
        return f"2^{number.bit_length() - 1}"
    return str(number)
