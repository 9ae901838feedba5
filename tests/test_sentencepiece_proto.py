"""A model that is parsed is the model that SentencePiece describes, and what SentencePiece does not tell is known."""

import io
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from nmt.choices import Normalization, SubwordKind
from nmt.text.normalization import StandaloneNormalizer
from nmt.text.sentencepiece_proto import Piece, PieceType, parse_model

TEXT = ["the baker of the village paints a teapot", "the teapot of a baker", "paints and teapots"]


def _train(**options: Any) -> bytes:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=model,
        minloglevel=2,
        num_threads=1,
        hard_vocab_limit=False,
        **options,
    )
    return model.getvalue()


KINDS = [SubwordKind.unigram, SubwordKind.bpe, SubwordKind.word, SubwordKind.char]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_those_of_sentencepiece(kind: SubwordKind) -> None:
    has_bytes = kind in (SubwordKind.unigram, SubwordKind.bpe)
    proto = _train(
        model_type=str(kind),
        vocab_size=290 if has_bytes else 21,
        byte_fallback=has_bytes,
        pad_id=5,
        user_defined_symbols=["<V>"],
        control_symbols=["<ctrl>"],
    )
    parsed = parse_model(proto)
    sp = SentencePieceProcessor()
    sp.load_from_serialized_proto(proto)
    assert parsed.kind == kind
    assert [(piece.text, piece.score) for piece in parsed.pieces] == [
        (sp.id_to_piece(i), sp.get_score(i)) for i in range(sp.get_piece_size())
    ]
    for is_type, piece_type in [
        (sp.is_unknown, PieceType.unknown),
        (sp.is_control, PieceType.control),
        (sp.is_byte, PieceType.byte),
        (sp.is_unused, PieceType.unused),
    ]:
        assert [piece.type == piece_type for piece in parsed.pieces] == [is_type(i) for i in range(len(parsed.pieces))]
    symbols = [piece.text for piece in parsed.pieces if piece.type == PieceType.user_defined]
    assert symbols == (["<V>", "▁<V>"] if kind == SubwordKind.word else ["<V>"])


def test_another_normalizer_leaves_the_kind_as_it_is() -> None:
    proto = _train(model_type="bpe", vocab_size=40)
    other = StandaloneNormalizer(Normalization.identity, one_space=True).put_into(proto)
    assert len(other) > len(proto)
    assert parse_model(other) == parse_model(proto)


def test_fields_may_be_missing_unknown_or_in_any_order() -> None:
    piece = b"\x18\x04" + b"\x15\x00\x00\x80\xbf" + b"\x0a\x03\xe2\x96\x81"
    unknown = b"\x21" + bytes(8) + b"\x32\x02\x0a\x0a" + b"\x38\xff\x01"  # fields 4, 6 and 7
    trainer = b"\x12\x02\x18\x02"
    proto = b"\x12\x00" + unknown + b"\x0a\x0c" + piece + trainer + b"\x0a\x03\x0a\x01a"
    assert parse_model(proto) == (
        SubwordKind.bpe,
        [Piece("▁", -1.0, PieceType.user_defined), Piece("a", 0.0, PieceType.normal)],
    )
    assert parse_model(b"") == (SubwordKind.unigram, [])


def test_a_long_piece_is_read_whole() -> None:
    text = "x" * 300  # its length takes two bytes
    proto = b"\x0a\xaf\x02\x0a\xac\x02" + text.encode()
    assert [piece.text for piece in parse_model(proto).pieces] == [text]
