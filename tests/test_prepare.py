from __future__ import annotations

import errno
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

import nmt.corpus.binarizer as binarizer_module
import nmt.corpus.prepare as prepare_module
import nmt.corpus.subwords as subwords_module
from nmt.command_config import TrainCommand
from nmt.commands.compose import compose_settings, to_settings
from nmt.commands.paths import quote_paths
from nmt.corpus.binarizer import PairLimits, write_split
from nmt.corpus.manifest import SplitReport, read_manifest
from nmt.corpus.prepare import prepare
from nmt.corpus.subwords import subword_specs
from nmt.errors import DataError, NmtError, ProcessDiedError
from nmt.text.parallel import read_pairs_by_file
from nmt.text.subword_learning import learn_subword
from nmt.text.subword_pool import encode_blocks
from tests.commands import data_settings, error, nmt, write_digits
from tests.models import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


pytestmark = pytest.mark.no_tensors


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


def test_the_corpus_is_printed_and_its_contents_are_logged(text: Path) -> None:
    done = nmt("prepare", *data_settings(text))
    assert done.status == 0
    [name] = _corpora(text)
    assert done.out == f"{text / 'prepared' / name}\n"
    assert re.search(r"corpus: train: 200 pairs, \d+ \+ \d+ subwords \(0.00% \+ 0.00% unknown\)", done.err)
    assert done.err.endswith(f"corpus: prepared {text / 'prepared' / name}\n")


def test_a_corpus_that_is_up_to_date_is_unchanged(text: Path) -> None:
    directory = _prepare(text)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    done = nmt("prepare", *data_settings(text))
    assert "is up to date" in done.err
    assert "learning" not in done.err
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_names_and_locations_of_files_do_not_matter(text: Path, tmp_path: Path) -> None:
    moved = write_digits(tmp_path / "moved")
    (moved / "train.en").rename(moved / "other.en")
    assert _prepare(moved, "data.train.src=other.en").name == _prepare(text).name


def test_changed_text_or_settings_make_another_corpus(text: Path) -> None:
    directories = {_prepare(text), _prepare(text, "subword.vocab_size=13"), _prepare(text, "data.max_len_ratio=3")}
    (text / "dev.fr").write_text("un\n" * 10)
    directories.add(_prepare(text))
    assert len(directories) == 4
    assert len(_corpora(text)) == 4  # and none is overwritten


def test_a_damaged_corpus_is_prepared_again(text: Path) -> None:
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
    for outcome in ("prepared", "is up to date"):  # the second time as the first
        err = nmt("prepare", *data_settings(text), "data.max_len_subwords=20").err
        assert outcome in err
        assert "corpus: train: 200 pairs" in err
        assert "left out 4: 2 empty, 1 too long, 1 too unequal" in err


@pytest.mark.parametrize("num_unequal", [3, 4])
def test_leaving_out_most_pairs_gives_a_warning(text: Path, caplog: pytest.LogCaptureFixture, num_unequal: int) -> None:
    (text / "train.en").write_text("one two three\n" * 3 + "one\n" * num_unequal)
    (text / "train.fr").write_text("1 2 3\n" * 3 + "1 2 3 1 2 3 1 2 3 1 2 3\n" * num_unequal)
    warning = (
        f"corpus: train: more than half of the pairs are left out ({num_unequal} too unequal): align the files so that "
        "line n translates line n; if they are aligned, raise data.max_len_ratio (3.5)"
    )
    for _ in range(2):  # also if the corpus is up to date
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            _prepare(text, "subword=word", "subword.vocab_size=7", "data.max_len_ratio=3.5")
        assert caplog.messages == ([warning] if num_unequal == 4 else [])


@pytest.mark.parametrize(
    ("empty", "too_long", "too_unequal", "limits"),
    [
        (3, 0, 0, ""),
        (3, 1, 0, "; if they are aligned, raise data.max_len_subwords (2,000)"),
        (0, 0, 1, "; if they are aligned, raise data.max_len_ratio (4.0)"),
        (0, 2, 1, "; if they are aligned, raise data.max_len_subwords (2,000) and data.max_len_ratio (4.0)"),
    ],
)
def test_the_advice_names_only_the_limits_that_left_out_pairs(
    empty: int, too_long: int, too_unequal: int, limits: str
) -> None:
    dropped = {"empty": empty, "too_long": too_long, "too_unequal": too_unequal}
    advice = PairLimits(2000, 4.0).advice(SplitReport(9, 1, dropped, 1, 1, 0, 0))
    assert advice == f"align the files so that line n translates line n{limits}"


