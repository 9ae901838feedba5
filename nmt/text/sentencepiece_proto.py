"""What a serialized SentencePiece model contains, as far as SentencePiece's Python interface does not tell it.

The serialization is that of protocol buffers: a message is a list of fields, each a number with a value.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from nmt.choices import SubwordKind

# The numbers of the fields, in sentencepiece_model.proto
_PIECES, _TRAINER = 1, 2  # of a model
_TEXT, _SCORE, _TYPE = 1, 2, 3  # of a piece
_KIND = 3  # of a trainer

_KINDS = {1: SubwordKind.unigram, 2: SubwordKind.bpe, 3: SubwordKind.word, 4: SubwordKind.char}


class PieceType(IntEnum):
    """What a piece is: `normal` ones are learned, and `user_defined` ones are never divided nor merged."""

    normal = 1
    unknown = 2
    control = 3
    user_defined = 4
    unused = 5
    byte = 6


class Piece(NamedTuple):
    """A piece; its score is its log-probability (unigram), or falls with the rank of its merge (BPE)."""

    text: str
    score: float
    type: PieceType


class ParsedModel(NamedTuple):
    """How a model was learned, and its pieces by SentencePiece's id."""

    kind: SubwordKind
    pieces: list[Piece]


def parse_model(proto: bytes) -> ParsedModel:
    """Read a model that SentencePiece accepts."""
    kind = b"\1"
    pieces = []
    for number, value in _fields(proto):
        if number == _PIECES:
            piece = dict(_fields(value))
            [score] = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
            type_ = PieceType(int.from_bytes(piece.get(_TYPE, b"\1"), "little"))
            pieces.append(Piece(piece.get(_TEXT, b"").decode(), score, type_))
        elif number == _TRAINER:
            kind = dict(_fields(value)).get(_KIND, kind)
    return ParsedModel(_KINDS[int.from_bytes(kind, "little")], pieces)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the value of each field; an integer as its bytes, little-endian."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                integer, place = _varint(message, place)
                yield tag >> 3, integer.to_bytes(8, "little")
                continue
            case 1:
                length = 8
            case 5:
                length = 4
            case _:
                length, place = _varint(message, place)
        yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return an integer of 7 bits a byte, the lowest first, and the place behind it."""
    integer = shift = 0
    while True:
        byte = message[place]
        integer |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return integer, place
