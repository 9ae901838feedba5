"""Models of the family for tests: the presets of conf/model, as they are or small, and single parts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from nmt.choices import (
    AttentionPlacement,
    AttentionScore,
    Bidirectional,
    Bridge,
    CellKind,
    Connection,
    Initializer,
    ReadoutInput,
    ReadoutKind,
    RecurrentInitializer,
    TiedEmbeddings,
)
from nmt.config import ModelConfig
from nmt.saved_config import model_config
from tests.models import MODEL

_FOLDER = Path(__file__).parents[1] / "conf" / "model"
PRESETS = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
_DIMS = (
    "embedding_dim",
    "src_embedding_dim",
    "tgt_embedding_dim",
    "hidden_dim",
    "encoder_dim",
    "decoder_dim",
    "attention_dim",
    "readout_dim",
    "output_bottleneck",
)
ATTENTION: dict[str, Any] = {
    "attention": AttentionScore.general,
    "readout": ReadoutKind.tanh,
    "readout_input": ReadoutInput.state_context,
}
BETWEEN: dict[str, Any] = {
    "bidirectional": Bidirectional.all,
    "encoder_dim": 4,
    "bridge": Bridge.mean,
    "attention": AttentionScore.additive,
    "attention_placement": AttentionPlacement.between,
}
# One line for each part; the presets below have most of them in other combinations.
_PARTS: dict[str, dict[str, Any]] = {
    **{kind.value: {"cell": kind} for kind in CellKind},
    **{f"{kind}, attention": {"cell": kind, **BETWEEN} for kind in CellKind},
    # a query without a map of its own
    **{
        f"rnn_tanh, {score}": {**ATTENTION, "cell": CellKind.rnn_tanh, "attention": score}
        for score in (AttentionScore.dot, AttentionScore.general)
    },
    "residual": {"connection": Connection.residual, "num_layers": 4},
    "highway": {
        "connection": Connection.highway,
        "num_layers": 3,
        "bidirectional": Bidirectional.first,
        "bridge": Bridge.mean,
    },
    "input skip": {"input_skip": True, "num_layers": 3},
    "input skip, all inputs": {
        **ATTENTION,
        "attention_placement": AttentionPlacement.before,
        "input_skip": True,
        "num_layers": 3,
        "source_vector": True,
        "input_feeding": True,
    },
    "input skip, between": {**BETWEEN, "input_skip": True, "num_layers": 3, "source_vector": True},
    "learned": {**ATTENTION, "bridge": Bridge.learned},
    "learned, gru": {**ATTENTION, "cell": CellKind.gru, "bridge": Bridge.learned},
    "learned, gru, between": {**BETWEEN, "cell": CellKind.gru, "bridge": Bridge.learned, "num_layers": 3},
    "bottleneck, fed": {**ATTENTION, "output_bottleneck": 3, "input_feeding": True},
    "heads": {
        **ATTENTION,
        "attention": AttentionScore.scaled_dot,
        "attention_dim": 6,
        "attention_heads": 2,
        "encoder_dim": 4,
        "bridge": Bridge.dense,
    },
    "all tied": {"tied_embeddings": TiedEmbeddings.both, "output_bottleneck": 5},
}


def preset(name: str) -> ModelConfig:
    """Read a preset."""
    return model_config(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def small(config: ModelConfig, *, units: int = 8) -> ModelConfig:
    """Scale all sizes down, so that a layer of `hidden_dim` has `units`; no dropout, and values far from zero."""
    changes: dict[str, Any] = {
        "init": Initializer.uniform,
        "init_range": 0.5,
        "init_recurrent": RecurrentInitializer.same,
    }
    for name in _DIMS:
        if (size := getattr(config, name)) is not None:
            changes[name] = max(2, round(size * units / config.hidden_dim))
    for name in vars(config):
        if name.startswith("dropout") and name != "dropout_mask":
            changes[name] = 0.0
    return replace(config, **changes)


# Small models of every wiring, by name.
FAMILY: dict[str, ModelConfig] = {
    **{name: small(preset(name)) for name in PRESETS if not name.startswith("lstm_")},
    **{name: replace(MODEL, **parts) for name, parts in _PARTS.items()},
}
