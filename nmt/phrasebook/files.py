"""Writes the corpus to files in `data.dir` when it is first needed."""

import json
import logging
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from nmt.config import DataConfig, GenerateConfig
from nmt.errors import DataError
from nmt.files import atomic_write, naming, remove_temporaries, sync_below, temporary_folder
from nmt.locks import sole_writer

log = logging.getLogger(__name__)

_MADE_WITH = "phrasebook.json"  # holds the settings that the corpus was generated with
_Split = Literal["train", "dev", "test"]
_SPLITS: tuple[_Split, ...] = ("train", "dev", "test")


def write_phrasebook(data: DataConfig, config: GenerateConfig) -> None:
    """Write the phrasebook to `data.dir`, unless it is there already, generated with the same settings.

    Raises:
        DataError: if text that nmt did not write would be overwritten, or the folder is not writable.
    """
    from nmt.phrasebook.pairs import GENERATOR_VERSION  # only this corpus needs the grammar

    root = Path(data.dir)
    origin = json.dumps({"generator_version": GENERATOR_VERSION, **asdict(config)}, indent=2).encode() + b"\n"
    if _is_written(root, data, origin):  # checked before locking, because the folder may be read-only
        return
    with sole_writer(root, ".phrasebook.lock", setting="data.dir"):
        if _is_written(root, data, origin):
            return
        _check_not_foreign(root, data)
        remove_temporaries(root, "phrasebook")
        with temporary_folder(root / "phrasebook") as temporary:
            _generate(temporary, "train", config.train_pairs, data=data, config=config)
            _generate(temporary, "dev", config.dev_pairs, data=data, config=config)
            _generate(temporary, "test", config.test_pairs, data=data, config=config)
            sync_below(temporary)
            _mark(root, b"unfinished\n")  # if killed from here on, the next call overwrites what is left
            for file in temporary.iterdir():
                with naming(root / file.name, instead_of=file):
                    file.replace(root / file.name)
        _mark(root, origin)
    log.info("corpus: wrote the phrasebook to %s", root)


def _names(data: DataConfig, split: _Split) -> tuple[str, str, str]:
    return f"{split}.{data.src_lang}", f"{split}.{data.tgt_lang}", f"{split}.phenomena"


def _all_names(data: DataConfig) -> list[str]:
    return [name for split in _SPLITS for name in _names(data, split)]


def _mark(root: Path, content: bytes) -> None:
    with atomic_write(root / _MADE_WITH) as stream:
        stream.write(content)


def _is_written(root: Path, data: DataConfig, origin: bytes) -> bool:
    made_with = root / _MADE_WITH
    if not made_with.is_file() or made_with.read_bytes() != origin:
        return False
    return all((root / name).is_file() for name in _all_names(data))


def _check_not_foreign(root: Path, data: DataConfig) -> None:
    if (root / _MADE_WITH).exists():
        return
    if found := [name for name in _all_names(data) if (root / name).exists()]:
        raise DataError(
            f"{root} holds text that nmt did not write ({', '.join(found)}), and the phrasebook would overwrite it: "
            "name another data.dir, or use the text with data=files"
        )


def _generate(folder: Path, split: _Split, num_pairs: int, *, data: DataConfig, config: GenerateConfig) -> None:
    from nmt.phrasebook.pairs import generate

    names = _names(data, split)
    with naming(folder.parent), ExitStack() as stack:
        src, tgt, phenomena = (stack.enter_context((folder / name).open("w", encoding="utf-8")) for name in names)
        pairs = generate(split, num_pairs, seed=config.seed, generator=config.generator)
        for pair in tqdm(pairs, desc=f"writing {split}", total=num_pairs, unit=" pairs", disable=None):
            src.write(pair.src + "\n")
            tgt.write(pair.tgt + "\n")
            phenomena.write(",".join(sorted(pair.phenomena)) + "\n")
