"""One dataclass per group of conf/: type, range and description of every setting.

conf/ holds the values: a setting without a default here must be given by a YAML file, so that no number is written
twice. Hydra checks every key and type against the dataclasses; below the CLI they are plain dataclasses.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from nmt.plain import MISSING
from nmt.schema import Range, setting


class Generator(StrEnum):
    phrasebook = "phrasebook"


class SubwordKind(StrEnum):
    bpe = "bpe"
    unigram = "unigram"
    char = "char"
    word = "word"
    token = "token"


WORD_KINDS = (SubwordKind.word, SubwordKind.token)  # subwords are whole words: a word is known or <unk>


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
    adadelta = "adadelta"
    adagrad = "adagrad"


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
    chrf = "chrf"
    exact = "exact"


class LengthPenaltyKind(StrEnum):
    none = "none"
    wu2016 = "wu2016"


class EnsembleAverage(StrEnum):
    prob = "prob"
    log_prob = "log_prob"


class InputFormat(StrEnum):
    text = "text"
    tsv = "tsv"


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
    exact = "exact"
    cer = "cer"
    wer = "wer"


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
MAX_VOCAB_SIZE = 10_000_000  # SentencePiece takes minutes for more, and crashes near 2^31
VOCABULARY = Range(at_least=1, limit=MAX_VOCAB_SIZE)
COVERAGE = Range(at_least=0.98, at_most=1)  # SentencePiece's own limits
SHARE = Range(at_least=0, below=1)
PROBABILITY = Range(at_least=0, at_most=1)
SEED_32 = Range(at_least=0, below=2**31)
SEED_64 = Range(at_least=0, below=2**64)
POSITIVE = Range(above=0, below=inf)
MAX_SAMPLES = 100_000  # sacreBLEU's defaults are 1,000 bootstrap samples and 10,000 randomizations


@dataclass
class FilesConfig:
    """Text files of one split: `src` and `tgt`, aligned file by file, or `tsv`. Relative paths start at `data.dir`."""

    src: list[str] = setting("source files, plain or compressed", is_path=True)
    tgt: list[str] = setting("target files; line n of file k translates line n of file k of src", is_path=True)
    tsv: list[str] = setting(
        "files of tab-separated columns, instead of src and tgt; data.columns says which are the sides",
        default=[],
        is_path=True,
    )


@dataclass
class GenerateConfig:
    """A corpus that nmt generates itself and writes to `data.dir` before it is prepared."""

    generator: Generator = setting("built-in corpus to write to data.dir")
    train_pairs: int = setting("number of training pairs", COUNT)
    dev_pairs: int = setting("number of development pairs", COUNT)
    test_pairs: int = setting("number of test pairs", COUNT_OR_NONE)
    seed: int = setting("random seed of the sentences", SEED_64)


@dataclass
class DataConfig:
    name: str = setting("name of the corpus, part of the names of runs and prepared corpora")
    src_lang: str = setting("source language code, such as en")
    tgt_lang: str = setting("target language code, such as fr")
    dir: str = setting("folder that relative names of text files start from", is_path=True)
    prepared_dir: str = setting("folder of prepared corpora, one subfolder each", is_path=True)
    train: FilesConfig = MISSING
    dev: FilesConfig = MISSING
    test: FilesConfig = MISSING
    generate: GenerateConfig | None = MISSING
    max_len_subwords: int = setting("longest side of a training pair, in subwords; longer pairs are left out", COUNT)
    max_len_ratio: float = setting(
        "largest ratio of the lengths of a training pair; other pairs are left out; inf: no limit",
        Range(at_least=1, limit=inf),
    )
    columns: list[int] = setting("tsv: numbers of the source and the target column, from 1", COUNT, default=[1, 2])
    feature_columns: list[int] = setting(
        "tsv: numbers of columns of features, which become symbols in front of the source", COUNT, default=[]
    )


@dataclass
class SubwordSideConfig:
    """Subwords of one side; a setting that is null is that of both sides."""

    kind: SubwordKind | None = setting("method for this side; null: subword.kind", default=None)
    vocab_size: int | None = setting(
        "number of subwords of this side, if joint is false; null: subword.src_vocab_size or tgt_vocab_size",
        VOCABULARY,
        default=None,
    )
    normalization: Normalization | None = setting(
        "normalization of this side; null: identity if the kind of this side is token, else that of subword",
        default=None,
    )
    tokenizer: Tokenizer | None = setting("tokenizer of this side; null: subword.tokenizer", default=None)
    byte_fallback: bool | None = setting(
        "spell unknown characters of this side as bytes; null: subword.byte_fallback", default=None
    )
    character_coverage: float | None = setting(
        "share of the characters of this side that its vocabulary covers; null: subword.character_coverage",
        COVERAGE,
        default=None,
    )


@dataclass
class SubwordConfig:
    kind: SubwordKind = setting("method of splitting text into subwords")
    vocab_size: int = setting(
        "number of subwords, the four special ones included; char, token: the largest number", VOCABULARY
    )
    src_vocab_size: int = setting("number of source subwords, if joint is false", VOCABULARY)
    tgt_vocab_size: int = setting("number of target subwords, if joint is false", VOCABULARY)
    joint: bool = setting("one vocabulary for both sides, learned from both")
    byte_fallback: bool = setting("spell characters outside the vocabulary as bytes instead of as unknown")
    normalization: Normalization | None = setting(
        "normalization of both sides: nmt_nfkc unifies similar characters and spaces, nfc only their encoding, "
        "identity changes nothing; null: each side has its own"
    )
    src_normalization: Normalization | None = setting(
        "normalization of the source, if subword.normalization is null", default=None
    )
    tgt_normalization: Normalization | None = setting(
        "normalization of the target, if subword.normalization is null", default=None
    )
    tokenizer: Tokenizer = setting("tokenizer that first separates punctuation from words")
    character_coverage: float = setting(
        "share of the characters of the text that the vocabulary covers",
        COVERAGE,
    )
    max_sentences: int = setting("largest number of lines to learn from, chosen at random", COUNT)
    seed: int = setting("random seed of the choice of these lines", SEED_32)
    src_model: str | None = setting(
        "existing source model to use instead: a .subword file of nmt, or one of SentencePiece", is_path=True
    )
    tgt_model: str | None = setting("existing target model; give both or neither", is_path=True)
    src: SubwordSideConfig = field(default_factory=SubwordSideConfig)
    tgt: SubwordSideConfig = field(default_factory=SubwordSideConfig)


@dataclass
class ModelConfig:
    name: str = setting("name of the model, part of the name of the run")
    embedding_dim: int = setting("size of an embedding", Range(at_least=1, limit=100_000))
    hidden_dim: int = setting("number of LSTM cells of a layer", Range(at_least=1, limit=100_000))
    num_layers: int = setting("number of layers of the encoder, and of the decoder", Range(at_least=1, limit=1_000))
    dropout: float = setting("share of the values between layers set to 0 in training", SHARE)
    source_order: SourceOrder = setting("order in which the encoder reads the source")
    init_range: float = setting(
        "parameters are initialized uniformly between -init_range and init_range",
        Range(above=0, below=inf, limit=1_000_000),
    )
    forget_bias: float = setting(
        "initial value added to the bias of the forget gates", Range(at_least=-1_000, limit=1_000)
    )


@dataclass
class ScheduleConfig:
    kind: ScheduleKind = setting("how the learning rate changes during training")
    halve_from_epoch: float = setting("halving: epoch of the first halving", Range(at_least=0, limit=10**9))
    halve_every_epochs: float = setting("halving: epochs between halvings", Range(above=0, limit=10**9))
    warmup_updates: int = setting("updates in which the rate rises from 0 to lr", COUNT_OR_NONE)
    plateau_factor: float = setting("plateau: factor that reduces the rate", Range(above=0, at_most=1))
    plateau_patience: int = setting("plateau: validations without improvement before a reduction", COUNT)
    plateau_by: BestBy = setting(
        "plateau: score of the development set that must improve", default=BestBy.nats_per_token
    )


@dataclass
class OptimizerConfig:
    kind: OptimizerKind = setting("optimization algorithm")
    lr: float = setting("highest learning rate", POSITIVE)
    momentum: float = setting("sgd, rmsprop: momentum", SHARE)
    beta1: float = setting("adam, adamw: decay rate of the mean of gradients", SHARE)
    beta2: float = setting("adam, adamw, rmsprop, adadelta: decay rate of the mean of squared gradients", SHARE)
    eps: float = setting(
        "all but sgd: term in the denominator for numerical stability; adadelta: also the scale of the first updates",
        POSITIVE,
    )
    weight_decay: float = setting(
        "L2 penalty on the parameters; adamw: decay separate from the gradient", Range(at_least=0, below=inf)
    )
    decay_biases: bool = setting("weight_decay includes biases and other one-dimensional parameters", default=True)
    schedule: ScheduleConfig = MISSING


@dataclass
class BatchingConfig:
    unit: BatchUnit = setting("unit of batching.size")
    size: int = setting("size of a batch; tokens: sentences × longest side of a pair, EOS included", COUNT)
    min_sentences: int = setting(
        "fewest sentences of one source length that form a batch; fewer join neighbouring lengths", COUNT
    )


@dataclass
class TrainingConfig:
    max_updates: int | None = setting("largest number of updates; null: no limit", COUNT)
    max_epochs: float | None = setting(
        "largest number of passes over the corpus; null: no limit", Range(above=0, limit=10**9)
    )
    max_minutes: float | None = setting(
        "longest time in minutes, the time before resuming included; null: no limit", Range(above=0, limit=10**9)
    )
    patience: int | None = setting(
        "largest number of validations in a row without a better score; null: no limit", COUNT
    )
    loss_per: LossPer = setting(
        "loss of an update: its sum divided by the number of tokens, or of sentences as in the paper"
    )
    label_smoothing: float = setting("share of the target probability spread over all subwords", SHARE)
    clip_norm: float = setting("largest norm of the gradient; inf: no limit", Range(above=0, limit=inf))
    accumulate: int = setting("number of batches of an update", Range(at_least=1, limit=10_000))
    ema: float = setting(
        "decay of the exponential moving average of the parameters, which is validated and translates; 0: no average",
        SHARE,
        default=0.0,
    )
    precision: TrainingPrecision = setting("number format; auto: bf16 if the hardware computes it fast, else fp32")
    log_every: int = setting("updates between lines of the log", COUNT)
    validate_every: int = setting("updates between validations", COUNT)
    bleu_every: int | None = setting("validations between measurements of BLEU, chrF and exact; null: never", COUNT)
    bleu_sentences: int | None = setting(
        "number of development sentences for BLEU, chrF and exact, from the first; null: all", COUNT
    )
    best_by: BestBy = setting(
        "score of the development set that decides which checkpoint is the best, and when patience ends"
    )
    checkpoint_every: int = setting("updates between checkpoints; a validation writes one, too", COUNT)
    keep_last: int = setting("number of the newest checkpoints to keep, besides best and last", COUNT_OR_NONE)
    init_from: str | None = setting("checkpoint whose parameters and subword models to start from", is_path=True)
    bleu_tokenize: str = setting(
        "BLEU's tokenizer, as in nmt evaluate; auto: by data.tgt_lang",
        default="13a",  # runs of version 0.1.0
    )
    src_subword_alpha: float = setting(
        "random segmentation of the source, another one in each epoch; bpe: probability of leaving out a merge (BPE "
        "dropout); unigram: exponent of the probabilities, the smaller the more random; 0: none",
        PROBABILITY,
        default=0.0,
    )
    tgt_subword_alpha: float = setting(
        "random segmentation of the target: see src_subword_alpha", PROBABILITY, default=0.0
    )


@dataclass
class LengthPenaltyConfig:
    kind: LengthPenaltyKind = setting("length penalty: none, as in the paper, or wu2016 (Wu et al. 2016, §7)")
    alpha: float = setting(
        "wu2016: exponent; larger values favour longer translations", Range(at_least=0, below=inf, limit=100)
    )


@dataclass
class SearchConfig:
    beam_size: int = setting(
        "number of hypotheses kept at each step; 1: greedy search", Range(at_least=1, limit=10_000)
    )
    n_best: int = setting("number of translations of each sentence", COUNT)
    length_penalty: LengthPenaltyConfig = MISSING
    max_len_ratio: float = setting(
        "longest translation: max_len_ratio × source subwords + max_len_extra",
        Range(at_least=0, below=inf, limit=1_000),
    )
    max_len_extra: int = setting("longest translation: see max_len_ratio", Range(at_least=0, limit=1_000_000))
    min_len: int = setting("shortest translation, in subwords", Range(at_least=0, limit=1_000_000))
    ensemble_average: EnsembleAverage = setting(
        "mean of an ensemble: of probabilities (prob) or of their logarithms (log_prob)"
    )
    batch_rows: int = setting(
        "sentences × beam searched at a time; on a CPU, every 256 of them run in a separate thread",
        Range(at_least=1, limit=1_000_000),
    )
    window_lines: int = setting("number of lines read ahead and sorted by length", COUNT)
    precision: SearchPrecision = setting(
        "number format; auto: bf16 if the hardware computes it fast, else fp32, never int8"
    )


THREADS = Range(at_least=1, limit=1_024)
ABOUT_THREADS = "number of CPU threads; null: as many as torch uses by default"
ABOUT_DEVICE = "device to compute on; auto: a GPU if there is one"
ABOUT_IMPLEMENTATION = "which modules compute; reference: the plain ones everywhere, not those optimized for speed"


@dataclass
class TrainCommand:
    data: DataConfig = MISSING
    subword: SubwordConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    batching: BatchingConfig = MISSING
    training: TrainingConfig = MISSING
    search: SearchConfig = MISSING
    seed: int = setting("random seed of initialization, order of batches, dropout and random segmentations", SEED_64)
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)
    run_dir: str = setting("folder of the run: configuration, log, metrics and checkpoints", is_path=True)
    resume: bool = setting("continue the run in run_dir from its last checkpoint")


@dataclass
class TranslateCommand:
    checkpoints: list[str] = setting("checkpoint, or several with one target vocabulary as an ensemble", is_path=True)
    input: str | None = setting("file to translate; null: stdin", is_path=True)
    input_format: InputFormat = setting(
        "input format; text: a sentence per line; tsv: columns as in the data of the checkpoint's run"
    )
    output: str | None = setting(
        "file for the translations, compressed if it ends in .gz, .bz2 or .xz; null: stdout", is_path=True
    )
    format: OutputFormat = setting(
        "output format; text: search.n_best lines per sentence; jsonl: an object with scores"
    )
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class EvaluateCommand:
    hypothesis: list[str] = setting("file of translations; of several systems, the first is the baseline", is_path=True)
    reference: list[str] = setting("file of reference translations, or several of the same sentences", is_path=True)
    checkpoints: list[str] = setting(
        "checkpoint to translate with first, or an ensemble, instead of hypothesis", is_path=True
    )
    source: str | None = setting(
        "source file, for checkpoints and by_length; checkpoints without source and reference: data.test of their run",
        is_path=True,
    )
    groups: str | None = setting("file of comma-separated labels of each sentence, for BLEU by label", is_path=True)
    by_length: bool = setting("BLEU by source length in words")
    metrics: list[str] = setting("metrics to compute: bleu, chrf, chrf++, ter, exact, cer, wer")
    bleu_tokenize: str = setting(
        "BLEU's tokenizer: 13a, intl, char, zh, ja-mecab, ko-mecab, flores101, flores200, none; auto: by tgt_lang"
    )
    tgt_lang: str | None = setting(
        "target language code, for bleu_tokenize=auto; null: that of the checkpoints' run, or unknown (13a)"
    )
    lowercase: bool = setting("ignore case; TER always ignores it")
    bootstrap_samples: int = setting(
        "number of samples for 95% intervals; 0: no intervals", Range(at_least=0, limit=MAX_SAMPLES)
    )
    paired_test: PairedTest = setting("significance test of the other hypothesis files against the first")
    json: bool = setting("print a JSON object instead of text")
    output: str | None = setting(
        "file for the translations of checkpoints, compressed if it ends in .gz, .bz2 or .xz", is_path=True
    )
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)
