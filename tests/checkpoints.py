"""Tiny checkpoints, and edited ones with matching hashes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from nmt.model.seq2seq import Seq2Seq
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import Checkpoint, CheckpointContent, save_checkpoint
from nmt.training.checkpoint_files import hash_file
from nmt.training.checkpoint_format import CheckpointInfo, hash_of
from nmt.training.samples import Sample
from nmt.training.snapshot import TrainingSnapshot
from tests.models import MODEL, tiny_model, tiny_subword

SRC = tiny_subword()
TGT = tiny_subword(("a b c d e f", "f e d c b a"), lang="fr")
FILES = [
    "checkpoint.json",
    "config.yaml",
    "model.safetensors",
    "src.subword",
    "tgt.subword",
    "training/optimizer.safetensors",
    "training/random.safetensors",
    "training/state.json",
]
SNAPSHOT = TrainingSnapshot(
    optimizer={"encoder.embedding.weight/exp_avg": torch.arange(6.0)},
    random={"cpu": torch.get_rng_state()},
    state={"update": 7, "position": {"epoch": 1}, "wall_s": 1.5},
    parameters={},
)
SAMPLES = [
    Sample("a b", "b a", [5, 4], -1.5, finished=True),
    Sample("é", "", [], -0.25, finished=True),
    Sample("c", "c c", [6, 6], -3.0, finished=False),
]


def model_of_both(*, seed: int = 1) -> Seq2Seq:
    return tiny_model(
        seed=seed, src_vocab_size=SRC.vocab_size, tgt_vocab_size=TGT.vocab_size, dtype=torch.float32
    ).eval()


def loaded(
    model: Seq2Seq, *, src: SubwordModel = SRC, tgt: SubwordModel = TGT, config: dict[str, Any] | None = None
) -> Checkpoint:
    """Return a model as a loaded checkpoint."""
    return Checkpoint(Path("runs/tiny"), info_of(7), config or {}, model.config, model.eval(), src, tgt)


def info_of(update: int) -> CheckpointInfo:
    return CheckpointInfo(
        update=update,
        epochs=1.25,
        corpus_fingerprint="c0ffee",
        src_subword_fingerprint=SRC.fingerprint,
        tgt_subword_fingerprint=TGT.fingerprint,
        scores={"nats_per_token": 1.5},
    )


def content_of(info: CheckpointInfo, *, seed: int = 1, snapshot: TrainingSnapshot = SNAPSHOT) -> CheckpointContent:
    return CheckpointContent(
        info,
        parameters=model_of_both(seed=seed).state_dict(),
        config_yaml=json.dumps({"seed": 1, "model": asdict(MODEL)}),  # JSON is YAML
        src_subword=SRC,
        tgt_subword=TGT,
        snapshot=snapshot,
    )


def save(directory: Path, *, update: int = 7, seed: int = 1, snapshot: TrainingSnapshot = SNAPSHOT) -> Path:
    return save_checkpoint(directory, content_of(info_of(update), seed=seed, snapshot=snapshot))


def edit_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    change(values)
    file.write_text(json.dumps(values), encoding="utf-8")


def edit_config(checkpoint: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a checkpoint's settings and write matching hashes."""
    file = checkpoint / "config.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(config)
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    rehash(checkpoint)


def rehash(checkpoint: Path, *, fingerprints: bool = True, files: object = ...) -> None:
    """Write the hashes of a checkpoint's current files, so that only their contents can be wrong.

    Args:
        fingerprints: those of the subword models as well.
        files: replaces the hashes.
    """

    def change(values: dict[str, Any]) -> None:
        del values["hash"]
        present = {str(file.relative_to(checkpoint)) for file in checkpoint.rglob("*") if file.is_file()}
        hashes = {name: hash_file(checkpoint / name) for name in sorted(present - {"checkpoint.json"})}
        values["files"] = hashes if files is ... else files
        for side in ("src", "tgt") if fingerprints else ():
            content = (checkpoint / f"{side}.subword").read_bytes()
            values[f"{side}_subword_fingerprint"] = hashlib.sha256(content).hexdigest()
        values["hash"] = hash_of(values)

    edit_json(checkpoint / "checkpoint.json", change)
