"""Text <-> subword ids, by SentencePiece.

A `SubwordModel` is one self-contained file: a line of JSON, then SentencePiece's own model. A plain SentencePiece
`.model`, learned elsewhere, loads too. Ids 0 to 3 are always <pad>, <unk>, <s>, </s>; a model that numbers its pieces
otherwise is renumbered.

`decode(encode(text))` is `normalize(text)`, but for characters that the model does not know (unless
`byte_fallback`). Under `normalization="identity"` that is the text itself, but for "▁" (U+2581), which SentencePiece
keeps for the space and which comes back as one, and for line feeds, which come back as spaces. What other rules do is
said in `nmt.text.normalization`.
"""

import hashlib
import io
import json
import logging
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nmt.errors import ConfigError, DataError
from nmt.files import atomic_write
from nmt.text.moses import Moses
from nmt.text.normalization import (
    Normalization,
    NormalizedAlone,
    nfc,
    report_normalization,
    rule_name,
)
from nmt.text.word_table import EncodedTexts, WordTable

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

logger = logging.getLogger(__name__)

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>")

SubwordKind = Literal["bpe", "unigram", "char", "word"]
Tokenizer = Literal["none", "moses"]

_SPACE = "▁"
_UNK_SURFACE = "⁇"
_FORMAT_VERSIONS = (1, 2)  # 2 has a normalization in its header
_HEADER_START = b'{"format": "nmt-subword"'
_NUM_BYTE_PIECES = 256
_NUM_LINES_REPORTED = 100_000
_MAX_VOCAB_SIZE = 10_000_000  # near 2^31 SentencePiece takes minutes, or crashes
# Part of the result, not of the machine: unigram's sums are split by thread, so another number learns other pieces.
_NUM_LEARNING_THREADS = 8
# SentencePiece skips longer lines; its BPE trainer aborts on a single word of 65,536 characters.
_MAX_LINE_BYTES = 65_535


@dataclass(frozen=True)
class SubwordSpec:
    """How a subword model is learned.

    `normalization` is that of `learn_subword`, and of each side of `learn_joint_subwords` unless told otherwise.
    `vocab_size` includes the four specials. It is met exactly, but for `char`, where it is a limit: a text of fewer
    characters gives a smaller vocabulary. At most `max_sentences` lines, chosen with `seed`, are learned from. `word`
    keeps the most frequent words (Sutskever et al. 2014, §3.1) and knows no spaces: between its words there is one,
    under `identity` too.
    """

    kind: SubwordKind
    vocab_size: int
    byte_fallback: bool
    normalization: Normalization
    tokenizer: Tokenizer
    character_coverage: float
    max_sentences: int
    seed: int


@dataclass(frozen=True)
class _Header:
    """What SentencePiece's own model does not say; `kind` is None for a model that was learned elsewhere.

    `normalization` is what is done before SentencePiece's own.
    """

    kind: SubwordKind | None
    tokenizer: Tokenizer
    lang: str
    normalization: Literal["nfc"] | None = None


