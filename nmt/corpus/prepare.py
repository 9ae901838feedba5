"""From aligned text to subword models and a binarized corpus, in a folder named after its fingerprint."""

import glob
import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nmt.choices import Tokenizer
from nmt.config import DataConfig, FilesConfig, SubwordConfig, TrainFilesConfig
from nmt.corpus.binarized import BinarizedCorpus, open_split
from nmt.corpus.binarizer import PairLimits, write_split
from nmt.corpus.manifest import SplitReport, read_manifest
from nmt.corpus.subwords import (
    Subwords,
    fingerprinted,
    given_subwords,
    learn_subwords,
    saved_subwords,
    subword_problems,
    subword_specs,
)
from nmt.corpus.unfinished import UnfinishedCorpus
from nmt.errors import ConfigError, DataError, ProcessDiedError
from nmt.files import is_file_name, remove_temporaries, resumable_folder
from nmt.locks import sole_writer
from nmt.phrasebook.files import write_phrasebook
from nmt.processors import num_processors
from nmt.text.columns import Columns
from nmt.text.parallel import ParallelFiles, TextFiles, check_files_exist, fingerprint_files, read_pairs_by_file

log = logging.getLogger(__name__)

_FINGERPRINT_VERSION = 1  # a new one would change the names of all prepared corpora


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus on disk; the fingerprint is that of text, subword settings and limits."""

    directory: Path
    fingerprint: str

    def open(self, split: str) -> BinarizedCorpus:
        return open_split(self.directory, split, fingerprint=self.fingerprint)

    def subwords(self) -> Subwords:
        """Load the source and the target subword model.

        Raises:
            DataError: if they are not those that encoded the corpus.
        """
        return saved_subwords(self.directory, read_manifest(self.directory))


@dataclass(frozen=True)
class _Text:
    """The files of both splits, and their checksums when the fingerprint was computed."""

    splits: dict[str, ParallelFiles]
    checksums: dict[str, dict[Path, str]]  # by split


def prepare(data: DataConfig, subword: SubwordConfig, *, needs_test: bool = True) -> PreparedCorpus:
    """Prepare a corpus, unless it is prepared already; several jobs may do so at the same time.

    It is written to a folder in `data.prepared_dir` that is named after its fingerprint, so that no prepared corpus is
    ever overwritten. The folder is complete or absent, and contains exactly the text of the fingerprint. A preparation
    that was interrupted continues where it was.

    Args:
        needs_test: whether missing files of the test set, which is not part of the corpus, are refused. A run that
            resumes does not depend on them.

    Raises:
        ConfigError: if settings are invalid or contradict each other.
        DataError: if text or subword models are invalid or unreadable, or the folder cannot be written.
    """
    if problems := data_problems(data, subword):
        raise ConfigError("; ".join(problems))
    if data.generate is not None:
        write_phrasebook(data, data.generate)
    splits = {"train": split_files(data, data.train), "dev": split_files(data, data.dev)}
    check_files_exist([*splits.values(), *([split_files(data, data.test)] if needs_test else [])])
    found = {split: fingerprint_files(files) for split, files in splits.items()}
    text = _Text(splits, {split: of_split.checksums for split, of_split in found.items()})
    given = given_subwords(subword)
    fingerprint = _fingerprint(data, subword, given, {split: of_split.sha256 for split, of_split in found.items()})
    directory = Path(data.prepared_dir) / f"{data.name}-{subword_specs(subword).kinds}-{fingerprint[:12]}"
    corpus = PreparedCorpus(directory, fingerprint)
    outcome = f"{directory} is up to date"
    if not _is_up_to_date(corpus):  # checked before locking, since a folder prepared by others may be read-only
        with sole_writer(directory.parent, f".{directory.name}.lock", setting="data.prepared_dir"):
            remove_temporaries(directory.parent, glob.escape(directory.name))
            if not _is_up_to_date(corpus):
                _write(corpus, data, subword, given, text)
        outcome = f"prepared {directory}"
    for split, report in read_manifest(directory).splits.items():
        _log_report(split, report, _limits(data))
    log.info("corpus: %s", outcome)
    return corpus


def split_files(data: DataConfig, files: FilesConfig) -> ParallelFiles:
    """Find the files of a split; relative paths start at `data.dir`."""
    src, tgt, tsv = (tuple(Path(data.dir, name) for name in names) for names in (files.src, files.tgt, files.tsv))
    if not tsv:
        return ParallelFiles(TextFiles(src), TextFiles(tgt))
    src_column, tgt_column = data.columns
    return ParallelFiles(
        TextFiles(tsv, Columns(src_column, tuple(data.feature_columns))), TextFiles(tsv, Columns(tgt_column))
    )


def data_problems(data: DataConfig, subword: SubwordConfig) -> list[str]:
    """Return what is wrong with the settings of a corpus."""
    problems = [
        f"data.{key} must be usable in a file name (no slashes, not too long), but is {getattr(data, key)!r}"
        for key in ("name", "src_lang", "tgt_lang")
        if not is_file_name(getattr(data, key))
    ]
    problems += subword_problems(subword)
    problems += _problems_of_weights(data.train)
    for split in ("train", "dev", "test"):
        problems += _problems_of_files(split, getattr(data, split), has_features=bool(data.feature_columns))
    if len(data.columns) != 2:
        problems.append(f"data.columns must be the numbers of two columns, source and target, but is {data.columns}")
    if data.feature_columns and (subword.src.tokenizer or subword.tokenizer) == Tokenizer.moses:
        problems.append("data.feature_columns needs subword.src.tokenizer=none: Moses would split <V> into < V >")
    return problems


def _problems_of_files(split: str, files: FilesConfig, *, has_features: bool) -> list[str]:
    """Return what is wrong with the files of a split."""
    src, tgt, tsv = (f"data.{split}.{name}" for name in ("src", "tgt", "tsv"))
    if files.tsv:
        return [f"{tsv} replaces {src} and {tgt}: give one or the other"] if files.src or files.tgt else []
    if split == "test" and not files.src and not files.tgt:
        return []
    if has_features:
        return [f"data.feature_columns needs text in columns: give {tsv} instead of {src} and {tgt}"]
    if not files.src or not files.tgt:
        without = ", or both none" if split == "test" else ""
        return [f"{src} and {tgt} must each name at least one file (or {tsv}){without}"]
    if len(files.src) != len(files.tgt):
        return [f"{src} and {tgt} must name equally many files, but name {len(files.src)} and {len(files.tgt)}"]
    return []


def _problems_of_weights(files: TrainFilesConfig) -> list[str]:
    names, key = (files.tsv, "tsv") if files.tsv else (files.src, "src")
    if files.weights and len(files.weights) != len(names):
        return [
            f"data.train.weights must be one number for each file of data.train.{key}, but these are "
            f"{len(files.weights)} for {len(names)}"
        ]
    if files.weights and not any(files.weights):
        return ["data.train.weights must not all be 0"]
    return []


def _fingerprint(data: DataConfig, subword: SubwordConfig, given: Subwords | None, text: Mapping[str, str]) -> str:
    """Hash the text and all settings that affect the corpus; names and locations of files do not.

    Settings of nmt 0.1.0 have the same fingerprints as in that version.
    """
    content = {
        "format": _FINGERPRINT_VERSION,
        "languages": [data.src_lang, data.tgt_lang],
        "limits": [data.max_len_subwords, data.max_len_ratio],
        "subword": fingerprinted(subword, given),
        "text": text,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_up_to_date(corpus: PreparedCorpus) -> bool:
    try:
        return read_manifest(corpus.directory).fingerprint == corpus.fingerprint
    except DataError:
        return False


def _write(
    corpus: PreparedCorpus, data: DataConfig, subword: SubwordConfig, given: Subwords | None, text: _Text
) -> None:
    with resumable_folder(corpus.directory, keep_after=ProcessDiedError) as folder:
        unfinished = UnfinishedCorpus(folder, fingerprint=corpus.fingerprint)
        subwords = unfinished.subwords(
            lambda: given or learn_subwords(data, subword, text.splits["train"], checksums=text.checksums["train"])
        )
        reports = {}
        for split, files in text.splits.items():
            with tqdm(desc=f"encoding {split}", unit=" pairs", unit_scale=True, disable=None) as bar:
                reports[split] = write_split(
                    list(read_pairs_by_file(files, checksums=text.checksums[split])),
                    folder,
                    split,
                    src_subword=subwords.src,
                    tgt_subword=subwords.tgt,
                    limits=_limits(data) if split == "train" else None,
                    num_processes=num_processors(),
                    progress=unfinished.progress(split, advance=bar.update),
                )
        unfinished.finish(reports)
        if corpus.directory.exists():  # damaged, or it would be up to date
            shutil.rmtree(corpus.directory)


def _limits(data: DataConfig) -> PairLimits:
    return PairLimits(data.max_len_subwords, data.max_len_ratio)


def _log_report(split: str, report: SplitReport, limits: PairLimits) -> None:
    log.info(
        "corpus: %s: %s pairs, %s + %s subwords (%.2f%% + %.2f%% unknown)%s",
        split,
        f"{report.num_kept:,}",
        f"{report.src_subwords:,}",
        f"{report.tgt_subwords:,}",
        100 * report.src_unknown / max(1, report.src_subwords),
        100 * report.tgt_unknown / max(1, report.tgt_subwords),
        f"; left out {report.num_dropped:,}: {report.reasons}" if report.num_dropped else "",
    )
    if report.num_dropped > report.num_kept:
        log.warning(
            "corpus: %s: more than half of the pairs are left out (%s): %s",
            split,
            report.reasons,
            limits.advice(report),
        )
