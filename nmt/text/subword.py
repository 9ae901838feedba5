"""Text <-> subword ids, by SentencePiece.

A `SubwordModel` is one file that stands alone: a line of JSON, then SentencePiece's own model. A plain SentencePiece
`.model`, learned elsewhere, loads too. Ids 0 to 3 are always <pad>, <unk>, <s>, </s>; a model that numbers its pieces
otherwise is renumbered.

`decode(encode(text))` is `normalize(text)`, but for characters that the model does not know (unless
`byte_fallback`). Under `normalization="identity"` that is the text itself, but for "▁" (U+2581), which SentencePiece
keeps for the space and which comes back as one, and for line feeds, which come back as spaces.
"""

import hashlib
import io
import json
import os
import random
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>")

SubwordKind = Literal["bpe", "unigram", "char", "word"]
Normalization = Literal["nmt_nfkc", "identity"]
Tokenizer = Literal["none", "moses"]

_SPACE = "▁"
_UNK_SURFACE = "⁇"
_FORMAT_VERSION = 1
_HEADER_START = b'{"format": "nmt-subword"'
_NUM_BYTE_PIECES = 256
# Part of the result, not of the machine: unigram's sums are split by thread, so another number learns other pieces.
_NUM_LEARNING_THREADS = 8
# SentencePiece skips longer lines; its BPE trainer aborts on a single word of 65,536 characters.
_MAX_LINE_BYTES = 65_535
_NUM_CACHED_WORDS = 1 << 18
# One by one takes SentencePiece twice as long; the lists of many more would keep the garbage collector busy.
_NUM_WORDS_AT_ONCE = 256


@dataclass(frozen=True)
class SubwordSpec:
    """How a subword model is learned.

    `vocab_size` includes the four specials. It is met exactly, but for `char`, where it is a limit: a text of fewer
    characters gives a smaller vocabulary. At most `max_sentences` lines, drawn with `seed`, are learned from. `word`
    keeps the most frequent words (Sutskever et al. 2014, §3.1) and knows no spaces: between its words stands one, under
    `identity` too.
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
    """What SentencePiece's own model does not say; `kind` is None for a model that was learned elsewhere."""

    kind: SubwordKind | None
    tokenizer: Tokenizer
    lang: str


class EncodedTexts(NamedTuple):
    """The ids of N texts, one after the other, and the number of ids of each."""

    ids: NDArray[np.int32]
    len_N: NDArray[np.int32]


class SubwordModel:
    """Text <-> ids of subwords. Learn one with `learn_subword`, or load it."""

    def __init__(self, proto: bytes, header: _Header) -> None:
        """Wrap a serialized SentencePiece model; others call `load` or `learn_subword`."""
        from sentencepiece import SentencePieceProcessor

        self._proto = proto
        self._header = header
        self._sp = SentencePieceProcessor()
        self._sp.load_from_serialized_proto(proto)
        _check_pieces(self._sp)
        self._ours_of_sp, self._sp_of_ours = _renumber(self._sp)
        # A model from elsewhere may have pieces that reach over a space: SentencePiece segments its texts whole.
        self._words = None if header.kind is None else _WordTable(self._encode_words)
        self._vocabulary: dict[str, int] = {}
        if header.kind == "word":
            self._vocabulary = {
                self._sp.id_to_piece(i): ours for i, ours in enumerate(self._ours_of_sp) if ours > EOS_ID
            }
        self._moses = _Moses(header.lang) if header.tokenizer == "moses" else None

    def __reduce__(self) -> tuple[Any, ...]:
        return SubwordModel, (self._proto, self._header)

    @classmethod
    def load(cls, path: Path) -> "SubwordModel":
        """Load a file that `save` wrote, or a plain SentencePiece model.

        Raises:
            DataError: the file is missing or is neither.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"subword model {path} cannot be read: {error.strerror or error}") from None
        header, proto = _Header(kind=None, tokenizer="none", lang=""), content
        try:
            if content.startswith(_HEADER_START):
                line, _, proto = content.partition(b"\n")
                header = _parse_header(json.loads(line), path)
            if not proto:
                raise ValueError("empty")
            return cls(proto, header)
        except (KeyError, RecursionError, RuntimeError, TypeError, ValueError):
            raise DataError(
                f"{path} must be a subword model (of nmt or of SentencePiece), but is damaged or something else"
            ) from None

    def save(self, path: Path) -> None:
        """Write the model to one file, aside first, then renamed."""
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        aside.write_bytes(self._serialized())
        aside.replace(path)

    def _serialized(self) -> bytes:
        header = {"format": "nmt-subword", "version": _FORMAT_VERSION, **asdict(self._header)}
        return json.dumps(header).encode() + b"\n" + self._proto

    @property
    def vocab_size(self) -> int:
        """The number of ids, the four specials included."""
        return len(self._sp_of_ours)

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of what `save` writes."""
        return hashlib.sha256(self._serialized()).hexdigest()

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
        return self._finish(self._sp.normalize(text).removeprefix(_SPACE).replace(_SPACE, " "))

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


