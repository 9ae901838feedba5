"""Unknown words of a translation are replaced by what they are aligned to (Luong et al. 2015, arXiv 1410.8206).

A target word with an <unk> in it becomes the source word that it attends to most, or the translation of this word in a
dictionary (Jean et al. 2015).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nmt.errors import DataError
from nmt.search.alignment import Alignment
from nmt.text.parallel import read_lines
from nmt.text.subword import UNK_ID, SubwordModel


def replace_unknown_words(
    tgt_subword: SubwordModel, ids: Sequence[int], alignment: Alignment, *, dictionary: Mapping[str, str]
) -> str:
    """Return the text of a translation without unknown words; a source word that has no entry is copied."""
    replaced: dict[int, str] = {}
    words = tgt_subword.split_words(ids)
    for number, (source, ids_of_word) in enumerate(zip(alignment.aligned_words(), words, strict=False)):
        if UNK_ID in ids_of_word:
            word = alignment.source_words[source]
            replaced[number] = dictionary.get(word, word)
    return tgt_subword.decode_replacing(ids, replaced)


def read_dictionary(path: Path) -> dict[str, str]:
    """Read lines of a source word, a tab and its translation; of several lines with one word, the first counts.

    Raises:
        DataError: if the file cannot be read, or a line is something else; it gives file and line.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word, *translations = line.split("\t")
        if not word or len(translations) != 1 or not translations[0]:
            raise DataError(f"{path}, line {number}: must be a source word, a tab and its translation, but is {line!r}")
        entries.setdefault(word, translations[0])
    return entries
