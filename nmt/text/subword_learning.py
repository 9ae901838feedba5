"""Learning of subword models from text, by SentencePiece."""

import io
import logging
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.config import MAX_VOCAB_SIZE, WORD_KINDS
from nmt.errors import ConfigError, DataError
from nmt.text.moses import Moses
from nmt.text.normalization import FORMS, StandaloneNormalizer, canonical, report_normalization, rule_name
from nmt.text.subword import BOS_ID, EOS_ID, NUM_SPECIALS, PAD_ID, UNK_ID, SubwordModel
from nmt.text.subword_file import SubwordHeader

log = logging.getLogger(__name__)

_UNK_SURFACE = "⁇"
_NUM_BYTE_PIECES = 256
_NUM_LINES_REPORTED = 100_000
# Fixed, since the result depends on it: unigram's sums are split by thread, and another number learns other pieces.
_NUM_LEARNING_THREADS = 8
# SentencePiece skips longer lines; its BPE trainer aborts at a single word of 65,536 characters.
_MAX_LINE_BYTES = 65_535


@dataclass(frozen=True)
class SubwordSpec:
    """How a subword model is learned.

    Attributes:
        kind: `word` keeps the most frequent words (Sutskever et al. 2014, §3.1), `token` all of them, except for what
            SentencePiece reserves: words with NUL, "▁" or "▅", and names such as <s>. Both preserve no spaces: their
            words are separated by single ones, with `identity`, too.
        vocab_size: including the four specials. It is met exactly, except by `char` and `token`, for which it is a
            limit.
        normalization: of `learn_subword`, and of each side of `learn_joint_subwords` unless that is given others.
        max_sentences: the largest number of lines to learn from; they are sampled with `seed`.
        size_setting: the setting that `vocab_size` comes from, for messages.
        symbols: words such as `<V>` that become one subword each, whatever the kind and however rare they are.
    """

    kind: SubwordKind
    vocab_size: int
    byte_fallback: bool
    normalization: Normalization
    tokenizer: Tokenizer
    character_coverage: float
    max_sentences: int
    seed: int
    size_setting: str = "subword.vocab_size"
    symbols: tuple[str, ...] = ()


def learn_subword(lines: Iterable[str], spec: SubwordSpec, *, lang: str) -> SubwordModel:
    """Learn a subword model; the same lines, spec and language give the same bytes.

    Raises:
        ConfigError: if the spec is invalid.
        DataError: if the text is empty, or too small or too large for `spec.vocab_size`.
    """
    [model] = learn_joint_subwords([(lang, lines)], spec)
    return model


def learn_joint_subwords(
    texts: Sequence[tuple[str, Iterable[str]]],
    spec: SubwordSpec,
    *,
    normalizations: Sequence[Normalization] | None = None,
) -> list[SubwordModel]:
    """Learn one vocabulary from the lines of several languages; returns a model for each, in the order given.

    The models differ only in the language, whose rules their tokenizer follows, and in the normalization.

    Args:
        normalizations: one for each text; None: that of `spec` for all.

    Raises:
        ConfigError: if the spec is invalid.
        DataError: if the text is empty, or too small or too large for `spec.vocab_size`.
    """
    _check(spec)
    langs = [lang for lang, _ in texts]
    rules = normalizations or [spec.normalization] * len(texts)
    with_words = (
        (side, line) for side, (_, lines) in enumerate(texts) for line in lines if line and not line.isspace()
    )
    sample = _sample(with_words, spec.max_sentences, seed=spec.seed)
    if spec.tokenizer == Tokenizer.moses:
        moses = [Moses(lang, knows_curly=rule in FORMS) for lang, rule in zip(langs, rules, strict=True)]
        sample = [(side, moses[side].tokenize(line)) for side, line in sample]
    protos = _train_sides(sample, spec, rules, langs=langs)
    symbols = frozenset(spec.symbols)
    models = []
    for side, (lang, rule, proto) in enumerate(zip(langs, rules, protos, strict=True)):
        header = SubwordHeader(spec.kind, spec.tokenizer, lang, rule if rule in FORMS else None)
        models.append(SubwordModel(proto, header))
        lines = [_without(symbols, line) for of_side, line in sample if of_side == side]
        _report(models[-1], lines, rule, spec, lang=lang)
    return models


def _check(spec: SubwordSpec) -> None:
    problems = []
    smallest = NUM_SPECIALS + len(spec.symbols) + 1 + (_NUM_BYTE_PIECES if spec.byte_fallback else 0)
    if spec.byte_fallback and spec.kind in WORD_KINDS:
        problems.append(f"subword.byte_fallback must be false for subword={spec.kind}, whose unknown words are <unk>")
    elif not smallest <= spec.vocab_size <= MAX_VOCAB_SIZE:
        problems.append(
            f"{spec.size_setting} must be at least {smallest} and at most {MAX_VOCAB_SIZE:,}, but is {spec.vocab_size}"
        )
    if not 0.98 <= spec.character_coverage <= 1:  # SentencePiece's own limits
        problems.append(f"subword.character_coverage must be from 0.98 to 1, but is {spec.character_coverage}")
    if spec.max_sentences < 1:
        problems.append(f"subword.max_sentences must be at least 1, but is {spec.max_sentences}")
    if problems:
        raise ConfigError("; ".join(problems))


