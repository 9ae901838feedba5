"""Settings: the type, range, default and description of each are declared together; one check covers them all.

    lr: float = setting("learning rate", Range(above=0, below=inf))

The check does not depend on Hydra: it serves the saved settings of a checkpoint as well as a command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from math import inf
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from nmt.errors import ConfigError
from nmt.plain import MISSING, describe_type, shown, without_none

_LARGEST_INT = 2**31 - 1  # SentencePiece and torch count with 32 bits


@dataclass(frozen=True)
class Range:
    """The range of a number; nan is in no range.

    Attributes:
        below: `inf` means finite.
        limit: the largest sensible value, if the bounds do not give one. A message names it only if it is exceeded.
            None: 2^31 - 1, or no limit if there is an upper bound. `inf` allows inf itself.
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
        """Return what `value` must be; None if it is in the range."""
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
    range: Range | None  # of a number, or of each number of a list
    is_path: bool  # names a file or folder, or is a list of such names


def setting(
    description: str,
    range: Range | None = None,  # noqa: A002
    *,
    default: Any = MISSING,
    is_path: bool = False,
) -> Any:
    """Declare a setting as a field of a dataclass; without `default`, conf/ must give its value.

    A setting added after version 0.1.0 has a default that means "as before", for earlier checkpoints and runs.
    """
    metadata = {"description": description, "range": range, "is_path": is_path}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@cache
def settings_of(schema: type, prefix: str = "") -> dict[str, Setting]:
    """Map the key of every setting to its declaration; a group of settings comes before its members."""
    kinds = get_type_hints(schema)
    found: dict[str, Setting] = {}
    for declared in fields(schema):
        kind, metadata = kinds[declared.name], declared.metadata
        found[prefix + declared.name] = Setting(
            kind, metadata.get("description", ""), metadata.get("range"), metadata.get("is_path", False)
        )
        inner = without_none(kind)
        if is_dataclass(inner):
            found |= settings_of(inner, f"{prefix}{declared.name}.")  # type: ignore[arg-type]
    return found


def check_settings(config: object, *, prefix: str = "") -> None:
    """Check the type and range of every setting of a dataclass, inner groups included.

    Args:
        prefix: put before the keys in messages, such as `model.` for a `ModelConfig`.

    Raises:
        ConfigError: if there are problems; it lists all of them in one line.
    """
    if problems := list(setting_problems(config, prefix=prefix)):
        raise ConfigError("; ".join(problems))


def setting_problems(config: object, *, prefix: str = "") -> Iterator[str]:
    """Yield one line for each setting of the wrong type or out of its range."""
    schema: type = type(config)
    for key, declared in settings_of(schema).items():
        if "." in key:  # checked below, with its group
            continue
        value, inner = getattr(config, key), without_none(declared.kind)
        if value is None and inner is not declared.kind:
            continue
        if not _has_type(value, inner):
            yield f"{prefix}{key} must be {describe_type(declared.kind)}, but is {shown(value)}"
        elif is_dataclass(inner):
            yield from setting_problems(value, prefix=f"{prefix}{key}.")
        elif declared.range is not None:
            for number in value if isinstance(value, list) else [value]:
                if wanted := declared.range.wanted(number):
                    yield f"{prefix}{key} must be {wanted}, but is {shown(number)}"


def _has_type(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_has_type(entry, get_args(kind)[0]) for entry in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


def _show_number(number: float) -> str:
    """Format a bound, a large power of two as 2^n."""
    if isinstance(number, int) and number > _LARGEST_INT and number & (number - 1) == 0:
        return f"2^{number.bit_length() - 1}"
    return str(number)
