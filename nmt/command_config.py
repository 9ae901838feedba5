"""One dataclass per command: type, range and description of its settings; those of groups are in `nmt.config`.

conf/ holds the values, as for the groups.
"""

from dataclasses import dataclass

from nmt.choices import (
    Device,
    ExampleOrder,
    FailOn,
    Implementation,
    InputFormat,
    OutputFormat,
    PairedTest,
    SearchPrecision,
    Side,
    VectorFormat,
    VectorMethod,
)
from nmt.config import (
    COUNT,
    SEED_32,
    SEED_64,
    SIZE,
    BatchingConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SearchConfig,
    SubwordConfig,
    TrainingConfig,
)
from nmt.plain import MISSING
from nmt.schema import Range, setting

THREADS = Range(at_least=1, limit=1_024)
ABOUT_THREADS = "number of CPU threads; null: as many as torch uses by default"
ABOUT_SEED = "random seed of initialization, order of batches, dropout and random segmentations"
ABOUT_DEVICE = "device to compute on; auto: a GPU if there is one"
ABOUT_IMPLEMENTATION = "modules to compute with; reference: only the plain ones, not those optimized for speed"
MAX_SAMPLES = 100_000  # sacreBLEU's defaults are 1,000 bootstrap samples and 10,000 randomizations
SAMPLES = Range(at_least=0, limit=MAX_SAMPLES)
ABOUT_METRICS = "metrics to compute: bleu, chrf, chrf++, ter, exact, cer, wer"
ABOUT_BLEU_TOKENIZE = (
    "BLEU's tokenizer: 13a, intl, char, zh, ja-mecab, ko-mecab, flores101, flores200, none; auto: by tgt_lang"
)
ABOUT_LOWERCASE = "ignore case; TER always ignores it"
ABOUT_BOOTSTRAP = "number of samples for 95% intervals; 0: no intervals"
ABOUT_REFERENCE = "file of reference translations, or several of the same sentences"
ABOUT_JSON = "print a JSON object instead of text"


@dataclass
class TrainCommand:
    data: DataConfig = MISSING
    subword: SubwordConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    batching: BatchingConfig = MISSING
    training: TrainingConfig = MISSING
    search: SearchConfig = MISSING
    seed: int = setting(ABOUT_SEED, SEED_64)
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)
    run_dir: str = setting("folder of the run: configuration, log, metrics and checkpoints", is_path=True)
    resume: bool = setting(
        "continue the run in run_dir from its last checkpoint; without one, start from the beginning"
    )


@dataclass
class TranslateCommand:
    checkpoints: list[str] = setting("checkpoint, or several with one target vocabulary as an ensemble", is_path=True)
    input: str | None = setting("file to translate; null: stdin", is_path=True)
    shard: str | None = setting(
        "I/N: translate only the I-th of N parts of input, and write it to a file of its own, OUTPUT.I-of-N; null: all",
        default=None,
    )
    input_format: InputFormat = setting(
        "input format; text: a sentence per line; tsv: columns as in the data of the checkpoint's run"
    )
    output: str | None = setting(
        "file for the translations, compressed if it ends in .gz, .bz2 or .xz; null: stdout", is_path=True
    )
    format: OutputFormat = setting(
        "output format; text: search.n_best lines per sentence; jsonl: an object with scores; pharaoh, "
        "pharaoh_subwords: text and alignment of words or subwords; jsonl_attention: with attention weights"
    )
    alignments: str | None = setting(
        "folder for pictures of the attention, an SVG file for each line; null: none", is_path=True
    )
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class EvaluateCommand:
    hypothesis: list[str] = setting("file of translations; of several systems, the first is the baseline", is_path=True)
    reference: list[str] = setting(ABOUT_REFERENCE, is_path=True)
    checkpoints: list[str] = setting(
        "checkpoint to translate with first, or an ensemble, instead of hypothesis", is_path=True
    )
    source: str | None = setting(
        "source file, for checkpoints and by_length; checkpoints without source and reference: data.test of their run",
        is_path=True,
    )
    tsv: str | None = setting(
        "test set of tab-separated columns, as in the data of the checkpoints' run, instead of source and reference",
        default=None,
        is_path=True,
    )
    groups: str | None = setting("file of comma-separated labels of each sentence, for BLEU by label", is_path=True)
    by_length: bool = setting("also compute BLEU by source length in words")
    metrics: list[str] = setting(ABOUT_METRICS)
    bleu_tokenize: str = setting(ABOUT_BLEU_TOKENIZE)
    tgt_lang: str | None = setting(
        "target language code, for bleu_tokenize=auto; null: that of the checkpoints' run, or unknown (13a)"
    )
    lowercase: bool = setting(ABOUT_LOWERCASE)
    bootstrap_samples: int = setting(ABOUT_BOOTSTRAP, SAMPLES)
    paired_test: PairedTest = setting("significance test of the other hypothesis files against the first")
    json: bool = setting(ABOUT_JSON)
    output: str | None = setting(
        "file for the translations of checkpoints, compressed if it ends in .gz, .bz2 or .xz", is_path=True
    )
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class AverageCommand:
    checkpoints: list[str] = setting("checkpoints of one run, such as RUN_DIR/checkpoints/update_001000", is_path=True)
    output: str = setting("new folder for the checkpoint with the mean of their parameters", is_path=True)