def test_a_failure_leaves_no_files(text: Path) -> None:
    with (text / "train.fr").open("a") as tgt:
        tgt.write("un\n")
    with pytest.raises(DataError, match=r"train.en ends at line 200, .*train.fr continues: align them"):
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
def test_invalid_text_is_refused(text: Path, content: bytes | None, message: str) -> None:
    if content is None:
        (text / "train.en").unlink()
    else:
        (text / "train.en").write_bytes(content)
    line = error("prepare", *data_settings(text)) if content is None else nmt("prepare", *data_settings(text)).last_line
    assert re.search(message, line)


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_all_missing_files_are_named_before_any_is_read(text: Path, command: str) -> None:
    settings = [*data_settings(text), "data.test.src=test.en", "data.test.tgt=test.fr"]
    settings += ["training.precision=fp32", "search.precision=fp32"] * (command == "train")  # not tried
    (text / "test.fr").unlink()
    assert error(command, *settings) == f"nmt: {text / 'test.fr'} does not exist: check the path"
    (text / "train.en").unlink()
    missing = f"{text / 'train.en'}, {text / 'test.fr'}"
    assert error(command, *settings) == f"nmt: {missing} do not exist: check the paths"


@pytest.mark.parametrize("moment", ["learn_subwords", "write_split"])
@pytest.mark.parametrize("lang", ["en", "fr"])
def test_text_that_changes_during_preparation_is_noticed(
    text: Path, monkeypatch: pytest.MonkeyPatch, moment: str, lang: str
) -> None:
    """A corpus must hold the text of its fingerprint."""
    as_it_was = getattr(prepare_module, moment)

    def change_first(*arguments: Any, **options: Any) -> Any:
        path = text / f"train.{lang}"
        path.write_bytes(path.read_bytes().replace(b"e", b"a"))
        return as_it_was(*arguments, **options)

    monkeypatch.setattr(prepare_module, moment, change_first)
    with pytest.raises(DataError, match=rf"train\.{lang} changed while it was being read: start again when nothing"):
        _prepare(text)
    assert _corpora(text) == []
    assert _temporaries(text / "prepared") == []


