"""Checkpoints with random damage, and what happens when they are loaded.

`accident` changes one file as failing disks, transfers and editors do: nmt must refuse it, or load what was saved.
`edit` changes one value, as somebody would who knows the format, and writes matching hashes
(`tests.checkpoints.rehash`): then nmt may load something else, but must end cleanly.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nmt.errors import NmtError
from nmt.training.checkpoint import load_checkpoint, load_samples, load_snapshot


def accident(file: Path, other: Path, rng: random.Random) -> str:
    """Damage a file; returns how.

    Args:
        other: the file of the same name in another checkpoint.
    """
    content = bytearray(file.read_bytes())
    place = rng.randrange(len(content))
    size = rng.randint(1, 16)
    match rng.choice(
        ["flip", "flip", "flip", "overwrite", "cut", "delete", "insert", "zeros", "empty", "remove", "swap"]
    ):
        case "flip":
            content[place] ^= 1 << rng.randrange(8)
            how = f"flipped a bit of byte {place}"
        case "overwrite":
            content[place : place + size] = rng.randbytes(size)
            how = f"{size} random bytes at {place}"
        case "cut":
            del content[place:]
            how = f"cut at {place}"
        case "delete":
            del content[place : place + size]
            how = f"deleted {size} bytes at {place}"
        case "insert":
            content[place:place] = rng.randbytes(size)
            how = f"inserted {size} bytes at {place}"
        case "zeros":
            content[place:] = bytes(len(content) - place)
            how = f"zeros from {place} on"
        case "empty":
            content.clear()
            how = "emptied"
        case "remove":
            file.unlink()
            return "removed"
        case "swap":
            content = bytearray(other.read_bytes())
            how = "that of another checkpoint"
    file.write_bytes(content)
    return how


UNEXPECTED_VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        2.5,
        10**6,
        2**31,
        2**63,
        2**64,
        10**30,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
    ),
    *("\ud800", "a\nb", "\0", "x" * 10_000, "../../x", [], [1], [[]], {}, {"a": 1}, {"x": {"y": {}}}),
]


def edit(file: Path, rng: random.Random) -> str:
    """Change, remove or add one value of a JSON or YAML file; returns what."""
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    group, name = values, "moon"
    while isinstance(group, dict) and group:
        name = rng.choice([*group, "moon"])
        if not isinstance(group.get(name), dict) or rng.random() < 0.2:
            break
        group = group[name]
    if rng.random() < 0.2:
        group.pop(name, None)
        how = f"removed {name}"
    else:
        group[name] = rng.choice(UNEXPECTED_VALUES)
        how = f"set {name} to {group[name]!r:.30}"
    file.write_text(json.dumps(values), encoding="utf-8")
    return how


def outcome(checkpoint: Path, use: Callable[[Path], None] | None = None) -> str:
    """Load all of a checkpoint; returns a hash of its contents, or "refused".

    Args:
        use: what else is done with the checkpoint.

    Raises:
        AssertionError: if the message of a refusal is not good.
        Exception: if an error is not handled.
    """
    try:
        loaded, snapshot, samples = load_checkpoint(checkpoint), load_snapshot(checkpoint), load_samples(checkpoint)
        if use is not None:
            use(checkpoint)
    except NmtError as error:
        message = str(error)
        assert message.isprintable(), message
        assert checkpoint.name in message, message
        assert len(message) < 1000, message
        return "refused"
    state = hashlib.sha256()
    state.update(repr(samples).encode(errors="backslashreplace"))
    for tensors in (loaded.model.state_dict(), snapshot.optimizer, snapshot.random, snapshot.parameters):
        for name, tensor in tensors.items():
            state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(errors="backslashreplace"))
            state.update(tensor.detach().contiguous().flatten().view(-1).numpy().tobytes())
    subwords = (loaded.src_subword.fingerprint, loaded.tgt_subword.fingerprint)
    for values in (loaded.config, snapshot.state, vars(loaded.info), subwords):
        state.update(json.dumps(values, sort_keys=True, default=str).encode())
    return state.hexdigest()


class Found(NamedTuple):
    """The number of cases by outcome, and the cases with a wrong outcome."""

    counts: Counter[str]
    faults: list[str]


def fuzz_accidents(checkpoint: Path, other: Path, *, seeds: range) -> Found:
    """Damage one file after the other, each time from the beginning.

    Args:
        other: another checkpoint of the same run.
    """
    names = _files(checkpoint)

    def damage(rng: random.Random) -> str:
        name = rng.choice(names)
        return f"{name}: {accident(checkpoint / name, other / name, rng)}"

    return _fuzz(checkpoint, damage, seeds=seeds, good={"refused", "the same"})


def fuzz_strangers(
    checkpoint: Path,
    other: Path,
    *,
    seeds: range,
    rehash: Callable[[Path], None],
    use: Callable[[Path], None] | None = None,
) -> Found:
    """Change one value or file after the other, each time from the beginning, with hashes to match.

    Args:
        use: what else is done with the checkpoint.
    """
    names = _files(checkpoint)

    def change(rng: random.Random) -> str:
        name = rng.choice(names)
        file = checkpoint / name
        has_values = file.suffix in (".json", ".yaml")
        how = edit(file, rng) if has_values and rng.random() < 0.9 else accident(file, other / name, rng)
        with suppress(Exception):  # nothing is left to be hashed
            rehash(checkpoint)
        return f"{name}: {how}"

    return _fuzz(checkpoint, change, seeds=seeds, good={"refused", "the same", "another"}, use=use)


def _files(checkpoint: Path) -> list[str]:
    return sorted(str(file.relative_to(checkpoint)) for file in checkpoint.rglob("*") if file.is_file())


def _fuzz(
    checkpoint: Path,
    change: Callable[[random.Random], str],
    *,
    seeds: range,
    good: Collection[str],
    use: Callable[[Path], None] | None = None,
) -> Found:
    before = {checkpoint / name: (checkpoint / name).read_bytes() for name in _files(checkpoint)}
    expected = outcome(checkpoint, use)
    counts: Counter[str] = Counter()
    faults = []
    for seed in seeds:
        how = change(random.Random(seed))
        try:
            found = outcome(checkpoint, use)
            result = {"refused": "refused", expected: "the same"}.get(found, "another")
        except Exception as error:
            result = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        counts[result.split(":")[0]] += 1
        if result not in good:
            faults.append(f"seed {seed}: {how}: {result}")
        for file, content in before.items():
            if not file.is_file() or file.read_bytes() != content:
                file.write_bytes(content)
    return Found(counts, faults)
