"""How characters change: by rule, by side, and by count."""

import logging
import unicodedata
from dataclasses import replace
from typing import Any

import pytest

import nmt.text.subword_learning as learning_module
from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.errors import DataError
from nmt.text.normalization import StandaloneNormalizer, report_normalization
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import learn_joint_subwords, learn_subword
from tests.models import CHARACTERS, pieces

SPEC = replace(CHARACTERS, vocab_size=300, normalization=Normalization.nfc)
# sizes that a short text allows
KINDS = {SubwordKind.bpe: 45, SubwordKind.unigram: 27, SubwordKind.char: 300, SubwordKind.word: 16}
AS_WRITTEN = [
    "25 m², 10³ ½ № 5 … ﬁn",
    "你好，世界！（１２）",
    "น้ำ ทำ",
    "L’œuvre d’art : «\u00a0non\u00a0»\u202f!",
    "می\u200cخواهم",
    "Å Ω ｱ",
]
COMPOSED = {"e\u0301te\u0301": "été", "A\u030a": "Å", "a\u0323\u0302": "ậ", "a\u0302\u0323": "ậ", "\u212b": "Å"}


def learn(lines: list[str] = AS_WRITTEN, **changes: Any) -> SubwordModel:
    return learn_subword([*lines, *"abcdef"], replace(SPEC, **changes), lang="xx")


@pytest.mark.parametrize("kind", KINDS)
def test_nfc_keeps_text_as_it_was_written(kind: SubwordKind) -> None:
    lines = ["25 m², 10³ ! ！ ﬁn…"] * 3
    model = learn(lines, kind=kind, vocab_size={"word": 10, "unigram": 24}.get(kind, 26))
    assert model.decode(model.encode(lines[0])) == model.normalize(lines[0]) == lines[0]


@pytest.mark.parametrize("line", AS_WRITTEN)
def test_nfc_keeps_every_composed_character(line: str) -> None:
    model = learn()
    assert model.decode(model.encode(line)) == model.normalize(line) == line
    assert learn(normalization=Normalization.nmt_nfkc).normalize(line) != line


@pytest.mark.parametrize(("written", "composed"), COMPOSED.items())
def test_nfc_unifies_canonically_equal_text(written: str, composed: str) -> None:
    model = learn([composed])
    assert model.encode(f"a {written} b") == model.encode(f"a {composed} b")
    assert model.normalize(written) == model.decode(model.encode(written)) == composed
    # in the text that is learned from, too
    assert learn([written]).fingerprint == learn([composed]).fingerprint


def test_nfc_collapses_runs_of_spaces_and_keeps_other_kinds() -> None:
    model = learn()
    assert model.normalize("  a   b ") == model.decode(model.encode("  a   b ")) == "a b"
    assert model.normalize("a\u00a0\u00a0b") == "a\u00a0\u00a0b"


def test_a_combining_mark_at_the_start_of_a_word_stays() -> None:
    assert learn(["a\u0301 b\u0301"]).normalize("a \u0301a") == "a \u0301a"


@pytest.mark.parametrize("kind", KINDS)
def test_nfd_is_read_in_letters_and_written_composed(kind: SubwordKind) -> None:
    line = "가능 é ậ"
    size = {"word": 10, "unigram": 19}.get(kind, 26)
    model = learn([line] * 3, kind=kind, vocab_size=size, normalization=Normalization.nfd)
    assert model.decode(model.encode(line)) == model.normalize(line) == line
    assert model.encode(unicodedata.normalize("NFD", line)) == model.encode(line)
    assert model.unknown_share(line, model.encode(line)) == 0


def test_nfd_shares_letters_between_syllables() -> None:
    model = learn(["각낙"], normalization=Normalization.nfd)
    assert len(model.encode("각낙")) == 1 + 6  # a space and two syllables of three letters
    assert model.encode("낙")[2:] == model.encode("각")[2:]
    assert model.decode(model.encode("나가")) == "나가"  # never seen
    assert model.normalize_tokens("é") == "e\u0301"
    assert SubwordModel.from_bytes(model.to_bytes(), name="copy").encode("각낙") == model.encode("각낙")


