"""Plain values, as in JSON and YAML files: read within limits, and checked against the types of a dataclass.

The files may come from strangers or from a failing disk: their size, their depth and the type of every value are
checked.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

MISSING: Any = "???"  # OmegaConf's mark of a value that must be given
MAX_BYTES = 1 << 20  # of a file; a configuration has about 2,000
MAX_DEPTH = 32
_LONGEST_SHOWN = 80  # characters of a value in a message
_WHOLE_NUMBERS = range(-(2**63), 2**64)  # what numpy and torch can hold
_TYPE_NAMES = {NoneType: "null", int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML was built with it
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # escapes a byte of a path that is not UTF-8; CSafeLoader refuses it


class Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


T = TypeVar("T", bound=Dataclass)


class Problem(NamedTuple):
    kind: Literal["unknown", "missing", "wrong"]
    text: str


class PlainError(ValueError):
    """Values of wrong types; the message does not name their file."""


def check_regular(file: Path) -> None:
    """Refuse a file that would block or never end, such as a pipe or a device.

    Raises:
        OSError: if there is no such file.
        PlainError: if it is not a regular file.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116
        raise PlainError("not a regular file")


def read_json(file: Path) -> object:
    """Read a small JSON file.

    Raises:
        OSError, PlainError: if it cannot be read, or is not JSON.
    """
    try:
        return json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise PlainError(_one_line(error)) from error


def read_yaml(file: Path) -> object:
    """Read a small YAML file of plain values: no tags, and no aliases, which can expand without end.

    Raises:
        OSError, PlainError: if it cannot be read, or is not such YAML.
    """
    return parse_yaml(_read(file))


def parse_yaml(text: str) -> object:
    """Read plain values from YAML: see `read_yaml`.

    Raises:
        PlainError: if the text is not such YAML.
    """
    try:
        loader = yaml.SafeLoader if _SURROGATE.search(text) else _YamlLoader
        _check_events(text, loader)
        return yaml.load(text, loader)
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        raise PlainError(_one_line(error)) from error


def _read(file: Path) -> str:
    check_regular(file)
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise PlainError(f"more than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlainError(f"not UTF-8 at byte {error.start}") from error


def _check_events(text: str, loader: Any) -> None:
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise PlainError("it has an alias (*)")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            raise PlainError("it has a tag (!)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PlainError(f"it is nested deeper than {MAX_DEPTH}")


def from_plain(kind: type[T], values: object, name: str = "") -> T:
    """Make a dataclass from plain values; a missing field gets its default.

    Args:
        name: the name of the values in messages.

    Raises:
        PlainError: if keys are unknown or missing, or values are not of their types; it lists all of them.
    """
    if found := [problem.text for problem in problems(kind, values, name)]:
        raise PlainError("; ".join(found))
    made: T = _build(kind, values)
    return made


def problems(kind: Any, value: object, name: str = "") -> Iterator[Problem]:
    """Compare a plain value with its type, groups of values key by key."""
    group = _dataclass_of(kind)
    if group is None or not isinstance(value, dict):
        if not _fits(kind, value):
            yield Problem("wrong", f"{name or 'all of it'} must be {describe_type(kind)}, but is {shown(value)}")
        return
    types = _types(group)
    for key, inner in value.items():
        inner_name = ".".join(filter(None, (name, key if isinstance(key, str) and key.isprintable() else shown(key))))
        if key in types:
            yield from problems(types[key], inner, inner_name)
        else:
            yield Problem("unknown", f"{inner_name} is not known")
    for field in fields(group):
        if field.name not in value and not _has_default(field):
            yield Problem("missing", f"{'.'.join(filter(None, (name, field.name)))} is missing")


def with_defaults(kind: type[Dataclass], values: Mapping[str, object]) -> dict[str, Any]:
    """Add missing keys that have a default in the dataclass, in all groups."""
    complete: dict[str, Any] = dict(values)
    for field in fields(kind):
        if field.name not in complete and _has_default(field):
            complete[field.name] = to_plain(_default(field))
        group = _dataclass_of(_types(kind)[field.name])
        if group is not None and isinstance(complete.get(field.name), dict):
            complete[field.name] = with_defaults(group, complete[field.name])
    return complete


def to_plain(value: Any) -> Any:
    """Convert a dataclass to what JSON and YAML hold."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    return [to_plain(item) for item in value] if isinstance(value, list) else value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name the values of nested groups by keys with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def without_none(kind: Any) -> Any:
    """Strip `| None` from a type."""
    alternatives = [part for part in get_args(kind) if part is not NoneType]
    return alternatives[0] if NoneType in get_args(kind) else kind


def describe_type(kind: Any) -> str:
    """Describe a type as messages do: "must be …"."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(one) for one in arguments)
    if origin is list:
        return {(str,): "a list such as [a,b]", (int,): "a list such as [1,2]"}.get(arguments, "a list")
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    return _TYPE_NAMES.get(kind, "keys with values")


def shown(value: object) -> str:
    """Format a value for a message, as in YAML: one line, and not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shorten(hex(value) if isinstance(value, int) and abs(value) > 10**_LONGEST_SHOWN else repr(value))


def shorten(text: str) -> str:
    """Cut a text that is too long for a message."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


@lru_cache
def _types(kind: type[Dataclass]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(kind: Any, value: object) -> bool:
    """Return whether a plain value is of a type without dataclasses inside."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(one, value) for one in arguments)
    if origin is list:
        return isinstance(value, list) and all(_fits(arguments[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(str, key) and _fits(arguments[1], value[key]) for key in value)
    if kind is NoneType:
        return value is None
    if kind is int:
        return type(value) is int and value in _WHOLE_NUMBERS
    if kind is float:
        return type(value) is float or _fits(int, value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return isinstance(value, str) and value in set(kind)
    return kind in (bool, str) and type(value) is kind


def _build(kind: Any, value: Any) -> Any:
    """Convert a plain value of the right type to that type."""
    group = _dataclass_of(kind)
    if group is not None and isinstance(value, dict):
        return group(**{key: _build(_types(group)[key], inner) for key, inner in value.items()})
    if get_origin(kind) in (Union, UnionType):
        return _build(next(one for one in get_args(kind) if _fits(one, value)), value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, (StrEnum, float)) else value


def _dataclass_of(kind: Any) -> type[Dataclass] | None:
    return next((one for one in (kind, *get_args(kind)) if isinstance(one, type) and is_dataclass(one)), None)


def _has_default(field: Field[Any]) -> bool:
    return field.default_factory is not NO_DEFAULT or field.default not in (NO_DEFAULT, MISSING)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is NO_DEFAULT else field.default_factory()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
