"""One dataclass per group of conf/: type, range and description of every setting.

conf/ holds the values: a setting without a default here must be given by a YAML file, so that no number is written
twice. Hydra checks every key and type against the dataclasses; below the CLI they are plain dataclasses.
"""

from dataclasses import dataclass, field
from math import inf

from nmt.choices import (
    AttentionPlacement,
    AttentionScore,
    BatchUnit,
    BestBy,
    Bidirectional,
    Bridge,
    CellKind,
    Connection,
    DropoutMask,
    EnsembleAverage,
    FrozenEmbeddings,
    Generator,
    Initializer,
    LengthPenaltyKind,
    LossPer,
    Normalization,
    OptimizerKind,
    ReadoutInput,
    ReadoutKind,
    RecurrentInitializer,
    ReplaceUnk,
    SamplingSchedule,
    ScheduleKind,
    SearchPrecision,
    SourceOrder,
    SubwordKind,
    TiedEmbeddings,
    Tokenizer,
    TrainingPrecision,
)
from nmt.plain import MISSING
from nmt.schema import Range, setting

WORD_KINDS = (SubwordKind.word, SubwordKind.token)  # subwords are whole words: a word is known or <unk>


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
SIZE = Range(at_least=1, limit=100_000)  # of a layer or an embedding


@dataclass
class FilesConfig:
    """Text files of one split: `src` and `tgt`, aligned file by file, or `tsv`. Relative paths start at `data.dir`."""

    src: list[str] = setting("source files, plain or compressed", is_path=True)
    tgt: list[str] = setting("target files; line n of file k translates line n of file k of src", is_path=True)
    tsv: list[str] = setting(
        "files of tab-separated columns, instead of src and tgt; data.columns selects the columns of the two sides",
        default=[],
        is_path=True,
    )


