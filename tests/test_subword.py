import io
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nmt.text.subword as subword_module
import nmt.text.word_table as word_table_module
from nmt.errors import ConfigError, DataError
from nmt.text.subword import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    UNK_ID,
    SubwordKind,
    SubwordModel,
    SubwordSpec,
    learn_joint_subwords,
    learn_subword,
)

SPEC = SubwordSpec(
    kind="bpe",
    vocab_size=90,
    byte_fallback=False,
    normalization="nmt_nfkc",
    tokenizer="none",
    character_coverage=1.0,
    max_sentences=10_000,
    seed=1,
)
NOUNS = [
    "baker",
    "bridge",
    "candle",
    "garden",
    "harbour",
    "ladder",
    "lantern",
    "mountain",
    "pillow",
    "river",
    "teapot",
    "window",
]
VERBS = ["carries", "finds", "forgets", "holds", "leaves", "paints", "sees", "washes"]
TEXT = [
    f"The {noun} of the village {verb} a {other}, and nobody asks why the {noun} {verb} it."
    for noun in NOUNS
    for verb in VERBS
    for other in NOUNS[:3]
]
KINDS: tuple[SubwordKind, ...] = ("bpe", "unigram", "char", "word")
# as large as TEXT allows, or less
VOCAB_SIZE: dict[str, int] = {"bpe": 90, "unigram": 55, "char": 200, "word": 30}

# Spaces of all kinds, line ends that are none, controls, a mark without a letter, ligatures, emoji, the specials' names
ODD_TEXTS = [
    "",
    " ",
    "   ",
    "The baker",
    "  The  baker ",
    "The\u00a0baker\u3000sees\u200bit",
    "The\u2028baker\x0bsees\rit\tnow",
    "\u200b",
    "a \u200b b",
    "ﬁnds ﬂoor ½ Å Å e\u0301",
    "a \u0301 b",
    "the ☃ and 🥚",
    "☃☃ ☃ x☃",
    "<s> </s> <unk> <pad>",
    "\ufeffThe",
    "The \x00 \x01 end",
]


def _learn(**changes: Any) -> SubwordModel:
    return learn_subword(TEXT, replace(SPEC, **changes), lang="en")


@pytest.fixture(scope="module")
def models() -> dict[str, SubwordModel]:
    learned: dict[str, SubwordModel] = {kind: _learn(kind=kind, vocab_size=VOCAB_SIZE[kind]) for kind in KINDS}
    for kind in ("bpe", "unigram", "char"):
        bytes_too = {"kind": kind, "vocab_size": VOCAB_SIZE[kind] + 256, "byte_fallback": True}
        learned[f"{kind}+bytes"] = _learn(**bytes_too)
        learned[f"{kind}+bytes+identity"] = _learn(**bytes_too, normalization="identity")
    return learned


ALL = [*KINDS, *(f"{kind}+bytes{rule}" for kind in ("bpe", "unigram", "char") for rule in ("", "+identity"))]
WITH_BYTES = [name for name in ALL if "bytes" in name]


