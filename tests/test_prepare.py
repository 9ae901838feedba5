from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

import nmt.corpus.binarized as binarized_module
from nmt.commands.settings import compose_settings, quote_paths, to_settings
from nmt.config import TrainCommand
from nmt.corpus.prepare import prepare
from nmt.errors import DataError
from nmt.text.subword_process import SubwordProcess
from tests.commands import data_settings, error, nmt, write_digits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nmt.text.subword import SubwordModel


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_digits(tmp_path / "text")


def _settings(overrides: Sequence[str]) -> TrainCommand:
    settings: Any = to_settings(compose_settings("prepare", quote_paths("prepare", overrides)))[0]
    assert isinstance(settings, TrainCommand)
    return settings


def _prepare(text: Path, *overrides: str) -> Path:
    settings = _settings([*data_settings(text), *overrides])
    return prepare(settings.data, settings.subword).directory


def _corpora(text: Path) -> list[str]:
    return sorted(path.name for path in (text / "prepared").iterdir() if not path.name.startswith("."))


def test_prints_where_the_corpus_is_and_logs_what_it_holds(text: Path) -> None:
    done = nmt("prepare", *data_settings(text))
    assert done.status == 0
    [name] = _corpora(text)
    assert done.out == f"{text / 'prepared' / name}\n"
    assert re.search(r"corpus: train: 200 pairs, \d+ \+ \d+ subwords \(0.00% \+ 0.00% unknown\)", done.err)


def test_what_is_up_to_date_is_left_alone(text: Path) -> None:
    directory = _prepare(text)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    done = nmt("prepare", *data_settings(text))
    assert "is up to date" in done.err
    assert "learning" not in done.err
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_names_and_places_of_the_files_do_not_matter(text: Path, tmp_path: Path) -> None:
    moved = write_digits(tmp_path / "moved")
    (moved / "train.en").rename(moved / "other.en")
    assert _prepare(moved, "data.train.src=other.en").name == _prepare(text).name


def test_changed_text_or_settings_make_another_corpus(text: Path) -> None:
    directories = {_prepare(text), _prepare(text, "subword.vocab_size=13"), _prepare(text, "data.max_len_ratio=3")}
    (text / "dev.fr").write_text("un\n" * 10)
    directories.add(_prepare(text))
    assert len(directories) == 4
    assert len(_corpora(text)) == 4  # and none is written over


def test_a_damaged_corpus_is_made_again(text: Path) -> None:
    directory = _prepare(text)
    (directory / "manifest.json").write_text("{")
    assert _prepare(text) == directory
    assert json.loads((directory / "manifest.json").read_text())["format_version"] == 2


def test_nothing_is_written_beside_the_text(text: Path, tmp_path: Path) -> None:
    before = sorted(text.iterdir())
    _prepare(text, f"data.prepared_dir={tmp_path / 'elsewhere'}")
    assert sorted(text.iterdir()) == before


def test_pairs_left_out_are_counted_by_reason(text: Path) -> None:
    with (text / "train.en").open("a") as src, (text / "train.fr").open("a") as tgt:
        src.write("one\n\n" + "two " * 12 + "\n" + "two " * 30 + "\n")
        tgt.write("\nun\n" + "deux\n" + "deux " * 30 + "\n")
    err = nmt("prepare", *data_settings(text), "data.max_len_subwords=20").err
    assert "corpus: train: 200 pairs" in err
    assert "left out 4: 2 empty, 1 too long, 1 too unequal" in err


