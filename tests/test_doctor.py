"""nmt doctor: faults that are planted in a corpus are found, and one without faults has no warning."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Done, data_settings, error, nmt, train_settings
from tests.doctor_text import Pairs, number_pairs, write_pairs

TEST_SET = ("data.test.src=[test.en]", "data.test.tgt=[test.fr]")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of three splits without faults."""
    for seed, (split, count) in enumerate((("train", 600), ("dev", 100), ("test", 100))):
        write_pairs(tmp_path, split, unique_pairs(count, seed=seed + 1))
    return tmp_path


def unique_pairs(count: int, *, seed: int) -> Pairs:
    """Return pairs of a length of their own for each seed, so that no pair is repeated in another split."""
    pairs = dict.fromkeys(number_pairs(2 * count, seed=seed, shortest=9 + seed, longest=9 + seed))
    return list(pairs)[:count]


def doctor(corpus: Path, *overrides: str) -> Done:
    return nmt("doctor", *data_settings(corpus), "subword.vocab_size=24", *TEST_SET, *overrides)


def diagnosis(corpus: Path, *overrides: str) -> dict[str, Any]:
    done = doctor(corpus, "json=true", *overrides)
    assert done.status == 0, done.err
    content: dict[str, Any] = json.loads(done.out)
    return content


def warnings_of(content: dict[str, Any]) -> list[str]:
    """Return the examinations that warn."""
    return [
        name
        for name, part in content.items()
        if isinstance(part, dict) and any(found["severity"] == "warning" for found in part.get("findings", ()))
    ]


def rewrite(file: Path, change: Any) -> None:
    file.write_text("".join(f"{line}\n" for line in change(file.read_text().splitlines())))


def test_a_corpus_without_faults_has_no_findings(corpus: Path) -> None:
    content = diagnosis(corpus)
    assert content["severity"] == "ok", content
    assert content["cost"] is None


def test_the_phrasebook_has_no_warnings(tmp_path: Path) -> None:
    folders = [f"data.dir={tmp_path}", f"data.prepared_dir={tmp_path / 'prepared'}"]
    sizes = ["data.generate.train_pairs=3000", "data.generate.dev_pairs=200", "data.generate.test_pairs=200"]
    done = nmt("doctor", "data=phrasebook", "subword.vocab_size=1000", *folders, *sizes, "fail_on=warning")
    assert done.status == 0, done.out
    assert "0 warnings" in done.out


@pytest.mark.parametrize(
    ("file", "change", "examination"),
    [
        ("train.fr", lambda lines: [*lines[:300], "Neuf un", *lines[300:-1]], "alignment"),
        ("train.fr", lambda lines: ["" if n % 20 == 0 else line for n, line in enumerate(lines)], "alignment"),
        ("train.fr", lambda lines: [line[:9] if n % 20 == 0 else line for n, line in enumerate(lines)], "alignment"),
        ("dev.fr", lambda lines: [line.lower() for line in lines], "case"),
        ("dev.en", lambda lines: ["Привет"] * 5 + lines[5:], "languages"),
        ("dev.en", lambda lines: [line.replace("one", "eleven") for line in lines], "subwords"),
        ("dev.en", lambda lines: ["\ufffd" + line for line in lines], "characters"),
    ],
)
def test_a_fault_of_one_file_is_found(corpus: Path, file: str, change: Any, examination: str) -> None:
    rewrite(corpus / file, change)
    assert examination in warnings_of(diagnosis(corpus))


def test_copies_and_known_pairs_are_found(corpus: Path) -> None:
    for lang in ("en", "fr"):
        train = (corpus / f"train.{lang}").read_text().splitlines()
        rewrite(corpus / f"train.{lang}", lambda lines: [*lines, *lines[:300]])
        rewrite(corpus / f"test.{lang}", lambda lines, known=train[:5]: [*lines, *known])
    content = diagnosis(corpus)
    assert warnings_of(content) == ["duplicates", "overlap"]
    assert content["duplicates"]["splits"]["train"]["num_exact"] == 300
    assert content["overlap"]["splits"]["test"]["num_exact"] == 5


def test_swapped_sides_are_found(corpus: Path) -> None:
    (corpus / "dev.en").rename(corpus / "x")
    (corpus / "dev.fr").rename(corpus / "dev.en")
    (corpus / "x").rename(corpus / "dev.fr")
    assert "languages" in warnings_of(diagnosis(corpus))


def test_files_of_different_lengths_are_examined_as_far_as_they_go(corpus: Path) -> None:
    """Where the shift begins is what the user needs to know."""
    rewrite(corpus / "train.fr", lambda lines: [*lines[:300], *lines[301:]])
    content = diagnosis(corpus)
    [shift] = content["alignment"]["splits"]["train"]["shifted"]
    assert shift["offset"] == -1
    assert abs(shift["first_line"] - 301) <= 2
    assert "ends at line 599" in content["alignment"]["splits"]["train"]["unequal_files"][0]
    assert "subwords" in warnings_of(content)  # the corpus cannot be prepared
    assert not (corpus / "prepared").exists()


def test_test_files_of_different_lengths_are_one_finding(corpus: Path) -> None:
    rewrite(corpus / "test.fr", lambda lines: lines[:50])
    found = diagnosis(corpus)["alignment"]
    assert len(found["splits"]["test"]["unequal_files"]) == 1
    assert len([line for line in found["findings"] if line["severity"] != "ok"]) == 1


