"""Explains errors of Hydra and OmegaConf in one line: which setting, what it must be and what it is."""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    ConfigTypeError,
    InterpolationResolutionError,
    ValidationError,
)
from yaml import YAMLError

from nmt.commands.keys import setting_types, unknown_key
from nmt.commands.os_errors import explain_os_error
from nmt.errors import NmtError
from nmt.plain import describe_type, shorten, without_none

_UNKNOWN_KEY = (ConfigAttributeError, ConfigKeyError)
_WRONG_VALUE = (ConfigTypeError, ValidationError)


def explain(error: Exception, command: str, arguments: Sequence[str]) -> str:
    """Return in one line what is wrong with a command line, whichever library found it."""
    if isinstance(error, NmtError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group} must be one of {', '.join(error.options)}, but is {option!r}"
    if isinstance(error, YAMLError):  # of a user's file, which it names
        return " ".join(str(error).split())
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return explain_os_error(error)
    causes = list(_causes(error))
    problem = str(causes[-1]).split("\n", maxsplit=1)[0]
    found = next((cause for cause in reversed(causes) if getattr(cause, "full_key", None)), None)
    if found is None:
        return problem
    key = str(found.full_key).partition("[")[0]  # type: ignore[attr-defined]  # of an OmegaConfBaseException
    if isinstance(found, _UNKNOWN_KEY):
        return unknown_key(command, key)
    values = [value for name, _, value in (word.partition("=") for word in arguments) if name.lstrip("+") == key]
    kind = setting_types(command).get(key)
    if isinstance(found, _WRONG_VALUE) and not isinstance(found, InterpolationResolutionError) and kind and values:
        return _explain_value(key, kind, values[-1])
    return f"{key}: {problem}"


def _causes(error: Exception) -> Iterator[Exception]:
    """Yield an error and its causes, the first cause last; Hydra leaves out some of OmegaConf's."""
    cause: BaseException | None = error
    while isinstance(cause, Exception):
        yield cause
        left_out = isinstance(cause, HydraException) and isinstance(cause.__context__, _UNKNOWN_KEY + _WRONG_VALUE)
        cause = cause.__context__ if left_out else cause.__cause__


def _explain_value(key: str, kind: Any, value: str) -> str:
    inner = without_none(kind)
    if is_dataclass(inner):
        inside = ", ".join(f"{key}.{name}" for name in get_type_hints(inner))
        return f"{key} is a group of settings: set {inside} one by one"
    return f"{key} must be {describe_type(kind)}, but is {shorten(value) or 'empty'}"
