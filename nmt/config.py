"""One dataclass per group of conf/, and where conf/ is.

The dataclasses say what each setting is: type, range and description. conf/ holds the values: a setting without a
default here must be given by a YAML file, so that no number is written twice. Hydra checks every key and type against
the dataclasses; below the CLI they are plain dataclasses.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any

from nmt.errors import ConfigError
from nmt.plain import PlainError, from_plain, problems, with_defaults
from nmt.schema import MISSING, Range, check_settings, setting


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


class Implementation(StrEnum):
    fast = "fast"
    reference = "reference"


class Metric(StrEnum):
    bleu = "bleu"
    chrf = "chrf"
    chrf_plus_plus = "chrf++"
    ter = "ter"


class BleuTokenizer(StrEnum):
    mteval_13a = "13a"
    intl = "intl"
    char = "char"
    zh = "zh"
    ja_mecab = "ja-mecab"
    ko_mecab = "ko-mecab"
    flores101 = "flores101"
    flores200 = "flores200"
    none = "none"


class PairedTest(StrEnum):
    none = "none"
    bootstrap = "bootstrap"
    randomization = "randomization"


# Ranges that several settings share.
COUNT = Range(at_least=1)
COUNT_OR_NONE = Range(at_least=0)
VOCABULARY = Range(at_least=1, limit=10_000_000)  # SentencePiece takes minutes for more, or fails
SHARE = Range(at_least=0, below=1)
SEED_32 = Range(at_least=0, below=2**31)
SEED_64 = Range(at_least=0, below=2**64)
POSITIVE = Range(above=0, below=inf)


@dataclass
class FilesConfig:
    """Text files of one split; file k of `src` is aligned to file k of `tgt`. Relative paths start at `data.dir`."""

    src: list[str] = setting("source files, plain or compressed")
    tgt: list[str] = setting("target files: line n of file k translates line n of file k of src")


@dataclass
class GenerateConfig:
    """A corpus that nmt writes itself, into `data.dir`, before it is prepared."""

    generator: Generator = setting("the built-in corpus to write into data.dir")
    train_pairs: int = setting("pairs", COUNT)
    dev_pairs: int = setting("pairs", COUNT)
    test_pairs: int = setting("pairs", COUNT_OR_NONE)
    seed: int = setting("other seeds give other sentences", SEED_64)


@dataclass
class DataConfig:
    name: str = setting("part of the names of runs and prepared corpora")
    src_lang: str = setting("language code, such as en")
    tgt_lang: str = setting("language code, such as fr")
    dir: str = setting("where relative names of text files start")
    prepared_dir: str = setting("where prepared corpora are kept, each in a folder of its own")
    train: FilesConfig = MISSING
    dev: FilesConfig = MISSING
    test: FilesConfig = MISSING
    generate: GenerateConfig | None = MISSING
    max_len_subwords: int = setting("training pairs with a longer side are left out, and counted", COUNT)
    max_len_ratio: float = setting(
        "training pairs with a side so many times the other are left out; inf: none", Range(at_least=1, limit=inf)
    )


@dataclass
class SubwordConfig:
    kind: SubwordKind = setting("how text is cut into subwords")
    vocab_size: int = setting("subwords, the four specials included", VOCABULARY)
    src_vocab_size: int = setting("with joint=false: of the source side", VOCABULARY)
    tgt_vocab_size: int = setting("with joint=false: of the target side", VOCABULARY)
    joint: bool = setting("one vocabulary learned from both sides")
    byte_fallback: bool = setting("characters that the vocabulary lacks are spelled in bytes, not unknown")
    normalization: Normalization | None = setting(
        "of both sides: nmt_nfkc unifies characters and spaces, nfc only how they are encoded, identity leaves them; "
        "null: each side has its own"
    )
    src_normalization: Normalization | None = setting("of the source, if normalization is null", default=None)
    tgt_normalization: Normalization | None = setting("of the target, if normalization is null", default=None)
    tokenizer: Tokenizer = setting("what parts words from punctuation first")
    character_coverage: float = setting(
        "share of the text whose characters enter the vocabulary",
        Range(at_least=0.98, at_most=1),  # SentencePiece
    )
    max_sentences: int = setting("learn from at most so many lines, chosen with subword.seed", COUNT)
    seed: int = setting("chooses the lines to learn from", SEED_32)
    src_model: str | None = setting("a model that exists: a *.subword file of nmt, or SentencePiece's own")
    tgt_model: str | None = setting("likewise; both or neither")


@dataclass
class ModelConfig:
    name: str = setting("part of the name of the run")
    embedding_dim: int = setting("values of an embedding", Range(at_least=1, limit=100_000))
    hidden_dim: int = setting("cells of a layer", Range(at_least=1, limit=100_000))
    num_layers: int = setting("layers of encoder and decoder each", Range(at_least=1, limit=1_000))
    dropout: float = setting("share of values set to 0 in training, between layers", SHARE)
    source_order: SourceOrder = setting("order in which the encoder reads the source")
    init_range: float = setting(
        "parameters start between -init_range and init_range", Range(above=0, below=inf, limit=1_000_000)
    )
    forget_bias: float = setting("added to the forget gates at the start", Range(at_least=-1_000, limit=1_000))


@dataclass
class ScheduleConfig:
    kind: ScheduleKind = setting("course of the learning rate")
    halve_from_epoch: float = setting("of halving: the epoch of the first one", Range(at_least=0, limit=10**9))
    halve_every_epochs: float = setting("of halving: epochs from one to the next", Range(above=0, limit=10**9))
    warmup_updates: int = setting("updates in which the rate rises to lr", COUNT_OR_NONE)
    plateau_factor: float = setting("of plateau: what the rate is multiplied by", Range(above=0, at_most=1))
    plateau_patience: int = setting("of plateau: validations without improvement before that", COUNT)


@dataclass
class OptimizerConfig:
    kind: OptimizerKind = setting("how parameters follow the gradient")
    lr: float = setting("learning rate, at its peak", POSITIVE)
    momentum: float = setting("of sgd", SHARE)
    beta1: float = setting("of adam and adamw: decay of the mean gradient", SHARE)
    beta2: float = setting("of adam, adamw and rmsprop: decay of the mean squared gradient", SHARE)
    eps: float = setting("added to the denominator, against division by 0", POSITIVE)
    weight_decay: float = setting("L2 penalty; adamw decays apart from the gradient", Range(at_least=0, below=inf))
    schedule: ScheduleConfig = MISSING


@dataclass
class BatchingConfig:
    unit: BatchUnit = setting("what batching.size counts")
    size: int = setting("of a batch; tokens: sentences × the longest side of a pair, EOS included", COUNT)
    min_sentences: int = setting("fewer of one source length merge with those of its neighbours", COUNT)


@dataclass
class TrainingConfig:
    max_updates: int | None = setting("end after so many updates", COUNT)
    max_epochs: float | None = setting("end after so many passes over the corpus", Range(above=0, limit=10**9))
    max_minutes: float | None = setting(
        "end after so many minutes, those before resuming included", Range(above=0, limit=10**9)
    )
    patience: int | None = setting("end after so many validations in a row without a better score", COUNT)
    loss_per: LossPer = setting("what the summed loss of an update is divided by")
    label_smoothing: float = setting("share of the target probability spread over all subwords", SHARE)
    clip_norm: float = setting("largest norm of the gradient; inf: any", Range(above=0, limit=inf))
    accumulate: int = setting("batches an update", Range(at_least=1, limit=10_000))
    precision: TrainingPrecision = setting("auto: bf16 if the processor multiplies it in hardware, else fp32")
    log_every: int = setting("updates from one line of the log to the next", COUNT)
    validate_every: int = setting("updates from one validation to the next", COUNT)
    bleu_every: int | None = setting("validations from one BLEU to the next; null: never", COUNT)
    bleu_sentences: int | None = setting("the first so many of the development set; null: all", COUNT)
    best_by: BestBy = setting("the score that chooses the best checkpoint and that patience counts")
    checkpoint_every: int = setting("updates from one checkpoint to the next; a validation writes one too", COUNT)
    keep_last: int = setting("so many of the newest checkpoints stay, besides best and last", COUNT_OR_NONE)
    init_from: str | None = setting("a checkpoint whose parameters and subwords to start from")
    bleu_tokenize: str = setting(
        "as for nmt evaluate; auto: by data.tgt_lang, recorded in the run's configuration",
        default="13a",  # runs of version 0.1.0
    )


@dataclass
class LengthPenaltyConfig:
    kind: LengthPenaltyKind = setting("none, as in the paper, or wu2016 (Wu et al. 2016, §7)")
    alpha: float = setting("of wu2016", Range(at_least=0, below=inf, limit=100))


@dataclass
class SearchConfig:
    beam_size: int = setting("hypotheses kept at each step; 1: greedy", Range(at_least=1, limit=10_000))
    n_best: int = setting("translations a sentence", COUNT)
    length_penalty: LengthPenaltyConfig = MISSING
    max_len_ratio: float = setting(
        "a translation ends at max_len_ratio × source subwords + max_len_extra",
        Range(at_least=0, below=inf, limit=1_000),
    )
    max_len_extra: int = setting("subwords", Range(at_least=0, limit=1_000_000))
    min_len: int = setting("subwords that a translation has at least", Range(at_least=0, limit=1_000_000))
    ensemble_average: EnsembleAverage = setting("of probabilities (prob) or of their logarithms (log_prob)")
    batch_rows: int = setting(
        "sentences × beam at a time; on a CPU every 256 make a search in a thread of its own",
        Range(at_least=1, limit=1_000_000),
    )
    window_lines: int = setting("lines read ahead and sorted by length", COUNT)
    precision: SearchPrecision = setting("auto never takes int8")


THREADS = Range(at_least=1, limit=1_024)
ABOUT_THREADS = "CPU threads; null: as many as torch takes by itself"
ABOUT_IMPLEMENTATION = "reference: the plain modules, without the parts that are laid out for speed"
ABOUT_DEVICE = "auto: a GPU if there is one"


@dataclass
class TrainCommand:
    data: DataConfig = MISSING
    subword: SubwordConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    batching: BatchingConfig = MISSING
    training: TrainingConfig = MISSING
    search: SearchConfig = MISSING
    seed: int = setting("of initialization, order of batches and dropout", SEED_64)
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)
    run_dir: str = setting("the folder of the run: configuration, log, metrics and checkpoints")
    resume: bool = setting("go on from run_dir/checkpoints/last")


@dataclass
class TranslateCommand:
    checkpoints: list[str] = setting("one, or several that share their target vocabulary: an ensemble")
    input: str | None = setting("the file to translate; null: stdin")
    output: str | None = setting("a file; .gz, .bz2 and .xz are compressed; null: stdout")
    format: OutputFormat = setting("text: search.n_best lines a sentence; jsonl: one object, with scores")
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class EvaluateCommand:
    hypothesis: list[str] = setting("one file, or several systems to be compared with the first")
    reference: list[str] = setting("one file or several, each with a translation of every sentence")
    checkpoints: list[str] = setting("instead of hypothesis: translate source first, with one or an ensemble")
    source: str | None = setting(
        "with checkpoints, and for by_length; neither it nor reference: data.test of their run"
    )
    groups: str | None = setting("a file with comma-separated labels for every sentence: BLEU by label")
    by_length: bool = setting("BLEU by the length of the source, in words")
    metrics: list[str] = setting("some of bleu, chrf, chrf++, ter")
    bleu_tokenize: str = setting(
        "sacreBLEU's 13a, intl, char, zh, ja-mecab, ko-mecab, flores101, flores200, none; auto: by tgt_lang"
    )
    tgt_lang: str | None = setting(
        "of the translations, for bleu_tokenize=auto; null: data.tgt_lang of the checkpoints' run, or unknown (13a)"
    )
    lowercase: bool = setting("BLEU and chrF without regard to case, as TER always is")
    bootstrap_samples: int = setting("for 95% intervals; 0: none", Range(at_least=0, limit=100_000))
    paired_test: PairedTest = setting("of every further hypothesis file against the first")
    json: bool = setting("print one object of JSON instead of text")
    output: str | None = setting("with checkpoints: where the translations go; .gz, .bz2 and .xz are compressed")
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


def conf_dir() -> Path:
    """Find conf/: inside the package (an installed wheel), else beside it (a checkout, an editable install).

    Raises:
        ConfigError: where neither exists.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"conf/ must be in {package} or beside it, but is not: install nmt again")


def model_config(values: object) -> ModelConfig:
    """Make a model's settings from the plain values of a saved configuration.

    Raises:
        ConfigError: a setting is unknown, missing or invalid; it lists all of them.
    """
    try:
        config = from_plain(ModelConfig, values, "model")
    except PlainError as error:
        raise ConfigError(str(error)) from error
    check_settings(config, prefix="model.")
    return config


def saved_config(values: dict[str, Any]) -> dict[str, Any]:
    """Complete the configuration that a run has saved: a setting that it lacks has the default of its dataclass.

    Raises:
        ConfigError: a setting is unknown, as those of newer versions are, or is not of its type.
    """
    found = list(problems(TrainCommand, values))
    if unknown := [problem.text for problem in found if problem.kind == "unknown"]:
        raise ConfigError(f"{'; '.join(unknown)}: install the newer nmt that wrote it")
    if wrong := [problem.text for problem in found if problem.kind == "wrong"]:
        raise ConfigError("; ".join(wrong))
    return with_defaults(TrainCommand, values)


def missing_settings(values: dict[str, Any]) -> list[str]:
    """Say what a saved configuration lacks that resuming needs; translation needs only the settings of the model."""
    return [problem.text for problem in problems(TrainCommand, values) if problem.kind == "missing"]
