"""From a command line to settings: schemas, paths as typed, sweeps that cannot be, and Hydra's errors in one line."""

import argparse
import difflib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt.config import EvaluateCommand, TrainCommand, TranslateCommand, conf_dir
from nmt.errors import ConfigError, NmtError

SCHEMAS: dict[str, type] = {
    "prepare": TrainCommand,  # so that one command line serves both
    "train": TrainCommand,
    "translate": TranslateCommand,
    "evaluate": EvaluateCommand,
}
PATH_KEYS = {
    "run_dir",
    "input",
    "output",
    "source",
    "groups",
    "data.dir",
    "data.prepared_dir",
    "subword.src_model",
    "subword.tgt_model",
    "training.init_from",
}
PATH_LIST_KEYS = {
    "checkpoints",
    "hypothesis",
    "reference",
    *(f"data.{split}.{side}" for split in ("train", "dev", "test") for side in ("src", "tgt")),
}
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def register_schemas() -> None:
    """Tell Hydra the dataclass of each command."""
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(name=f"{command}_schema", node=schema)
    OmegaConf.register_new_resolver("nmt.absolute", lambda path: str(Path(path).resolve()), replace=True)
    # a value that gives way to null where another setting is there
    OmegaConf.register_new_resolver("nmt.unless", lambda other, value: value if other is None else None, replace=True)


def to_settings(composed: DictConfig) -> tuple[Any, str]:
    """Make plain settings of what Hydra composed, and their YAML.

    Raises:
        ConfigError: naming every setting that must be given and is not.
    """
    if missing := sorted(OmegaConf.missing_keys(composed)):
        are = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{', '.join(missing)} must be given, but {are} not (--help shows all settings)")
    return OmegaConf.to_object(composed), OmegaConf.to_yaml(composed, resolve=True)


# --- the command line ---


class CommandLine(NamedTuple):
    """What was typed after `nmt COMMAND`, sorted: Hydra's options, and overrides with their paths quoted for Hydra."""

    options: list[str]
    overrides: list[str]
    is_sweep: bool
    wants_help: bool


def read_arguments(command: str, arguments: Sequence[str]) -> CommandLine:
    """Sort a command line; options and overrides may stand in any order.

    Raises:
        ConfigError: naming every word that is neither, and every override that cannot be read.
    """
    typed = [word for word in arguments if not word.startswith("-") and re.match(r"[^=]*=|~", word)]
    options = [word for word in arguments if word not in typed]
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        parsed, unknown = parser.parse_known_args(options)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    problems = [f"there is no option {word} (nmt {command} --help)" for word in unknown]
    problems += [f"{word!r} is not a setting: write KEY=VALUE" for word in parsed.overrides]
    overrides = quote_paths(command, typed, in_sweep=parsed.multirun)
    for as_typed, override in zip(typed, overrides, strict=True):
        problems.extend(_problems_of_override(command, as_typed, override, in_sweep=parsed.multirun))
    if problems:
        raise ConfigError("; ".join(problems))
    return CommandLine(options, overrides, is_sweep=parsed.multirun, wants_help=parsed.help)


def _problems_of_override(command: str, as_typed: str, override: str, *, in_sweep: bool) -> Iterator[str]:
    try:
        parsed: Override = OverridesParser.create().parse_override(override)
    except HydraException:
        yield (
            f"{as_typed!r} cannot be read as KEY=VALUE: quote a value with special characters twice, "
            "as in \"KEY='a (b)'\""
        )
        return
    key = parsed.key_or_group
    if not key:
        yield f"{as_typed!r} is not a setting: write KEY=VALUE"
    elif parsed.is_delete():
        yield f"{as_typed!r} would take a setting away: give it another value instead"
    elif parsed.is_add() and not key.startswith("hydra") and key not in setting_types(SCHEMAS[command]):
        yield f"there is no setting {key!r} for nmt {command}{_nearest(key, command)}"
    elif parsed.is_sweep_override():
        if not in_sweep:
            yield f"{as_typed!r} has several values: write a list as 'KEY=[a,b]', or try each value with -m"
    elif (options := group_options(key)) and not isinstance(parsed.value(), str | list):
        yield f"{key} must be one of {', '.join(options)}, but is {as_typed.partition('=')[2]}"


def group_options(group: str) -> list[str]:
    """List the options of a group of conf/; none where there is no such group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def quote_paths(command: str, overrides: Sequence[str], *, in_sweep: bool = False) -> list[str]:
    """Quote the values of path keys for Hydra's grammar, so that paths work as typed: `=`, spaces, accents and all.

    Within a list, and between the values of a sweep, commas separate; quotes keep them. A leading `~/` is the home
    directory. `${seed}` and the like stand for a setting where there is one of that name.
    """
    keys = set(setting_keys(SCHEMAS[command]))
    return [_quote_override(override, keys, in_sweep=in_sweep) for override in overrides]


def _quote_override(override: str, keys: set[str], *, in_sweep: bool) -> str:
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    if not equals or value == "null" or name not in PATH_KEYS | PATH_LIST_KEYS:
        return override
    if name in PATH_KEYS:
        values = _split(value) if in_sweep else [value]
        return f"{key}={','.join(_quote(path, keys) for path in values)}"
    lists = re.split(r"(?<=\]),(?=\[)", value) if in_sweep and value.startswith("[") else [value]
    return f"{key}={','.join(_quote_list(paths, keys) for paths in lists)}"


def _quote_list(value: str, keys: set[str]) -> str:
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return f"[{','.join(_quote(path, keys) for path in _split(inside))}]"


def _split(inside: str) -> list[str]:
    """Split at the commas that stand outside quotes; a quote inside a name is a part of it."""
    parts = re.finditer(r"""\s*('[^']*'|"[^"]*")\s*(?=,|$)|([^,]+)""", inside)
    return [part for match in parts if (part := (match[1] or match[2]).strip())]


