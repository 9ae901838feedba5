import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nmt.corpus.binarized as binarized_module
import nmt.corpus.binarizer as binarizer_module
from nmt.corpus.binarized import BinarizedCorpus, id_dtype, open_split
from nmt.corpus.binarizer import PairLimits, Progress, write_split
from nmt.corpus.manifest import Manifest, SplitReport, read_manifest, write_manifest
from nmt.errors import DataError
from nmt.text.parallel import SentencePair
from nmt.text.subword import UNK_ID, SubwordModel
from nmt.text.subword_learning import SubwordSpec, learn_subword
from nmt.text.subword_pool import encode_blocks
from tests.models import CHARACTERS, as_format_1

pytestmark = pytest.mark.no_tensors

SPEC = CHARACTERS
PAIRS = [
    SentencePair("a cab", "un taxi"),
    SentencePair("", ""),
    SentencePair("bad ☃", "mauvais"),
    SentencePair("a", "une histoire"),
]
LIMITS = PairLimits(max_len_subwords=20, max_len_ratio=3.0)


@pytest.fixture(scope="module")
def src_subword() -> SubwordModel:
    return learn_subword(["abcd"], SPEC, lang="en")


@pytest.fixture(scope="module")
def tgt_subword() -> SubwordModel:
    return learn_subword(["abcdefghijklmnopqrstuvwxyz"], SPEC, lang="fr")


@pytest.fixture
def write(tmp_path: Path, src_subword: SubwordModel, tgt_subword: SubwordModel) -> Any:
    def write(pairs: list[SentencePair], limits: PairLimits | None = None, **options: Any) -> SplitReport:
        return write_split(
            [pairs], tmp_path, "train", src_subword=src_subword, tgt_subword=tgt_subword, limits=limits, **options
        )

    return write


@pytest.fixture
def corpus_dir(tmp_path: Path, write: Any, src_subword: SubwordModel, tgt_subword: SubwordModel) -> Path:
    report = write(PAIRS)
    write_manifest(
        tmp_path, fingerprint="f" * 64, src_subword=src_subword, tgt_subword=tgt_subword, reports={"train": report}
    )
    return tmp_path


def test_a_corpus_is_read_as_it_was_written(
    corpus_dir: Path, src_subword: SubwordModel, tgt_subword: SubwordModel
) -> None:
    corpus = open_split(corpus_dir, "train", fingerprint="f" * 64)
    assert corpus.num_pairs == len(PAIRS)
    for index, pair in enumerate(PAIRS):
        assert corpus.src(index).tolist() == src_subword.encode(pair.src)
        assert corpus.tgt(index).tolist() == tgt_subword.encode(pair.tgt)
    assert corpus.src(-1).tolist() == src_subword.encode("a")
    assert tgt_subword.decode(corpus.tgt(3).tolist()) == "une histoire"
    # "▁" precedes each word and counts
    assert corpus.src_lens.tolist() == [6, 0, 6, 2]
    assert corpus.tgt_lens.tolist() == [8, 0, 8, 13]
    assert corpus.src_offsets.tolist() == [0, 6, 6, 12]
    assert corpus.tgt_offsets.tolist() == [0, 8, 8, 16]


def test_the_report_counts_what_was_kept(corpus_dir: Path) -> None:
    expected = SplitReport(
        num_read=4,
        num_kept=4,
        dropped={"empty": 0, "too_long": 0, "too_unequal": 0},
        src_subwords=14,
        tgt_subwords=29,
        src_unknown=1,
        tgt_unknown=0,
    )
    report = open_split(corpus_dir, "train", fingerprint=None).report
    assert replace(report, checksums={}) == expected


def test_types_and_sizes_are_small_and_fixed(corpus_dir: Path) -> None:
    corpus = open_split(corpus_dir, "train", fingerprint=None)
    dtypes = [corpus.src_ids.dtype, corpus.tgt_ids.dtype, corpus.src_lens.dtype, corpus.src_offsets.dtype]
    assert dtypes == [np.uint16, np.uint16, np.int32, np.int64]
    sizes = {path.name: path.stat().st_size for path in corpus_dir.glob("train.*")}
    assert sizes == {
        "train.src.ids": 28,
        "train.src.lens": 16,
        "train.src.offsets": 32,
        "train.tgt.ids": 58,
        "train.tgt.lens": 16,
        "train.tgt.offsets": 32,
    }