@pytest.mark.parametrize("name", ALL)
def test_decoding_what_was_encoded_gives_the_normalized_text(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    texts = TEXT[:20] if name != "word" else ["the village of the village", "a"]
    assert not any(UNK_ID in ids for ids in model.encode_batch(texts))
    assert model.decode_batch(model.encode_batch(texts)) == [model.normalize(text) for text in texts] == texts


@pytest.mark.parametrize("name", WITH_BYTES)
def test_with_byte_fallback_any_text_comes_back(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert [model.decode(model.encode(text)) for text in ODD_TEXTS] == [model.normalize(text) for text in ODD_TEXTS]


@pytest.mark.parametrize("name", [name for name in ALL if "identity" in name])
def test_identity_changes_nothing_but_the_mark_of_the_space(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert [model.decode(model.encode(text)) for text in ODD_TEXTS] == ODD_TEXTS
    assert [model.normalize(text) for text in ODD_TEXTS] == ODD_TEXTS
    assert model.decode(model.encode("a▁b ▁▁ c")) == model.normalize("a▁b ▁▁ c") == "a b    c"


def test_nmt_nfkc_makes_one_space_of_every_run_of_spaces(models: dict[str, SubwordModel]) -> None:
    table = {
        "  The \t baker\r": "The baker",
        "The\u2028baker\x0csees\u00a0it": "The baker sees it",
        "ﬁnds １２": "finds 12",
        "▁The▁▁baker": "The baker",
        "\u3000": "",
    }
    assert {text: models["bpe"].normalize(text) for text in table} == table


@pytest.mark.parametrize("name", ["bpe+bytes", "bpe+bytes+identity"])
def test_a_decoded_text_is_one_line(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    line_feed = next(i for i in range(model.vocab_size) if model.pieces([i]) == ["<0x0A>"])
    a = model.encode("a")
    assert model.decode([*a, line_feed, *a]) == "a  a"
    assert "\n" not in model.decode(model.encode("one\ntwo"))
    assert model.normalize("one\ntwo") == "one two"


@pytest.mark.parametrize("name", [name for name in ALL if name != "word"])
def test_looking_up_words_gives_what_sentencepiece_gives_for_whole_texts(
    models: dict[str, SubwordModel], name: str
) -> None:
    rng = random.Random(7)
    alphabet = "abeht  \u00a0\u3000\u2028\u200b\t\u0301▁ﬁ☃"
    texts = [*TEXT[::7], *ODD_TEXTS, *("".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(500))]
    model = models[name]
    expected = model._sp.encode(texts)
    assert [model.encode(text) for text in texts] == expected
    assert model.encode_batch(texts) == expected
    assert model.encode_batch([text for text in texts if text]) == [
        ids for text, ids in zip(texts, expected, strict=True) if text
    ]


def test_the_table_of_words_may_be_cleared_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _learn()
    expected = model.encode_batch(TEXT)
    monkeypatch.setattr(word_table_module, "_NUM_CACHED_WORDS", 3)
    assert [model.encode(text) for text in TEXT] == expected
    assert len(model._words or ()) < 40


@pytest.mark.parametrize("num_words_at_once", [1, 3, 1000])
def test_words_may_be_looked_up_any_number_at_once(monkeypatch: pytest.MonkeyPatch, num_words_at_once: int) -> None:
    monkeypatch.setattr(word_table_module, "_NUM_WORDS_AT_ONCE", num_words_at_once)
    model = _learn()
    assert model.encode_batch([*TEXT, *ODD_TEXTS]) == model._sp.encode([*TEXT, *ODD_TEXTS])


def test_text_that_cannot_be_encoded_leaves_nothing_behind(models: dict[str, SubwordModel]) -> None:
    model = _copy(models["bpe"])
    expected = models["bpe"].encode("the baker")
    for _ in range(2):
        with pytest.raises((TypeError, UnicodeError)):
            model.encode("the \ud800 baker")  # half of a surrogate pair is no text
        assert model.encode("the baker") == expected


@pytest.mark.parametrize("name", ALL)
def test_a_model_is_made_of_its_bytes(models: dict[str, SubwordModel], name: str) -> None:
    model = _copy(models[name])
    assert model.fingerprint == models[name].fingerprint
    assert model.encode_batch([*TEXT, *ODD_TEXTS]) == models[name].encode_batch([*TEXT, *ODD_TEXTS])


def _copy(model: SubwordModel) -> SubwordModel:
    return SubwordModel.from_bytes(model.to_bytes(), name="copy")


def test_flat_encoding_is_encoding(models: dict[str, SubwordModel]) -> None:
    texts = ["the baker", "", "a"]
    for model in models.values():
        encoded = model.encode_flat(texts)
        assert encoded.len_N.tolist() == [len(model.encode(text)) for text in texts]
        assert encoded.ids.tolist() == [i for text in texts for i in model.encode(text)]
        assert model.encode("") == []
        assert model.encode_batch([]) == []
        assert model.decode_batch([]) == []
        assert model.encode_flat([]).ids.shape == model.encode_flat([]).len_N.shape == (0,)


@pytest.mark.parametrize("name", ALL)
def test_specials_come_first_and_are_not_text(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert model.pieces(range(4)) == ["<pad>", "<unk>", "<s>", "</s>"]
    ids = model.encode("the village")
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(ids)
    assert model.decode([BOS_ID, *ids, EOS_ID, PAD_ID, PAD_ID]) == "the village"
    assert model.decode([]) == model.decode([EOS_ID]) == ""
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(model.encode("<s> a </s> <pad>"))


def test_ids_may_be_numpy_integers(models: dict[str, SubwordModel]) -> None:
    ids = np.asarray(models["bpe"].encode("the village"), dtype=np.uint16)
    assert models["bpe"].decode(ids) == "the village"  # type: ignore[arg-type]
    assert "".join(models["bpe"].pieces(ids)) == "▁the▁village"  # type: ignore[arg-type]


def test_an_unknown_shows() -> None:
    bpe, word = _learn(), _learn(kind="word", vocab_size=30)
    assert bpe.decode(bpe.encode("a ☃ b☃c")) == "a ⁇ b⁇c"
    assert bpe.decode(bpe.encode("☃")) == "⁇"
    assert word.decode(word.encode("the snowman asks")).split() == ["the", "⁇", "asks"]
    assert word.decode(word.encode("the snowman asks")) == "the ⁇ asks"


def test_the_unknown_share_is_that_of_characters() -> None:
    def share(model: SubwordModel, text: str) -> float:
        return round(model.unknown_share(text, model.encode(text)), 3)

    bpe, word = _learn(), _learn(kind="word", vocab_size=30)
    shares = {"": 0, " ": 0, "the baker": 0, "☃": 1, "☃☃☃ ☃": 1, "a ☃☃☃": 0.75, "the ☃": 0.25, "ab☃": 0.333}
    assert {text: share(bpe, text) for text in shares} == shares
    shares = {"the village": 0, "the hut": 0.5, "hut hut": 1, "  the  ": 0}
    assert {text: share(word, text) for text in shares} == shares
    spelled_in_bytes = _learn(vocab_size=346, byte_fallback=True)
    assert [share(spelled_in_bytes, text) for text in ("the baker", "a ☃", "☃☃")] == [0, 0.5, 1]
    assert share(_learn(normalization="nfc"), "ﬁ") == 1
    assert share(bpe, "ﬁ") == 0  # "fi"


def test_words_are_the_most_frequent_ones() -> None:
    text = ["one two two three three three", "four four four four"]
    model = learn_subword(text, replace(SPEC, kind="word", vocab_size=6), lang="en")
    assert model.vocab_size == 6
    assert model.pieces(range(4, 6)) == ["▁four", "▁three"]
    # every unknown word is an <unk> of its own, also around spaces that are not " "
    assert model.encode("four one two three one") == [4, UNK_ID, UNK_ID, 5, UNK_ID]
    assert model.encode("one\u00a0two three\u2028one") == [UNK_ID, UNK_ID, 5, UNK_ID]
    assert model.encode("  four   four ▁four") == [4, 4, 4]


def test_words_are_counted_in_the_whole_text() -> None:
    rng = random.Random(3)
    words = [f"w{n}" for n in range(500)]
    text = [" ".join(rng.choices(words, weights=range(500, 0, -1), k=12)) for _ in range(800)]
    counts = Counter(word for line in text for word in line.split())
    model = learn_subword(text, replace(SPEC, kind="word", vocab_size=204), lang="en")
    kept = [piece.removeprefix("▁") for piece in model.pieces(range(4, 204))]
    assert sorted((counts[word] for word in kept), reverse=True) == sorted(counts.values(), reverse=True)[:200]


def test_words_keep_no_spaces_under_identity_either() -> None:
    model = _learn(kind="word", vocab_size=30, normalization="identity")
    assert model.encode("  the   village ") == model.encode("the village")
    assert model.normalize("  the   village ") == "the village"


def test_char_takes_the_vocabulary_size_as_a_limit() -> None:
    text = ["abc abc ab a"]
    few = learn_subword(text, replace(SPEC, kind="char", vocab_size=6), lang="en")
    all_ = learn_subword(text, replace(SPEC, kind="char", vocab_size=1000), lang="en")
    assert (few.vocab_size, all_.vocab_size) == (6, 8)  # specials and: space, a, b, c
    assert few.pieces(few.encode("a")) == ["▁", "a"]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "word"])
def test_a_vocabulary_larger_than_the_text_allows_is_explained(kind: SubwordKind) -> None:
    message = r"subword.vocab_size=5000 is more than the en text allows: set it to at most (\d+), or give more text"
    with pytest.raises(DataError, match=message) as raised:
        _learn(kind=kind, vocab_size=5000)
    largest = int(re.findall(r"at most (\d+)", str(raised.value))[0])
    assert _learn(kind=kind, vocab_size=largest).vocab_size == largest
    with pytest.raises(
        DataError, match=f"={largest + 1} is more than the en text allows: set it to at most {largest},"
    ):
        _learn(kind=kind, vocab_size=largest + 1)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_a_vocabulary_smaller_than_the_text_needs_is_explained(kind: SubwordKind, byte_fallback: bool) -> None:
    too_small = 262 if byte_fallback else 10
    message = (
        rf"subword.vocab_size={too_small} is less than the characters of the en text need: "
        r"set it to at least (\d+), or lower subword.character_coverage"
    )
    with pytest.raises(DataError, match=message) as raised:
        _learn(kind=kind, vocab_size=too_small, byte_fallback=byte_fallback)
    smallest = int(re.findall(r"at least (\d+)", str(raised.value))[0])
    assert _learn(kind=kind, vocab_size=smallest, byte_fallback=byte_fallback).vocab_size == smallest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 4}, "subword.vocab_size must be at least 5 and at most 10,000,000, but is 4"),
        (
            {"vocab_size": 260, "byte_fallback": True},
            "subword.vocab_size must be at least 261 and at most .*, but is 260",
        ),
        ({"vocab_size": 10_000_001}, "subword.vocab_size must be at least 5 and at most 10,000,000, but is 10000001"),
        ({"kind": "word", "byte_fallback": True}, "subword.byte_fallback must be false for subword=word"),
        ({"character_coverage": 0.97}, "subword.character_coverage must be from 0.98 to 1, but is 0.97"),
        ({"character_coverage": 1.5}, "subword.character_coverage must be from 0.98 to 1, but is 1.5"),
        ({"character_coverage": float("nan")}, "subword.character_coverage must be from 0.98 to 1, but is nan"),
        ({"max_sentences": 0}, "subword.max_sentences must be at least 1, but is 0"),
        (
            {"vocab_size": 0, "max_sentences": 0},
            "vocab_size must be at least 5 and at most .*, but is 0; subword.max_sentences must",
        ),
    ],
)
def test_specs_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _learn(**changes)


