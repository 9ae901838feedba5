"""Moses' tokenizer and detokenizer."""


class Moses:
    """Moses' tokenizer and detokenizer for one language, without escapes such as &apos;."""

    def __init__(self, lang: str) -> None:
        from sacremoses import MosesDetokenizer, MosesTokenizer

        self._tokenizer = MosesTokenizer(lang=lang)
        self._detokenizer = MosesDetokenizer(lang=lang)

    def tokenize(self, text: str) -> str:
        return " ".join(self._tokenizer.tokenize(text, escape=False))

    def detokenize(self, text: str) -> str:
        return str(self._detokenizer.detokenize(text.split(), unescape=False))