@pytest.mark.parametrize(("vocab_size", "dtype"), [(5, np.uint16), (1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_take_two_bytes_if_they_fit(vocab_size: int, dtype: type) -> None:
    assert id_dtype(vocab_size) == dtype


def test_large_vocabularies_take_four_bytes(tmp_path: Path, tgt_subword: SubwordModel) -> None:
    words = [f"w{n}" for n in range(66_000)]
    large = learn_subword(
        words, SubwordSpec(**{**asdict(SPEC), "kind": "word", "vocab_size": 66_004, "max_sentences": 66_000}), lang="en"
    )
    pairs = [SentencePair(" ".join(words[n : n + 1000]), "x") for n in range(0, 66_000, 1000)]
    report = write_split([pairs], tmp_path, "train", src_subword=large, tgt_subword=tgt_subword, limits=None)
    write_manifest(tmp_path, fingerprint="f", src_subword=large, tgt_subword=tgt_subword, reports={"train": report})
    corpus = open_split(tmp_path, "train", fingerprint="f")
    assert [corpus.src_ids.dtype.name, corpus.tgt_ids.dtype.name] == ["uint32", "uint16"]
    assert sorted(corpus.src_ids.tolist()) == list(range(4, 66_004))
    assert large.decode(corpus.src(65).tolist()) == pairs[65].src


def test_a_corpus_is_mapped_read_only(corpus_dir: Path) -> None:
    corpus = open_split(corpus_dir, "train", fingerprint=None)
    for array in (corpus.src_ids, corpus.tgt_ids, corpus.src_lens, corpus.tgt_offsets, corpus.src(0)):
        assert not array.flags.writeable
        assert type(array) is np.ndarray
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_the_saved_subword_models_are_those_that_encoded(
    corpus_dir: Path, src_subword: SubwordModel, tgt_subword: SubwordModel
) -> None:
    manifest = read_manifest(corpus_dir)
    assert SubwordModel.load(corpus_dir / "src.subword").fingerprint == manifest.src_subword_fingerprint
    assert SubwordModel.load(corpus_dir / "tgt.subword").fingerprint == manifest.tgt_subword_fingerprint
    report = open_split(corpus_dir, "train", fingerprint=None).report
    assert manifest == Manifest(
        fingerprint="f" * 64,
        src_subword_fingerprint=src_subword.fingerprint,
        tgt_subword_fingerprint=tgt_subword.fingerprint,
        src_vocab_size=src_subword.vocab_size,
        tgt_vocab_size=tgt_subword.vocab_size,
        splits={"train": report},
    )


def test_the_size_of_blocks_changes_nothing(
    tmp_path: Path, src_subword: SubwordModel, tgt_subword: SubwordModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [SentencePair("a b c d "[: n % 8], "x" * (n % 23)) for n in range(100)]
    written = []
    for block in (1, 7, 100, 1000):
        monkeypatch.setattr(binarizer_module, "_PAIRS_A_BLOCK", block)
        directory = tmp_path / str(block)
        report = write_split(
            [iter(pairs)], directory, "train", src_subword=src_subword, tgt_subword=tgt_subword, limits=LIMITS
        )
        written.append((report, {path.name: path.read_bytes() for path in directory.iterdir()}))
    assert all(other == written[0] for other in written)
    assert 0 < written[0][0].num_kept < 100


def test_progress_and_pairs_go_block_by_block(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binarizer_module, "_PAIRS_A_BLOCK", 40)
    num_taken, progress = 0, []

    def pairs() -> Iterator[SentencePair]:
        nonlocal num_taken
        for _ in range(100):
            num_taken += 1
            yield SentencePair("a", "b")

    write(pairs(), progress=Progress(advance=lambda num_pairs: progress.append((num_pairs, num_taken))))
    assert progress == [(40, 40), (40, 80), (20, 100)]


@pytest.mark.parametrize("num_pairs", [20, 21, 105])  # of which the first process encodes 20 by itself
def test_other_processes_write_what_one_does(
    tmp_path: Path,
    src_subword: SubwordModel,
    tgt_subword: SubwordModel,
    monkeypatch: pytest.MonkeyPatch,
    num_pairs: int,
) -> None:
    started = []

    def encode(*arguments: Any, num_processes: int) -> Any:
        started.append(num_processes)
        return encode_blocks(*arguments, num_processes=num_processes)

    monkeypatch.setattr(binarizer_module, "_PAIRS_A_BLOCK", 10)
    monkeypatch.setattr(binarizer_module, "encode_blocks", encode)
    pairs = [SentencePair("a b c d "[: n % 8], "xy ÿ"[: n % 5] * (n % 7)) for n in range(num_pairs)]
    written: list[tuple[SplitReport, dict[str, bytes]]] = []
    progress: list[int] = []
    for num_processes in (1, 2):
        directory = tmp_path / str(num_processes)
        report = write_split(
            [iter(pairs)],
            directory,
            "train",
            src_subword=src_subword,
            tgt_subword=tgt_subword,
            limits=LIMITS,
            num_processes=num_processes,
            progress=Progress(advance=progress.append),
        )
        written.append((report, {path.name: path.read_bytes() for path in directory.iterdir()}))
    assert written[0] == written[1]
    assert written[0][0].num_read == num_pairs > written[0][0].num_kept
    assert progress[: len(progress) // 2] == progress[len(progress) // 2 :]
    assert started == ([2] if num_pairs > 20 else [])


@pytest.mark.parametrize(
    ("src_len", "tgt_len", "reason"),
    [
        (2, 2, None),
        (0, 2, "empty"),
        (2, 0, "empty"),
        (0, 0, "empty"),
        (0, 21, "empty"),  # the first reason counts
        (20, 20, None),
        (21, 20, "too_long"),
        (20, 21, "too_long"),
        (2, 21, "too_long"),
        (2, 10, None),  # up to 10 subwords no pair is too unequal
        (2, 11, "too_unequal"),
        (11, 2, "too_unequal"),
        (4, 12, None),  # three times as long is allowed
        (4, 13, "too_unequal"),
    ],
)
def test_limits_drop_pairs_by_their_lengths(write: Any, src_len: int, tgt_len: int, reason: str | None) -> None:
    # a word of n letters is n + 1 characters with its "▁"
    pair = SentencePair("a" * (src_len - 1), "x" * (tgt_len - 1))
    report = write([SentencePair("a", "x"), pair], LIMITS)
    assert report.num_read == 2
    assert report.num_kept == (2 if reason is None else 1)
    assert {name: count for name, count in report.dropped.items() if count} == ({reason: 1} if reason else {})


def test_only_kept_pairs_are_written_and_counted(
    tmp_path: Path, write: Any, src_subword: SubwordModel, tgt_subword: SubwordModel
) -> None:
    pairs = [SentencePair("a" * 30, "ÿ"), SentencePair("ab z", "x ÿ"), SentencePair("", "x"), SentencePair("cd", "yÿy")]
    report = write(pairs, LIMITS)
    assert replace(report, checksums={}) == SplitReport(
        num_read=4,
        num_kept=2,
        dropped={"empty": 1, "too_long": 1, "too_unequal": 0},
        src_subwords=5 + 3,  # ▁ a b ▁ <unk> and ▁ c d
        tgt_subwords=4 + 4,  # ▁ x ▁ <unk> and ▁ y <unk> y
        src_unknown=1,
        tgt_unknown=2,
    )
    write_manifest(
        tmp_path, fingerprint="f", src_subword=src_subword, tgt_subword=tgt_subword, reports={"train": report}
    )
    corpus = open_split(tmp_path, "train", fingerprint="f")
    assert [src_subword.decode(corpus.src(n).tolist()) for n in range(2)] == ["ab ⁇", "cd"]
    assert [tgt_subword.decode(corpus.tgt(n).tolist()) for n in range(2)] == ["x ⁇", "y⁇y"]
    assert UNK_ID in corpus.src(0)


def test_without_limits_every_pair_is_kept(
    tmp_path: Path, write: Any, src_subword: SubwordModel, tgt_subword: SubwordModel
) -> None:
    report = write([SentencePair("", ""), SentencePair("", "")])
    assert (report.num_kept, report.src_subwords) == (2, 0)
    write_manifest(
        tmp_path, fingerprint="f", src_subword=src_subword, tgt_subword=tgt_subword, reports={"train": report}
    )
    corpus = open_split(tmp_path, "train", fingerprint="f")
    assert (corpus.num_pairs, corpus.src(1).tolist(), corpus.tgt_ids.tolist()) == (2, [], [])


def test_splits_share_a_folder(corpus_dir: Path, src_subword: SubwordModel, tgt_subword: SubwordModel) -> None:
    dev = write_split([PAIRS[:1]], corpus_dir, "dev", src_subword=src_subword, tgt_subword=tgt_subword, limits=None)
    train = read_manifest(corpus_dir).splits["train"]
    write_manifest(
        corpus_dir,
        fingerprint="f",
        src_subword=src_subword,
        tgt_subword=tgt_subword,
        reports={"train": train, "dev": dev},
    )
    assert [open_split(corpus_dir, split, fingerprint="f").num_pairs for split in ("train", "dev")] == [4, 1]


def test_a_split_without_pairs_is_refused(write: Any) -> None:
    with pytest.raises(DataError, match="the train text must have at least one sentence pair, but has none: check its"):
        write([])
    message = (
        r"none of the 3 pairs of the train text is left \(2 empty, 1 too unequal\): align the files so that line n "
        r"translates line n; if they are aligned, raise data.max_len_ratio \(3.0\)$"
    )
    with pytest.raises(DataError, match=message):
        write([SentencePair("", "x"), SentencePair("a", ""), SentencePair("a", "x" * 15)], LIMITS)


def _open(directory: Path, split: str = "train", fingerprint: str | None = None) -> BinarizedCorpus:
    return open_split(directory, split, fingerprint=fingerprint)


def test_a_wrong_fingerprint_is_refused(corpus_dir: Path) -> None:
    message = (
        f"{re.escape(str(corpus_dir))} was prepared from other text or with other settings "
        r"\(its fingerprint must be 0123456789ab, but is ffffffffffff\): run nmt prepare again, or name another"
    )
    with pytest.raises(DataError, match=message):
        _open(corpus_dir, fingerprint="0123456789abcdef")


def test_a_directory_without_a_manifest_is_not_a_corpus(tmp_path: Path, write: Any) -> None:
    write(PAIRS)  # as after an interrupted preparation
    message = r"is not a prepared corpus \(manifest\.json is missing\): run nmt prepare"
    for directory in (tmp_path, tmp_path / "gone", tmp_path / "train.src.ids"):
        with pytest.raises(DataError, match=message):
            _open(directory)


def test_another_format_is_refused(corpus_dir: Path) -> None:
    path = corpus_dir / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 7, "more": 1}))
    with pytest.raises(DataError, match="must be of format 2, but is of format 7: remove it and run nmt prepare again"):
        _open(corpus_dir)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"format_version": 1}', '{"format_version": 1, "splits": 3}', '{"format_version": 2}'),
        *("[" * 100_000, '{"format_version": 2, "checksum": 1}', '"format_version"', "1e999", "\xff"),
    ],
)
def test_a_damaged_manifest_is_refused(corpus_dir: Path, content: str) -> None:
    (corpus_dir / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"manifest\.json is damaged: remove .* and run nmt prepare again"):
        _open(corpus_dir)