@pytest.mark.parametrize("text", [[], [""], [" ", "\t", "\u2028"], ["\u200b"]])
@pytest.mark.parametrize("kind", KINDS)
def test_text_without_words_is_refused(kind: SubwordKind, text: list[str]) -> None:
    with pytest.raises(DataError, match="the fr text to learn subwords from has no words: give training text"):
        learn_subword(text, replace(SPEC, kind=kind), lang="fr")


def test_other_complaints_of_sentencepiece_become_one_line() -> None:
    explained = subword_module._explained(RuntimeError("Something\n  else."), SPEC, lang="en")
    assert str(explained) == "subword.vocab_size=90 cannot be learned from the en text: Something else."


@pytest.mark.parametrize("kind", KINDS)
def test_learning_is_deterministic(kind: SubwordKind) -> None:
    first, second = (_learn(kind=kind, vocab_size=VOCAB_SIZE[kind]) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)
    assert first.fingerprint != _learn(kind=kind, vocab_size=VOCAB_SIZE[kind], normalization="identity").fingerprint


def test_learning_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        _learn(kind=kind, vocab_size=VOCAB_SIZE[kind])
    assert capfd.readouterr() == ("", "")


def test_learning_samples_so_many_lines() -> None:
    lines = [(0, f"line {n}") for n in range(10_000)]
    sample = subword_module._sample(iter(lines), 100, seed=5)
    assert len(set(sample)) == 100
    assert set(sample) <= set(lines)
    assert sample == subword_module._sample(iter(lines), 100, seed=5)
    assert sample != subword_module._sample(iter(lines), 100, seed=6)
    places = [int(line.split()[1]) for _, line in sample]
    assert 3500 < sum(places) / 100 < 6500  # from the whole text: 5000 ± 5 standard errors of 289


