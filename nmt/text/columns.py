"""Columns of tab-separated text: one that is a side of the sentence pairs, and features in front of it.

One tab separates two fields; quotes are characters like any other. Features, such as `V;PST` of UniMorph, are split at
spaces and semicolons, and put in front of the text in angle brackets: `<V> <PST> run`. A subword model keeps such
symbols whole (`SubwordSpec.symbols`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nmt.errors import DataError

_BETWEEN_FEATURES = re.compile("[ ;]+")


@dataclass(frozen=True)
class Columns:
    """The numbers, from 1, of the column of the text and of the columns of its features."""

    text: int
    features: tuple[int, ...] = ()

    def texts(self, lines: Iterable[str], *, name: str, lines_before: Callable[[], int] = lambda: 0) -> Iterator[str]:
        """Yield the text of each line, its features in front, or nothing if it is blank.

        `name` and `lines_before`, the number of lines of the file before the first one, are for messages.

        Raises:
            DataError: if a line has too few fields.
        """
        for fields in self._fields(lines, name, lines_before):
            text = fields[self.text - 1]
            yield " ".join([*self._symbols(fields), text]) if text.strip() else ""

    def symbols(self, lines: Iterable[str], *, name: str) -> set[str]:
        """Return the symbols of all features, each once.

        Raises:
            DataError: as for `texts`.
        """
        return {symbol for fields in self._fields(lines, name, lambda: 0) for symbol in self._symbols(fields)}

    def _fields(self, lines: Iterable[str], name: str, lines_before: Callable[[], int]) -> Iterator[list[str]]:
        needed = max((self.text, *self.features))
        for line_number, line in enumerate(lines, start=1):
            fields = line.split("\t")
            if len(fields) < needed:
                raise DataError(
                    f"{name}, line {lines_before() + line_number}: must have at least {needed} fields separated by "
                    f"tabs, but has {len(fields)}: complete it (data.columns and data.feature_columns say which fields "
                    "are read)"
                )
            yield fields

    def _symbols(self, fields: list[str]) -> list[str]:
        texts = [fields[column - 1] for column in self.features]
        return [f"<{symbol}>" for text in texts for symbol in _BETWEEN_FEATURES.split(text) if symbol]
