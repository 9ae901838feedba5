from __future__ import annotations

from pathlib import Path

import pytest

from nmt.choices import Severity
from nmt.command_config import DoctorCommand
from nmt.corpus.prepare import prepare, split_files
from nmt.doctor.blocks import SPLITS, SplitText
from nmt.doctor.subword_text import SideSubwords, SubwordText, not_prepared, subword_text
from tests.commands import data_settings
from tests.doctor_text import composed


def settings(folder: Path, *overrides: str) -> DoctorCommand:
    given = [*data_settings(folder), "data.test.src=[test.en]", "data.test.tgt=[test.fr]", *overrides]
    found: DoctorCommand = composed("doctor", given)
    return found


def examined(folder: Path, *overrides: str) -> SubwordText:
    data, subword = (found := settings(folder, *overrides)).data, found.subword
    texts = [SplitText(split, split_files(data, getattr(data, split))) for split in SPLITS]
    return subword_text(prepare(data, subword), texts, data, subword)


def test_every_side_of_every_split_is_encoded(digits: Path) -> None:
    found = examined(digits)
    assert list(found.splits) == list(SPLITS)
    num_words = sum(len(line.split()) for line in (digits / "test.en").read_text().splitlines())
    assert found.splits["test"]["src"] == SideSubwords(num_words, num_words, 0)  # each word is a subword
    assert found.splits["test"]["src"].subwords_a_word == 1.0
    assert {line.severity for line in found.findings} == {Severity.ok}


def test_the_first_blocks_are_a_sample(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.doctor.blocks._PAIRS_A_BLOCK", 3)
    num_words = sum(len(line.split()) for line in (digits / "test.en").read_text().splitlines()[:6])
    assert examined(digits).splits["test"]["src"].num_words == num_words


def test_unknown_words_are_counted_by_side(digits: Path, tmp_path: Path) -> None:
    for name in ("train.en", "train.fr", "dev.fr", "test.en", "test.fr"):
        (tmp_path / name).write_text((digits / name).read_text())
    (tmp_path / "dev.en").write_text((digits / "dev.en").read_text().replace("zero", "eleven"))
    [found] = [line for line in examined(tmp_path).findings if line.severity != Severity.ok]
    assert found.severity == Severity.warning
    assert found.summary.startswith("dev src: ")
    assert found.summary.endswith("subwords are unknown")


@pytest.mark.parametrize(("limit", "severity"), [(6, Severity.ok), (5, Severity.warning)])
def test_pairs_left_out_of_training_are_counted(digits: Path, limit: int, severity: Severity) -> None:
    found = examined(digits, f"data.max_len_subwords={limit}")
    assert found.findings[0].severity == severity
    assert bool(found.left_out["too_long"]) == (severity != Severity.ok)


def test_many_subwords_a_word_are_a_notice(digits: Path) -> None:
    found = examined(digits, "subword=bpe", "subword.vocab_size=30")
    [line] = [line for line in found.findings if line.summary.startswith("train src") and "a word" in line.summary]
    assert line.severity == (Severity.notice if found.splits["train"]["src"].subwords_a_word > 3 else Severity.ok)


def test_why_a_corpus_is_not_prepared_is_a_finding() -> None:
    [found] = not_prepared("subword.vocab_size=9 is more than the text allows: set it to at most 7").findings
    assert (found.severity, found.summary, found.advice) == (
        Severity.warning,
        "subword.vocab_size=9 is more than the text allows",
        "set it to at most 7",
    )
    assert not_prepared("no").findings[0].advice == "see the other findings"