def test_nothing_is_left_behind_by_a_failure(text: Path) -> None:
    with (text / "train.fr").open("a") as tgt:
        tgt.write("un\n")
    with pytest.raises(DataError, match=r"train.en ends at line 200, .*train.fr goes on: align them"):
        _prepare(text)
    assert _corpora(text) == []
    assert [path.name for path in (text / "prepared").iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"train.en does not exist: check the path"),
        (b"one\ncaf\xe9\n", r"train.en, line 2, byte 4: must be UTF-8, but is 0xe9: convert the file first"),
        (b"", r"the en text to learn subwords from has no words: give training text"),
    ],
)
def test_text_that_cannot_be_used(text: Path, content: bytes | None, message: str) -> None:
    if content is None:
        (text / "train.en").unlink()
    else:
        (text / "train.en").write_bytes(content)
    line = error("prepare", *data_settings(text)) if content is None else nmt("prepare", *data_settings(text)).last_line
    assert re.search(message, line)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> list[SubwordModel]:
    """Have the 200 pairs encoded by two processes; lists the models that the second was started with."""
    started = []

    class Process(SubwordProcess):
        def __init__(self, subword: SubwordModel) -> None:
            started.append(subword)
            super().__init__(subword)

    monkeypatch.setattr(binarized_module, "_PAIRS_A_BLOCK", 20)
    monkeypatch.setattr(binarized_module, "SubwordProcess", Process)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3}, raising=False)
    return started