class _WordTable(dict[str, int]):
    """The words met so far: word -> its number, by which `encode` finds its ids. Not for several threads at once."""

    def __init__(self, encode_words: Callable[[list[str]], list[list[int]]]) -> None:
        super().__init__()
        self._encode_words = encode_words
        self._forget()

    def _forget(self) -> None:
        self.clear()
        self._new: list[str] = []  # words that have a number, but no ids yet
        # Word 0 is no word and has no ids: numpy cannot look into an empty array.
        self._offset, self._len, self._ids = array("q", [0]), array("i", [0]), array("i", [0])

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self._len) + len(self._new)
        self._new.append(word)
        return number

    def _learn(self) -> None:
        """Find the ids of the new words."""
        for begin in range(0, len(self._new), _NUM_WORDS_AT_ONCE):
            for ids in self._encode_words(self._new[begin : begin + _NUM_WORDS_AT_ONCE]):
                self._offset.append(len(self._ids))
                self._len.append(len(ids))
                self._ids.extend(ids)
        self._new = []

    def encode(self, words: list[str], num_words_N: list[int]) -> EncodedTexts:
        """Return the ids of N texts that are `words` one after the other, so and so many for each."""
        if len(self) > _NUM_CACHED_WORDS:
            self._forget()
        try:
            index_W = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
            self._learn()
        except BaseException:  # a word must not be known without its ids
            self._forget()
            raise
        len_W = np.frombuffer(self._len, np.int32)[index_W]
        end_W = np.cumsum(len_W, dtype=np.int64)
        # id k of a word stands k after the word's offset in the table, and k after the word's beginning in the result
        shift_W = np.frombuffer(self._offset, np.int64)[index_W] - (end_W - len_W)
        ids = np.frombuffer(self._ids, np.int32)[np.repeat(shift_W, len_W) + np.arange(len_W.sum())]
        last_word_N = np.cumsum(num_words_N, dtype=np.int64)
        end_N = np.concatenate(([0], end_W))[last_word_N]
        return EncodedTexts(ids, np.diff(end_N, prepend=0).astype(np.int32))


def _words(text: str) -> list[str]:
    # "▁" is a space to SentencePiece, but not to split: such a text goes in whole
    if _SPACE in text:
        return [text]
    return text.split(" ") if text else []


def learn_subword(lines: Iterable[str], spec: SubwordSpec, *, lang: str) -> SubwordModel:
    """Learn a subword model; the same lines, spec and language give the same bytes.

    Raises:
        ConfigError: the spec cannot be.
        DataError: the text is empty, or too small or too large for `spec.vocab_size`.
    """
    [model] = learn_joint_subwords([(lang, lines)], spec)
    return model


def learn_joint_subwords(texts: Sequence[tuple[str, Iterable[str]]], spec: SubwordSpec) -> list[SubwordModel]:
    """Learn one vocabulary from the lines of several languages; returns a model for each, in the order given.

    The models differ in nothing but the language whose rules their tokenizer follows.

    Raises:
        ConfigError: the spec cannot be.
        DataError: the text is empty, or too small or too large for `spec.vocab_size`.
    """
    _check(spec)
    with_words = ((lang, line) for lang, lines in texts for line in lines if line and not line.isspace())
    sample = _sample(with_words, spec.max_sentences, seed=spec.seed)
    langs = [lang for lang, _ in texts]
    if spec.tokenizer == "moses":
        moses = {lang: _Moses(lang) for lang in langs}
        sample = [(lang, moses[lang].tokenize(line)) for lang, line in sample]
    proto = _train([line for _, line in sample], spec, lang=" and ".join(langs))
    return [SubwordModel(proto, _Header(kind=spec.kind, tokenizer=spec.tokenizer, lang=lang)) for lang in langs]


def _check(spec: SubwordSpec) -> None:
    problems = []
    smallest = len(SPECIAL_PIECES) + 1 + (_NUM_BYTE_PIECES if spec.byte_fallback else 0)
    if spec.byte_fallback and spec.kind == "word":
        problems.append("subword.byte_fallback must be false for subword=word, whose unknown words are <unk>")
    elif spec.vocab_size < smallest:
        problems.append(f"subword.vocab_size must be at least {smallest}, but is {spec.vocab_size}")
    if not 0 < spec.character_coverage <= 1:
        problems.append(f"subword.character_coverage must be above 0 and at most 1, but is {spec.character_coverage}")
    if spec.max_sentences < 1:
        problems.append(f"subword.max_sentences must be at least 1, but is {spec.max_sentences}")
    if problems:
        raise ConfigError("; ".join(problems))


def _sample(lines: Iterable[tuple[str, str]], limit: int, *, seed: int) -> list[tuple[str, str]]:
    """Draw at most `limit` of the lines and their languages, each with the same chance (reservoir sampling)."""
    rng = random.Random(seed)
    sample: list[tuple[str, str]] = []
    for num_seen, line in enumerate(lines):
        if num_seen < limit:
            sample.append(line)
        elif (place := int(rng.random() * (num_seen + 1))) < limit:
            sample[place] = line
    return sample


def _train(sample: list[str], spec: SubwordSpec, *, lang: str) -> bytes:
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
            normalization_rule_name=spec.normalization,
            remove_extra_whitespaces=spec.normalization != "identity" or spec.kind == "word",
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


def _parse_header(fields: dict[str, Any], path: Path) -> _Header:
    if fields["version"] != _FORMAT_VERSION:
        raise DataError(
            f"{path} is a subword model of format {fields['version']}, but this nmt reads format {_FORMAT_VERSION}: "
            "prepare the data again, or use the nmt that wrote it"
        )
    return _Header(kind=fields["kind"], tokenizer=fields["tokenizer"], lang=fields["lang"])


class _Moses:
    """Moses' tokenizer and detokenizer for one language, without escapes such as &apos;."""

    def __init__(self, lang: str) -> None:
        from sacremoses import MosesDetokenizer, MosesTokenizer

        self._tokenizer = MosesTokenizer(lang=lang)
        self._detokenizer = MosesDetokenizer(lang=lang)

    def tokenize(self, text: str) -> str:
        return " ".join(self._tokenizer.tokenize(text, escape=False))

    def detokenize(self, text: str) -> str:
        return str(self._detokenizer.detokenize(text.split(), unescape=False))