def test_a_corpus_of_format_1_opens(corpus_dir: Path) -> None:
    before = open_split(corpus_dir, "train", fingerprint="f" * 64)
    as_format_1(corpus_dir)
    after = open_split(corpus_dir, "train", fingerprint="f" * 64)
    for name in ("src_ids", "src_lens", "src_offsets", "tgt_ids", "tgt_lens", "tgt_offsets"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert after.report == replace(before.report, checksums={})


@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, "3", [], {}, float("nan")])
@pytest.mark.parametrize(
    "key",
    [
        *("fingerprint", "src_subword_fingerprint", "tgt_vocab_size", "src_vocab_size", "splits", "train"),
        *("num_read", "num_kept", "dropped", "too_long", "src_subwords", "tgt_unknown"),
    ],
)
def test_a_wrong_type_in_the_manifest_is_one_line(corpus_dir: Path, key: str, wrong: object) -> None:
    content = as_format_1(corpus_dir)
    holders = [content, content["splits"], content["splits"]["train"], content["splits"]["train"]["dropped"]]
    [holder] = [holder for holder in holders if key in holder]
    if type(holder[key]) is type(wrong):
        return
    holder[key] = wrong
    (corpus_dir / "manifest.json").write_text(json.dumps(content))
    message = r"manifest\.json is damaged: remove .* and run nmt prepare again"
    if key == "splits" and wrong == {}:
        message = "has no split 'train'"
    with pytest.raises(DataError, match=message):
        _open(corpus_dir)


