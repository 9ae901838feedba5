"""The file of a subword model: a line of JSON, then SentencePiece's own model.

Formats 2 and 3 have a normalization in their header, NFC and NFD; a model without one is written in format 1.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.errors import DataError

_VERSION_OF = {None: 1, Normalization.nfc: 2, Normalization.nfd: 3}  # what an earlier nmt does not know is refused
_START = b'{"format": "nmt-subword"'


@dataclass(frozen=True)
class SubwordHeader:
    """What SentencePiece's own model does not contain.

    Attributes:
        kind: None for a model that was learned elsewhere.
        normalization: applied before SentencePiece's own, which is part of its model: NFC, NFD or none.
    """

    kind: SubwordKind | None
    tokenizer: Tokenizer
    lang: str
    normalization: Normalization | None = None


def pack(header: SubwordHeader, proto: bytes) -> bytes:
    """Return the content of a file; `proto` is SentencePiece's serialized model."""
    fields = asdict(header)
    version = _VERSION_OF[header.normalization]
    if header.normalization is None:
        del fields["normalization"]
    return json.dumps({"format": "nmt-subword", "version": version, **fields}).encode() + b"\n" + proto


def unpack(content: bytes, *, name: str) -> tuple[SubwordHeader, bytes]:
    """Return header and serialized model of a file, which may be a plain SentencePiece model.

    Raises:
        DataError: if the format is newer than this nmt; it names `name`.
        KeyError, RecursionError, TypeError, ValueError: if the content is damaged.
    """
    header = SubwordHeader(kind=None, tokenizer=Tokenizer.none, lang="")
    proto = content
    if content.startswith(_START):
        line, _, proto = content.partition(b"\n")
        header = _parse_header(json.loads(line), name)
    if not proto:
        raise ValueError("empty")
    return header, proto


def _parse_header(fields: dict[str, Any], name: str) -> SubwordHeader:
    version = fields["version"]
    if isinstance(version, bool) or not isinstance(version, int):
        raise ValueError("no version")
    if version not in _VERSION_OF.values():
        raise DataError(
            f"{name} is a subword model of format {version}, but this nmt reads up to format "
            f"{max(_VERSION_OF.values())}: prepare the data again, or use the nmt that wrote it"
        )
    kind, lang = fields["kind"], fields["lang"]
    normalization = Normalization(fields["normalization"]) if version > 1 else None
    if not isinstance(lang, str) or _VERSION_OF.get(normalization) != version:
        raise ValueError("unknown rules")
    return SubwordHeader(
        kind=None if kind is None else SubwordKind(kind),
        tokenizer=Tokenizer(fields["tokenizer"]),
        lang=lang,
        normalization=normalization,
    )
