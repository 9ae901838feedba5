"""From conf/ and overrides to the settings of a command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from nmt.commands.keys import SCHEMAS
from nmt.conf_files import conf_dir
from nmt.errors import ConfigError
from nmt.schema import check_settings


def register_schemas() -> None:
    """Register the dataclass of each command with Hydra."""
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(name=f"{command}_schema", node=schema)
    # a value that becomes null if another setting is given
    OmegaConf.register_new_resolver("nmt.unless", lambda other, value: value if other is None else None, replace=True)


def compose_settings(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a command's settings as Hydra would."""
    with hydra_initialized():
        return compose(command, overrides=list(overrides))


@contextmanager
def hydra_initialized() -> Iterator[None]:
    """Initialize Hydra with conf/ and the schemas for the block."""
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


def check_schema(command: str, composed: DictConfig) -> None:
    """Refuse a user's configuration (--config-name) that does not extend the command's own.

    Raises:
        ConfigError: if it does not; the message says how to change it.
    """
    if OmegaConf.get_type(composed) is not SCHEMAS[command]:
        raise ConfigError(
            f"the file of --config-name must begin with 'defaults: [{command}, _self_]', but does not: add that line, "
            "or use the file as FOLDER/experiment/NAME.yaml (first line '# @package _global_') by --config-dir=FOLDER "
            "experiment=NAME"
        )


def to_settings(composed: DictConfig) -> tuple[Any, str]:
    """Return plain settings and their YAML.

    Raises:
        ConfigError: if settings are missing or out of range; it names all of them.
    """
    if missing := sorted(OmegaConf.missing_keys(composed)):
        are = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{', '.join(missing)} must be given, but {are} not (--help shows all settings)")
    settings = OmegaConf.to_object(composed)
    check_settings(settings)
    return settings, OmegaConf.to_yaml(composed, resolve=True)