def test_a_changed_manifest_is_noticed(corpus_dir: Path) -> None:
    path = corpus_dir / "manifest.json"
    content = json.loads(path.read_text())
    content["splits"]["train"]["src_unknown"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        _open(corpus_dir)
    as_format_1(corpus_dir, format_version=2)
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        _open(corpus_dir)


@pytest.mark.parametrize("part", ["ids", "lens", "offsets"])
@pytest.mark.parametrize("side", ["src", "tgt"])
def test_a_flipped_bit_is_noticed(corpus_dir: Path, side: str, part: str) -> None:
    path = corpus_dir / f"train.{side}.{part}"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    message = (
        rf"{side}\.{part} (has changed since it was written|holds|does not fit).*: remove .* and run nmt prepare again"
    )
    with pytest.raises(DataError, match=message):
        _open(corpus_dir)


def test_a_changed_id_is_noticed(corpus_dir: Path) -> None:
    ids = np.fromfile(corpus_dir / "train.tgt.ids", "<u2")
    ids[3] ^= 1
    ids.tofile(corpus_dir / "train.tgt.ids")
    with pytest.raises(
        DataError, match=r"train\.tgt\.ids has changed since it was written: remove .* and run nmt prepare"
    ):
        _open(corpus_dir)


@pytest.mark.parametrize(
    ("part", "dtype", "index", "value", "message"),
    [
        ("ids", "<u2", 3, 31, r"tgt\.ids holds the id 31, but the vocabulary ends at 31"),
        ("lens", "<i4", 1, -1, r"tgt\.lens holds a negative length"),
        ("lens", "<i4", 3, 14, r"tgt\.lens holds 30 ids in all, but there are 29"),
        ("lens", "<i4", 0, 7, r"tgt\.offsets does not fit the lengths"),
        ("offsets", "<i8", 0, 1, r"tgt\.offsets does not fit the lengths"),
        ("offsets", "<i8", 3, -(2**63), r"tgt\.offsets does not fit the lengths"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
def test_without_checksums_inconsistent_numbers_are_noticed(
    corpus_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    dtype: str,
    index: int,
    value: int,
    message: str,
    at_once: int,
) -> None:
    monkeypatch.setattr(binarized_module, "_NUMBERS_CHECKED_AT_ONCE", at_once)
    as_format_1(corpus_dir)
    _open(corpus_dir)
    path = corpus_dir / f"train.tgt.{part}"
    numbers = np.fromfile(path, dtype)
    numbers[index] = value
    numbers.tofile(path)
    with pytest.raises(DataError, match=message):
        _open(corpus_dir)


def test_a_manifest_that_cannot_be_read_is_named(corpus_dir: Path) -> None:
    (corpus_dir / "manifest.json").unlink()
    (corpus_dir / "manifest.json").mkdir()
    with pytest.raises(DataError, match=r"manifest\.json cannot be read: Is a directory"):
        _open(corpus_dir)


def test_an_unknown_split_is_named(corpus_dir: Path) -> None:
    with pytest.raises(DataError, match="has no split 'dev', but only train: run nmt prepare again"):
        _open(corpus_dir, "dev")


@pytest.mark.parametrize("part", ["ids", "lens", "offsets"])
@pytest.mark.parametrize("side", ["src", "tgt"])
def test_truncated_and_missing_files_are_refused(corpus_dir: Path, side: str, part: str) -> None:
    path = corpus_dir / f"train.{side}.{part}"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    message = rf"{side}\.{part} must have {size} bytes, but has {size - 1}: remove .* and run nmt prepare again"
    with pytest.raises(DataError, match=message):
        _open(corpus_dir)
    path.unlink()
    with pytest.raises(DataError, match=rf"{side}\.{part} is missing: remove .* and run nmt prepare again"):
        _open(corpus_dir)


def test_a_file_that_cannot_be_read_is_named(corpus_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.raises(DataError, match=r"train\.src\.ids cannot be read: Permission denied"):
        _open(corpus_dir)
