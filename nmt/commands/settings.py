"""From a command line to settings: schemas, paths as typed, sweeps that cannot be, and Hydra's errors in one line."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nmt.config import EvaluateCommand, PrepareCommand, TrainCommand, TranslateCommand, conf_dir
from nmt.errors import ConfigError

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


def register_schemas() -> None:
    """Tell Hydra the dataclass of each command, and how a run directory is named in a sweep."""
    store = ConfigStore.instance()
    for command, schema in (
        ("prepare", PrepareCommand),
        ("train", TrainCommand),
        ("translate", TranslateCommand),
        ("evaluate", EvaluateCommand),
    ):
        store.store(name=f"{command}_schema", node=schema)
    OmegaConf.register_new_resolver(
        "nmt.relative_to_runs", lambda run_dir: os.path.relpath(run_dir, "runs"), replace=True
    )


def quote_paths(overrides: Sequence[str]) -> list[str]:
    """Quote the values of path keys for Hydra's grammar, so that paths work as typed: `=`, spaces, commas and all."""
    return [_quote_override(override) for override in overrides]


def _quote_override(override: str) -> str:
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    if not equals or value in ("", "null") or name not in PATH_KEYS | PATH_LIST_KEYS:
        return override
    if name in PATH_KEYS:
        return f"{key}={_quote(value)}"
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return f"{key}=[{','.join(_quote(part.strip()) for part in _split(inside) if part.strip())}]"


def _split(inside: str) -> Iterator[str]:
    """Split a list at the commas that stand outside quotes."""
    yield from (match.group() for match in re.finditer(r"""(?:'[^']*'|"[^"]*"|[^,])+""", inside))


def _quote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", value) + "'"


def check_sweep(command: str, arguments: Sequence[str]) -> None:
    """Refuse a sweep whose jobs would share a run directory, before any of them starts.

    Raises:
        ConfigError: naming the directory.
    """
    if command != "train" or not {"-m", "--multirun"} & set(arguments):
        return
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = OverridesParser.create().parse_overrides([word for word in arguments if not word.startswith("-")])
    jobs = [job for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None) for job in batch]
    run_dirs = Counter(str(Path(compose_settings(command, job).run_dir).resolve()) for job in jobs)
    run_dir, count = run_dirs.most_common(1)[0]
    if count > 1:
        raise ConfigError(
            f"{count} jobs of this sweep would share the run directory {run_dir}: "
            "give each its own, as in 'run_dir=runs/${model.name}-lr${optimizer.lr}-seed${seed}'"
        )


def compose_settings(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a command's settings as Hydra would."""
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        return compose(command, overrides=list(overrides))


def explain(error: Exception, command: str) -> str:
    """Say in one line what Hydra or OmegaConf has against a command line, with the nearest key where one is unknown."""
    causes = [error]
    while causes[-1].__cause__ is not None and isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    text = " ".join(" ".join(str(cause).split()) for cause in causes)
    if match := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is not in struct|not in)", text):
        key = (match.group(1) or match.group(2)).lstrip("+")
        return f"there is no setting {key!r} for nmt {command}{_nearest(key, command)}"
    if match := re.search(
        r"Could not find '([^']+)'.*?Available options in '([^']+)': (.*?)(?: Config search|$)", text
    ):
        return f"there is no {match.group(1)!r}: {match.group(2)} is one of {match.group(3).replace(' ', ', ')}"
    if match := re.search(
        r"Missing mandatory value: (\S+)|Structured config of type `\w+` has missing mandatory", text
    ):
        key = match.group(1) or _full_key(causes)
        return f"{key} must be given, but is not (nmt {command} --help shows all settings)"
    if key := _full_key(causes):
        problem = str(causes[-1]).splitlines()[0]
        return f"{key}: {problem}"
    return str(causes[-1]).split("\n", maxsplit=1)[0]


def _full_key(causes: Sequence[Exception]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return str(cause.full_key)
    return ""


def _nearest(key: str, command: str) -> str:
    keys = list(_all_keys(compose_settings(command, [])))
    by_last_part = [other for other in keys if other.rpartition(".")[2] == key.rpartition(".")[2]]
    nearest = by_last_part or difflib.get_close_matches(key, keys, n=1)
    return f": did you mean {nearest[0]}?" if nearest else f" (nmt {command} --help shows all)"


def _all_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _all_keys(node, f"{prefix}{key}.")
