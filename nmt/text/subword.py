"""Text to subword ids and back, by SentencePiece.

A `SubwordModel` is one self-contained file. A plain SentencePiece `.model`, learned elsewhere, loads too. Ids 0 to 3
are always <pad>, <unk>, <s>, </s>; a model that numbers its pieces differently is renumbered.

`decode(encode(text))` is `normalize(text)`, except for characters that the model does not know (unless it has
`byte_fallback`). With `normalization=identity` that is the text itself, except for "▁" (U+2581), with which
SentencePiece marks spaces and which comes back as a space, and line feeds, which also come back as spaces. Other rules
are described in `nmt.text.normalization`.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nmt.choices import Normalization, Tokenizer
from nmt.config import WORD_KINDS
from nmt.errors import DataError
from nmt.files import atomic_write
from nmt.text.moses import Moses
from nmt.text.normalization import FORMS, canonical
from nmt.text.sentencepiece_proto import ParsedModel, parse_model
from nmt.text.subword_file import SubwordHeader, pack, unpack
from nmt.text.subword_sampling import RandomSegmenter, can_sample
from nmt.text.word_table import EncodedTexts, WordTable

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
NUM_SPECIALS = 4
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")

_SPACE = "▁"


class SubwordModel:
    """Text to subword ids and back. Load a model, or learn one with `nmt.text.subword_learning`."""

    def __init__(self, proto: bytes, header: SubwordHeader) -> None:
        """Wrap a serialized SentencePiece model; to read a file use `load` or `from_bytes`."""
        from sentencepiece import SentencePieceProcessor

        self._proto = proto
        self._header = header
        self._sp = SentencePieceProcessor()
        self._sp.load_from_serialized_proto(proto)
        _check_pieces(self._sp)
        self._ours_of_sp, self._sp_of_ours = _renumber(self._sp)
        # Pieces of models learned elsewhere may include a space: their texts are segmented as a whole.
        self._words = None if header.kind is None else WordTable(self._encode_words)
        self._vocabulary: dict[str, int] = {}
        if header.kind in WORD_KINDS:
            self._vocabulary = {
                self._sp.id_to_piece(i): ours for i, ours in enumerate(self._ours_of_sp) if ours > EOS_ID
            }
        self._moses = None
        if header.tokenizer == Tokenizer.moses:
            self._moses = Moses(header.lang, knows_curly=header.normalization in FORMS)

    @classmethod
    def load(cls, path: Path, *, fingerprint: str | None = None) -> "SubwordModel":
        """Load a file that `save` wrote, or a plain SentencePiece model.

        Args:
            fingerprint: which the file must have.

        Raises:
            DataError: if the file is missing, is neither, or is another model.
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
        """Make a model from the result of `to_bytes` or a plain SentencePiece model; `name` is for messages.

        Raises:
            DataError: if the content is neither.
        """
        try:
            header, proto = unpack(content, name=name)
            return cls(proto, header)
        except (KeyError, RecursionError, RuntimeError, TypeError, ValueError):
            raise DataError(
                f"{name} must be a subword model (of nmt or of SentencePiece), but is damaged or something else"
            ) from None

    def to_bytes(self) -> bytes:
        """Return the content of the model's file."""
        return pack(self._header, self._proto)

    def save(self, path: Path) -> None:
        """Write the model to one file, which is complete or absent.

        Raises:
            OSError: if it cannot be written.
        """
        with atomic_write(path) as stream:
            stream.write(self.to_bytes())

    @property
    def vocab_size(self) -> int:
        """The number of ids, including the four specials."""
        return len(self._sp_of_ours)

    @cached_property
    def pieces(self) -> list[str]:
        """The subwords by id: "▁" marks the beginning of a word, and the specials are <pad>, <unk>, <s>, </s>."""
        return [*SPECIALS, *(self._sp.id_to_piece(i) for i in self._sp_of_ours[NUM_SPECIALS:])]

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the model's file."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    # Text -> ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without BOS and EOS."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without BOS and EOS."""
        encoded = self.encode_flat(texts)
        ids = encoded.ids.tolist()
        ends = np.cumsum(encoded.lens).tolist()
        return [ids[end - length : end] for end, length in zip(ends, encoded.lens.tolist(), strict=True)]

    def encode_flat(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of all texts in one array, which for many texts is several times as fast as lists."""
        if self._moses is not None:
            texts = list(map(self._tokenize, texts))
        if self._words is None:
            rows = [self._renumbered(ids) for ids in self._sp.encode(list(texts))] if texts else []
            lens = np.fromiter(map(len, rows), np.int32, len(rows))
            return EncodedTexts(np.fromiter(chain.from_iterable(rows), np.int32, int(lens.sum())), lens)
        # No piece that we learn includes a space: the ids of a text are those of its words, most of which recur.
        joined = " ".join(texts)
        if texts and all(texts) and _SPACE not in joined:  # nearly always: one split for all texts
            return self._words.encode(joined.split(" "), [text.count(" ") + 1 for text in texts])
        words = [_split(text) for text in texts]
        return self._words.encode(list(chain.from_iterable(words)), list(map(len, words)))

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        if self._header.normalization in FORMS:
            words = [canonical(word, self._header.normalization) for word in words]
        if self._header.kind in WORD_KINDS:
            return [self._known_words(word) for word in words]
        # An empty word, between two spaces or at an end, is one more "▁" unless SentencePiece removes extra spaces.
        rows = self._sp.encode([word or " " for word in words], num_threads=1)
        return [self._renumbered(ids if word else ids[1:]) for word, ids in zip(words, rows, strict=True)]

    def _known_words(self, word: str) -> list[int]:
        # SentencePiece would merge neighbouring unknown words, such as those around a no-break space, into one <unk>.
        words = re.findall(f"{_SPACE}[^{_SPACE}]+", self._sp.normalize(word))
        return [self._vocabulary.get(known, UNK_ID) for known in words]

    def encode_words(self, text: str) -> list[tuple[str, list[int]]]:
        """Return the words of a text, as it separates them by spaces, with the ids of each: those of `encode`.

        A tokenizer's tokens are words. A word may have no ids, if nothing is left of it after normalization.
        """
        text = self._tokenize(text)
        if self._words is None:
            return self._words_of_pieces(text)
        words = _split(text)
        encoded: list[tuple[str, list[int]]] = []
        extra_spaces: list[int] = []
        for word, ids in zip(words, self._encode_words(words), strict=True):
            if word:
                encoded.append((word, extra_spaces + ids))
                extra_spaces = []
            else:
                extra_spaces += ids
        if encoded:
            encoded[-1][1].extend(extra_spaces)
        return encoded or ([(text, extra_spaces)] if extra_spaces else [])

    def _words_of_pieces(self, text: str) -> list[tuple[str, list[int]]]:
        """Divide a text before every piece that begins with a space; an unknown piece is its own text."""
        encoded: list[tuple[str, list[int]]] = []
        for piece, i in zip(self._sp.encode(text, out_type=str), self._renumbered(self._sp.encode(text)), strict=True):
            if not encoded or (piece.startswith(_SPACE) and encoded[-1][0]):
                encoded.append(("", []))
            word, ids = encoded[-1]
            encoded[-1] = (word + piece.replace(_SPACE, ""), [*ids, i])
        return encoded

    def _renumbered(self, sp_ids: list[int]) -> list[int]:
        ours_of_sp = self._ours_of_sp
        return [ours_of_sp[i] for i in sp_ids]

    def unknown_share(self, text: str, ids: Sequence[int]) -> float:
        """Return the share of a text's characters, without spaces, that its `ids` do not spell.

        Characters are counted since one <unk> may replace any number of them. Those spelled in bytes count as unknown.
        """
        if self._spelling_nothing.isdisjoint(ids):
            return 0.0
        num_characters = len(self.normalize_tokens(self._tokenize(text)).replace(" ", ""))
        num_known = sum(self._num_characters[i] for i in ids)
        return max(0.0, 1 - num_known / num_characters) if num_characters else 0.0

    @cached_property
    def _spelling_nothing(self) -> frozenset[int]:
        """The ids that spell no character, among them UNK and bytes."""
        return frozenset(i for i, num_characters in enumerate(self._num_characters) if num_characters == 0)

    @cached_property
    def _num_characters(self) -> list[int]:
        """The number of characters that each subword spells, without the space marker."""
        return [
            0 if ours <= EOS_ID or self._sp.is_byte(sp_id) else len(self._sp.id_to_piece(sp_id).replace(_SPACE, ""))
            for ours, sp_id in enumerate(self._sp_of_ours)
        ]

    # Ids -> other ids of the same text

    @cached_property
    def _parsed(self) -> ParsedModel:
        return parse_model(self._proto)

    @property
    def can_resegment(self) -> bool:
        """Whether texts may be segmented at random: those of BPE and unigram models without subwords across words."""
        return can_sample(self._parsed)

    def resegmenter(self, *, alpha: float) -> RandomSegmenter:
        """Return what segments texts at random, if `can_resegment`; `nmt.text.subword_sampling` explains alpha."""
        return RandomSegmenter(self._parsed, self._ours_of_sp, alpha=alpha)

    # Ids -> text

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids: one line, without PAD, BOS and EOS; an UNK appears as "⁇"."""
        return self.decode_batch([ids])[0]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each sequence of ids."""
        sp_ids = [[self._sp_of_ours[i] for i in row if i == UNK_ID or i > EOS_ID] for row in ids]
        texts: list[str] = self._sp.decode(sp_ids) if sp_ids else []
        return [self._finish(text) for text in texts]

    def split_words(self, ids: Sequence[int]) -> list[list[int]]:
        """Divide the ids of a text into those of each word; of a model of whole words, each <unk> is a word."""
        pieces, words = self.pieces, list[list[int]]()
        for i in ids:
            begins_word = pieces[i].startswith(_SPACE) or (i == UNK_ID and self._header.kind in WORD_KINDS)
            if not words or (begins_word and any(pieces[j] != _SPACE for j in words[-1])):
                words.append([])
            words[-1].append(i)
        if len(words) > 1 and all(pieces[i] == _SPACE for i in words[-1]):
            blank = words.pop()
            words[-1].extend(blank)
        return words

    def decode_replacing(self, ids: Sequence[int], words: Mapping[int, str]) -> str:
        """Return the text of ids with some of its words replaced; `words` has them by their number, from 0."""
        sp_ids = [[self._sp_of_ours[i] for i in word if i == UNK_ID or i > EOS_ID] for word in self.split_words(ids)]
        decoded = [words.get(number, text) for number, text in enumerate(self._sp.decode(sp_ids))]
        return self._finish(" ".join(word.strip(" ") for word in decoded))

    def _tokenize(self, text: str) -> str:
        return text if self._moses is None else self._moses.tokenize(text)

    def normalize(self, text: str) -> str:
        """Return what `decode(encode(text))` gives if no character is unknown."""
        text = self._tokenize(text)
        return self._finish(self.normalize_tokens(text))

    def normalize_tokens(self, text: str) -> str:
        """Normalize the characters of a text that is tokenized already."""
        if self._words is not None:
            text = text.replace(_SPACE, " ")
        normalized: str = self._sp.normalize(canonical(text, self._header.normalization))
        return normalized.removeprefix(_SPACE).replace(_SPACE, " ")

    def _finish(self, text: str) -> str:
        if self._moses is not None:
            text = self._moses.detokenize(text)
        if self._header.normalization == Normalization.nfd:
            text = unicodedata.normalize("NFC", text)
        return text.replace("\n", " ")  # byte pieces can spell a line feed, but a line must stay one line


def _split(text: str) -> list[str]:
    """Divide a text at spaces; "▁" is one, as for SentencePiece, also in front of a symbol that begins with "▁"."""
    return text.replace(_SPACE, " ").split(" ") if text else []


def _check_pieces(sp: "SentencePieceProcessor") -> None:
    """Check now, not when a text is decoded, that the pieces of a stranger's model are text.

    Raises:
        UnicodeDecodeError: if they are not.
    """
    sp.id_to_piece(list(range(sp.get_piece_size())))
    sp.decode([sp.unk_id()])


def _renumber(sp: "SentencePieceProcessor") -> tuple[list[int], list[int]]:
    """Return our id of each SentencePiece id, and the reverse: the specials first, then the other pieces in order.

    In the reverse, a special that the model lacks maps to its <unk>.
    """
    specials = {sp.pad_id(): PAD_ID, sp.unk_id(): UNK_ID, sp.bos_id(): BOS_ID, sp.eos_id(): EOS_ID}
    specials.pop(-1, None)
    ours_of_sp = [0] * sp.get_piece_size()
    sp_of_ours = [sp.unk_id()] * NUM_SPECIALS
    for sp_id in range(sp.get_piece_size()):
        if sp_id in specials:
            ours_of_sp[sp_id] = specials[sp_id]
            sp_of_ours[specials[sp_id]] = sp_id
        else:
            ours_of_sp[sp_id] = len(sp_of_ours)
            sp_of_ours.append(sp_id)
    return ours_of_sp, sp_of_ours