class SubwordModel:
    """Text <-> ids of subwords. Learn one with `learn_subword`, or load it."""

    def __init__(self, proto: bytes, header: _Header) -> None:
        """Wrap a serialized SentencePiece model; others call `load`, `from_bytes` or `learn_subword`."""
        from sentencepiece import SentencePieceProcessor

        self._proto = proto
        self._header = header
        self._sp = SentencePieceProcessor()
        self._sp.load_from_serialized_proto(proto)
        _check_pieces(self._sp)
        self._ours_of_sp, self._sp_of_ours = _renumber(self._sp)
        # A model from elsewhere may have pieces that reach over a space: SentencePiece segments its texts whole.
        self._words = None if header.kind is None else WordTable(self._encode_words)
        self._vocabulary: dict[str, int] = {}
        if header.kind == "word":
            self._vocabulary = {
                self._sp.id_to_piece(i): ours for i, ours in enumerate(self._ours_of_sp) if ours > EOS_ID
            }
        self._moses = None
        if header.tokenizer == "moses":
            self._moses = Moses(header.lang, knows_curly=header.normalization == "nfc")

    @classmethod
    def load(cls, path: Path, *, fingerprint: str | None = None) -> "SubwordModel":
        """Load a file that `save` wrote, or a plain SentencePiece model.

        Args:
            fingerprint: what that of the file must be.

        Raises:
            DataError: the file is missing, is neither, or is another model.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"subword model {path} cannot be read: {error.strerror or error}") from None
        if fingerprint is not None and hashlib.sha256(content).hexdigest() != fingerprint:
            raise DataError(
                f"{path} is damaged, or not the subword model that made {path.parent}: "
                "restore it, or remove the folder and run nmt prepare again"
            )
        return cls.from_bytes(content, name=str(path))

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> "SubwordModel":
        """Make a model of what `to_bytes` returned or of a plain SentencePiece model; `name` is for messages.

        Raises:
            DataError: the content is neither.
        """
        header, proto = _Header(kind=None, tokenizer="none", lang=""), content
        try:
            if content.startswith(_HEADER_START):
                line, _, proto = content.partition(b"\n")
                header = _parse_header(json.loads(line), name)
            if not proto:
                raise ValueError("empty")
            return cls(proto, header)
        except (KeyError, RecursionError, RuntimeError, TypeError, ValueError):
            raise DataError(
                f"{name} must be a subword model (of nmt or of SentencePiece), but is damaged or something else"
            ) from None

    def to_bytes(self) -> bytes:
        """Return what a file of this model holds."""
        header = asdict(self._header)
        version = 2
        if self._header.normalization is None:
            version = 1
            del header["normalization"]
        return json.dumps({"format": "nmt-subword", "version": version, **header}).encode() + b"\n" + self._proto

    def save(self, path: Path) -> None:
        """Write the model to one file, all of it or nothing.

        Raises:
            OSError: it cannot be written.
        """
        with atomic_write(path) as stream:
            stream.write(self.to_bytes())

    @property
    def vocab_size(self) -> int:
        """The number of ids, the four specials included."""
        return len(self._sp_of_ours)

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of what `save` writes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without BOS and EOS."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without BOS and EOS."""
        encoded = self.encode_flat(texts)
        ids = encoded.ids.tolist()
        ends = np.cumsum(encoded.len_N).tolist()
        return [ids[end - length : end] for end, length in zip(ends, encoded.len_N.tolist(), strict=True)]

    def encode_flat(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of N texts in one array, with their lengths: several times as fast as lists for many texts."""
        if self._moses is not None:
            texts = [self._moses.tokenize(text) for text in texts]
        if self._words is None:
            rows = [self._renumbered(ids) for ids in self._sp.encode(list(texts))] if texts else []
            len_N = np.fromiter(map(len, rows), np.int32, len(rows))
            return EncodedTexts(np.fromiter(chain.from_iterable(rows), np.int32, int(len_N.sum())), len_N)
        # No piece that we learn reaches over a space, so the ids of a text are those of its words, and words come back.
        joined = " ".join(texts)
        if texts and all(texts) and _SPACE not in joined:  # as nearly always: one split for all texts
            return self._words.encode(joined.split(" "), [text.count(" ") + 1 for text in texts])
        words_N = [_words(text) for text in texts]
        return self._words.encode(list(chain.from_iterable(words_N)), [len(words) for words in words_N])

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        if self._header.normalization == "nfc":
            words = [nfc(word) for word in words]
        if self._header.kind == "word":
            return [self._known_words(word) for word in words]
        # No word, between two spaces or at an end: one "▁" more, where SentencePiece does not remove extra spaces.
        rows = self._sp.encode([word or " " for word in words], num_threads=1)
        return [self._renumbered(ids if word else ids[1:]) for word, ids in zip(words, rows, strict=True)]

    def _known_words(self, word: str) -> list[int]:
        # SentencePiece would make one <unk> of neighbouring unknown words, such as those around a no-break space.
        words = re.findall(f"{_SPACE}[^{_SPACE}]+", self._sp.normalize(word))
        return [self._vocabulary.get(known, UNK_ID) for known in words]

    def _renumbered(self, sp_ids: list[int]) -> list[int]:
        ours_of_sp = self._ours_of_sp
        return [ours_of_sp[i] for i in sp_ids]

    def unknown_share(self, text: str, ids: Sequence[int]) -> float:
        """Return the share of a text's characters, spaces left out, that `ids`, its own, do not spell.

        Characters, since any number of them may be one <unk>. Those that are spelled in bytes count as unknown.
        """
        num_characters = len(self.normalize_tokens(text).replace(" ", ""))
        num_known = sum(self._num_characters[i] for i in ids)
        return max(0.0, 1 - num_known / num_characters) if num_characters else 0.0

    @cached_property
    def _num_characters(self) -> list[int]:
        """How many characters each subword spells, the mark of the space left out."""
        return [
            0 if ours <= EOS_ID or self._sp.is_byte(sp_id) else len(self._sp.id_to_piece(sp_id).replace(_SPACE, ""))
            for ours, sp_id in enumerate(self._sp_of_ours)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids: one line, without PAD, BOS and EOS; an UNK shows as "⁇"."""
        return self.decode_batch([ids])[0]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each sequence of ids."""
        sp_ids = [[self._sp_of_ours[i] for i in row if i == UNK_ID or i > EOS_ID] for row in ids]
        texts: list[str] = self._sp.decode(sp_ids) if sp_ids else []
        return [self._finish(text) for text in texts]

    def normalize(self, text: str) -> str:
        """Return what `decode(encode(text))` gives where no character is unknown."""
        if self._moses is not None:
            text = self._moses.tokenize(text)
        return self._finish(self.normalize_tokens(text))

    def normalize_tokens(self, text: str) -> str:
        """Return what becomes of the characters of a text that is tokenized already."""
        if self._header.normalization == "nfc":
            text = nfc(text)
        normalized: str = self._sp.normalize(text)
        return normalized.removeprefix(_SPACE).replace(_SPACE, " ")

    def _finish(self, text: str) -> str:
        if self._moses is not None:
            text = self._moses.detokenize(text)
        return text.replace("\n", " ")  # byte pieces can spell a line feed, and one line must stay one line

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the subwords behind ids, for showing; "▁" marks the beginning of a word."""
        return [
            SPECIAL_PIECES[i] if i <= EOS_ID else self._sp.id_to_piece(self._sp_of_ours[i])
            for i in (int(i) for i in ids)
        ]


def _words(text: str) -> list[str]:
    # "▁" is a space to SentencePiece, but not to split: such a text goes in whole
    if _SPACE in text:
        return [text]
    return text.split(" ") if text else []


def learn_subword(lines: Iterable[str], spec: SubwordSpec, *, lang: str) -> SubwordModel:
    """Learn a subword model; the same lines, spec and language give the same bytes.

    Raises:
        ConfigError: the spec is invalid.
        DataError: the text is empty, or too small or too large for `spec.vocab_size`.
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

    The models differ in nothing but the language whose rules their tokenizer follows, and the normalization.

    Args:
        normalizations: one for each text; that of `spec` for all if None.

    Raises:
        ConfigError: the spec is invalid.
        DataError: the text is empty, or too small or too large for `spec.vocab_size`.
    """
    _check(spec)
    rules = normalizations or [spec.normalization] * len(texts)
    with_words = (
        (side, line) for side, (_, lines) in enumerate(texts) for line in lines if line and not line.isspace()
    )
    sample = _sample(with_words, spec.max_sentences, seed=spec.seed)
    langs = [lang for lang, _ in texts]
    if spec.tokenizer == "moses":
        moses = [Moses(lang, knows_curly=rule == "nfc") for lang, rule in zip(langs, rules, strict=True)]
        sample = [(side, moses[side].tokenize(line)) for side, line in sample]
    if len(set(rules)) == 1:
        lines = [nfc(line) for _, line in sample] if rules[0] == "nfc" else [line for _, line in sample]
        protos = [_train(lines, spec, rules[0], lang=" and ".join(langs))] * len(texts)
    else:  # one vocabulary of both sides' characters, as each side's rule leaves them
        normalizers = [NormalizedAlone(rule, one_space=_has_single_spaces(rule, spec)) for rule in rules]
        lines = [normalizers[side](line) for side, line in sample]
        proto = _train(lines, spec, "identity", lang=" and ".join(langs))
        protos = [normalizer.put_into(proto) for normalizer in normalizers]
    models = []
    for side, (lang, rule, proto) in enumerate(zip(langs, rules, protos, strict=True)):
        header = _Header(spec.kind, spec.tokenizer, lang, normalization="nfc" if rule == "nfc" else None)
        models.append(SubwordModel(proto, header))
        _report(models[-1], [line for of_side, line in sample if of_side == side], rule, spec, lang=lang)
    return models


def _report(model: SubwordModel, lines: Sequence[str], rule: Normalization, spec: SubwordSpec, *, lang: str) -> None:
    """Log what normalization and vocabulary do to the characters of the lines that a model was learned from.

    Of very many lines it looks at every second, third or so.
    """
    found = report_normalization(lines[:: 1 + len(lines) // _NUM_LINES_REPORTED], model.normalize_tokens)
    logger.info(
        "subwords: normalization %s changes %s of %s characters of the %s text learned from (%.3f%%)",
        rule,
        f"{found.num_changed:,}",
        f"{found.num_characters:,}",
        lang,
        100 * found.num_changed / max(1, found.num_characters),
    )
    if spec.kind == "word" or spec.character_coverage < 1:  # where unknown characters are meant
        return
    characters = sorted(found.characters)
    unknown = [text for text, ids in zip(characters, model.encode_batch(characters), strict=True) if UNK_ID in ids]
    if unknown:
        named = ", ".join(f"{text if text.isprintable() else ''} U+{ord(text):04X}".strip() for text in unknown[:10])
        logger.warning(
            "subwords: %s of %s characters of the %s text learned from are unknown to the vocabulary: %s%s",
            f"{len(unknown):,}",
            f"{len(characters):,}",
            lang,
            named,
            ", …" if len(unknown) > 10 else "",
        )


def _check(spec: SubwordSpec) -> None:
    problems = []
    smallest = len(SPECIAL_PIECES) + 1 + (_NUM_BYTE_PIECES if spec.byte_fallback else 0)
    if spec.byte_fallback and spec.kind == "word":
        problems.append("subword.byte_fallback must be false for subword=word, whose unknown words are <unk>")
    elif not smallest <= spec.vocab_size <= _MAX_VOCAB_SIZE:
        problems.append(
            f"subword.vocab_size must be at least {smallest} and at most {_MAX_VOCAB_SIZE:,}, but is {spec.vocab_size}"
        )
    if not 0.98 <= spec.character_coverage <= 1:  # SentencePiece's own bounds
        problems.append(f"subword.character_coverage must be from 0.98 to 1, but is {spec.character_coverage}")
    if spec.max_sentences < 1:
        problems.append(f"subword.max_sentences must be at least 1, but is {spec.max_sentences}")
    if problems:
        raise ConfigError("; ".join(problems))


def _sample(lines: Iterable[tuple[int, str]], limit: int, *, seed: int) -> list[tuple[int, str]]:
    """Draw at most `limit` of the lines and their sides, each with the same chance (reservoir sampling)."""
    rng = random.Random(seed)
    sample: list[tuple[int, str]] = []
    for num_seen, line in enumerate(lines):
        if num_seen < limit:
            sample.append(line)
        elif (place := int(rng.random() * (num_seen + 1))) < limit:
            sample[place] = line
    return sample


def _train(sample: list[str], spec: SubwordSpec, normalization: Normalization, *, lang: str) -> bytes:
    from sentencepiece import SentencePieceTrainer

    if not sample:
        raise DataError(f"the {lang} text to learn subwords from has no words: give training text")
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type=spec.kind,
            vocab_size=spec.vocab_size,
            character_coverage=spec.character_coverage,
            byte_fallback=spec.byte_fallback,
            normalization_rule_name=rule_name(normalization),
            remove_extra_whitespaces=_has_single_spaces(normalization, spec),
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            unk_surface=f" {_UNK_SURFACE}" if spec.kind == "word" else _UNK_SURFACE,
            max_sentence_length=_MAX_LINE_BYTES,
            num_threads=_NUM_LEARNING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(error, spec, lang=lang) from None
    return model.getvalue()


def _has_single_spaces(normalization: Normalization, spec: SubwordSpec) -> bool:
    return normalization != "identity" or spec.kind == "word"


def _explained(error: RuntimeError, spec: SubwordSpec, *, lang: str) -> DataError:
    """Turn what SentencePiece says about a vocabulary that the text does not allow into what to do."""
    message = " ".join(str(error).split())
    size = f"subword.vocab_size={spec.vocab_size}"
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
        return DataError(f"the {lang} text to learn subwords from has no words: give training text")
    return DataError(f"{size} cannot be learned from the {lang} text: {message}")


def _check_pieces(sp: "SentencePieceProcessor") -> None:
    """Find out now, not when a text is decoded, whether a stranger's pieces are text.

    Raises:
        UnicodeDecodeError: they are not.
    """
    sp.id_to_piece(list(range(sp.get_piece_size())))
    sp.decode([sp.unk_id()])


def _renumber(sp: "SentencePieceProcessor") -> tuple[list[int], list[int]]:
    """Return our id of each SentencePiece id, and the reverse: the specials first, then the other pieces in order.

    A special that the model lacks stands for its <unk> in the reverse.
    """
    specials = {sp.pad_id(): PAD_ID, sp.unk_id(): UNK_ID, sp.bos_id(): BOS_ID, sp.eos_id(): EOS_ID}
    specials.pop(-1, None)
    ours_of_sp = [0] * sp.get_piece_size()
    sp_of_ours = [sp.unk_id()] * len(SPECIAL_PIECES)
    for sp_id in range(sp.get_piece_size()):
        if sp_id in specials:
            ours_of_sp[sp_id] = specials[sp_id]
            sp_of_ours[specials[sp_id]] = sp_id
        else:
            ours_of_sp[sp_id] = len(sp_of_ours)
            sp_of_ours.append(sp_id)
    return ours_of_sp, sp_of_ours


def _parse_header(fields: dict[str, Any], name: str) -> _Header:
    version = fields["version"]
    if isinstance(version, bool) or not isinstance(version, int):
        raise ValueError("no version")
    if version not in _FORMAT_VERSIONS:
        raise DataError(
            f"{name} is a subword model of format {version}, but this nmt reads up to format {_FORMAT_VERSIONS[-1]}: "
            "prepare the data again, or use the nmt that wrote it"
        )
    header = _Header(
        kind=fields["kind"],
        tokenizer=fields["tokenizer"],
        lang=fields["lang"],
        normalization=fields["normalization"] if version > 1 else None,
    )
    if (
        header.kind not in (None, *get_args(SubwordKind))
        or header.tokenizer not in get_args(Tokenizer)
        or not isinstance(header.lang, str)
        or header.normalization != ("nfc" if version > 1 else None)
    ):
        raise ValueError("unknown rules")
    return header