def _sample(lines: Iterable[tuple[int, str]], limit: int, *, seed: int) -> list[tuple[int, str]]:
    """Choose at most `limit` lines with their sides, each with the same probability (reservoir sampling)."""
    rng = random.Random(seed)
    sample: list[tuple[int, str]] = []
    for num_seen, line in enumerate(lines):
        if num_seen < limit:
            sample.append(line)
        elif (place := int(rng.random() * (num_seen + 1))) < limit:
            sample[place] = line
    return sample


def _train_sides(
    sample: list[tuple[int, str]], spec: SubwordSpec, rules: Sequence[Normalization], *, langs: Sequence[str]
) -> list[bytes]:
    """Return a serialized SentencePiece model for each side, all with one vocabulary."""
    lang = " and ".join(langs)
    normalizers = [StandaloneNormalizer(rule, one_space=_has_single_spaces(rule, spec)) for rule in rules]
    symbols = dict.fromkeys(f"▁{normalizers[0](symbol)}" for symbol in spec.symbols)  # of the first side only
    if len(set(rules)) == 1:
        lines = [canonical(line, rules[0]) for _, line in sample]
        return [_train(lines, spec, rules[0], lang=lang, symbols=list(symbols))] * len(rules)
    # the vocabulary holds the characters of both sides, each normalized by its own rule
    lines = [normalizers[side](line) for side, line in sample]
    proto = _train(lines, spec, Normalization.identity, lang=lang, symbols=list(symbols))
    return [normalizer.put_into(proto) for normalizer in normalizers]


def _train(
    sample: list[str], spec: SubwordSpec, normalization: Normalization, *, lang: str, symbols: list[str]
) -> bytes:
    from sentencepiece import SentencePieceTrainer

    if not sample:
        raise _no_words(lang)
    model = io.BytesIO()
    options: dict[str, Any] = {}  # SentencePiece's defaults, if given, would change the bytes of a model
    if symbols:
        options["user_defined_symbols"] = symbols
    if spec.kind == SubwordKind.token:
        options["hard_vocab_limit"] = False
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type=str(SubwordKind.word if spec.kind == SubwordKind.token else spec.kind),
            vocab_size=spec.vocab_size,
            character_coverage=spec.character_coverage,
            byte_fallback=spec.byte_fallback,
            normalization_rule_name=rule_name(normalization),
            remove_extra_whitespaces=_has_single_spaces(normalization, spec),
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            unk_surface=f" {_UNK_SURFACE}" if spec.kind in WORD_KINDS else _UNK_SURFACE,
            max_sentence_length=_MAX_LINE_BYTES,
            num_threads=_NUM_LEARNING_THREADS,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        raise _explained(error, spec, lang=lang) from None
    return model.getvalue()


def _has_single_spaces(normalization: Normalization, spec: SubwordSpec) -> bool:
    return normalization != Normalization.identity or spec.kind in WORD_KINDS


def _explained(error: RuntimeError, spec: SubwordSpec, *, lang: str) -> DataError:
    """Turn SentencePiece's message about a vocabulary size that the text does not allow into advice."""
    message = " ".join(str(error).split())
    size = f"{spec.size_setting}={spec.vocab_size}"
    if too_high := re.search(r"Please set it to a value <= (\d+)", message):
        return DataError(
            f"{size} is more than the {lang} text allows: set it to at most {too_high[1]}, or give more text"
        )
    if too_low := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return DataError(
            f"{size} is less than the characters of the {lang} text need: "
            f"set it to at least {too_low[1]}, or lower subword.character_coverage"
        )
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return _no_words(lang)
    return DataError(f"{size} cannot be learned from the {lang} text: {message}")


def _no_words(lang: str) -> DataError:
    return DataError(f"the {lang} text to learn subwords from has no words: give training text")


def _without(symbols: frozenset[str], line: str) -> str:
    """Leave out the symbols, whose characters need not be known."""
    return " ".join(word for word in line.split(" ") if word not in symbols) if symbols else line


def _report(model: SubwordModel, lines: Sequence[str], rule: Normalization, spec: SubwordSpec, *, lang: str) -> None:
    """Log how normalization and vocabulary change the characters of the lines that a model was learned from.

    If there are very many lines, only every second, third etc. is examined.
    """
    found = report_normalization(lines[:: 1 + len(lines) // _NUM_LINES_REPORTED], model.normalize_tokens)
    if found.num_changed:
        log.info(
            "subwords: normalization %s changes %s of %s characters of the %s text learned from (%.3f%%)",
            rule,
            f"{found.num_changed:,}",
            f"{found.num_characters:,}",
            lang,
            100 * found.num_changed / found.num_characters,
        )
    if spec.kind in WORD_KINDS or spec.character_coverage < 1:  # unknown characters are intended
        return
    characters = sorted(found.characters)
    unknown = [text for text, ids in zip(characters, model.encode_batch(characters), strict=True) if UNK_ID in ids]
    if unknown:
        named = ", ".join(f"{text if text.isprintable() else ''} U+{ord(text):04X}".strip() for text in unknown[:10])
        log.warning(
            "subwords: %s of %s characters of the %s text learned from are unknown to the vocabulary: %s%s",
            f"{len(unknown):,}",
            f"{len(characters):,}",
            lang,
            named,
            ", …" if len(unknown) > 10 else "",
        )