def test_two_processes_prepare_the_same_corpus(
    text: Path, tmp_path: Path, two_processes: list[SubwordModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_two = _prepare(text)
    assert len(two_processes) == 1  # none for the few pairs of the dev text
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    by_one = _prepare(text, f"data.prepared_dir={tmp_path / 'other'}")
    assert len(two_processes) == 1
    assert by_two.name == by_one.name
    for path in by_one.iterdir():
        assert (by_two / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("lang", "line", "content", "message"),
    [
        (
            "fr",
            150,
            b"caf\xe9",
            r"nmt: .*/train.fr, line 150, byte 4: must be UTF-8, but is 0xe9: convert the file first",
        ),
        (
            "en",
            42,
            b"caf\xe9",
            r"nmt: .*/train.en, line 42, byte 4: must be UTF-8, but is 0xe9: convert the file first",
        ),
        ("en", 201, b"one", r"nmt: .*/train.fr ends at line 200, .*/train.en goes on: align them so that line n"),
    ],
)
def test_an_error_of_the_text_is_one_line_with_two_processes_too(
    text: Path, two_processes: list[SubwordModel], lang: str, line: int, content: bytes, message: str
) -> None:
    first = _prepare(text)
    models = [f"subword.{side}_model={first / f'{side}.subword'}" for side in ("src", "tgt")]
    lines = (text / f"train.{lang}").read_bytes().split(b"\n")
    lines[line - 1] = content
    (text / f"train.{lang}").write_bytes(b"\n".join(lines))
    done = nmt("prepare", *data_settings(text), *models)
    assert (done.status, done.out) == (1, "")
    assert re.search(message, done.last_line)
    assert _corpora(text) == [first.name]
    assert len(two_processes) == (1 if line == 42 else 2)


def test_a_vocabulary_too_large_for_the_text_is_explained(text: Path) -> None:
    with pytest.raises(DataError, match=r"vocab_size=50 is more than the en text allows: set it to at most 14"):
        _prepare(text, "subword.vocab_size=50")


def test_settings_that_cannot_be_are_reported_together(text: Path) -> None:
    line = error(
        "prepare",
        *data_settings(text),
        "data.max_len_subwords=0",
        "data.max_len_ratio=0.5",
        "subword.src_model=x",
        "data.dev.src=[]",
    )
    assert line == (
        "nmt: data.max_len_subwords must be at least 1, but is 0; data.max_len_ratio must be at least 1, but is 0.5; "
        "subword.src_model and subword.tgt_model must be given both or neither; "
        "data.dev.src and data.dev.tgt must each name at least one file"
    )


def test_a_place_that_cannot_be_written_is_one_line(text: Path) -> None:
    (text / "file").write_text("")
    line = error("prepare", *data_settings(text), f"data.prepared_dir={text / 'file' / 'prepared'}")
    assert re.search(
        r"file/prepared must be writable, but is not \(Not a directory\): name another data.prepared_dir", line
    )


def test_waiting_for_another_job_is_said(text: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = _prepare(text)
    shutil.rmtree(directory)
    other_job = FileLock(directory.with_name(f".{directory.name}.lock"), thread_local=False)
    other_job.acquire()

    def finish_when_waited_for(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("another job"):
            other_job.release()
        return True

    caplog.handler.addFilter(finish_when_waited_for)
    give_up = threading.Timer(30, other_job.release)  # a job that waits in silence fails the test and does not block it
    give_up.start()
    with caplog.at_level(logging.INFO):
        assert _prepare(text) == directory
    give_up.cancel()
    assert f"another job prepares this corpus in {text / 'prepared'}: waiting for it" in caplog.messages
    caplog.clear()
    shutil.rmtree(directory)
    with caplog.at_level(logging.INFO):
        _prepare(text)
    assert not any(message.startswith("another job") for message in caplog.messages)


def test_subwords_of_an_earlier_corpus_can_be_used_again(text: Path, tmp_path: Path) -> None:
    first = _prepare(text)
    other = write_digits(tmp_path / "other", seed=2)
    models = [f"subword.{side}_model={first / f'{side}.subword'}" for side in ("src", "tgt")]
    second = _prepare(other, *models)
    assert (second / "src.subword").read_bytes() == (first / "src.subword").read_bytes()


def test_joint_subwords_keep_the_rules_of_each_side(text: Path) -> None:
    (text / "train.en").write_text("It's late.\n" * 4)
    (text / "train.fr").write_text("L'homme n'a pas d'eau.\n" * 4)
    settings = _settings(
        [*data_settings(text), "subword.joint=true", "subword.tokenizer=moses", "subword.vocab_size=15"]
    )
    src, tgt = prepare(settings.data, settings.subword).subwords()
    assert src.pieces(src.encode("It's late.")) == ["▁It", "▁'s", "▁late", "▁."]
    assert tgt.pieces(tgt.encode("d'eau.")) == ["▁d'", "▁eau", "▁."]
    assert src.vocab_size == tgt.vocab_size == 15


def _phrasebook(folder: Path) -> list[str]:
    sizes = [f"data.generate.{split}_pairs=10" for split in ("dev", "test")]
    return [
        "data=phrasebook",
        f"data.dir={folder / 'text'}",
        f"data.prepared_dir={folder / 'prepared'}",
        "data.generate.train_pairs=60",
        *sizes,
        "subword=char",
        "subword.joint=true",
    ]


def test_the_phrasebook_is_written_once_and_again_for_other_settings(tmp_path: Path) -> None:
    settings = _settings(_phrasebook(tmp_path))
    prepare(settings.data, settings.subword)
    train = tmp_path / "text" / "train.en"
    assert len(train.read_text().splitlines()) == 60
    assert sorted(path.name for path in train.parent.iterdir() if not path.name.startswith(".")) == sorted(
        [
            "phrasebook.json",
            *(f"{split}.{end}" for split in ("train", "dev", "test") for end in ("en", "fr", "phenomena")),
        ]
    )
    before = train.stat().st_mtime_ns
    prepare(settings.data, settings.subword)
    assert train.stat().st_mtime_ns == before
    other = _settings([*_phrasebook(tmp_path), "data.generate.train_pairs=50"])
    prepare(other.data, other.subword)
    assert len(train.read_text().splitlines()) == 50


def test_a_phrasebook_cut_short_is_written_anew(tmp_path: Path) -> None:
    settings = _settings(_phrasebook(tmp_path))
    prepare(settings.data, settings.subword)
    (tmp_path / "text" / "phrasebook.json").write_text("unfinished\n")
    (tmp_path / "text" / "train.en").write_text("cut")
    prepare(settings.data, settings.subword)
    assert len((tmp_path / "text" / "train.en").read_text().splitlines()) == 60


def test_the_phrasebook_never_overwrites_other_text(tmp_path: Path) -> None:
    text = write_digits(tmp_path / "text")
    before = {path: path.read_bytes() for path in text.iterdir()}
    line = error("prepare", *_phrasebook(tmp_path))
    assert re.search(
        r"text holds text that nmt did not write \(train.en, train.fr, dev.en, .*\), "
        "and the phrasebook would overwrite it: name another data.dir, or use the text with data=files",
        line,
    )
    assert {path: path.read_bytes() for path in text.iterdir() if path.name != ".lock"} == before
