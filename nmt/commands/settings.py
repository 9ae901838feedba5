"""From a command line to settings: schemas, paths as typed, sweeps, and Hydra's errors in one line."""

import argparse
import difflib
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt.commands.output import check_sweep_outputs
from nmt.commands.streams import explain_os_error
from nmt.config import EvaluateCommand, TrainCommand, TranslateCommand, conf_dir
from nmt.errors import ConfigError, NmtError
from nmt.schema import check_settings, describe_type, settings_of, show_value, without_none

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
MAX_JOBS = 1_000  # of a sweep: each is composed and checked before the first one starts


def register_schemas() -> None:
    """Tell Hydra the dataclass of each command."""
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(name=f"{command}_schema", node=schema)
    # a value that gives way to null where another setting is there
    OmegaConf.register_new_resolver("nmt.unless", lambda other, value: value if other is None else None, replace=True)


def check_schema(command: str, composed: DictConfig) -> None:
    """Refuse a configuration of the user's (--config-name) that does not build on the command's own.

    Raises:
        ConfigError: saying what to do with it.
    """
    if OmegaConf.get_type(composed) is not SCHEMAS[command]:
        raise ConfigError(
            f"the file of --config-name must begin with 'defaults: [{command}, _self_]', but does not: add that line, "
            "or use the file as FOLDER/experiment/NAME.yaml (first line '# @package _global_') by --config-dir=FOLDER "
            "experiment=NAME"
        )


def to_settings(composed: DictConfig) -> tuple[Any, str]:
    """Make plain settings of what Hydra composed, and their YAML.

    Raises:
        ConfigError: naming every setting that must be given and is not, or that is out of its range.
    """
    if missing := sorted(OmegaConf.missing_keys(composed)):
        are = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{', '.join(missing)} must be given, but {are} not (--help shows all settings)")
    settings = OmegaConf.to_object(composed)
    check_settings(settings)
    return settings, OmegaConf.to_yaml(composed, resolve=True)


# --- the command line ---


class CommandLine(NamedTuple):
    """What was typed after `nmt COMMAND`, sorted: Hydra's options, and overrides with their paths quoted for Hydra."""

    options: list[str]
    overrides: list[str]
    is_sweep: bool
    wants_help: bool
    config_dir: str | None = None  # a folder of the user's with more options of groups

    @property
    def for_composing(self) -> list[str]:
        """The overrides for `compose_settings`, which knows no options."""
        if self.config_dir is None:
            return self.overrides
        return [f"hydra.searchpath=[{_quote(f'file://{os.path.realpath(self.config_dir)}', set())}]", *self.overrides]


def read_arguments(command: str, arguments: Sequence[str]) -> CommandLine:
    """Sort a command line; options and overrides may stand in any order.

    Raises:
        ConfigError: naming every word that is neither, and every override that cannot be read.
    """
    typed = [word for word in arguments if not word.startswith("-") and re.match(r"[^=]*=|~", word)]
    options = [word for word in arguments if word not in typed]
    parsed, unknown = _parse_options(options)
    if parsed.shell_completion:  # Hydra's own command, whose words look like settings
        return CommandLine(list(arguments), [], is_sweep=False, wants_help=False)
    problems = [f"there is no option {word} (nmt {command} --help)" for word in unknown]
    problems += [f"{word!r} is not a setting: write KEY=VALUE" for word in parsed.overrides]
    if parsed.config_path is not None:
        problems.append("--config-path would hide nmt's own settings: add a folder with --config-dir=FOLDER")
    overrides = [_without_plus(command, override) for override in typed]
    overrides = quote_paths(command, overrides, in_sweep=parsed.multirun)
    for as_typed, override in zip(typed, overrides, strict=True):
        problems.extend(_problems_of_override(command, as_typed, override, in_sweep=parsed.multirun))
    if problems:
        raise ConfigError("; ".join(problems))
    if parsed.config_name is not None:  # a file of the user's may lack what conf/COMMAND.yaml says to Hydra
        overrides = [*_HYDRA_AS_IN_CONF, *overrides]
    return CommandLine(options, overrides, parsed.multirun, parsed.help, parsed.config_dir)


_HYDRA_AS_IN_CONF = (
    "hydra/job_logging=stderr",
    "hydra/hydra_logging=stderr",
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
)