def test_text_that_changes_and_changes_back_is_noticed(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text / "train.fr"
    before = path.read_bytes()

    def learn_from_other_text(*arguments: Any, **options: Any) -> Any:
        path.write_bytes(before.replace(b"e", b"a"))
        return learn_subword(*arguments, **options)

    def write_as_it_was(*arguments: Any, **options: Any) -> Any:
        path.write_bytes(before)
        return write_split(*arguments, **options)

    monkeypatch.setattr(subwords_module, "learn_subword", learn_from_other_text)
    monkeypatch.setattr(prepare_module, "write_split", write_as_it_was)
    with pytest.raises(DataError, match=r"train\.fr changed while it was being read"):
        _prepare(text)


def _temporaries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*") if path.suffix in (".tmp", ".unfinished"))


def test_files_of_a_killed_preparation_are_removed_by_the_next(text: Path) -> None:
    directory = _prepare(text)
    shutil.rmtree(directory)
    for name in (f".{directory.name}.4711.tmp", f".{directory.name}.0a1b2c3d.tmp", ".other-bpe-1.4711.tmp"):
        (directory.parent / name / "folder").mkdir(parents=True)
    assert _prepare(text) == directory
    assert _temporaries(directory.parent) == [".other-bpe-1.4711.tmp"]


def test_a_corpus_whose_name_is_a_pattern_removes_nothing_else(text: Path) -> None:
    directory = _prepare(text, "data.name=a*")
    shutil.rmtree(directory)
    other = f".{directory.name.replace('a*', 'abc')}.4711.tmp"
    (directory.parent / other).mkdir()
    assert _prepare(text, "data.name=a*") == directory
    assert _temporaries(text / "prepared") == [other]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a place where no file can be made")  # noqa: PTH112
def test_without_locks_there_is_no_waiting(text: Path) -> None:
    line = error("prepare", *data_settings(text), "data.prepared_dir=/proc")
    assert re.search(r"nmt: /proc must be writable, but is not \(.+\): name another data.prepared_dir$", line)


@contextmanager
def _file_size_limit(num_bytes: int) -> Iterator[None]:
    """Limit the size of files: a larger write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("rule", "files"),
    [  # each file that is larger than those written before
        ("identity", {"src.subword", "tgt.subword", "manifest.json", "train.src.ids", "train.src.offsets"}),
        ("nmt_nfkc", {"src.subword", "tgt.subword"}),
    ],
)
def test_a_full_disk_is_one_line_at_every_write_and_leaves_nothing(text: Path, rule: str, files: set[str]) -> None:
    settings = _settings([*data_settings(text), f"subword.normalization={rule}"])
    complete = prepare(settings.data, settings.subword).directory
    sizes = {path.stat().st_size for path in complete.iterdir()}
    failed = set()
    for limit in (0, *(size - 1 for size in sizes)):
        shutil.rmtree(text / "prepared")
        with pytest.raises(DataError) as raised, _file_size_limit(limit):
            prepare(settings.data, settings.subword)
        message = str(raised.value)
        match = re.fullmatch(
            r".*/prepared/\S+/([a-z.]+) cannot be written \(File too large\): "
            "free some space, or name another data.prepared_dir",
            message,
        )
        assert match, message
        failed.add(match[1])
        assert _corpora(text) == []
        assert _temporaries(text / "prepared") == []
    assert failed == files
    assert prepare(settings.data, settings.subword).directory.is_dir()


def _failing(error_number: int, only: Callable[..., bool], function: Any) -> Any:
    def fail(*arguments: Any, **options: Any) -> Any:
        if only(*arguments):
            raise OSError(error_number, os.strerror(error_number), *map(str, arguments[:1]))
        return function(*arguments, **options)

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("function", ["mkdir", "rename", "fsync", "open"])
def test_a_failure_at_any_step_is_one_line_and_leaves_nothing(
    text: Path, monkeypatch: pytest.MonkeyPatch, number: int, function: str
) -> None:
    def is_of_the_corpus(path: object, *_: object) -> bool:
        return ".unfinished" in str(path)

    if function == "fsync":
        monkeypatch.setattr(os, "fsync", _failing(number, lambda _: True, os.fsync))
    else:
        owner = type(text) if function != "open" else Path
        monkeypatch.setattr(owner, function, _failing(number, is_of_the_corpus, getattr(owner, function)))
    advice = "free some space, or " if number in (errno.ENOSPC, errno.EDQUOT) else ""
    message = rf" cannot be written \({re.escape(os.strerror(number))}\): {advice}name another data.prepared_dir$"
    with pytest.raises(DataError, match=message):
        _prepare(text)
    monkeypatch.undo()
    assert _corpora(text) == []
    assert _temporaries(text / "prepared") == []
    assert _prepare(text).is_dir()


def test_a_full_disk_keeps_the_existing_phrasebook(tmp_path: Path) -> None:
    settings = _settings(_phrasebook(tmp_path))
    prepare(settings.data, settings.subword)
    before = {path.name: path.read_bytes() for path in (tmp_path / "text").iterdir()}
    other = _settings([*_phrasebook(tmp_path), "data.generate.train_pairs=70"])
    message = r"/text cannot be written \(File too large\): free some space, or name another data.dir$"
    with pytest.raises(DataError, match=message), _file_size_limit(1000):
        prepare(other.data, other.subword)
    assert {path.name: path.read_bytes() for path in (tmp_path / "text").iterdir()} == before


def test_a_phrasebook_that_lacks_a_file_is_rewritten(tmp_path: Path) -> None:
    settings = _settings(_phrasebook(tmp_path))
    prepare(settings.data, settings.subword)
    (tmp_path / "text" / "dev.fr").unlink()
    (tmp_path / "text" / ".phrasebook.0a1b2c3d.tmp").mkdir()
    prepare(settings.data, settings.subword)
    assert (tmp_path / "text" / "dev.fr").is_file()
    assert _temporaries(tmp_path / "text") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("data.name", value) for value in ("../x", "a/b", "..", ".", "''", "'a\tb'", "x" * 201)),
        *((key, "../../x") for key in ("data.src_lang", "data.tgt_lang", "model.name")),
    ],
)
@pytest.mark.parametrize("command", ["prepare", "train"])
def test_a_name_must_not_be_a_path(text: Path, key: str, value: str, command: str) -> None:
    if command == "prepare" and key == "model.name":
        return
    before = sorted(text.parent.rglob("*"))
    typed = value.strip("'").encode().decode("unicode_escape")
    line = error(command, *data_settings(text), f"{key}={value}", *([f"run_dir={text}/run"] * (command == "train")))
    assert f"{key} must be usable in a file name (no slashes, not too long), but is " in line
    assert line.count("must be") == 1
    assert repr(typed) in line
    assert sorted(text.parent.rglob("*")) == before


# The result of nmt 0.1.0 for the text of `write_digits`.
NAMES_OF_0_1_0 = {
    ("subword.normalization=nmt_nfkc",): "files-word-6ed3d917120d",
    ("subword.normalization=identity",): "files-word-8cad4cb9b97b",
    (
        "subword=bpe",
        "subword.vocab_size=40",
        "subword.joint=true",
        "subword.normalization=nmt_nfkc",
    ): "files-bpe-b4f73095403e",
}


@pytest.mark.parametrize(("overrides", "name"), NAMES_OF_0_1_0.items())
def test_settings_of_an_earlier_version_find_its_corpora(text: Path, overrides: tuple[str, ...], name: str) -> None:
    assert _prepare(text, *overrides).name == name


@pytest.mark.parametrize(
    ("overrides", "rules"),
    [
        ([], ("nmt_nfkc", "nfc")),
        (["subword.normalization=nfc"], ("nfc", "nfc")),
        (["subword.normalization=nmt_nfkc"], ("nmt_nfkc", "nmt_nfkc")),
        (["subword.tgt_normalization=identity"], ("nmt_nfkc", "identity")),
        (["subword.src_normalization=nfc"], ("nfc", "nfc")),
        (["subword.normalization=identity", "subword.src_normalization=nmt_nfkc"], ("nmt_nfkc", "identity")),
    ],
)
def test_a_normalization_of_a_side_overrides_that_of_both(
    text: Path, overrides: list[str], rules: tuple[str, str]
) -> None:
    src, tgt = subword_specs(_settings([*data_settings(text), *overrides]).subword)
    assert (src.normalization, tgt.normalization) == rules


def test_a_side_must_have_a_normalization(text: Path) -> None:
    assert error("prepare", *data_settings(text), "subword.tgt_normalization=null") == (
        "nmt: subword.normalization must be set if subword.src_normalization or tgt_normalization is null"
    )


@pytest.mark.parametrize("joint", ["true", "false"])
def test_only_the_source_is_normalized_by_nfkc(text: Path, joint: str) -> None:
    line = "25 m², 10³ … l’œuvre ！"
    for lang in ("en", "fr"):
        (text / f"train.{lang}").write_text(f"{line}\n" * 4)
    settings = _settings([*data_settings(text), "subword=char", "subword.vocab_size=100", f"subword.joint={joint}"])
    src, tgt = prepare(settings.data, settings.subword).subwords()
    assert tgt.decode(tgt.encode(line)) == line
    assert src.decode(src.encode(line)) == "25 m2, 103 ... l’œuvre !"


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_a_corpus_with_the_subwords_of_another_is_refused(text: Path, side: str) -> None:
    settings = _settings(data_settings(text))
    corpus = prepare(settings.data, settings.subword)
    other = _prepare(text, "subword.vocab_size=13")
    (corpus.directory / f"{side}.subword").write_bytes((other / f"{side}.subword").read_bytes())
    message = (
        rf"{side}\.subword is damaged, or not the subword model that made .*{corpus.directory.name}: "
        "restore it, or remove the folder and run nmt prepare again"
    )
    with pytest.raises(DataError, match=message):
        corpus.subwords()


def test_crlf_text_is_prepared_like_any_other(text: Path) -> None:
    first = _settings([*data_settings(text), "subword.normalization=identity"])
    src, tgt = prepare(first.data, first.subword).subwords()
    for path in text.glob("*.??"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    second = _settings([*data_settings(text), "subword.normalization=identity"])
    corpus = prepare(second.data, second.subword)
    assert [model.fingerprint for model in corpus.subwords()] == [src.fingerprint, tgt.fingerprint]
    assert corpus.open("train").report.tgt_unknown == 0


def test_an_infinite_ratio_is_no_limit(text: Path) -> None:
    with (text / "train.en").open("a") as src, (text / "train.fr").open("a") as tgt:
        src.write("\n" + "two " * 40 + "\n")
        tgt.write("deux\ndeux\n")
    done = nmt("prepare", *data_settings(text), "data.max_len_ratio=inf", f"data.max_len_subwords={2**31 - 1}")
    assert "corpus: train: 201 pairs" in done.err
    assert "left out 1: 1 empty" in done.err
    assert "Warning" not in done.err


@pytest.mark.parametrize("key", ["data.max_len_subwords", "subword.max_sentences", "subword.seed"])
def test_the_largest_numbers_in_range_work(text: Path, key: str) -> None:
    assert _prepare(text, f"{key}={2**31 - 1}").is_dir()


@pytest.mark.parametrize("kind", ["bpe", "unigram", "word"])
def test_the_largest_vocabulary_size_is_explained_like_any_other(text: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"vocab_size=10000000 is more than the en text allows: set it to at most"):
        _prepare(text, f"subword={kind}", "subword.joint=false", "subword.vocab_size=10000000")


def test_a_preparation_that_is_interrupted_continues(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = _prepare(text, f"data.prepared_dir={tmp_path / 'whole'}")
    monkeypatch.setattr(binarizer_module, "_PAIRS_A_BLOCK", 20)
    monkeypatch.setattr(binarizer_module, "_PAIRS_BETWEEN_SAVES", 60)
    monkeypatch.setattr(prepare_module, "num_processors", lambda: 1)

    def learn_again(*_: object, **__: object) -> None:
        raise AssertionError("subwords are learned once")

    for error_type, num_done in ((KeyboardInterrupt, 130), (ProcessDiedError, 190)):
        with monkeypatch.context() as context:
            context.setattr(prepare_module, "read_pairs_by_file", _interrupted_after(num_done, error_type))
            with pytest.raises(error_type):
                _prepare(text)
        assert _corpora(text) == []
        assert _temporaries(text / "prepared") == [f".{whole.name}.unfinished"]
        monkeypatch.setattr(prepare_module, "learn_subwords", learn_again)
    (text / "prepared" / f".{whole.name}.unfinished" / ".progress.json.0a1b2c3d.tmp").write_text("{")
    with caplog.at_level(logging.INFO):
        continued = _prepare(text)
    assert "corpus: train: continuing after 180 pairs" in caplog.messages
    assert _contents(continued) == _contents(whole)
    assert _temporaries(text / "prepared") == []


def _interrupted_after(num_pairs: int, error_type: type[BaseException]) -> Callable[..., Iterator[Any]]:
    def read(*arguments: Any, **options: Any) -> Iterator[Any]:
        def interrupted(pairs: Iterator[Any]) -> Iterator[Any]:
            yield from islice(pairs, num_pairs)
            raise error_type

        return map(interrupted, read_pairs_by_file(*arguments, **options))

    return read


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Kills itself at the nth call of a function.
KILLED = """
import os, pathlib, signal, sys
from nmt.commands import main as command_line
from nmt.corpus import binarizer, manifest, prepare, split_writer, unfinished
import nmt.files

owner, name, number = eval(sys.argv[1]), sys.argv[2], int(sys.argv[3])
binarizer._PAIRS_A_BLOCK, binarizer._PAIRS_BETWEEN_SAVES = 20, 60
prepare.num_processors = lambda: 1
function = getattr(owner, name)

def count(*args, **kwargs):
    global number
    number -= 1
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **kwargs)

