"""One dataclass per group of conf/, and where conf/ is.

The dataclasses hold types, conf/ holds values: a field without a value here must be given by a YAML file, so that no
number is written twice. Hydra checks every key and type against them; below the door they are plain dataclasses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from nmt.errors import ConfigError

MISSING: Any = "???"  # OmegaConf's mark of a value that must be given


class Generator(StrEnum):
    phrasebook = "phrasebook"


class SubwordKind(StrEnum):
    bpe = "bpe"
    unigram = "unigram"
    char = "char"
    word = "word"


class Normalization(StrEnum):
    nmt_nfkc = "nmt_nfkc"
    nfc = "nfc"
    identity = "identity"


class Tokenizer(StrEnum):
    none = "none"
    moses = "moses"


class SourceOrder(StrEnum):
    reversed = "reversed"
    forward = "forward"


class OptimizerKind(StrEnum):
    sgd = "sgd"
    adam = "adam"
    adamw = "adamw"
    rmsprop = "rmsprop"


class ScheduleKind(StrEnum):
    constant = "constant"
    halving = "halving"
    inverse_sqrt = "inverse_sqrt"
    plateau = "plateau"


class BatchUnit(StrEnum):
    sentences = "sentences"
    tokens = "tokens"


class LossPer(StrEnum):
    sentence = "sentence"
    token = "token"


class TrainingPrecision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class SearchPrecision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


class BestBy(StrEnum):
    nats_per_token = "nats_per_token"
    bleu = "bleu"


class LengthPenaltyKind(StrEnum):
    none = "none"
    wu2016 = "wu2016"


class EnsembleAverage(StrEnum):
    prob = "prob"
    log_prob = "log_prob"


class OutputFormat(StrEnum):
    text = "text"
    jsonl = "jsonl"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class PairedTest(StrEnum):
    none = "none"
    bootstrap = "bootstrap"
    randomization = "randomization"


@dataclass
class FilesConfig:
    """Text files of one split; file k of `src` is aligned to file k of `tgt`. Relative paths start at `data.dir`."""

    src: list[str] = MISSING
    tgt: list[str] = MISSING


@dataclass
class GenerateConfig:
    """A corpus that nmt writes itself, into `data.dir`, before it is prepared."""

    generator: Generator = MISSING
    train_pairs: int = MISSING
    dev_pairs: int = MISSING
    test_pairs: int = MISSING
    seed: int = MISSING


@dataclass
class DataConfig:
    name: str = MISSING
    src_lang: str = MISSING
    tgt_lang: str = MISSING
    dir: str = MISSING
    prepared_dir: str = MISSING
    train: FilesConfig = MISSING
    dev: FilesConfig = MISSING
    test: FilesConfig = MISSING
    generate: GenerateConfig | None = MISSING
    max_len_subwords: int = MISSING
    max_len_ratio: float = MISSING


@dataclass
class SubwordConfig:
    kind: SubwordKind = MISSING
    vocab_size: int = MISSING
    src_vocab_size: int = MISSING
    tgt_vocab_size: int = MISSING
    joint: bool = MISSING
    byte_fallback: bool = MISSING
    normalization: Normalization | None = MISSING  # of both sides, where theirs are null
    src_normalization: Normalization | None = None
    tgt_normalization: Normalization | None = None
    tokenizer: Tokenizer = MISSING
    character_coverage: float = MISSING
    max_sentences: int = MISSING
    seed: int = MISSING
    src_model: str | None = MISSING
    tgt_model: str | None = MISSING


@dataclass
class ModelConfig:
    name: str = MISSING
    embedding_dim: int = MISSING
    hidden_dim: int = MISSING
    num_layers: int = MISSING
    dropout: float = MISSING
    source_order: SourceOrder = MISSING
    init_range: float = MISSING
    forget_bias: float = MISSING


@dataclass
class ScheduleConfig:
    kind: ScheduleKind = MISSING
    halve_from_epoch: float = MISSING
    halve_every_epochs: float = MISSING
    warmup_updates: int = MISSING
    plateau_factor: float = MISSING
    plateau_patience: int = MISSING


@dataclass
class OptimizerConfig:
    kind: OptimizerKind = MISSING
    lr: float = MISSING
    momentum: float = MISSING
    beta1: float = MISSING
    beta2: float = MISSING
    eps: float = MISSING
    weight_decay: float = MISSING
    schedule: ScheduleConfig = MISSING


@dataclass
class BatchingConfig:
    unit: BatchUnit = MISSING
    size: int = MISSING
    min_sentences: int = MISSING


@dataclass
class TrainingConfig:
    max_updates: int | None = MISSING
    max_epochs: float | None = MISSING
    max_minutes: float | None = MISSING
    patience: int | None = MISSING
    loss_per: LossPer = MISSING
    label_smoothing: float = MISSING
    clip_norm: float = MISSING
    accumulate: int = MISSING
    precision: TrainingPrecision = MISSING
    log_every: int = MISSING
    validate_every: int = MISSING
    bleu_every: int | None = MISSING
    bleu_sentences: int | None = MISSING
    best_by: BestBy = MISSING
    checkpoint_every: int = MISSING
    keep_last: int = MISSING
    init_from: str | None = MISSING


@dataclass
class LengthPenaltyConfig:
    kind: LengthPenaltyKind = MISSING
    alpha: float = MISSING


@dataclass
class SearchConfig:
    beam_size: int = MISSING
    n_best: int = MISSING
    length_penalty: LengthPenaltyConfig = MISSING
    max_len_ratio: float = MISSING
    max_len_extra: int = MISSING
    min_len: int = MISSING
    ensemble_average: EnsembleAverage = MISSING
    batch_rows: int = MISSING
    window_lines: int = MISSING
    precision: SearchPrecision = MISSING


@dataclass
class TrainCommand:
    data: DataConfig = MISSING
    subword: SubwordConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    batching: BatchingConfig = MISSING
    training: TrainingConfig = MISSING
    search: SearchConfig = MISSING
    seed: int = MISSING
    device: Device = MISSING
    threads: int | None = MISSING
    run_dir: str = MISSING
    resume: bool = MISSING


@dataclass
class TranslateCommand:
    checkpoints: list[str] = MISSING
    input: str | None = MISSING
    output: str | None = MISSING
    format: OutputFormat = MISSING
    search: SearchConfig = MISSING
    device: Device = MISSING
    threads: int | None = MISSING


@dataclass
class EvaluateCommand:
    hypothesis: list[str] = MISSING
    reference: list[str] = MISSING
    checkpoints: list[str] = MISSING
    source: str | None = MISSING
    groups: str | None = MISSING
    by_length: bool = MISSING
    metrics: list[str] = MISSING
    bleu_tokenize: str = MISSING
    lowercase: bool = MISSING
    bootstrap_samples: int = MISSING
    paired_test: PairedTest = MISSING
    json: bool = MISSING
    output: str | None = MISSING
    search: SearchConfig = MISSING
    device: Device = MISSING
    threads: int | None = MISSING


def conf_dir() -> Path:
    """Find conf/: inside the package (an installed wheel), else beside it (a checkout, an editable install).

    Raises:
        ConfigError: where neither exists.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"conf/ must stand in {package} or beside it, but does not: install nmt again")


def model_config(values: Mapping[str, Any]) -> ModelConfig:
    """Make a model's settings from the plain values of a saved configuration.

    Raises:
        TypeError: where a key is unknown or missing.
        ValueError: where a value is none of its choices.
    """
    config = ModelConfig(**values)
    missing = [field.name for field in fields(config) if getattr(config, field.name) == MISSING]
    if missing:
        raise TypeError(f"no value for {', '.join(missing)}")
    config.source_order = SourceOrder(config.source_order)
    return config
