"""What can be set: the settings of each command, the groups of conf/, and suggestions for a mistyped key."""

import difflib
from typing import Any

from nmt.command_config import (
    AverageCommand,
    CardCommand,
    DoctorCommand,
    EmbeddingsCommand,
    EvaluateCommand,
    ReportCommand,
    TrainCommand,
    TranslateCommand,
    VerifyCommand,
)
from nmt.schema import settings_of

SCHEMAS: dict[str, type] = {
    "prepare": TrainCommand,  # so that one command line serves both
    "train": TrainCommand,
    "translate": TranslateCommand,
    "evaluate": EvaluateCommand,
    "average": AverageCommand,
    "embeddings": EmbeddingsCommand,
    "card": CardCommand,
    "verify": VerifyCommand,
    "report": ReportCommand,
    "doctor": DoctorCommand,
}
PRESETS = ("experiment", "debug")  # groups of conf/ whose options set keys of several other groups, for training
_PRESETS_OF = {TrainCommand: PRESETS, DoctorCommand: ("experiment",)}
_MAX_SUGGESTIONS = 4
_SIMILAR = 0.75  # difflib's ratio of two words or keys, one of which may be a typing error for the other


def setting_types(command: str) -> dict[str, Any]:
    """Map the key of every setting or group of settings of a command to its type."""
    return {key: declared.kind for key, declared in settings_of(SCHEMAS[command]).items()}


def known_keys(command: str) -> list[str]:
    """List everything that can be set: settings, groups of settings, and presets."""
    return [*setting_types(command), *presets_of(command)]


def presets_of(command: str) -> tuple[str, ...]:
    """Return the groups of presets that a command takes."""
    return _PRESETS_OF.get(SCHEMAS[command], ())


def unknown_key(command: str, key: str) -> str:
    """Explain that there is no such setting, and which one may have been meant."""
    problem = f"there is no setting {key!r} for nmt {command}"
    if key.startswith("hydra"):
        return f"{problem} (--cfg hydra shows Hydra's own)"
    if suggestions := nearest_keys(command, key):
        return f"{problem}: did you mean {' or '.join(suggestions)}?"
    return f"{problem} (--help shows all)"


def nearest_keys(command: str, key: str) -> list[str]:
    """Find the keys that may have been meant by a mistyped one: the best candidates, and none if there are many."""
    known = known_keys(command)
    key = key.partition("@")[0]
    parent, _, name = key.rpartition(".")
    siblings = [other for other in known if other.rpartition(".")[0] == parent]
    for candidates in (
        [other for other in known if _last_part(other) == name],
        _similar_names(name, siblings),
        [] if siblings else difflib.get_close_matches(key, known, n=1, cutoff=_SIMILAR),
        _similar_names(name, known),
        _most_words_in_common(name, known, siblings=siblings),
    ):
        if 0 < len(candidates) <= _MAX_SUGGESTIONS:
            return candidates
    return []


def _last_part(key: str) -> str:
    return key.rpartition(".")[2]


def _similar_names(name: str, keys: list[str]) -> list[str]:
    nearest = difflib.get_close_matches(name, {_last_part(key) for key in keys}, n=1, cutoff=_SIMILAR)
    return [key for key in keys if _last_part(key) in nearest]


def _most_words_in_common(name: str, keys: list[str], *, siblings: list[str]) -> list[str]:
    """Find the names that share most words with a name, at least half: `save_every` and `checkpoint_every`."""
    words = set(name.split("_"))
    in_common = {key: (len(words & set(_last_part(key).split("_"))), key in siblings) for key in keys}
    most = max(in_common.values())
    return [key for key in keys if in_common[key] == most and most[0] >= len(words) / 2]
