"""The laws of text, corpus and batching, on text and lengths that hypothesis makes up."""

from __future__ import annotations

import gzip
import tempfile
import unicodedata
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nmt.config import BatchingConfig, BatchUnit, Normalization, SubwordKind, Tokenizer
from nmt.corpus.batching import Position, TrainingBatches, plan_epoch
from nmt.corpus.binarized import open_split
from nmt.corpus.binarizer import write_split
from nmt.corpus.manifest import write_manifest
from nmt.text.parallel import ParallelFiles, SentencePair, fingerprint_files, read_lines, read_pairs
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import SubwordSpec, learn_subword
from tests.models import corpus_of

LAW = settings(derandomize=True, database=None, deadline=None, max_examples=100)
SHORT_LAW = settings(LAW, max_examples=25)

# Letters and difficult characters: spaces and line ends of many kinds, marks, ligatures, controls, names of pieces
ODD = "ab eé\u0301\u0323 \u00a0\u3000\u2028\u200b\u200d\x85\x0b\x0c\t\r\0▁⁇ﬁ²Åำ１，！🥚\ufeff\ufffd<s>"
TEXT = st.text(st.sampled_from(ODD), max_size=12) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12
)
LENGTHS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40)
BATCHING = st.builds(
    BatchingConfig,
    unit=st.sampled_from(list(BatchUnit)),
    size=st.integers(1, 40),
    min_sentences=st.integers(1, 8),
)


@cache
def model(kind: SubwordKind, rule: Normalization) -> SubwordModel:
    spec = SubwordSpec(
        kind=kind,
        vocab_size={"bpe": 300, "unigram": 276, "char": 300, "word": 12}[kind],
        byte_fallback=kind != "word",
        normalization=rule,
        tokenizer=Tokenizer.none,
        character_coverage=1.0,
        max_sentences=100,
        seed=1,
    )
    return learn_subword(["a baby ate a bean", "the bees eat the tea"] * 3, spec, lang="en")


RULES = tuple(Normalization)
BYTE_KINDS = (SubwordKind.bpe, SubwordKind.unigram, SubwordKind.char)


@LAW
@given(st.lists(TEXT, max_size=4), st.sampled_from(BYTE_KINDS), st.sampled_from(RULES))
@example(["▁<"], "bpe", "nfc")
def test_decoding_an_encoded_text_gives_the_normalized_text(
    texts: list[str], kind: SubwordKind, rule: Normalization
) -> None:
    subword = model(kind, rule)
    assert subword.decode_batch(subword.encode_batch(texts)) == [subword.normalize(text) for text in texts]
    assert subword.encode_batch(texts) == [subword.encode(text) for text in texts]


@LAW
@given(TEXT)
def test_nfc_is_the_composed_text_with_single_spaces(text: str) -> None:
    composed = unicodedata.normalize("NFC", text).replace("▁", " ")
    assert model("char", "nfc").normalize(text) == " ".join(word for word in composed.split(" ") if word)


@LAW
@given(TEXT)
def test_identity_changes_only_the_space_marker(text: str) -> None:
    assert model("char", "identity").normalize(text) == text.replace("▁", " ")


@LAW
@given(st.lists(TEXT), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_n_lines_in_n_lines_out(lines: list[str], end: str, ended: bool, compressed: bool) -> None:
    # a byte order mark at the beginning and a CR at the end of a line are part of no line
    lines = [line.rstrip("\r") for line in lines]
    lines[:1] = [line.lstrip("\ufeff") for line in lines[:1]]
    if not ended and lines and not lines[-1]:
        return  # an empty last line without an end is no line
    content = (end.join(lines) + (end if ended and lines else "")).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_bytes(gzip.compress(content) if compressed else content)
        assert list(read_lines(path)) == lines
        files = ParallelFiles((path,), (path,))
        pairs = read_pairs(files, checksums=fingerprint_files(files).checksums)
        assert list(pairs) == [SentencePair(line, line) for line in lines]
        with_cr = list(read_lines(path, keep_cr=True))
        assert [line.removesuffix("\r") for line in with_cr] == lines


@SHORT_LAW
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), st.sampled_from(BYTE_KINDS), st.sampled_from(RULES))
def test_a_corpus_is_read_as_it_was_written(
    pairs: list[tuple[str, str]], kind: SubwordKind, rule: Normalization
) -> None:
    src, tgt = model(kind, rule), model("word", rule)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = write_split(
            [SentencePair(*pair) for pair in pairs], folder, "dev", src_subword=src, tgt_subword=tgt, limits=None
        )
        write_manifest(folder, fingerprint="f", src_subword=src, tgt_subword=tgt, reports={"dev": report})
        corpus = open_split(folder, "dev", fingerprint="f")
        assert corpus.report == report
        read = [(corpus.src(index).tolist(), corpus.tgt(index).tolist()) for index in range(corpus.num_pairs)]
    assert read == [(src.encode(text), tgt.encode(translation)) for text, translation in pairs]


@LAW
@given(LENGTHS, BATCHING, st.integers(0, 2**63), st.integers(0, 5))
def test_each_pair_comes_once_per_epoch_in_the_order_of_the_seed(
    lengths: list[tuple[int, int]], config: BatchingConfig, seed: int, epoch: int
) -> None:
    src_lens, tgt_lens = (np.array(side, np.int64) for side in zip(*lengths, strict=True))
    plan = [batch.tolist() for batch in plan_epoch(src_lens, tgt_lens, config, seed=seed, epoch=epoch)]
    assert sorted(pair for batch in plan for pair in batch) == list(range(len(lengths)))
    again = plan_epoch(src_lens, tgt_lens, config, seed=seed, epoch=epoch)
    assert plan == [batch.tolist() for batch in again]
    for batch in plan:
        cost = len(batch)
        if config.unit == BatchUnit.tokens:
            cost *= max(int(max(src_lens[pair], tgt_lens[pair])) + 1 for pair in batch)
        assert len(batch) == 1 or cost <= config.size


@LAW
@given(LENGTHS, BATCHING, st.integers(0, 2**63), st.integers(0, 60))
def test_cut_and_resumed_is_uncut(
    lengths: list[tuple[int, int]], config: BatchingConfig, seed: int, num_before: int
) -> None:
    corpus = corpus_of([([4] * src, [5] * tgt) for src, tgt in lengths])
    uncut = TrainingBatches(corpus, config, seed=seed)
    for _ in range(num_before):
        next(uncut)
    resumed = TrainingBatches(corpus, config, seed=seed, position=Position(**asdict(uncut.position)))
    for _ in range(5):
        for one, other in zip(next(uncut), next(resumed), strict=True):
            assert one.tolist() == other.tolist()
    assert uncut.position == resumed.position
    assert uncut.fractional_epochs() == resumed.fractional_epochs()


@LAW
@given(LENGTHS, BATCHING)
def test_an_epoch_has_every_sentence_of_the_corpus(lengths: list[tuple[int, int]], config: BatchingConfig) -> None:
    corpus = corpus_of([([4] * src, [5] * tgt) for src, tgt in lengths])
    batches = TrainingBatches(corpus, config, seed=1)
    seen: Counter[int] = Counter()
    while batches.position.epoch == 0:
        seen.update((next(batches).src_len_B - 1).tolist())
    assert seen == Counter(src for src, _ in lengths)