setattr(owner, name, count)
sys.argv[1:] = ["prepare", *sys.argv[4:]]
if __name__ == "__main__":
    command_line.main()
"""
MOMENTS = [
    ("prepare", "learn_subwords", 1),
    ("manifest", "atomic_write", 1),
    ("manifest", "atomic_write", 2),
    ("split_writer._ArrayFile", "append", 1),
    ("split_writer._ArrayFile", "append", 29),
    ("split_writer._ArrayFile", "sync", 9),
    ("split_writer._ArrayFile", "append", 20),
    ("unfinished", "write_manifest", 2),
    ("pathlib.Path", "unlink", 2),
    ("nmt.files", "sync_below", 1),
]


def test_a_preparation_that_is_killed_again_and_again_ends_like_any_other(text: Path, tmp_path: Path) -> None:
    whole = _prepare(text, f"data.prepared_dir={tmp_path / 'whole'}")
    settings = data_settings(text)
    for owner, name, number in MOMENTS:
        command = [sys.executable, "-c", KILLED, owner, name, str(number), *settings]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert _corpora(text) == []
    assert _contents(_prepare(text)) == _contents(whole)
    assert _temporaries(text / "prepared") == []


def test_what_an_interrupted_preparation_wrote_is_verified(text: Path, tmp_path: Path) -> None:
    whole = _prepare(text, f"data.prepared_dir={tmp_path / 'whole'}")
    for damaged in ("train.src.ids", "progress.json", "src.subword"):
        command = [sys.executable, "-c", KILLED, "split_writer._ArrayFile", "sync", "9", *data_settings(text)]
        subprocess.run(command, capture_output=True, check=False)
        path = text / "prepared" / f".{whole.name}.unfinished" / damaged
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
        continued = _prepare(text)
        assert _contents(continued) == _contents(whole)
        shutil.rmtree(continued)


def test_the_pairs_of_each_file_are_counted(text: Path, tmp_path: Path) -> None:
    (text / "more.en").write_text("one\n\ntwo\n")
    (text / "more.fr").write_text("un\nrien\ndeux\n")
    several = ["data.train.src=[train.en,more.en,train.en]", "data.train.tgt=[train.fr,more.fr,train.fr]"]
    corpus = _prepare(text, *several)
    assert read_manifest(corpus).splits["train"].kept_by_file == [200, 2, 200]
    assert _prepare(text, *several, "data.train.weights=[1,0,2.5]") == corpus
    single = _prepare(text, f"data.prepared_dir={tmp_path}")
    assert "kept_by_file" not in (single / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ("[1]", "data.train.weights must be one number for each file of data.train.src, but these are 1 for 2"),
        ("[0,0]", "data.train.weights must not all be 0"),
        ("[1,-2]", "data.train.weights must be at least 0"),
        ("[1,inf]", "data.train.weights must be"),
    ],
)
def test_weights_that_make_no_sense_are_refused(text: Path, weights: str, problem: str) -> None:
    files = ["data.train.src=[train.en,train.en]", "data.train.tgt=[train.fr,train.fr]"]
    assert problem in error("prepare", *data_settings(text), *files, f"data.train.weights={weights}")


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the 200 pairs encoded by other processes, of which there may be three; lists the numbers given."""
    started = []

    def encode(*arguments: Any, num_processes: int) -> Any:
        started.append(num_processes)
        return encode_blocks(*arguments, num_processes=num_processes)

    monkeypatch.setattr(binarizer_module, "_PAIRS_A_BLOCK", 20)
    monkeypatch.setattr(binarizer_module, "encode_blocks", encode)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 3}, raising=False)
    return started


