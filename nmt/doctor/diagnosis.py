"""All examinations of a corpus, and of a model that is to be trained on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from tqdm import tqdm

from nmt.choices import Severity
from nmt.command_config import TrainCommand
from nmt.config import DataConfig, SubwordConfig
from nmt.corpus.prepare import PreparedCorpus, prepare, split_files
from nmt.corpus.subwords import SubwordSpecs, subword_specs
from nmt.doctor.aligned_lines import Alignment, AlignmentExamination, alignment
from nmt.doctor.blocks import SPLITS, SplitText
from nmt.doctor.case import Case, CaseCounts, case
from nmt.doctor.changed_characters import (
    NormalizationSample,
    Normalized,
    normalized_sample,
    normalized_sides,
    normalizers,
)
from nmt.doctor.characters import CharacterCounts, Characters, characters
from nmt.doctor.duplicates import Duplicates, duplicates
from nmt.doctor.finding import Finding, worst
from nmt.doctor.languages import LanguageExamination, Languages
from nmt.doctor.lengths import LengthCounts, Lengths, lengths
from nmt.doctor.overlap import Overlap, overlap
from nmt.doctor.subword_text import SubwordText, not_prepared, subword_text
from nmt.doctor.text_hashes import TextHashes
from nmt.errors import DataError, TrainingError
from nmt.phrasebook.files import write_phrasebook
from nmt.text.parallel import check_files_exist

if TYPE_CHECKING:
    from nmt.doctor.overfitting import Overfitting
    from nmt.doctor.training_cost import TrainingCost, UnknownCost


@dataclass(frozen=True)
class Diagnosis:
    """The results of all examinations; those of the model are None without one, or if they were not asked for."""

    corpus: str
    src_lang: str
    tgt_lang: str
    alignment: Alignment
    duplicates: Duplicates
    overlap: Overlap
    languages: Languages
    characters: Characters
    case: Case
    lengths: Lengths
    normalization: Normalized
    subwords: SubwordText
    cost: "TrainingCost | UnknownCost | None" = None
    overfitting: "Overfitting | None" = None

    def findings(self) -> Iterator[tuple[str, Finding]]:
        """Yield each finding with the name of its examination."""
        for part in fields(self):
            for found in getattr(getattr(self, part.name), "findings", ()):
                yield part.name, found

    @property
    def severity(self) -> Severity:
        return worst(found.severity for _, found in self.findings())


class _Split:
    """The examinations of a split that read all of its text."""

    def __init__(self, specs: SubwordSpecs) -> None:
        self.alignment = AlignmentExamination()
        self.hashes = TextHashes()
        self.characters = CharacterCounts(normalized_sides(specs))
        self.case = CaseCounts()
        self.lengths = LengthCounts()
        self.normalization = NormalizationSample()
        self.all = (self.alignment, self.hashes, self.characters, self.case, self.lengths, self.normalization)


def diagnose(data: DataConfig, subword: SubwordConfig) -> tuple[Diagnosis, PreparedCorpus | None]:
    """Examine the text of a corpus, and prepare it; the prepared corpus is None if that is impossible.

    Raises:
        ConfigError: if settings are invalid.
        DataError: if a file is missing or cannot be read.
    """
    if data.generate is not None:
        write_phrasebook(data, data.generate)
    all_files = {split: split_files(data, getattr(data, split)) for split in SPLITS}
    texts = [SplitText(split, files) for split, files in all_files.items() if files.src.paths]
    check_files_exist([text.files for text in texts])
    specs = subword_specs(subword)
    splits, languages = _read(texts, specs)
    corpus, subwords = _prepare(data, subword, texts)
    hashes = {split: of_split.hashes for split, of_split in splits.items()}
    diagnosis = Diagnosis(
        corpus=data.name,
        src_lang=data.src_lang,
        tgt_lang=data.tgt_lang,
        alignment=alignment({text.split: splits[text.split].alignment.result(text.unequal) for text in texts}),
        duplicates=duplicates(hashes),
        overlap=overlap(hashes),
        languages=languages.result(),
        characters=characters({split: of_split.characters for split, of_split in splits.items()}, normalizers(specs)),
        case=case({split: of_split.case for split, of_split in splits.items()}),
        lengths=lengths({split: of_split.lengths for split, of_split in splits.items()}),
        normalization=normalized_sample(splits["train"].normalization, specs),
        subwords=subwords,
    )
    return diagnosis, corpus


def diagnose_model(
    diagnosis: Diagnosis, settings: TrainCommand, corpus: PreparedCorpus, *, updates: int, overfit_updates: int
) -> Diagnosis:
    """Train a model for a few updates, and again on one batch; 0 updates leave that out.

    Raises:
        ConfigError: if settings are invalid.
    """
    from nmt.doctor.overfitting import overfitting
    from nmt.doctor.training_cost import not_finite, training_cost  # the text needs no torch

    if updates:
        try:
            diagnosis = replace(diagnosis, cost=training_cost(settings, corpus, num_updates=updates))
        except TrainingError:
            diagnosis = replace(diagnosis, cost=not_finite())
    if overfit_updates:
        diagnosis = replace(diagnosis, overfitting=overfitting(settings, corpus, num_updates=overfit_updates))
    return diagnosis


def _read(texts: Sequence[SplitText], specs: SubwordSpecs) -> tuple[dict[str, _Split], LanguageExamination]:
    """Read all text once."""
    splits = {text.split: _Split(specs) for text in texts}
    languages = LanguageExamination()
    for text in texts:
        with tqdm(desc=f"examining {text.split}", unit=" pairs", unit_scale=True, disable=None) as bar:
            for block in text.blocks():
                for examination in (*splits[text.split].all, languages):
                    examination.add(block)
                bar.update(block.num_pairs)
    return splits, languages


def _prepare(
    data: DataConfig, subword: SubwordConfig, texts: Sequence[SplitText]
) -> tuple[PreparedCorpus | None, SubwordText]:
    if problems := [problem for text in texts if text.split != "test" for problem in text.unequal]:
        return None, not_prepared(problems[0])
    try:
        corpus = prepare(data, subword)
    except DataError as error:
        return None, not_prepared(str(error))
    return corpus, subword_text(corpus, texts, data, subword)
