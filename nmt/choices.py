"""What the settings are that choose among names: their values, declared once."""

from enum import StrEnum


class Generator(StrEnum):
    phrasebook = "phrasebook"
    phrasebook_long = "phrasebook_long"


class SubwordKind(StrEnum):
    bpe = "bpe"
    unigram = "unigram"
    char = "char"
    word = "word"
    token = "token"


class Normalization(StrEnum):
    nmt_nfkc = "nmt_nfkc"
    nfc = "nfc"
    nfd = "nfd"
    identity = "identity"


class Tokenizer(StrEnum):
    none = "none"
    moses = "moses"


class SourceOrder(StrEnum):
    reversed = "reversed"
    forward = "forward"


class CellKind(StrEnum):
    lstm = "lstm"
    gru = "gru"
    rnn_tanh = "rnn_tanh"
    rnn_relu = "rnn_relu"
    lstm_no_forget = "lstm_no_forget"
    lstm_peephole = "lstm_peephole"
    lstm_layer_norm = "lstm_layer_norm"
    gru_layer_norm = "gru_layer_norm"


class Bidirectional(StrEnum):
    none = "none"
    first = "first"
    all = "all"


class Connection(StrEnum):
    plain = "plain"
    residual = "residual"
    highway = "highway"


class Bridge(StrEnum):
    copy = "copy"
    dense = "dense"
    mean = "mean"
    zero = "zero"
    learned = "learned"


class AttentionScore(StrEnum):
    none = "none"
    additive = "additive"
    dot = "dot"
    general = "general"
    concat = "concat"
    scaled_dot = "scaled_dot"


class AttentionPlacement(StrEnum):
    before = "before"
    between = "between"
    after = "after"


class ReadoutKind(StrEnum):
    linear = "linear"
    tanh = "tanh"
    maxout = "maxout"


class ReadoutInput(StrEnum):
    state = "state"
    state_context = "state_context"
    state_context_embedding = "state_context_embedding"


class TiedEmbeddings(StrEnum):
    none = "none"
    tgt = "tgt"
    both = "both"


class DropoutMask(StrEnum):
    value = "value"
    sentence = "sentence"


class Initializer(StrEnum):
    uniform = "uniform"
    xavier = "xavier"
    gaussian = "gaussian"


class RecurrentInitializer(StrEnum):
    same = "same"
    orthogonal = "orthogonal"


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


class SamplingSchedule(StrEnum):
    none = "none"
    linear = "linear"
    exponential = "exponential"
    inverse_sigmoid = "inverse_sigmoid"


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


class Side(StrEnum):
    src = "src"
    tgt = "tgt"


class FrozenEmbeddings(StrEnum):
    none = "none"
    src = "src"
    tgt = "tgt"
    both = "both"


class VectorMethod(StrEnum):
    skip_gram = "skip_gram"
    cbow = "cbow"


class VectorFormat(StrEnum):
    text = "text"
    binary = "binary"


class LengthPenaltyKind(StrEnum):
    none = "none"
    wu2016 = "wu2016"


class EnsembleAverage(StrEnum):
    prob = "prob"
    log_prob = "log_prob"


class InputFormat(StrEnum):
    text = "text"
    tsv = "tsv"


class ReplaceUnk(StrEnum):
    none = "none"
    source = "source"
    dictionary = "dictionary"


class OutputFormat(StrEnum):
    text = "text"
    jsonl = "jsonl"
    pharaoh = "pharaoh"
    pharaoh_subwords = "pharaoh_subwords"
    jsonl_attention = "jsonl_attention"


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


class ExampleOrder(StrEnum):
    difference = "difference"
    length = "length"


class Severity(StrEnum):
    """How serious a finding of `nmt doctor` is, in ascending order."""

    ok = "ok"
    notice = "notice"
    warning = "warning"


class FailOn(StrEnum):
    none = "none"
    notice = "notice"
    warning = "warning"


class PairedTest(StrEnum):
    none = "none"
    bootstrap = "bootstrap"
    randomization = "randomization"