def test_several_processes_prepare_the_same_corpus(
    text: Path, tmp_path: Path, pools: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_several = _prepare(text)
    assert pools == [3]  # none for the few pairs of the dev text
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    by_one = _prepare(text, f"data.prepared_dir={tmp_path / 'other'}")
    assert pools == [3]
    assert by_several.name == by_one.name
    for path in by_one.iterdir():
        assert (by_several / path.name).read_bytes() == path.read_bytes()


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
        ("en", 201, b"one", r"nmt: .*/train.fr ends at line 200, .*/train.en continues: align them so that line n"),
    ],
)
def test_with_several_processes_an_error_of_the_text_is_one_line(
    text: Path, pools: list[int], lang: str, line: int, content: bytes, message: str
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
    assert len(pools) == (1 if line == 42 else 2)


def test_a_vocabulary_too_large_for_the_text_is_explained(text: Path) -> None:
    with pytest.raises(DataError, match=r"vocab_size=50 is more than the en text allows: set it to at most 14"):
        _prepare(text, "subword.vocab_size=50")


@pytest.mark.parametrize("side", ["src", "tgt"])
@pytest.mark.parametrize(
    ("size", "problem"), [(4, " must be at least 5"), (5, "=5 is less than the"), (5000, "=5000 is more than the")]
)
def test_the_size_of_the_vocabulary_of_a_side_is_refused_by_its_own_setting(
    text: Path, side: str, size: int, problem: str
) -> None:
    separate = ("subword=bpe", "subword.joint=false", "subword.src_vocab_size=40", "subword.tgt_vocab_size=40")
    with pytest.raises(NmtError, match=f"^subword.{side}_vocab_size{problem}"):
        _prepare(text, *separate, f"subword.{side}_vocab_size={size}")


def test_invalid_settings_are_reported_together(text: Path) -> None:
    line = error(
        "prepare",
        *data_settings(text),
        "subword.src_model=x",
        "data.dev.src=[]",
        "data.test.src=test.en",
    )
    assert line == (
        "nmt: subword.src_model and subword.tgt_model must be given both or neither; "
        "data.dev.src and data.dev.tgt must each name at least one file (or data.dev.tsv); "
        "data.test.src and data.test.tgt must each name at least one file (or data.test.tsv), or both none"
    )


def test_a_folder_that_is_not_writable_is_one_line(text: Path) -> None:
    (text / "file").write_text("")
    line = error("prepare", *data_settings(text), f"data.prepared_dir={text / 'file' / 'prepared'}")
    assert re.search(
        r"file/prepared must be writable, but is not \(Not a directory\): name another data.prepared_dir", line
    )


def test_waiting_for_another_job_is_logged(text: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = _prepare(text)
    shutil.rmtree(directory)
    other_job = FileLock(directory.with_name(f".{directory.name}.lock"), thread_local=False)
    other_job.acquire()

    def finish_when_waited_for(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("another job"):
            other_job.release()
        return True

    caplog.handler.addFilter(finish_when_waited_for)
    give_up = threading.Timer(
        30, other_job.release
    )  # a job that waits without a message fails the test, but does not block it
    give_up.start()
    with caplog.at_level(logging.INFO):
        assert _prepare(text) == directory
    give_up.cancel()
    assert f"another job is preparing this corpus in {text / 'prepared'}: waiting for it" in caplog.messages
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


def test_replaced_subwords_do_not_change_the_corpus(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, smaller = _prepare(text), _prepare(text, "subword.vocab_size=13")
    for side in ("src", "tgt"):
        shutil.copy(first / f"{side}.subword", tmp_path / side)

    def exchange_first(*arguments: Any, **options: Any) -> Any:
        shutil.copy(smaller / "src.subword", tmp_path / "src")
        return write_split(*arguments, **options)

    monkeypatch.setattr(prepare_module, "write_split", exchange_first)
    corpus = _prepare(text, f"subword.src_model={tmp_path / 'src'}", f"subword.tgt_model={tmp_path / 'tgt'}")
    assert (corpus / "src.subword").read_bytes() == (first / "src.subword").read_bytes()


def test_joint_subwords_keep_the_rules_of_each_side(text: Path) -> None:
    (text / "train.en").write_text("It's late.\n" * 4)
    (text / "train.fr").write_text("L'homme n'a pas d'eau.\n" * 4)
    settings = _settings(
        [*data_settings(text), "subword.joint=true", "subword.tokenizer=moses", "subword.vocab_size=15"]
    )
    src, tgt = prepare(settings.data, settings.subword).subwords()
    assert pieces(src, src.encode("It's late.")) == ["▁It", "▁'s", "▁late", "▁."]
    assert pieces(tgt, tgt.encode("d'eau.")) == ["▁d'", "▁eau", "▁."]
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


def test_the_phrasebook_is_rewritten_only_for_other_settings(tmp_path: Path) -> None:
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


def test_the_phrasebook_may_be_in_the_folder_of_a_run(tmp_path: Path) -> None:
    settings = _settings(_phrasebook(tmp_path))
    (tmp_path / "text").mkdir()
    with FileLock(tmp_path / "text" / ".lock"):  # as nmt train holds that of its run_dir
        prepare(settings.data, settings.subword)
    assert (tmp_path / "text" / "phrasebook.json").is_file()


def test_an_incomplete_phrasebook_is_rewritten(tmp_path: Path) -> None:
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
    assert {path: path.read_bytes() for path in text.iterdir() if path.name != ".phrasebook.lock"} == before