def test_a_very_long_line_does_no_harm() -> None:
    model = learn_subword([*TEXT, "x" * 100_000, "y " * 100_000], SPEC, lang="en")
    assert model.fingerprint == _learn().fingerprint
    assert len(model.encode("the " * 50_000)) == 50_000


def test_moses_tokens_are_words_and_come_back_as_text() -> None:
    text = ['"Well," said Mr. Hill, "it\'s late."', "It's a <b> & c's [d]!"]
    model = learn_subword(text, replace(SPEC, kind="word", vocab_size=25, tokenizer="moses"), lang="en")
    assert model.pieces(model.encode("Well, it's late.")) == ["▁Well", "▁,", "▁it", "▁'s", "▁late", "▁."]
    assert model.decode(model.encode("Well, it's late.")) == "Well, it's late."
    assert model.pieces(model.encode("&")) == ["▁&"]  # and not &amp;
    assert [model.decode(model.encode(line)) for line in text] == [model.normalize(line) for line in text]
    assert model.encode("") == []
    assert model.normalize("") == ""


def test_moses_follows_the_language() -> None:
    text = ["L'homme n'a pas d'eau."]
    french = learn_subword(text, replace(SPEC, kind="word", vocab_size=12, tokenizer="moses"), lang="fr")
    assert french.pieces(french.encode("L'homme n'a pas")) == ["▁L'", "▁homme", "▁n'", "▁a", "▁pas"]
    assert french.decode(french.encode("L'homme n'a pas d'eau.")) == "L'homme n'a pas d'eau."