@dataclass
class EmbeddingsCommand:
    checkpoint: str | None = setting("checkpoint whose embeddings to use", is_path=True)
    corpus: str | None = setting(
        "folder of a prepared corpus, as nmt prepare prints it, to learn vectors of its subwords", is_path=True
    )
    vectors: str | None = setting("file of word vectors, of word2vec or GloVe, to read", is_path=True)
    side: Side = setting("side of the checkpoint or the corpus")
    neighbours: list[str] = setting(
        "words whose nearest neighbours to print",
        is_path=True,  # taken as typed, as paths are
    )
    analogies: list[str] = setting(
        "analogies to complete, as in man:king::woman (man is to king as woman is to what?)", is_path=True
    )
    k: int = setting("number of neighbours, or answers to an analogy", COUNT)
    output: str | None = setting("file for the vectors, compressed if it ends in .gz, .bz2 or .xz", is_path=True)
    format: VectorFormat = setting("word2vec format of the output: text or binary")
    method: VectorMethod = setting("corpus: method of learning vectors: skip_gram or cbow")
    dim: int = setting("corpus: size of a vector, which must be model.embedding_dim for training", SIZE)
    window: int = setting("corpus: largest distance of two subwords of one context", Range(at_least=1, limit=1_000))
    epochs: int = setting("corpus: number of passes over the corpus", Range(at_least=1, limit=10_000))
    seed: int = setting("corpus: random seed", SEED_32)
    threads: int = setting("corpus: number of CPU threads; several are faster, but not repeatable", THREADS)


@dataclass
class CardCommand:
    run_dir: str | None = setting("folder of the run whose best checkpoint gets a card", is_path=True)
    checkpoint: str | None = setting("checkpoint that gets the card; null: RUN_DIR/checkpoints/best", is_path=True)
    scores: list[str] = setting(
        "files with scores of the checkpoint, as nmt evaluate json=true prints them", is_path=True
    )
    name: str | None = setting("name of the model; null: data.name-model.name")
    license: str | None = setting("licence of the model, as Hugging Face names it, such as mit; null: not known")
    datasets: list[str] = setting("names of the data sets at Hugging Face; []: data.name")
    output: str | None = setting("file for the card; null: README.md in the folder of the checkpoint", is_path=True)
    replace: bool = setting("replace README.md in the folder of the checkpoint, if there is one")


@dataclass
class VerifyCommand:
    checkpoint: str = setting("checkpoint to verify", is_path=True)
    precision: SearchPrecision = setting("number format in which the sentences of the checkpoint are translated again")
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class ReportCommand:
    runs: list[str] = setting("folder of a run, or several; the first is the baseline", is_path=True)
    hypothesis: list[str] = setting("files of translations by other systems, which follow the runs", is_path=True)
    ensemble: bool = setting("translate also with an ensemble of all runs")
    source: str | None = setting("source file of the test set; null: data.test of the runs", is_path=True)
    reference: list[str] = setting(ABOUT_REFERENCE, is_path=True)
    metrics: list[str] = setting(ABOUT_METRICS)
    bleu_tokenize: str = setting(ABOUT_BLEU_TOKENIZE)
    tgt_lang: str | None = setting(
        "target language code, for bleu_tokenize=auto; null: that of the first run, or unknown (13a)"
    )
    lowercase: bool = setting(ABOUT_LOWERCASE)
    bootstrap_samples: int = setting(ABOUT_BOOTSTRAP, SAMPLES)
    paired_test: PairedTest = setting("significance test of the other systems against the first")
    examples: int = setting("number of examples to show", Range(at_least=0, limit=10_000))
    example_order: ExampleOrder = setting(
        "which examples come first; difference: those whose translations differ most (of one system, the worst); "
        "length: the longest"
    )
    doctor: bool = setting("examine the corpora of the runs as well, as nmt doctor does")
    phrases: str | None = setting(
        "file of phrases whose encoder states to show: plane, group and phrase in tab-separated columns; null: those "
        "of the built-in corpus",
        is_path=True,
    )
    output: str | None = setting("file for the page (HTML); null: only text on stdout", is_path=True)
    json: bool = setting(ABOUT_JSON)
    search: SearchConfig = MISSING
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)


@dataclass
class DoctorCommand:
    data: DataConfig = MISSING
    subword: SubwordConfig = MISSING
    model: ModelConfig | None = None
    optimizer: OptimizerConfig = MISSING
    batching: BatchingConfig = MISSING
    training: TrainingConfig = MISSING
    search: SearchConfig = MISSING
    seed: int = setting(ABOUT_SEED, SEED_64)
    device: Device = setting(ABOUT_DEVICE)
    threads: int | None = setting(ABOUT_THREADS, THREADS)
    implementation: Implementation = setting(ABOUT_IMPLEMENTATION, default=Implementation.fast)
    updates: int = setting(
        "model: number of updates from which time and memory are estimated; 0: none", Range(at_least=0, limit=10_000)
    )
    overfit_updates: int = setting(
        "model: largest number of updates in which it should fit one batch; 0: do not try",
        Range(at_least=0, limit=10_000),
    )
    json: bool = setting(ABOUT_JSON)
    output: str | None = setting(
        "file for the result, compressed if it ends in .gz, .bz2 or .xz; null: stdout", is_path=True
    )
    fail_on: FailOn = setting("lowest severity of a finding that gives exit status 1")
