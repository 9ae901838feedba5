"""The configuration saved in a run or checkpoint, possibly by another version of nmt."""

from typing import Any

from nmt.command_config import TrainCommand
from nmt.config import ModelConfig
from nmt.errors import ConfigError
from nmt.plain import PlainError, from_plain, problems, with_defaults
from nmt.schema import check_settings


def model_config(values: object) -> ModelConfig:
    """Read a model's settings from the plain values of a saved configuration.

    Raises:
        ConfigError: if settings are unknown, missing or invalid; it lists all of them.
    """
    try:
        config = from_plain(ModelConfig, values, "model")
    except PlainError as error:
        raise ConfigError(str(error)) from error
    check_settings(config, prefix="model.")
    return config


def saved_config(values: dict[str, Any]) -> dict[str, Any]:
    """Complete the saved configuration of a run: a setting that it lacks gets the default of its dataclass.

    Raises:
        ConfigError: if a setting is unknown, such as one of a newer version, or of the wrong type.
    """
    found = list(problems(TrainCommand, values))
    if unknown := [problem.text for problem in found if problem.kind == "unknown"]:
        raise ConfigError(f"{'; '.join(unknown)}: install the newer nmt that wrote it")
    if wrong := [problem.text for problem in found if problem.kind == "wrong"]:
        raise ConfigError("; ".join(wrong))
    return with_defaults(TrainCommand, values)


def missing_settings(values: dict[str, Any]) -> list[str]:
    """List the settings that a saved configuration lacks for resuming; translation needs only those of the model."""
    return [problem.text for problem in problems(TrainCommand, values) if problem.kind == "missing"]