def test_only_nfc_and_nfd_change_the_file_format() -> None:
    assert b'"version": 2' in learn().to_bytes().partition(b"\n")[0]
    assert b'"version": 3' in learn(normalization=Normalization.nfd).to_bytes().partition(b"\n")[0]
    for rule in (Normalization.nmt_nfkc, Normalization.identity):
        line = learn(normalization=rule).to_bytes().partition(b"\n")[0]
        assert line == b'{"format": "nmt-subword", "version": 1, "kind": "char", "tokenizer": "none", "lang": "xx"}'
    copy = SubwordModel.from_bytes(learn().to_bytes(), name="copy")
    assert copy.normalize("e\u0301 m²") == "é m²"
    assert copy.fingerprint == learn().fingerprint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokenizer", ["none", "moses"])
def test_a_joint_vocabulary_may_have_a_rule_for_each_side(kind: SubwordKind, tokenizer: Tokenizer) -> None:
    english, french = ["an area of 25 m² …"] * 4, ["une surface de 25 m² e\u0301te\u0301 …"] * 4
    spec = replace(
        SPEC, kind=kind, vocab_size=KINDS[kind] + 3 * (tokenizer == "moses" and kind == "word"), tokenizer=tokenizer
    )
    src, tgt = learn_joint_subwords(
        [("en", english), ("fr", french)], spec, normalizations=[Normalization.nmt_nfkc, Normalization.nfc]
    )
    assert pieces(src, range(src.vocab_size)) == pieces(tgt, range(tgt.vocab_size))
    line = "25 m² ﬁ e\u0301te\u0301 …"
    alone = StandaloneNormalizer(Normalization.nmt_nfkc, one_space=True)
    assert src.normalize_tokens(line) == alone(line) == "25 m2 fi été ..."
    assert tgt.normalize_tokens(line) == "25 m² ﬁ été …"
    if tokenizer == "none":  # Moses splits "m²", but not "m2"
        assert src.encode(english[0]) == src.encode(alone(english[0]))
    for model, text in ((src, english[0]), (tgt, french[0])):
        assert 1 not in model.encode(text)  # both sides' characters have been learned
        assert SubwordModel.from_bytes(model.to_bytes(), name="copy").encode(text) == model.encode(text)


def test_a_joint_vocabulary_with_one_rule_is_unchanged() -> None:
    texts = [("en", ["a b c"] * 3), ("fr", ["d e f"] * 3)]
    spec = replace(SPEC, normalization=Normalization.nmt_nfkc)
    ever = [model.fingerprint for model in learn_joint_subwords(texts, spec)]
    assert [
        model.fingerprint
        for model in learn_joint_subwords(
            texts, replace(spec, normalization=Normalization.identity), normalizations=[Normalization.nmt_nfkc] * 2
        )
    ] == ever


def test_a_joint_vocabulary_keeps_spaces_per_side() -> None:
    texts = [("en", ["a  b"] * 3), ("fr", ["c  d "] * 3)]
    src, tgt = learn_joint_subwords(texts, SPEC, normalizations=[Normalization.nmt_nfkc, Normalization.identity])
    assert src.normalize(" a  b ") == src.decode(src.encode(" a  b ")) == "a b"
    assert tgt.normalize(" c  d ") == tgt.decode(tgt.encode(" c  d ")) == " c  d "


def test_text_that_normalization_leaves_empty_has_no_words() -> None:
    for rules in ([Normalization.nmt_nfkc, Normalization.nfc], [Normalization.nmt_nfkc, Normalization.nmt_nfkc]):
        with pytest.raises(DataError, match="the en and fr text to learn subwords from has no words"):
            learn_joint_subwords([("en", ["\u200b"]), ("fr", [" "])], SPEC, normalizations=rules)


APOSTROPHES = [
    ("fr", "L’homme n’a pas d’eau, aujourd’hui : « Qu’y a-t-il ? »"),
    ("fr", "L'homme et l’œuvre"),
    ("en", "It’s late, isn’t it?"),
    ("it", "L’uomo dell’arte"),
]