def _quote(path: str, keys: set[str]) -> str:
    if len(path) >= 2 and path[0] == path[-1] and path[0] in "'\"":
        path = path[1:-1]
    if path.startswith("~/"):
        path = str(Path(path).expanduser())
    path = re.sub(r"\$\{(?![\w.]+:)(?!(" + "|".join(map(re.escape, keys)) + r")\})", r"\\${", path)
    return "'" + re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + (match[2] and "\\'"), path) + "'"


# --- sweeps ---


def check_sweep(command: str, overrides: Sequence[str]) -> None:
    """Compose every job of a sweep, and refuse one whose jobs would share a run directory, before any of them starts.

    Raises:
        ConfigError: naming the directory.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    jobs = [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]
    composed = [compose_settings(command, job) for job in jobs]
    if command != "train":
        return
    run_dirs = Counter(str(Path(settings.run_dir).resolve()) for settings in composed)
    run_dir, count = run_dirs.most_common(1)[0]
    if count > 1:
        raise ConfigError(
            f"{count} jobs of this sweep would share the run directory {run_dir}: "
            "give each its own, as in 'run_dir=runs/${model.name}-lr${optimizer.lr}-seed${seed}'"
        )


@contextmanager
def sweep_folder(line: CommandLine) -> Iterator[list[str]]:
    """Give Hydra a folder for its own notes on a sweep, which goes when the sweep ends, unless the user names one.

    Yields:
        what to add to the overrides.
    """
    if not line.is_sweep or any(override.startswith("hydra.sweep.dir=") for override in line.overrides):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="nmt-sweep-") as folder:
        yield [f"hydra.sweep.dir={_quote(folder, set())}"]


def compose_settings(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a command's settings as Hydra would."""
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        return compose(command, overrides=list(overrides))


# --- what can be set ---


def setting_types(schema: type, prefix: str = "") -> dict[str, Any]:
    """Map the key of every setting, groups of settings included, to its type."""
    types: dict[str, Any] = {}
    for name, kind in get_type_hints(schema).items():
        types[prefix + name] = kind
        inner = without_none(kind)
        if is_dataclass(inner):
            types |= setting_types(inner, f"{prefix}{name}.")  # type: ignore[arg-type]
    return types


def setting_keys(schema: type) -> list[str]:
    return list(setting_types(schema))


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


# --- errors ---


def explain(error: Exception, command: str, arguments: Sequence[str]) -> str:
    """Say in one line what is wrong with a command line, whoever found it, with the nearest key for an unknown one."""
    if isinstance(error, NmtError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    causes = [error]
    while isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    text = " ".join(" ".join(str(cause).split()) for cause in causes)
    if match := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is not in struct|not in)", text):
        key = _full_key(causes) or (match[1] or match[2]).lstrip("+").partition("@")[0]
        return f"there is no setting {key!r} for nmt {command}{_nearest(key, command)}"
    if match := re.search(r"Could not find '([^']+)'.*?Available options in '([^']+)':", text):
        group = match[2]
        chosen = match[1].removeprefix(f"{group}/")
        return f"{group} must be one of {', '.join(group_options(group))}, but is {chosen!r}"
    key, problem = _full_key(causes), str(causes[-1]).split("\n", maxsplit=1)[0]
    if kind := setting_types(SCHEMAS[command]).get(key):
        return _explain_value(key, kind, problem, arguments)
    return f"{key}: {problem}" if key else problem


def _explain_value(key: str, kind: Any, problem: str, arguments: Sequence[str]) -> str:
    values = [value for name, _, value in (word.partition("=") for word in arguments) if name.lstrip("+") == key]
    inner = without_none(kind)
    if "nterpolation" in problem or not values:
        return f"{key}: {problem}"
    if is_dataclass(inner):
        inside = ", ".join(f"{key}.{name}" for name in get_type_hints(inner))
        return f"{key} is a group of settings: set {inside} one by one"
    return f"{key} must be {describe_type(kind)}, but is {values[-1] or 'empty'}"


def _full_key(causes: Sequence[Exception]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return str(cause.full_key)
    return ""


def _nearest(key: str, command: str) -> str:
    types = [*setting_types(SCHEMAS[command]), *(["experiment"] if SCHEMAS[command] is TrainCommand else [])]
    parent, _, name = key.rpartition(".")
    last_parts = {other: other.rpartition(".")[2] for other in types}
    siblings = {last: other for other, last in last_parts.items() if other.rpartition(".")[0] == parent}
    nearest = [other for other, last in last_parts.items() if last == name]
    nearest += [siblings[last] for last in difflib.get_close_matches(name, siblings, n=1)]
    nearest += difflib.get_close_matches(key, types, n=1, cutoff=0.75)
    for last in difflib.get_close_matches(name, set(last_parts.values()), n=1):
        nearest += [other for other in types if last_parts[other] == last]
    return f": did you mean {nearest[0]}?" if nearest else " (--help shows all)"