def _parse_options(options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        return parser.parse_known_args(options)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error


def _without_plus(command: str, override: str) -> str:
    """Let `+KEY=VALUE` and `++KEY=VALUE` mean KEY=VALUE for what is there without them."""
    bare = override.lstrip("+")
    return bare if bare.partition("=")[0] in _known_keys(command) else override


def _known_keys(command: str) -> list[str]:
    """List what can be set: settings, groups of settings, and `experiment` where there is one."""
    return [*setting_keys(SCHEMAS[command]), *(["experiment"] if SCHEMAS[command] is TrainCommand else [])]


def _problems_of_override(command: str, as_typed: str, override: str, *, in_sweep: bool) -> Iterator[str]:
    shown = repr(show_value(as_typed))
    try:
        parsed: Override = OverridesParser.create().parse_override(override)
    except (HydraException, ValueError) as error:  # ValueError: a number of more digits than Python reads
        [first_line, *_] = str(error).splitlines()
        yield (
            f"{shown}: {first_line}"
            if " while evaluating " in first_line  # one of Hydra's functions, such as choice()
            else f"{shown} cannot be read as KEY=VALUE: quote a value with special characters twice, "
            "as in \"KEY='a (b)'\""
        )
        return
    key = parsed.get_key_element().lstrip("+~")
    if not key:
        yield f"{shown} is not a setting: write KEY=VALUE"
    elif parsed.is_delete():
        yield f"{shown} would take a setting away: give it another value instead"
    elif key == "hydra.mode":
        yield "hydra.mode is not for the command line: try several values with -m"
    elif not parsed.is_hydra_override() and key not in _known_keys(command):
        yield f"there is no setting {key!r} for nmt {command}{_nearest(key, command)}"
    elif parsed.is_sweep_override() and not in_sweep:
        yield f"{shown} has several values: write a list as 'KEY=[a,b]', or try each value with -m"
    elif parsed.is_sweep_override() and not _num_values(parsed):
        yield f"{shown} names no values to try: list them, as in {key}=1,2"
    else:
        yield from _problems_of_value(command, parsed, as_typed.partition("=")[2])


def _problems_of_value(command: str, override: Override, as_typed: str) -> Iterator[str]:
    """Yield what Hydra would take without a word, or explain badly."""
    key, value = override.key_or_group, override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    options, kind = group_options(key), setting_types(SCHEMAS[command]).get(key)
    # several experiments are well; Hydra keeps quotes in a sweep
    options_are = (str, QuotedString, list) if key == "experiment" else (str, QuotedString)
    if options and not isinstance(value, Glob) and not all(isinstance(one, options_are) and one for one in values):
        yield f"{key} must be one of {', '.join(options)}, but is {show_value(as_typed) or 'empty'}"
    elif kind is bool and any(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        yield f"{key} must be true or false, but is {show_value(as_typed)}"  # Hydra takes any number but 0 for true


def _num_values(override: Override) -> int:
    """Count the values that a sweep tries for one setting, without listing them; MAX_JOBS + 1 if they are endless."""
    value = override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = (float(bound or 0) for bound in (value.start, value.stop, value.step))
        num_steps = (stop - start) / step if step else math.inf
        return max(0, math.ceil(num_steps)) if math.isfinite(num_steps) else MAX_JOBS + 1
    if isinstance(value, Glob):
        return len(value.filter(group_options(override.key_or_group)))
    return len(value.list) if isinstance(value, ChoiceSweep) else 0  # an interval has no list of values


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
    """Compose every job of a sweep, and refuse one whose jobs would share a run directory or an output.

    Raises:
        ConfigError: naming the directory or file.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    num_jobs = math.prod(_num_values(override) for override in parsed if override.is_sweep_override())
    if num_jobs > MAX_JOBS:
        raise ConfigError(f"a sweep must have at most {MAX_JOBS:,} jobs, but this one has more: name fewer values")
    with _hydra_initialized():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        [jobs] = BasicSweeper.split_arguments(parser.parse_overrides(list(overrides)), max_batch_size=None)
        composed = [compose(command, overrides=job) for job in jobs]
    if command in ("translate", "evaluate"):
        check_sweep_outputs(command, composed)
    all_settings = [to_settings(settings)[0] for settings in composed]
    if command != "train":
        return
    run_dirs = Counter(os.path.realpath(settings.run_dir) for settings in all_settings)
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
    with _hydra_initialized():
        return compose(command, overrides=list(overrides))


@contextmanager
def _hydra_initialized() -> Iterator[None]:
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


# --- what can be set ---


def setting_types(schema: type) -> dict[str, Any]:
    """Map the key of every setting, groups of settings included, to its type."""
    return {key: setting.kind for key, setting in settings_of(schema).items()}


def setting_keys(schema: type) -> list[str]:
    return list(settings_of(schema))


# --- errors ---


def explain(error: Exception, command: str, arguments: Sequence[str]) -> str:
    """Say in one line what is wrong with a command line, whoever found it, with the nearest key for an unknown one."""
    if isinstance(error, NmtError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return explain_os_error(error)
    causes = [error]
    while isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    text = " ".join(" ".join(str(cause).split()) for cause in causes)
    if match := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is not in struct|not in)", text):
        key = _full_key(causes) or (match[1] or match[2]).lstrip("+").partition("@")[0]
        return f"there is no setting {key!r} for nmt {command}{_nearest(key, command)}"
    if match := re.search(r"Could not find '([^']+)'.*?Available options in '([^']+)':", text):
        group = match[2]
        options = group_options(group) or re.findall(r"^\t(\w+)$", str(error), re.MULTILINE)  # of Hydra's own
        return f"{group} must be one of {', '.join(options)}, but is {match[1].removeprefix(f'{group}/')!r}"
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
    return f"{key} must be {describe_type(kind)}, but is {show_value(values[-1]) or 'empty'}"


def _full_key(causes: Sequence[Exception]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return str(cause.full_key)
    return ""


def _nearest(key: str, command: str) -> str:
    if key.startswith("hydra"):
        return " (--cfg hydra shows Hydra's own)"
    types = _known_keys(command)
    parent, _, name = key.rpartition(".")
    last_parts = {other: other.rpartition(".")[2] for other in types}
    siblings = {last: other for other, last in last_parts.items() if other.rpartition(".")[0] == parent}
    nearest = [other for other, last in last_parts.items() if last == name]
    nearest += [siblings[last] for last in difflib.get_close_matches(name, siblings, n=1)]
    nearest += difflib.get_close_matches(key, types, n=1, cutoff=0.75)
    for last in difflib.get_close_matches(name, set(last_parts.values()), n=1):
        nearest += [other for other in types if last_parts[other] == last]
    return f": did you mean {nearest[0]}?" if nearest else " (--help shows all)"
