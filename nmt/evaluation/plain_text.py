"""Checks of the text that metrics read: markup is refused; unsuitable text and blank lines cause warnings."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from nmt.choices import BleuTokenizer
from nmt.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The first line of XML and of the files of WMT and IWSLT, and the lines that hold their sentences.
_HEADER = re.compile(r"\s*<(\?xml|!doctype|mteval|srcset|tstset|refset|dataset|doc|seg)\b", re.IGNORECASE)
_SEGMENT = re.compile(r"\s*<seg\b", re.IGNORECASE)
# How Moses' tokenizer writes ' " & < > | [ ] and a hyphen; and a period with a space before it.
_TOKENIZED = re.compile(r"&(?:apos|quot|amp|lt|gt|#124|#91|#93);|@-@| \.$")
_MANY_LINES = 100  # as in sacreBLEU's own warning, which names no file and takes three lines
_MANY_OF_FEW = 0.1  # of the lines of a short file
_SPLIT_AT_SPACES = (BleuTokenizer.mteval_13a, BleuTokenizer.intl, BleuTokenizer.none)
# Words have 5 letters in English and French, 6 in German, 8 in Finnish, 12 in Greenlandic.
_LONG_WORD_CHARS = 15
_FEW_WORDS_A_LINE = 1.2

log = logging.getLogger(__name__)


def refuse_markup(lines: Sequence[str], *, name: str) -> None:
    """Refuse SGML and XML, whose tags would be scored as words.

    Raises:
        DataError: if it is markup; the message names a way to extract the text.
    """
    filled = [line for line in lines if line.strip()]
    segments = sum(_SEGMENT.match(line) is not None for line in filled)
    if filled and (_HEADER.match(filled[0]) or segments > len(filled) / 2):
        raise DataError(
            f"{name} must be plain text, one sentence a line, but is SGML or XML: take the text out of its <seg> tags, "
            "as sed -n 's/.*<seg[^>]*>\\(.*\\)<\\/seg>.*/\\1/p' does, or get it from sacreBLEU "
            "(sacrebleu -t wmt14 -l en-fr --echo ref)"
        )


def warn_of_columns(lines: Sequence[str], *, name: str) -> None:
    """Warn of tabs: columns would be read as one text."""
    num_with_tab = sum("\t" in line for line in lines)
    if 2 * num_with_tab > len(lines):
        log.warning(
            "%s: %d of %d lines contain tabs, which are read as text: if these are columns, take the one that is meant "
            "(cut -f2 %s > FILE)",
            name,
            num_with_tab,
            len(lines),
            name,
        )


def warn_of_unsuitable_text(lines: Sequence[str], *, name: str, tokenizer: BleuTokenizer, setting: str) -> None:
    """Warn of text for which BLEU with this tokenizer means little; `setting` is the setting of the tokenizer.

    Scores of tokenized text are not comparable with others. Text without spaces is a single word for some tokenizers.
    """
    tokenized = [match[0] for line in lines if (match := _TOKENIZED.search(line))]
    many = len(tokenized) >= min(_MANY_LINES, _MANY_OF_FEW * len(lines))
    if tokenized and many and tokenizer != BleuTokenizer.none:
        log.warning(
            "%s: %d of %d lines look tokenized (%r, for example): detokenize them, or the score is not comparable",
            name,
            len(tokenized),
            len(lines),
            tokenized[0],
        )
    if tokenizer in _SPLIT_AT_SPACES and _lacks_spaces(lines):
        log.warning(
            "%s: hardly any spaces, which separate words for BLEU with %s=%s: set %s=char, or zh, ja-mecab or ko-mecab",
            name,
            setting,
            tokenizer,
            setting,
        )


def _lacks_spaces(lines: Sequence[str]) -> bool:
    words = [line.split() for line in lines]
    num_lines, num_words = sum(map(bool, words)), sum(map(len, words))
    num_chars = sum(len(word) for line in words for word in line)
    return num_lines > 0 and (num_words <= _FEW_WORDS_A_LINE * num_lines or num_chars >= _LONG_WORD_CHARS * num_words)


def warn_of_blank_references(references: Mapping[str, Sequence[str]]) -> None:
    """Warn of blank lines in references: how many there are, and how they are scored."""
    blank = {name: {i for i, line in enumerate(lines) if not line.strip()} for name, lines in references.items()}
    in_all = set.intersection(*blank.values())
    for name, rows in blank.items():
        if missing := len(rows - in_all):
            meaning = "missing references" if missing > 1 else "a missing reference"
            log.warning("%s: %s, treated as %s", name, _blank_lines(missing), meaning)
    if in_all:
        log.warning("%s: %s, matched only by blank lines", ", ".join(references), _blank_lines(len(in_all)))


def warn_of_blank_translations(systems: Mapping[str, Sequence[str]]) -> None:
    """Warn of systems whose translations are all blank."""
    for name, lines in systems.items():
        if not any(line.strip() for line in lines):
            log.warning("%s: all translations are blank (%d): is it the right file or checkpoint?", name, len(lines))


def _blank_lines(number: int) -> str:
    return "1 blank line" if number == 1 else f"{number} blank lines"
