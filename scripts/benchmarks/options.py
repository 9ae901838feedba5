"""A command line -> what the benchmark itself does, and the settings of nmt that it is done with."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, get_origin

import torch

from nmt.commands.compose import compose_settings, to_settings
from nmt.commands.keys import setting_types
from nmt.commands.paths import quote_paths
from nmt.config import TrainCommand
from nmt.device import InferencePrecision, has_fast_bf16, has_fast_int8, resolve_device
from nmt.errors import ConfigError

PAPER_MODEL = "sutskever_2014"
BEAMS = (1, 5, 12)


@dataclass(frozen=True)
class Options:
    """The benchmark's own options; all else on the command line are settings of `nmt train`."""

    repeats: int = 5
    seconds: float = 20.0  # for a figure, over all repeats
    sentences: int = 500  # that `translate` translates at a time
    pairs: int = 20_000  # of drawn data, or of the built-in corpus for `prepare`
    quick: bool = False
    json: Path | None = None
    checkpoints: tuple[str, ...] = ()
    input: Path | None = None

    @property
    def slice_s(self) -> float:
        """Seconds of one repeat of one figure."""
        return self.seconds / self.repeats


QUICK = {"repeats": "2", "seconds": "0.2", "sentences": "8", "pairs": "512"}


@dataclass(frozen=True)
class Variant:
    """One of the settings to compare.

    Attributes:
        name: what tells it from the others; empty where there are none.
        has_data: whether the command line names a corpus; if not, ids are drawn at random.
    """

    name: str
    overrides: tuple[str, ...]
    settings: TrainCommand
    config_yaml: str
    has_data: bool

    @property
    def device(self) -> torch.device:
        return resolve_device(self.settings.device)


class CommandLine(NamedTuple):
    options: Options
    overrides: list[str]


class Plan(NamedTuple):
    """What a subcommand is to do; `training` differs in what training takes, `search` in what search takes."""

    training: list[Variant]
    search: list[Variant]
    options: Options


def read_arguments(arguments: Sequence[str]) -> CommandLine:
    """Tell the benchmark's options from nmt's settings.

    Raises:
        ConfigError: naming every word that cannot be.
    """
    given: dict[str, str] = {}
    overrides: list[str] = []
    problems = []
    names = {option.name for option in fields(Options)}
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals or word.startswith("-"):
            problems.append(f"{word!r} is neither an option nor a setting: write KEY=VALUE (scripts/bench --help)")
        elif key in names:
            given[key] = value
        else:
            overrides.append(word)
    if problems:
        raise ConfigError("; ".join(problems))
    return CommandLine(_options(given), overrides)


def _options(given: dict[str, str]) -> Options:
    quick = given.get("quick", "false")
    if quick not in ("true", "false"):
        raise ConfigError(f"quick must be true or false, but is {quick}")
    values = (QUICK if quick == "true" else {}) | given
    options = Options(
        repeats=_count(values, "repeats", Options.repeats),
        seconds=_positive(values, "seconds", Options.seconds),
        sentences=_count(values, "sentences", Options.sentences),
        pairs=_count(values, "pairs", Options.pairs),
        quick=quick == "true",
        json=Path(values["json"]) if "json" in values else None,
        checkpoints=tuple(_items(values.get("checkpoints", ""))),
        input=Path(values["input"]) if "input" in values else None,
    )
    if options.checkpoints and options.input is None:
        raise ConfigError("checkpoints need a text to translate: add input=FILE")
    if options.input is not None and not options.checkpoints:
        raise ConfigError("input needs a model that translates it: add 'checkpoints=[RUN_DIR/checkpoints/best]'")
    return options


def _count(values: dict[str, str], key: str, default: int) -> int:
    text = values.get(key, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{key} must be a whole number of at least 1, but is {text or 'empty'}")
    return int(text)


def _positive(values: dict[str, str], key: str, default: float) -> float:
    text = values.get(key, str(default))
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", text) or not float(text) > 0:
        raise ConfigError(f"{key} must be a number above 0, but is {text or 'empty'}")
    return float(text)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]


# --- settings to compare ---


def train_variants(overrides: Sequence[str]) -> list[Variant]:
    """Compose the settings, or several where a setting of one value is given a list of them.

    What only search takes is of no importance here, and is left out before values are combined.
    """
    return _variants([word for word in overrides if not word.startswith("search")])


def search_variants(overrides: Sequence[str]) -> list[Variant]:
    """Compose the settings of search: where the command line is silent, all beams of the paper and all precisions."""
    words = [word for word in overrides if not word.startswith(("training.", "optimizer", "batching"))]
    keys = {word.partition("=")[0] for word in words}
    if not keys & {"search", "search.beam_size"}:
        words.append(f"search.beam_size=[{','.join(map(str, BEAMS))}]")
    if "search.precision" not in keys:
        device = _variants([word for word in words if word.startswith("device=")])[0].device
        words.append(f"search.precision=[{','.join(search_precisions(device))}]")
    return _variants(words)


def search_precisions(device: torch.device) -> list[InferencePrecision]:
    """List the precisions that the device computes in hardware."""
    precisions: list[InferencePrecision] = ["fp32"]
    if has_fast_bf16(device):
        precisions.append("bf16")
    if has_fast_int8(device):
        precisions.append("int8")
    return precisions


def _variants(overrides: Sequence[str]) -> list[Variant]:
    types = setting_types("train")
    choices: list[list[str]] = []
    compared: list[bool] = []
    for word in overrides:
        key, _, value = word.partition("=")
        is_list = key in types and get_origin(types[key]) is not list and value.startswith("[")
        compared.append(is_list)
        if is_list and not _items(value):
            raise ConfigError(f"{key} must have at least one value to measure, but is {value}")
        choices.append([f"{key}={item}" for item in _items(value)] if is_list else [word])
    variants = []
    for chosen in itertools.product(*choices):
        name = " ".join(word for word, differs in zip(chosen, compared, strict=True) if differs)
        variants.append(_compose(name, list(chosen)))
    return variants


def _compose(name: str, overrides: list[str]) -> Variant:
    has_data = any(word.startswith(("data=", "data.")) for word in overrides)
    has_experiment = any(word.startswith("experiment=") for word in overrides)
    if f"model={PAPER_MODEL}" in overrides and not has_data and not has_experiment:
        overrides = [*overrides, f"experiment={PAPER_MODEL}"]  # its vocabularies, batches and optimizer too
    settings, config_yaml = to_settings(compose_settings("train", quote_paths("train", overrides)))
    return Variant(name, tuple(overrides), settings, config_yaml, has_data)
