"""`nmt prepare`: aligned text -> subword models + binarized corpus."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from tqdm import tqdm

from nmt.config import DataConfig, FilesConfig, GenerateConfig, SubwordConfig, TrainCommand
from nmt.corpus.binarized import (
    FORMAT_VERSION,
    SRC_SUBWORD,
    TGT_SUBWORD,
    BinarizedCorpus,
    NumProcesses,
    PairLimits,
    SplitReport,
    open_split,
    read_manifest,
    write_manifest,
    write_split,
)
from nmt.errors import ConfigError, DataError
from nmt.files import naming
from nmt.text.parallel import ParallelFiles, fingerprint_files, read_lines, read_pairs
from nmt.text.subword import SubwordModel, SubwordSpec, learn_joint_subwords, learn_subword

logger = logging.getLogger(__name__)

_MADE_WITH = "phrasebook.json"  # in the folder of a generated corpus: the settings that it was made with


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus on disk; the fingerprint is that of text, subword settings and limits together."""

    directory: Path
    fingerprint: str

    def open(self, split: str) -> BinarizedCorpus:
        return open_split(self.directory, split, fingerprint=self.fingerprint)

    def subwords(self) -> tuple[SubwordModel, SubwordModel]:
        """Load the source and the target subword model."""
        return SubwordModel.load(self.directory / SRC_SUBWORD), SubwordModel.load(self.directory / TGT_SUBWORD)