def test_joint_subwords_are_one_vocabulary_under_the_rules_of_each_language() -> None:
    english, french = ["It's late."] * 3, ["L'homme n'a pas d'eau."] * 3
    spec = replace(SPEC, kind="word", vocab_size=15, tokenizer="moses")
    src, tgt = learn_joint_subwords([("en", iter(english)), ("fr", iter(french))], spec)
    assert src.pieces(range(15)) == tgt.pieces(range(15))
    english_words = ["▁It", "▁'s", "▁late", "▁."]
    french_words = ["▁L'", "▁homme", "▁n'", "▁a", "▁pas", "▁d'", "▁eau", "▁."]
    assert src.pieces(src.encode(english[0])) == english_words
    assert tgt.pieces(tgt.encode(french[0])) == french_words
    assert set(src.pieces(range(4, 15))) == {*english_words, *french_words}
    alone = learn_subword([*english, *french], replace(spec, tokenizer="none", vocab_size=10), lang="en")
    both = learn_joint_subwords([("en", english), ("fr", french)], replace(spec, tokenizer="none", vocab_size=10))
    assert both[0].fingerprint == alone.fingerprint


@pytest.mark.parametrize("tokenizer", ["none", "moses"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_the_model(tmp_path: Path, kind: SubwordKind, tokenizer: str) -> None:
    model = _learn(kind=kind, vocab_size=VOCAB_SIZE[kind], tokenizer=tokenizer)
    model.save(tmp_path / "en.subword")
    loaded = SubwordModel.load(tmp_path / "en.subword")
    assert [path.name for path in tmp_path.iterdir()] == ["en.subword"]
    assert loaded.fingerprint == model.fingerprint
    assert loaded.vocab_size == model.vocab_size
    texts = ["The baker, of course.", "two  unknowns: 😀"]
    assert loaded.encode_batch(texts) == model.encode_batch(texts)
    assert [loaded.normalize(text) for text in texts] == [model.normalize(text) for text in texts]


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(b"old")
    _learn().save(path)
    assert SubwordModel.load(path).vocab_size == SPEC.vocab_size


def _foreign(path: Path, **options: Any) -> Path:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=50, minloglevel=2, num_threads=1, **options
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.mark.parametrize(
    ("options", "vocab_size"),
    [
        ({}, 51),  # <unk>, <s>, </s> are 0, 1, 2 and <pad> is lacking: SentencePiece's own defaults
        ({"pad_id": 3, "eos_id": 0, "unk_id": 2, "bos_id": 1}, 50),
        ({"bos_id": -1, "pad_id": 0, "unk_id": 49, "eos_id": 1}, 51),
        ({"bos_id": -1, "eos_id": -1}, 53),
        ({"user_defined_symbols": ["<sep>"], "control_symbols": ["<ctrl>"]}, 51),
        ({"split_by_whitespace": False}, 51),
    ],
)
def test_a_model_learned_elsewhere_is_renumbered(tmp_path: Path, options: dict[str, Any], vocab_size: int) -> None:
    path = _foreign(tmp_path / "foreign.model", **options)
    model = SubwordModel.load(path)
    assert model.vocab_size == vocab_size
    texts = ["The baker of the village paints a teapot.", "", " a  candle"]
    ids = model.encode_batch(texts)
    assert min(i for row in ids for i in row) > EOS_ID
    assert [model.pieces(row) for row in ids] == model._sp.encode(texts, out_type=str)
    assert model.decode_batch([[BOS_ID, *row, EOS_ID, PAD_ID] for row in ids]) == [
        model.normalize(text) for text in texts
    ]
    assert UNK_ID in model.encode("☃")
    assert "⁇" in model.decode([UNK_ID])
    assert sorted(set(model.pieces(range(vocab_size)))) == sorted(model.pieces(range(vocab_size)))
    model.save(tmp_path / "ours.subword")
    ours = SubwordModel.load(tmp_path / "ours.subword")
    assert (ours.fingerprint, ours.encode_batch(texts)) == (model.fingerprint, ids)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Just a line of text.\n",
        b"\x1f\x8b\x08\x00 not a model",
        b'{"format": "nmt-subword"',
        b'{"format": "nmt-subword", "version": 1}\n',
        b'{"format": "nmt-subword", "version": 1, "kind": "bpe", "tokenizer": "none", "lang": "en"}\n',
        b'{"format": "nmt-subword", "version": 1, "kind": "bpe", "tokenizer": "none", "lang": "en"}\nabc',
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(content)
    message = r"a\.subword must be a subword model \(of nmt or of SentencePiece\), but is damaged or something else$"
    with pytest.raises(DataError, match=message):
        SubwordModel.load(path)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    _learn().save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="but is damaged or something else"):
        SubwordModel.load(path)


def test_a_model_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.subword"
    path.write_bytes(b'{"format": "nmt-subword", "version": 9}\n')
    message = r"a\.subword is a subword model of format 9, but this nmt reads up to format 2: prepare the data again"
    with pytest.raises(DataError, match=message):
        SubwordModel.load(path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"subword model .*gone\.model cannot be read: No such file or directory"):
        SubwordModel.load(tmp_path / "gone.model")


def test_the_vocabularies_of_sutskever_et_al_can_be_learned() -> None:
    # 160,000 and 80,000 words, specials included (§3.1): word n of 170,000 is said more often than word n + 10,000
    lines = [" ".join(f"w{n}" for n in range(start, start + 100)) for start in range(0, 170_000, 100)]
    text = lines[: len(lines) * 16 // 17] * 2 + lines[len(lines) * 16 // 17 :]
    model = learn_subword(text, replace(SPEC, kind="word", vocab_size=160_000), lang="en")
    assert model.vocab_size == 160_000
    assert model.encode(lines[-1]) == [UNK_ID] * 100


@pytest.mark.parametrize("piece", ["é", "⁇"], ids=["a piece", "what an unknown one shows as"])
def test_a_model_whose_pieces_are_no_text_is_refused(tmp_path: Path, piece: str) -> None:
    file = tmp_path / "a.subword"
    learn_subword(["é a"], replace(SPEC, kind="char", normalization="identity"), lang="fr").save(file)
    content = file.read_bytes()
    assert piece.encode() in content
    file.write_bytes(content.replace(piece.encode(), b"\xff" * len(piece.encode())))
    with pytest.raises(DataError, match=r"a\.subword must be a subword model .*, but is damaged or something else"):
        SubwordModel.load(file)
