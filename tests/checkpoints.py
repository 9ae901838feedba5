"""Edited checkpoints with matching hashes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from nmt.training.checkpoint_files import hash_file
from nmt.training.checkpoint_format import hash_of


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
