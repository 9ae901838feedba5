"""The settings of subwords: one method for both sides, or one for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nmt.choices import Normalization, SubwordKind, Tokenizer
from nmt.commands.compose import compose_settings, to_settings
from nmt.config import SubwordConfig
from nmt.corpus.subwords import Subwords, fingerprinted, learn_subwords, subword_problems, subword_specs
from nmt.text.columns import Columns
from nmt.text.parallel import ParallelFiles, TextFiles
from nmt.text.subword_learning import learn_subword
from tests.disks import write_file
from tests.models import pieces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_tensors


def _config(*overrides: str) -> SubwordConfig:
    settings: Any = to_settings(compose_settings("prepare", list(overrides)))[0]
    config: SubwordConfig = settings.subword
    return config


def test_without_settings_of_a_side_both_are_as_subword_says() -> None:
    config = _config("subword=char", "subword.joint=false", "subword.src_vocab_size=70", "subword.tgt_vocab_size=80")
    src, tgt = subword_specs(config)
    assert (src.kind, src.vocab_size, src.size_setting) == (SubwordKind.char, 70, "subword.src_vocab_size")
    assert (src.normalization, tgt.normalization) == (Normalization.nmt_nfkc, Normalization.nfc)
    assert tgt == replace(src, vocab_size=80, size_setting="subword.tgt_vocab_size", normalization=Normalization.nfc)
    assert subword_specs(config).kinds == "char"


def test_the_recipe_for_pronunciations_reads_letters_not_syllables() -> None:
    specs = subword_specs(_config("experiment=g2p", "data.train.tsv=[a]", "data.dev.tsv=[b]"))
    assert specs.src.kind == SubwordKind.char
    model = learn_subword(["각"], replace(specs.src, vocab_size=20), lang="ko")
    assert len(model.encode("각")) == 1 + 3


def test_a_setting_of_a_side_comes_first() -> None:
    src, tgt = subword_specs(
        _config(
            "subword=bpe",
            "subword.joint=false",
            "subword.byte_fallback=true",
            "subword.src.kind=char",
            "subword.src.vocab_size=99",
            "subword.src.byte_fallback=false",
            "subword.src.tokenizer=moses",
            "subword.src.character_coverage=0.99",
            "subword.src.normalization=identity",
        )
    )
    assert (src.kind, src.vocab_size, src.size_setting) == (SubwordKind.char, 99, "subword.src.vocab_size")
    assert (src.byte_fallback, src.tokenizer, src.character_coverage) == (False, Tokenizer.moses, 0.99)
    assert src.normalization == Normalization.identity
    assert (tgt.kind, tgt.byte_fallback, tgt.tokenizer) == (SubwordKind.bpe, True, Tokenizer.none)


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        (["subword.tgt.kind=token"], "identity"),
        (["subword.tgt.kind=token", "subword.normalization=nmt_nfkc"], "identity"),
        (["subword.tgt.kind=token", "subword.tgt.normalization=nfc"], "nfc"),
        (["subword=token"], "identity"),
        (["subword=token", "subword.normalization=nfc"], "nfc"),
        (["subword.tgt.kind=char"], "nfc"),
    ],
)
def test_tokens_are_not_normalized_unless_a_setting_says_so(overrides: list[str], rule: str) -> None:
    assert subword_specs(_config("subword.joint=false", *overrides)).tgt.normalization == rule


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["subword.src.kind=char", "subword.tgt.kind=token"],
            "subword.joint=true needs the same kind on both sides, but they are char and token: set "
            "subword.joint=false",
        ),
        (
            ["subword.tgt.byte_fallback=true"],
            "subword.joint=true needs the same byte_fallback on both sides, but they are False and True: set "
            "subword.joint=false",
        ),
    ],
)
def test_joint_subwords_are_of_one_kind(overrides: list[str], problem: str) -> None:
    assert subword_problems(_config(*overrides)) == [problem]
    assert subword_problems(_config(*overrides, "subword.joint=false")) == []
    assert subword_problems(_config("subword.src.kind=char", "subword.tgt.kind=char")) == []


def test_only_settings_of_a_side_change_what_the_fingerprint_is_of() -> None:
    plain = fingerprinted(_config("subword.joint=false"), None)
    assert plain.keys() & {"src", "tgt", "sides", "src_normalization"} == set()
    different = [
        plain,
        *(
            fingerprinted(_config("subword.joint=false", override), None)
            for override in ("subword.src.kind=char", "subword.tgt.kind=char", "subword.tgt.vocab_size=77")
        ),
    ]
    assert all(one != other for n, one in enumerate(different) for other in different[:n])


def _inflections(tmp_path: Path) -> ParallelFiles:
    path = write_file(tmp_path / "a.tsv", b"run\tran\tV;PST\nhat\thats\tN;PL\n")
    return ParallelFiles(TextFiles((path,), Columns(1, (3,))), TextFiles((path,), Columns(2)))


def _learn(tmp_path: Path, *overrides: str) -> Subwords:
    columns = ["data=tsv", "data.src_lang=en", "data.tgt_lang=en", "data.train.tsv=[a]", "data.dev.tsv=[a]"]
    settings: Any = to_settings(compose_settings("prepare", [*columns, *overrides]))[0]
    return learn_subwords(settings.data, settings.subword, _inflections(tmp_path), checksums={})


def test_features_are_symbols_of_the_source(tmp_path: Path) -> None:
    src, tgt = _learn(tmp_path, "subword=char", "subword.joint=false")
    assert pieces(src, src.encode("<V> <PST> run")) == ["▁<V>", "▁<PST>", "▁", "r", "u", "n"]
    assert sorted(pieces(tgt, range(4, tgt.vocab_size))) == ["a", "h", "n", "r", "s", "t", "▁"]


def test_features_are_symbols_of_joint_subwords(tmp_path: Path) -> None:
    src, tgt = _learn(tmp_path, "subword=char")
    assert pieces(src, src.encode("<N> <PL> hat")) == ["▁<N>", "▁<PL>", "▁", "h", "a", "t"]
    assert src.vocab_size == tgt.vocab_size


def test_each_side_has_its_kind(tmp_path: Path) -> None:
    src, tgt = _learn(tmp_path, "subword=char", "subword.joint=false", "subword.tgt.kind=token")
    assert pieces(tgt, tgt.encode("hats ran")) == ["▁hats", "▁ran"]
    assert pieces(src, src.encode("hat")) == ["▁", "h", "a", "t"]
