import io
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nmt.text.word_table as word_table_module
from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.config import WORD_KINDS
from nmt.errors import DataError
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID, UNK_ID, SubwordModel
from nmt.text.subword_learning import learn_subword
from tests.models import CHARACTERS, pieces

pytestmark = pytest.mark.no_tensors

SPEC = replace(CHARACTERS, kind=SubwordKind.bpe, vocab_size=90, max_sentences=10_000)
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
KINDS = tuple(SubwordKind)
# as large as TEXT allows, or less
VOCAB_SIZE: dict[str, int] = {"bpe": 90, "unigram": 55, "char": 200, "word": 30, "token": 200}

# Spaces of all kinds, characters like line ends, controls, a lone combining mark, ligatures, emoji, names of specials
DIFFICULT_TEXTS = [
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
        learned[f"{kind}+bytes+identity"] = _learn(**bytes_too, normalization=Normalization.identity)
    return learned


ALL = [*KINDS, *(f"{kind}+bytes{rule}" for kind in ("bpe", "unigram", "char") for rule in ("", "+identity"))]
WITH_BYTES = [name for name in ALL if "bytes" in name]


@pytest.mark.parametrize("name", ALL)
def test_decoding_an_encoded_text_gives_the_normalized_text(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    texts = TEXT[:20] if name != "word" else ["the village of the village", "a"]
    assert not any(UNK_ID in ids for ids in model.encode_batch(texts))
    assert model.decode_batch(model.encode_batch(texts)) == [model.normalize(text) for text in texts] == texts


@pytest.mark.parametrize("name", WITH_BYTES)
def test_with_byte_fallback_any_text_is_preserved(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert [model.decode(model.encode(text)) for text in DIFFICULT_TEXTS] == [
        model.normalize(text) for text in DIFFICULT_TEXTS
    ]


@pytest.mark.parametrize("name", [name for name in ALL if "identity" in name])
def test_identity_changes_only_the_space_marker(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert [model.decode(model.encode(text)) for text in DIFFICULT_TEXTS] == DIFFICULT_TEXTS
    assert [model.normalize(text) for text in DIFFICULT_TEXTS] == DIFFICULT_TEXTS
    assert model.decode(model.encode("a▁b ▁▁ c")) == model.normalize("a▁b ▁▁ c") == "a b    c"


def test_nmt_nfkc_collapses_runs_of_spaces(models: dict[str, SubwordModel]) -> None:
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
    line_feed = next(i for i in range(model.vocab_size) if pieces(model, [i]) == ["<0x0A>"])
    a = model.encode("a")
    assert model.decode([*a, line_feed, *a]) == "a  a"
    assert "\n" not in model.decode(model.encode("one\ntwo"))
    assert model.normalize("one\ntwo") == "one two"


@pytest.mark.parametrize("name", [name for name in ALL if name not in WORD_KINDS])
def test_words_looked_up_are_segmented_as_in_whole_texts(models: dict[str, SubwordModel], name: str) -> None:
    rng = random.Random(7)
    alphabet = "abeht  \u00a0\u3000\u2028\u200b\t\u0301▁ﬁ☃"
    texts = [*TEXT[::7], *DIFFICULT_TEXTS, *("".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(500))]
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
def test_any_number_of_words_may_be_looked_up_at_once(monkeypatch: pytest.MonkeyPatch, num_words_at_once: int) -> None:
    monkeypatch.setattr(word_table_module, "_NUM_WORDS_AT_ONCE", num_words_at_once)
    model = _learn()
    assert model.encode_batch([*TEXT, *DIFFICULT_TEXTS]) == model._sp.encode([*TEXT, *DIFFICULT_TEXTS])


def test_invalid_text_leaves_the_table_intact(models: dict[str, SubwordModel]) -> None:
    model = _copy(models["bpe"])
    expected = models["bpe"].encode("the baker")
    for _ in range(2):
        with pytest.raises((TypeError, UnicodeError)):
            model.encode("the \ud800 baker")  # an unpaired surrogate is not text
        assert model.encode("the baker") == expected


@pytest.mark.parametrize("name", ALL)
def test_a_model_is_restored_from_its_bytes(models: dict[str, SubwordModel], name: str) -> None:
    model = _copy(models[name])
    assert model.fingerprint == models[name].fingerprint
    assert model.encode_batch([*TEXT, *DIFFICULT_TEXTS]) == models[name].encode_batch([*TEXT, *DIFFICULT_TEXTS])


def _copy(model: SubwordModel) -> SubwordModel:
    return SubwordModel.from_bytes(model.to_bytes(), name="copy")


def test_flat_encoding_is_encoding(models: dict[str, SubwordModel]) -> None:
    texts = ["the baker", "", "a"]
    for model in models.values():
        encoded = model.encode_flat(texts)
        assert encoded.lens.tolist() == [len(model.encode(text)) for text in texts]
        assert encoded.ids.tolist() == [i for text in texts for i in model.encode(text)]
        assert model.encode("") == []
        assert model.encode_batch([]) == []
        assert model.decode_batch([]) == []
        assert model.encode_flat([]).ids.shape == model.encode_flat([]).lens.shape == (0,)


@pytest.mark.parametrize("name", ALL)
def test_specials_come_first_and_are_not_text(models: dict[str, SubwordModel], name: str) -> None:
    model = models[name]
    assert pieces(model, range(4)) == ["<pad>", "<unk>", "<s>", "</s>"]
    ids = model.encode("the village")
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(ids)
    assert model.decode([BOS_ID, *ids, EOS_ID, PAD_ID, PAD_ID]) == "the village"
    assert model.decode([]) == model.decode([EOS_ID]) == ""
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(model.encode("<s> a </s> <pad>"))


def test_ids_may_be_numpy_integers(models: dict[str, SubwordModel]) -> None:
    ids = np.asarray(models["bpe"].encode("the village"), dtype=np.uint16)
    assert models["bpe"].decode(ids) == "the village"  # type: ignore[arg-type]
    assert "".join(pieces(models["bpe"], ids)) == "▁the▁village"


def test_an_unknown_word_is_visible() -> None:
    bpe, word = _learn(), _learn(kind=SubwordKind.word, vocab_size=30)
    assert bpe.decode(bpe.encode("a ☃ b☃c")) == "a ⁇ b⁇c"
    assert bpe.decode(bpe.encode("☃")) == "⁇"
    assert word.decode(word.encode("the snowman asks")).split() == ["the", "⁇", "asks"]
    assert word.decode(word.encode("the snowman asks")) == "the ⁇ asks"


def test_the_unknown_share_is_that_of_characters() -> None:
    def share(model: SubwordModel, text: str) -> float:
        return round(model.unknown_share(text, model.encode(text)), 3)

    bpe, word = _learn(), _learn(kind=SubwordKind.word, vocab_size=30)
    shares = {"": 0, " ": 0, "the baker": 0, "☃": 1, "☃☃☃ ☃": 1, "a ☃☃☃": 0.75, "the ☃": 0.25, "ab☃": 0.333}
    assert {text: share(bpe, text) for text in shares} == shares
    shares = {"the village": 0, "the hut": 0.5, "hut hut": 1, "  the  ": 0}
    assert {text: share(word, text) for text in shares} == shares
    spelled_in_bytes = _learn(vocab_size=346, byte_fallback=True)
    assert [share(spelled_in_bytes, text) for text in ("the baker", "a ☃", "☃☃")] == [0, 0.5, 1]
    assert share(_learn(normalization=Normalization.nfc), "ﬁ") == 1
    assert share(bpe, "ﬁ") == 0  # "fi"


def test_moses_tokens_are_words_and_are_detokenized() -> None:
    text = ['"Well," said Mr. Hill, "it\'s late."', "It's a <b> & c's [d]!"]
    model = learn_subword(
        text, replace(SPEC, kind=SubwordKind.word, vocab_size=25, tokenizer=Tokenizer.moses), lang="en"
    )
    assert pieces(model, model.encode("Well, it's late.")) == ["▁Well", "▁,", "▁it", "▁'s", "▁late", "▁."]
    assert model.decode(model.encode("Well, it's late.")) == "Well, it's late."
    assert pieces(model, model.encode("&")) == ["▁&"]  # and not &amp;
    assert [model.decode(model.encode(line)) for line in text] == [model.normalize(line) for line in text]
    assert model.encode("") == []
    assert model.normalize("") == ""


def test_characters_that_moses_drops_are_not_unknown() -> None:
    spec = replace(CHARACTERS, tokenizer=Tokenizer.moses, normalization=Normalization.nfc)
    model = learn_subword(["ab ab"], spec, lang="en")
    for text in ("a\tb☃☃", "a\x01b☃☃", "ab☃☃"):
        assert model.unknown_share(text, model.encode(text)) == 0.5, text


def test_moses_follows_the_language() -> None:
    text = ["L'homme n'a pas d'eau."]
    french = learn_subword(
        text, replace(SPEC, kind=SubwordKind.word, vocab_size=12, tokenizer=Tokenizer.moses), lang="fr"
    )
    assert pieces(french, french.encode("L'homme n'a pas")) == ["▁L'", "▁homme", "▁n'", "▁a", "▁pas"]
    assert french.decode(french.encode("L'homme n'a pas d'eau.")) == "L'homme n'a pas d'eau."


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
        ({}, 51),  # <unk>, <s>, </s> are 0, 1, 2 and <pad> is missing: SentencePiece's own defaults
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
    assert [pieces(model, row) for row in ids] == model._sp.encode(texts, out_type=str)
    assert model.decode_batch([[BOS_ID, *row, EOS_ID, PAD_ID] for row in ids]) == [
        model.normalize(text) for text in texts
    ]
    assert UNK_ID in model.encode("☃")
    assert "⁇" in model.decode([UNK_ID])
    assert sorted(set(pieces(model, range(vocab_size)))) == sorted(pieces(model, range(vocab_size)))
    model.save(tmp_path / "ours.subword")
    ours = SubwordModel.load(tmp_path / "ours.subword")
    assert (ours.fingerprint, ours.encode_batch(texts)) == (model.fingerprint, ids)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"subword model .*gone\.model cannot be read: No such file or directory"):
        SubwordModel.load(tmp_path / "gone.model")


@pytest.mark.parametrize("piece", ["é", "⁇"], ids=["a piece", "what an unknown one shows as"])
def test_a_model_whose_pieces_are_not_text_is_refused(tmp_path: Path, piece: str) -> None:
    file = tmp_path / "a.subword"
    learn_subword(["é a"], replace(SPEC, kind=SubwordKind.char, normalization=Normalization.identity), lang="fr").save(
        file
    )
    content = file.read_bytes()
    assert piece.encode() in content
    file.write_bytes(content.replace(piece.encode(), b"\xff" * len(piece.encode())))
    with pytest.raises(DataError, match=r"a\.subword must be a subword model .*, but is damaged or something else"):
        SubwordModel.load(file)


def test_words_are_what_is_between_spaces() -> None:
    spec = replace(CHARACTERS, kind=SubwordKind.char)
    subword = learn_subword(["ab c"], spec, lang="en")
    words = subword.encode_words("  ab  xc ▁ c")
    assert [(word, len(ids)) for word, ids in words] == [("ab", 3), ("xc", 3), ("c", 2)]
    assert [len(ids) for ids in subword.split_words(subword.encode("ab xc c"))] == [3, 3, 2]
    assert subword.pieces[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
    assert "".join(subword.pieces[i] for i in subword.encode("ab xc")) == "▁ab▁<unk>c"
    exact = learn_subword(["ab c"], replace(spec, normalization=Normalization.identity), lang="en")
    assert [(word, len(ids)) for word, ids in exact.encode_words(" ab  c ")] == [("ab", 4), ("c", 4)]
    assert [len(ids) for ids in exact.split_words(exact.encode(" ab  c "))] == [4, 4]
    assert [(word, len(ids)) for word, ids in exact.encode_words("▁▁")] == [("▁▁", 3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", list(Normalization))
def test_a_space_marker_in_front_of_a_symbol_is_a_space(kind: SubwordKind, rule: Normalization) -> None:
    symbols = ("<V>", "<N>")
    size = {"unigram": 11, "bpe": 15, "word": 8}.get(kind, 200)
    spec = replace(CHARACTERS, kind=kind, vocab_size=size, normalization=rule, symbols=symbols)
    subword = learn_subword(["<V> run run", "<N> a run"] * 3, spec, lang="en")
    for text in ("▁<V> run", "▁▁<V>▁run", "a ▁<V> run", "a▁<N>▁", " ▁ <V>▁<N> a", "▁a", "▁run ▁a"):
        ids = subword.encode(text)
        assert ids == subword.encode(text.replace("▁", " "))
        assert [i for _, ids_of_word in subword.encode_words(text) for i in ids_of_word] == ids
        assert subword.decode(ids) == subword.normalize(text)


def test_every_unknown_word_is_a_word() -> None:
    subword = learn_subword(["a b a b"], replace(CHARACTERS, kind=SubwordKind.word, vocab_size=6), lang="en")
    ids = subword.encode("x y a z")
    assert [word for word, _ in subword.encode_words("x y a z")] == ["x", "y", "a", "z"]
    assert subword.split_words(ids) == [[UNK_ID], [UNK_ID], subword.encode("a"), [UNK_ID]]
    assert subword.decode_replacing(ids, {0: "X", 3: "Z z"}) == "X ⁇ a Z z"
    assert subword.decode_replacing(ids, {}) == "⁇ ⁇ a ⁇"


def test_tokens_of_moses_are_words() -> None:
    subword = learn_subword(["go , go ."], replace(CHARACTERS, tokenizer=Tokenizer.moses), lang="en")
    assert [word for word, _ in subword.encode_words("go, go.")] == ["go", ",", "go", "."]


def test_replaced_words_stay_one_line() -> None:
    subword = learn_subword(["a b a b"], replace(CHARACTERS, kind=SubwordKind.word, vocab_size=6), lang="en")
    assert subword.decode_replacing([UNK_ID], {0: "x\ny"}) == "x y"
