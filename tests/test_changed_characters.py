from __future__ import annotations

import pytest

from nmt.choices import Normalization, Severity, SubwordKind, Tokenizer
from nmt.corpus.subwords import SubwordSpecs
from nmt.doctor import changed_characters
from nmt.doctor.changed_characters import NormalizationSample, Normalized, normalized_sample, normalized_sides
from nmt.doctor.finding import Finding
from nmt.text.subword_learning import SubwordSpec
from tests.doctor_text import Pairs, block

PLAIN = [("A dog runs.", "Un chien court.")]


def spec(normalization: Normalization) -> SubwordSpec:
    return SubwordSpec(
        kind=SubwordKind.bpe,
        vocab_size=100,
        byte_fallback=False,
        normalization=normalization,
        tokenizer=Tokenizer.none,
        character_coverage=1.0,
        max_sentences=100,
        seed=1,
    )


def found_in(pairs: Pairs, tgt_rule: Normalization = Normalization.nfc) -> Normalized:
    sample = NormalizationSample()
    for pair in pairs:
        sample.add(block([pair]))
    return normalized_sample(sample, SubwordSpecs(spec(Normalization.nmt_nfkc), spec(tgt_rule)))


@pytest.mark.parametrize("rule", Normalization)
def test_sides_are_normalized_if_an_accent_may_be_a_character_of_its_own(rule: Normalization) -> None:
    specs = SubwordSpecs(spec(rule), spec(Normalization.identity))
    normalize = changed_characters.normalizers(specs)["src"]
    assert normalized_sides(specs) == (["src"] if normalize("e\u0301") == normalize("é") else [])


def test_plain_text_does_not_change() -> None:
    found = found_in(PLAIN)
    assert [line.severity for line in found.findings] == [Severity.ok, Severity.ok]
    assert found.sides["src"].num_characters == 9


def test_a_source_may_change_more_than_a_target() -> None:
    pairs = PLAIN * 10 + [("½ dog", "½ chien")]
    assert [line.severity for line in found_in(pairs, Normalization.nmt_nfkc).findings] == [
        Severity.notice,
        Severity.notice,
    ]
    found = found_in(PLAIN * 100 + [("½ dog", "½ chien")], Normalization.nmt_nfkc)
    assert [line.severity for line in found.findings] == [Severity.ok, Severity.notice]
    assert found.findings[1].summary == "train tgt: nmt_nfkc changes 1 of 1,306 (0.08%) characters"


def test_each_side_has_its_own_rule() -> None:
    found = found_in([*PLAIN, ("½ dog", "½ chien")])
    assert (found.sides["src"].num_changed, found.sides["tgt"].num_changed) == (1, 0)


def test_only_the_first_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_characters, "_MAX_LINES", 3)
    found = found_in([*PLAIN * 3, ("½", "½")])
    assert found.num_lines == 3
    assert found.sides["src"].num_changed == 0


def test_canonical_forms_lose_nothing() -> None:
    found = found_in([("e", "é" * 10)], Normalization.nfd)
    assert found.sides["tgt"].num_changed == 10
    assert found.findings[1] == Finding(Severity.ok, "train tgt: nfd changes 10 of 10 (100.00%) characters")