def test_a_vocabulary_that_the_text_does_not_allow_is_a_finding(corpus: Path) -> None:
    content = diagnosis(corpus, "subword=bpe", "subword.vocab_size=4000")
    [found] = content["subwords"]["findings"]
    assert found["severity"] == "warning"
    assert "subword.vocab_size=4000 is more than the en and fr text allows" in found["summary"]
    assert found["advice"].startswith("set it to at most ")


@pytest.mark.parametrize(
    ("fail_on", "status"), [("none", 0), ("warning", 1), ("notice", 1)], ids=["none", "warning", "notice"]
)
def test_findings_fail_on_request(corpus: Path, fail_on: str, status: int) -> None:
    rewrite(corpus / "dev.fr", lambda lines: [line.lower() for line in lines])
    done = doctor(corpus, f"fail_on={fail_on}")
    assert done.status == status
    assert "1 warning" in done.out


def test_notices_do_not_fail_warnings(corpus: Path) -> None:
    rewrite(corpus / "train.en", lambda lines: [line.upper() if n < 30 else line for n, line in enumerate(lines)])
    settings = ["subword.src_vocab_size=34"]
    assert doctor(corpus, "fail_on=warning", *settings).status == 0
    assert doctor(corpus, "fail_on=notice", *settings).status == 1


def test_the_result_can_be_written_to_a_file(corpus: Path) -> None:
    done = doctor(corpus, f"output={corpus / 'result.json'}", "json=true")
    assert (done.status, done.out) == (0, "")
    assert json.loads((corpus / "result.json").read_text())["corpus"] == "files"


def test_the_text_is_not_overwritten(corpus: Path) -> None:
    line = error("doctor", *data_settings(corpus), f"output={corpus / 'dev.fr'}")
    assert "data.dev=" in line
    assert "which this command reads and would overwrite" in line


@pytest.mark.parametrize("keys", [("subword.src_model", "subword.tgt_model"), ("training.src_embeddings",)])
def test_models_and_vectors_that_are_read_are_not_overwritten(
    corpus: Path, run_dir: Path, keys: tuple[str, ...]
) -> None:
    file = shutil.copy(run_dir / "checkpoints" / "best" / "src.subword", corpus / "file")
    line = error("doctor", *data_settings(corpus), *(f"{key}={file}" for key in keys), f"output={file}")
    assert f"is {keys[0]}={file}, which this command reads and would overwrite" in line


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_names_of_files_may_be_any_bytes(corpus: Path) -> None:
    rewrite(corpus / "dev.fr", lambda lines: [lines[0][:5], *lines[1:]])
    other = corpus.rename(corpus.with_name(os.fsdecode(b"x\xff")))
    found = diagnosis(other)["alignment"]["splits"]["dev"]["most_unequal"]
    assert [pair["src_file"] for pair in found] == [str(other / "dev.en")]
    assert f"{corpus.parent}/x\\udcff/dev.en are the most unequal" in doctor(other).out


def test_the_test_set_is_optional(corpus: Path) -> None:
    content = json.loads(nmt("doctor", *data_settings(corpus), "subword.vocab_size=24", "json=true").out)
    assert list(content["alignment"]["splits"]) == ["train", "dev"]


def test_a_missing_file_is_an_error(corpus: Path) -> None:
    (corpus / "dev.fr").unlink()
    assert "dev.fr does not exist" in error("doctor", *data_settings(corpus))


def test_settings_of_data_are_checked(corpus: Path) -> None:
    assert "data.columns must be the numbers" in error("doctor", *data_settings(corpus), "data.columns=[1]")


def test_a_model_is_tried(digits: Path) -> None:
    ours = [setting for setting in train_settings(digits) if "max_updates" not in setting]
    done = nmt("doctor", *ours, "training.max_updates=50", "updates=3", "overfit_updates=5", "json=true")
    assert done.status == 0, done.err
    content = json.loads(done.out)
    assert content["cost"]["num_updates"] == 3
    assert content["cost"]["updates_per_epoch"] > 20
    assert content["cost"]["num_epochs"] == pytest.approx(50 / content["cost"]["updates_per_epoch"])
    assert content["overfitting"]["num_updates"] == 5
    assert not (digits / "checkpoints").exists()


def test_a_model_is_checked_before_the_text_is_read(digits: Path) -> None:
    assert "model.tied_embeddings=both needs one vocabulary" in error(
        "doctor", *data_settings(digits), "model=lstm_tiny", "model.tied_embeddings=both"
    )


def test_settings_of_a_model_need_a_model(digits: Path) -> None:
    line = error("doctor", *data_settings(digits), "model.hidden_dim=8", "model.dropout=0.1")
    assert line == ("nmt: model.hidden_dim needs a model: add model=NAME; model.dropout needs a model: add model=NAME")


def test_the_subwords_of_a_start_need_a_model(run_dir: Path, digits: Path) -> None:
    start = f"training.init_from={run_dir / 'checkpoints' / 'best'}"
    line = error("doctor", *data_settings(digits), start)
    assert line == "nmt: training.init_from needs a model: add model=NAME"


def test_an_experiment_has_data_and_model() -> None:
    done = nmt("doctor", "experiment=multi30k_en_de", "model.hidden_dim=7", "--cfg", "job")
    assert done.status == 0, done.err
    assert "  name: bigru_256\n" in done.out
    assert "  hidden_dim: 7\n" in done.out