@dataclass
class TrainFilesConfig(FilesConfig):
    weights: list[float] = setting(
        "one weight for each file of src (or tsv): an epoch has pairs of the files in this proportion; empty: each "
        "pair once",
        Range(at_least=0, below=inf),
        default=[],
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
    dir: str = setting("folder at which relative names of text files start", is_path=True)
    prepared_dir: str = setting("folder of prepared corpora, one subfolder each", is_path=True)
    train: TrainFilesConfig = MISSING
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
        "number of subwords, the four special ones included; for char and token, an upper limit", VOCABULARY
    )
    src_vocab_size: int = setting("number of source subwords, if joint is false", VOCABULARY)
    tgt_vocab_size: int = setting("number of target subwords, if joint is false", VOCABULARY)
    joint: bool = setting("one vocabulary for both sides, learned from both")
    byte_fallback: bool = setting("spell characters outside the vocabulary as bytes, instead of making them unknown")
    normalization: Normalization | None = setting(
        "normalization of both sides: nmt_nfkc unifies similar characters and spaces, nfc only their encoding, "
        "nfd takes syllables and accents apart, identity changes nothing; null: each side has its own"
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


# Sizes of parts of a model, which a null leaves to a common setting.
LAYERS = Range(at_least=1, limit=1_000)


@dataclass
class ModelConfig:
    name: str = setting("name of the model, part of the name of the run")
    embedding_dim: int = setting("size of an embedding", SIZE)
    hidden_dim: int = setting("number of units of a layer", SIZE)
    num_layers: int = setting("number of layers of the encoder, and of the decoder", LAYERS)
    dropout: float = setting("share of the values between layers set to 0 in training", SHARE)
    source_order: SourceOrder = setting("order in which the encoder reads the source")
    init_range: float = setting(
        "parameters are initialized uniformly between -init_range and init_range",
        Range(above=0, below=inf, limit=1_000_000),
    )
    forget_bias: float = setting(
        "initial value added to the bias of the forget gates", Range(at_least=-1_000, limit=1_000)
    )
    # The settings below came after version 0.1.0: their defaults are the paper's model.
    cell: CellKind = setting("kind of recurrent cell", default=CellKind.lstm)
    src_embedding_dim: int | None = setting("size of a source embedding; null: embedding_dim", SIZE, default=None)
    tgt_embedding_dim: int | None = setting("size of a target embedding; null: embedding_dim", SIZE, default=None)
    encoder_dim: int | None = setting(
        "number of units of a layer of the encoder, in each direction; null: hidden_dim", SIZE, default=None
    )
    decoder_dim: int | None = setting("number of units of a layer of the decoder; null: hidden_dim", SIZE, default=None)
    encoder_layers: int | None = setting("number of layers of the encoder; null: num_layers", LAYERS, default=None)
    decoder_layers: int | None = setting("number of layers of the decoder; null: num_layers", LAYERS, default=None)
    bidirectional: Bidirectional = setting(
        "layers of the encoder that read in both directions: none, the first, or all", default=Bidirectional.none
    )
    connection: Connection = setting(
        "how the input of a layer joins its output: residual adds it, highway mixes the two by a gate",
        default=Connection.plain,
    )
    connection_from: int = setting(
        "number of the first layer with this connection", Range(at_least=2, limit=1_000), default=2
    )
    input_skip: bool = setting("the input of the lowest layer is also an input of every other layer", default=False)
    bridge: Bridge = setting(
        "first state of the decoder: copy of the encoder's last states, dense layer over them, dense layer over the "
        "mean of the encoder's outputs, zero, or learned",
        default=Bridge.copy,
    )
    source_vector: bool = setting(
        "the decoder reads a vector of the whole source at every step (Cho et al. 2014)", default=False
    )
    attention: AttentionScore = setting("score of attention; none: no attention", default=AttentionScore.none)
    attention_placement: AttentionPlacement = setting(
        "attention is computed before the decoder's layers, between the first and the others, or after them",
        default=AttentionPlacement.after,
    )
    attention_dim: int | None = setting(
        "additive, concat, scaled_dot: number of units of the score; null: decoder_dim", SIZE, default=None
    )
    attention_heads: int = setting("number of attention heads", Range(at_least=1, limit=1_000), default=1)
    input_feeding: bool = setting("the decoder reads its last readout at every step (Luong et al. 2015)", default=False)
    readout: ReadoutKind = setting(
        "layer before the output layer; linear without readout_dim: none", default=ReadoutKind.linear
    )
    readout_dim: int | None = setting(
        "number of units of the readout; null: that of its input (linear), decoder_dim (tanh) or half of it (maxout)",
        SIZE,
        default=None,
    )
    readout_input: ReadoutInput = setting(
        "what the readout reads: the top layer's state, also the context, also the previous target embedding",
        default=ReadoutInput.state,
    )
    output_bottleneck: int | None = setting(
        "size of a linear layer between readout and output layer; null: no such layer", SIZE, default=None
    )
    tied_embeddings: TiedEmbeddings = setting(
        "tgt: the output layer shares the weights of the target embedding; both: the source embedding does, too",
        default=TiedEmbeddings.none,
    )
    dropout_src_embedding: float | None = setting(
        "dropout rate of source embeddings; null: model.dropout", SHARE, default=None
    )
    dropout_tgt_embedding: float | None = setting(
        "dropout rate of target embeddings; null: model.dropout", SHARE, default=None
    )
    dropout_layers: float | None = setting("dropout rate between layers; null: model.dropout", SHARE, default=None)
    dropout_encoder_output: float = setting(
        "dropout rate of the encoder's outputs, which attention reads", SHARE, default=0.0
    )
    dropout_readout: float | None = setting(
        "dropout rate before the output layer; null: model.dropout", SHARE, default=None
    )
    dropout_recurrent: float = setting(
        "dropout rate of the hidden state that a layer reads at every step; needs dropout_mask=sentence",
        SHARE,
        default=0.0,
    )
    dropout_src_word: float = setting("dropout rate of whole source words", SHARE, default=0.0)
    dropout_tgt_word: float = setting("dropout rate of whole words of the previous target", SHARE, default=0.0)
    dropout_mask: DropoutMask = setting(
        "value: a random choice for each value; sentence: one choice for all positions of a sentence (Gal & "
        "Ghahramani 2016)",
        default=DropoutMask.value,
    )
    init: Initializer = setting("distribution of the initial parameters", default=Initializer.uniform)
    init_std: float = setting(
        "gaussian: standard deviation of the initial parameters",
        Range(at_least=0, below=inf, limit=1_000_000),
        default=0.01,
    )
    init_recurrent: RecurrentInitializer = setting(
        "orthogonal: recurrent weights are orthogonal matrices, one for each gate", default=RecurrentInitializer.same
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
    accumulate: int = setting("number of batches per update", Range(at_least=1, limit=10_000))
    ema: float = setting(
        "decay of the exponential moving average of the parameters, used for validation and translation; 0: no average",
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
    scheduled_sampling: SamplingSchedule = setting(
        "schedule of the probability that the decoder reads the true token instead of a predicted one (Bengio et al. "
        "2015); needs a loop over steps",
        default=SamplingSchedule.none,
    )
    sampling_k: float = setting(
        "k of the schedule: linear: probability at the start; exponential: factor of each update; inverse_sigmoid: "
        "after k ln(k) updates it is one half",
        Range(above=0, below=inf, limit=10**9),
        default=1.0,
    )
    sampling_slope: float = setting("linear: decrease of the probability in each update", PROBABILITY, default=0.0)
    sampling_floor: float = setting("smallest probability of the true token", PROBABILITY, default=0.0)
    src_embeddings: str | None = setting(
        "file of word vectors, of word2vec or GloVe, from which the source embeddings start; null: random values",
        default=None,
        is_path=True,
    )
    tgt_embeddings: str | None = setting("the same for the target embeddings", default=None, is_path=True)
    freeze_embeddings: FrozenEmbeddings = setting(
        "embeddings that training does not change", default=FrozenEmbeddings.none
    )
    samples: int = setting(
        "number of development sentences whose translations a checkpoint keeps, for nmt verify; 0: none",
        Range(at_least=0, at_most=20),
        default=0,
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
    # These need a model with attention.
    coverage_penalty: float = setting(
        "weight of the coverage penalty (Wu et al. 2016, §7), which favours translations of the whole source; 0: none",
        Range(at_least=0, below=inf, limit=100),
        default=0.0,
    )
    replace_unk: ReplaceUnk = setting(
        "what replaces an unknown word of a translation: none, the aligned source word, or its entry in "
        "search.dictionary if it has one",
        default=ReplaceUnk.none,
    )
    dictionary: str | None = setting(
        "replace_unk=dictionary: file with a source word, a tab and its translation in each line",
        default=None,
        is_path=True,
    )