def run(settings: TrainCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    corpus = prepare(settings.data, settings.subword)
    print(corpus.directory)  # noqa: T201
    return 0


def prepare(data: DataConfig, subword: SubwordConfig) -> PreparedCorpus:
    """Prepare a corpus, unless that is done already; safe for jobs that run at the same time.

    It lands in a folder of `data.prepared_dir` named after its fingerprint, so that nothing prepared is ever written
    over.

    Raises:
        ConfigError: where settings contradict each other.
        DataError: where text or subword models cannot be used.
    """
    _check(data, subword)
    if data.generate is not None:
        _generate_text(data, data.generate)
    splits = {"train": split_files(data, data.train), "dev": split_files(data, data.dev)}
    fingerprint = _fingerprint(data, subword, splits)
    directory = Path(data.prepared_dir) / f"{data.name}-{subword.kind}-{fingerprint[:12]}"
    corpus = PreparedCorpus(directory, fingerprint)
    if not _is_up_to_date(corpus):  # asked before locking, since a folder prepared by others may be read-only
        with _locked(directory.parent, f".{directory.name}.lock", setting="data.prepared_dir"), naming(directory):
            if not _is_up_to_date(corpus):
                _write(corpus, data, subword, splits)
    logger.info("corpus: %s is up to date", corpus.directory)
    return corpus


def split_files(data: DataConfig, files: FilesConfig) -> ParallelFiles:
    """Find the files of a split; relative paths start at `data.dir`."""
    root = Path(data.dir)
    return ParallelFiles(tuple(root / name for name in files.src), tuple(root / name for name in files.tgt))


def _check(data: DataConfig, subword: SubwordConfig) -> None:
    problems = []
    if (subword.src_model is None) != (subword.tgt_model is None):
        problems.append("subword.src_model and subword.tgt_model must be given both or neither")
    for split in ("train", "dev"):
        files: FilesConfig = getattr(data, split)
        if not files.src or not files.tgt:
            problems.append(f"data.{split}.src and data.{split}.tgt must each name at least one file")
        elif len(files.src) != len(files.tgt):
            problems.append(
                f"data.{split}.src and data.{split}.tgt must name as many files, but are {len(files.src)} and "
                f"{len(files.tgt)}"
            )
    if problems:
        raise ConfigError("; ".join(problems))


def _fingerprint(data: DataConfig, subword: SubwordConfig, splits: dict[str, ParallelFiles]) -> str:
    """Hash the text and all that decides what becomes of it; where files lie and what they are called does not."""
    settings = asdict(subword)
    for side in ("src_model", "tgt_model"):
        if settings[side] is not None:
            settings[side] = SubwordModel.load(Path(settings[side])).fingerprint
    content = {
        "format": FORMAT_VERSION,
        "languages": [data.src_lang, data.tgt_lang],
        "limits": [data.max_len_subwords, data.max_len_ratio],
        "subword": settings,
        "text": {split: fingerprint_files(files) for split, files in splits.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_up_to_date(corpus: PreparedCorpus) -> bool:
    try:
        return read_manifest(corpus.directory).fingerprint == corpus.fingerprint
    except DataError:
        return False


@contextmanager
def _locked(root: Path, name: str, *, setting: str) -> Iterator[None]:
    """Keep other jobs from writing to a folder at the same time."""
    lock = FileLock(root / name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            logger.info("another job prepares this corpus in %s: waiting for it", root)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"{root} must be writable, but is not ({error.strerror or error}): name another {setting}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(corpus: PreparedCorpus, data: DataConfig, subword: SubwordConfig, splits: dict[str, ParallelFiles]) -> None:
    """Write a corpus aside, then rename it to its place."""
    aside = corpus.directory.with_name(f".{corpus.directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        src_subword, tgt_subword = _subwords(data, subword, splits["train"])
        reports = {}
        for split, files in splits.items():
            limits = PairLimits(data.max_len_subwords, data.max_len_ratio) if split == "train" else None
            with tqdm(desc=f"encoding {split}", unit=" pairs", unit_scale=True, disable=None) as bar:
                reports[split] = write_split(
                    read_pairs(files),
                    aside,
                    split,
                    src_subword=src_subword,
                    tgt_subword=tgt_subword,
                    limits=limits,
                    num_processes=num_processes(),
                    progress=bar.update,
                )
            _log_report(split, reports[split])
        write_manifest(
            aside,
            fingerprint=corpus.fingerprint,
            src_subword=src_subword,
            tgt_subword=tgt_subword,
            reports=reports,
        )
        shutil.rmtree(corpus.directory, ignore_errors=True)  # damaged, or it would have been up to date
        aside.rename(corpus.directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def num_processes() -> NumProcesses:
    """Return how many processes may encode: two, unless the machine, taskset or Slurm leaves us one CPU."""
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if num_cpus > 1 else 1


def _log_report(split: str, report: SplitReport) -> None:
    dropped = sum(report.dropped.values())
    reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in report.dropped.items() if count)
    logger.info(
        "corpus: %s: %s pairs, %s + %s subwords (%.2f%% + %.2f%% unknown)%s",
        split,
        f"{report.num_kept:,}",
        f"{report.src_subwords:,}",
        f"{report.tgt_subwords:,}",
        100 * report.src_unknown / max(1, report.src_subwords),
        100 * report.tgt_unknown / max(1, report.tgt_subwords),
        f"; left out {dropped:,}: {reasons}" if dropped else "",
    )


def _subwords(data: DataConfig, config: SubwordConfig, train: ParallelFiles) -> tuple[SubwordModel, SubwordModel]:
    """Load the given subword models, or learn them from the training text."""
    if config.src_model is not None and config.tgt_model is not None:
        return SubwordModel.load(Path(config.src_model)), SubwordModel.load(Path(config.tgt_model))
    logger.info("subwords: learning %s %s", "joint" if config.joint else "separate", config.kind)
    if config.joint:
        texts = [(data.src_lang, _lines(train.src)), (data.tgt_lang, _lines(train.tgt))]
        src, tgt = learn_joint_subwords(texts, _spec(config, config.vocab_size))
        return src, tgt
    return (
        learn_subword(_lines(train.src), _spec(config, config.src_vocab_size), lang=data.src_lang),
        learn_subword(_lines(train.tgt), _spec(config, config.tgt_vocab_size), lang=data.tgt_lang),
    )


def _spec(config: SubwordConfig, vocab_size: int) -> SubwordSpec:
    return SubwordSpec(
        kind=config.kind.value,
        vocab_size=vocab_size,
        byte_fallback=config.byte_fallback,
        normalization=config.normalization.value,
        tokenizer=config.tokenizer.value,
        character_coverage=config.character_coverage,
        max_sentences=config.max_sentences,
        seed=config.seed,
    )


def _lines(paths: tuple[Path, ...]) -> Iterator[str]:
    for path in paths:
        yield from read_lines(path)


def _generate_text(data: DataConfig, config: GenerateConfig) -> None:
    """Write the phrasebook to `data.dir`, unless it is there already, made with the same settings.

    Raises:
        DataError: where that would overwrite text that nmt did not write.
    """
    from nmt.text.phrasebook import GENERATOR_VERSION  # only this corpus needs the grammar

    root = Path(data.dir)
    origin = json.dumps({"generator_version": GENERATOR_VERSION, **asdict(config)}, indent=2) + "\n"
    if _is_generated(root, origin):  # asked before locking, since the folder may be read-only
        return
    with _locked(root, ".lock", setting="data.dir"), naming(root):
        if _is_generated(root, origin):
            return
        _check_not_foreign(root, data)
        made_with, aside = root / _MADE_WITH, root / ".phrasebook.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _generate_split(aside, "train", config.train_pairs, data=data, seed=config.seed)
        _generate_split(aside, "dev", config.dev_pairs, data=data, seed=config.seed)
        _generate_split(aside, "test", config.test_pairs, data=data, seed=config.seed)
        made_with.write_text("unfinished\n", encoding="utf-8")  # what a kill leaves is known as nmt's, and written anew
        for file in aside.iterdir():
            file.replace(root / file.name)
        aside.rmdir()
        made_with.write_text(origin, encoding="utf-8")
    logger.info("corpus: wrote the phrasebook to %s", root)


def _is_generated(root: Path, origin: str) -> bool:
    made_with = root / _MADE_WITH
    return made_with.is_file() and made_with.read_text(encoding="utf-8") == origin


def _check_not_foreign(root: Path, data: DataConfig) -> None:
    if (root / _MADE_WITH).exists():
        return
    names = [f"{split}.{lang}" for split in ("train", "dev", "test") for lang in (data.src_lang, data.tgt_lang)]
    if found := [name for name in names if (root / name).exists()]:
        raise DataError(
            f"{root} holds text that nmt did not write ({', '.join(found)}), and the phrasebook would overwrite it: "
            "name another data.dir, or use the text with data=files"
        )


def _generate_split(
    root: Path, split: Literal["train", "dev", "test"], num_pairs: int, *, data: DataConfig, seed: int
) -> None:
    from nmt.text.phrasebook import generate

    names = (f"{split}.{data.src_lang}", f"{split}.{data.tgt_lang}", f"{split}.phenomena")
    with ExitStack() as stack:
        src, tgt, phenomena = (stack.enter_context((root / name).open("w", encoding="utf-8")) for name in names)
        pairs = generate(split, num_pairs, seed=seed)
        for pair in tqdm(pairs, desc=f"writing {split}", total=num_pairs, unit=" pairs", disable=None):
            src.write(pair.src + "\n")
            tgt.write(pair.tgt + "\n")
            phenomena.write(",".join(sorted(pair.phenomena)) + "\n")