@pytest.mark.parametrize(("lang", "line"), APOSTROPHES)
@pytest.mark.parametrize("rule", [Normalization.nfc, Normalization.nfd])
def test_moses_preserves_curly_apostrophes(lang: str, line: str, rule: Normalization) -> None:
    spec = replace(SPEC, tokenizer=Tokenizer.moses, normalization=rule)
    model = learn_subword([line], spec, lang=lang)
    assert model.normalize(line) == line
    straight = learn_subword([line.replace("’", "'")], spec, lang=lang)
    assert [piece.replace("’", "'") for piece in _tokens(model, line)] == _tokens(straight, line.replace("’", "'"))


def _tokens(model: SubwordModel, line: str) -> list[str]:
    assert model._moses is not None
    return model._moses.tokenize(line).split()


def test_moses_without_nfc_treats_curly_apostrophes_as_before() -> None:
    model = learn_subword(
        ["L’homme"], replace(SPEC, normalization=Normalization.nmt_nfkc, tokenizer=Tokenizer.moses), lang="fr"
    )
    assert model.normalize("L’homme") == model.decode(model.encode("L’homme")) == "L ’ homme"


@pytest.mark.parametrize(
    ("rule", "lines", "num_characters", "num_changed"),
    [
        (Normalization.nmt_nfkc, ["25 m², 10³"], 8, 2),
        (Normalization.nmt_nfkc, ["abc", "", "  "], 3, 0),
        (Normalization.nmt_nfkc, ["你好，世界。１２"] * 3, 24, 9),
        (Normalization.nmt_nfkc, ["e\u0301te\u0301 x"], 6, 5),  # between the first and the last change of a word
        (Normalization.nfc, ["25 m², 10³ … １"], 10, 0),
        (Normalization.nfc, ["e\u0301 e\u0301"], 4, 4),
        (Normalization.nfc, ["a\u0302\u0323"], 3, 3),
        (Normalization.identity, ["25 m², e\u0301"], 7, 0),
    ],
)
def test_changed_characters_are_counted(
    rule: Normalization, lines: list[str], num_characters: int, num_changed: int
) -> None:
    report = report_normalization(lines, StandaloneNormalizer(rule, one_space=True))
    assert (report.num_characters, report.num_changed) == (num_characters, num_changed)


def test_learning_logs_how_many_characters_are_changed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        learn_joint_subwords(
            [("en", ["25 m²"] * 400), ("fr", ["10³ …"] * 400)],
            SPEC,
            normalizations=[Normalization.nmt_nfkc, Normalization.nfc],
        )
    assert caplog.messages == [
        "subwords: normalization nmt_nfkc changes 400 of 1,600 characters of the en text learned from (25.000%)",
    ]


def test_if_there_are_very_many_lines_a_part_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_module, "_NUM_LINES_REPORTED", 10)
    with caplog.at_level(logging.INFO):
        learn_subword(["25 m²"] * 29, replace(SPEC, normalization=Normalization.nmt_nfkc), lang="en")
    assert caplog.messages == [
        "subwords: normalization nmt_nfkc changes 10 of 40 characters of the en text learned from (25.000%)"
    ]


def test_characters_that_the_vocabulary_leaves_out_are_named(caplog: pytest.LogCaptureFixture) -> None:
    line = "aa bb " + "".join(chr(0x4E00 + n) for n in range(12)) + "\0"
    caplog.set_level(logging.WARNING)
    learn([line] * 2, vocab_size=12)
    [message] = caplog.messages
    assert message.startswith(
        "subwords: 12 of 19 characters of the xx text learned from are unknown to the vocabulary: "
    )
    named = message.partition("vocabulary: ")[2].split(", ")
    assert named[:2] == ["U+0000", "c U+0063"]
    assert (len(named), named[-1]) == (11, "…")
    caplog.clear()
    learn([line], vocab_size=12, character_coverage=0.98)  # it is intended
    learn([line], vocab_size=280, byte_fallback=True)  # they are spelled in bytes
    learn([line], vocab_size=6, kind=SubwordKind.word)
    assert caplog.messages == []
