"""Moses' tokenizer and detokenizer."""


class Moses:
    """Moses' tokenizer and detokenizer for one language, without escapes such as &apos;."""

    def __init__(self, lang: str, *, knows_curly: bool) -> None:
        """Choose a language's rules.

        Args:
            knows_curly: treat "’" like "'", unlike Moses itself.
        """
        from sacremoses import MosesDetokenizer, MosesTokenizer

        self._knows_curly = knows_curly
        self._tokenizer = MosesTokenizer(lang=lang)
        self._detokenizer = MosesDetokenizer(lang=lang)

    def tokenize(self, text: str) -> str:
        """Put spaces between the tokens of a text."""
        if self._knows_curly and "’" in text:
            return _as_in(text, self._tokenize(text.replace("’", "'")))
        return self._tokenize(text)

    def detokenize(self, text: str) -> str:
        """Remove the spaces between tokens again."""
        if self._knows_curly and "’" in text:
            return _as_in(text, self._detokenize(text.replace("’", "'")))
        return self._detokenize(text)

    def _tokenize(self, text: str) -> str:
        return " ".join(self._tokenizer.tokenize(text, escape=False))

    def _detokenize(self, text: str) -> str:
        return str(self._detokenizer.detokenize(text.split(), unescape=False))


def _as_in(text: str, spaced: str) -> str:
    """Return `spaced` with the apostrophes of `text`; the two differ only in apostrophes and spaces."""
    apostrophes = iter([character for character in text if character in "'’"])
    return "".join(next(apostrophes, "'") if character == "'" else character for character in spaced)
