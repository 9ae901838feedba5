"""Tab-separated text through all commands: prepare, train, resume, translate, evaluate."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.commands.output import check_output
from nmt.errors import ConfigError
from nmt.text.subword import UNK_ID
from nmt.training.checkpoint import load_checkpoint
from tests.checkpoints import edit_config
from tests.commands import DIGITS, error, nmt

SPLITS = {"train": 150, "dev": 10, "test": 6}
TINY = ["model=lstm_tiny", "model.hidden_dim=8", "model.embedding_dim=8", "batching=sentences", "batching.size=8"]
SHORT = ["training.max_epochs=null", "training.max_updates=4", "training.validate_every=2", "training.log_every=2"]


def _write(folder: Path) -> Path:
    """Write a number, its digits, and whether they are few or many, in columns."""
    numbers = random.Random(1)
    for split, num_lines in SPLITS.items():
        rows = [[numbers.randrange(10) for _ in range(numbers.randint(1, 5))] for _ in range(num_lines)]
        lines = [
            "\t".join([" ".join(DIGITS[n] for n in row), "".join(map(str, row)), "N;MANY" if len(row) > 2 else "N;FEW"])
            for row in rows
        ]
        (folder / f"{split}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def _settings(folder: Path) -> list[str]:
    return [
        *("data=tsv", "data.src_lang=digits", "data.tgt_lang=words", f"data.dir={folder}", "data.columns=[2,1]"),
        *(f"data.{split}.tsv=[{split}.tsv]" for split in SPLITS),
        *("data.feature_columns=[3]", f"data.prepared_dir={folder / 'prepared'}"),
        *("subword=char", "subword.joint=false", "subword.tgt.kind=token"),
        *TINY,
        *SHORT,
        *("device=cpu", "threads=1", "training.precision=fp32", "training.bleu_sentences=3"),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("columns"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    done = nmt("train", *_settings(folder), f"run_dir={folder / 'run'}")
    assert done.status == 0, done.err
    assert "subwords: learning separate char+token" in done.err
    return folder / "run" / "checkpoints" / "best"


def test_a_checkpoint_has_the_symbols_and_the_kind_of_each_side(checkpoint: Path, folder: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert len(loaded.src_subword.encode("<N> <MANY> 123")) == 2 + len(loaded.src_subword.encode("123"))
    assert UNK_ID not in loaded.src_subword.encode("<N> <FEW> 1")
    assert loaded.tgt_subword.decode(loaded.tgt_subword.encode("one two")) == "one two"
    assert loaded.tgt_subword.vocab_size == 4 + len(DIGITS)
    [prepared] = (path for path in (folder / "prepared").iterdir() if path.is_dir())
    assert re.fullmatch(r"tsv-char\+token-[0-9a-f]{12}", prepared.name)


def test_the_run_resumes(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(checkpoint.parents[1], tmp_path / "run", symlinks=True)
    done = nmt("train", *_settings(folder), f"run_dir={run}", "resume=true", "training.max_updates=6")
    assert done.status == 0, done.err
    assert "is up to date" in done.err
    assert "training ended (max_updates) at update 6" in done.err


def _translate(checkpoint: Path, *overrides: str, stdin: str = "") -> str:
    done = nmt("translate", f"checkpoints={checkpoint}", "threads=1", "search=greedy", *overrides, stdin=stdin.encode())
    assert done.status == 0, done.err
    return done.out


def test_columns_are_translated_as_the_text_with_its_symbols(checkpoint: Path, folder: Path) -> None:
    rows = [line.split("\t") for line in (folder / "test.tsv").read_text().splitlines()]
    marked = "".join(f"<N> <{features.removeprefix('N;')}> {digits}\n" for _, digits, features in rows)
    as_text = _translate(checkpoint, "format=jsonl", stdin=marked)
    assert _translate(checkpoint, "format=jsonl", "input_format=tsv", f"input={folder / 'test.tsv'}") == as_text
    without_target = "".join(f"\t{digits}\t{features}\r\n" for _, digits, features in rows)
    assert _translate(checkpoint, "format=jsonl", "input_format=tsv", stdin=without_target) == as_text
    assert [json.loads(line)["unknown_share"] for line in as_text.splitlines()] == [0.0] * len(rows)


def test_a_line_to_translate_with_too_few_fields_is_named(checkpoint: Path) -> None:
    done = nmt("translate", f"checkpoints={checkpoint}", "input_format=tsv", "threads=1", stdin=b"\t1\tN\n\t2\n")
    assert done.status == 1
    assert re.search(r"^nmt: stdin, line 2: must have at least 3 fields separated by tabs, but has 2", done.last_line)


def test_columns_are_translated_in_shards(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.tsv"
    source.write_text((folder / "test.tsv").read_text() + "\t1\n")
    settings = ["input_format=tsv", f"input={source}"]
    shards = [_translate(checkpoint, *settings, f"shard={number}/3") for number in (1, 2)]
    whole = _translate(checkpoint, settings[0], f"input={folder / 'test.tsv'}")
    assert all(shards)
    assert whole.startswith("".join(shards))
    done = nmt("translate", f"checkpoints={checkpoint}", *settings, "shard=3/3", "threads=1")
    number = SPLITS["test"] + 1
    assert done.last_line.startswith(f"nmt: {source}, line {number}: must have at least 3 fields separated by tabs")


def _evaluate(checkpoint: Path, *overrides: str) -> str:
    done = nmt("evaluate", f"checkpoints={checkpoint}", "threads=1", "search=greedy", "bootstrap_samples=0", *overrides)
    assert done.status == 0, done.err
    return done.out


def test_checkpoints_are_scored_on_another_file_of_columns(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tsv"
    lines = (folder / "test.tsv").read_text().splitlines()
    other.write_text("".join(f"{line}\tnot read\n" for line in lines[:4]), encoding="utf-8")
    metrics = "metrics=[exact,wer]"
    scores = _evaluate(checkpoint, f"tsv={other}", metrics)
    edit_config(path := shutil.copytree(checkpoint, tmp_path / "copy"), _test_set(other))
    assert scores == _evaluate(path, metrics).replace(str(path), str(checkpoint))
    assert scores != _evaluate(checkpoint, metrics)
    (tmp_path / "short.tsv").write_text("one\t1\tN\none\t1\n", encoding="utf-8")
    line = nmt("evaluate", f"checkpoints={checkpoint}", f"tsv={tmp_path / 'short.tsv'}").last_line
    assert line.startswith(f"nmt: {tmp_path / 'short.tsv'}, line 2: must have at least 3 fields separated by tabs")


def _test_set(path: Path) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["data"]["test"].update(tsv=[str(path)])


def test_checkpoints_are_scored_on_the_columns_of_their_test_set(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    rows = [line.split("\t") for line in (folder / "test.tsv").read_text().splitlines()]
    (tmp_path / "src").write_text("".join(f"<N> <{features[2:]}> {digits}\n" for _, digits, features in rows))
    (tmp_path / "ref").write_text("".join(f"{words}\n" for words, _, _ in rows))
    output = tmp_path / "out"
    done = nmt("evaluate", f"checkpoints={checkpoint}", "threads=1", "search=greedy", f"output={output}", "json=true")
    assert done.status == 0, done.err
    assert f"test set: {folder / 'test.tsv'}\n" in done.err
    named = _evaluate(checkpoint, f"source={tmp_path / 'src'}", f"reference={tmp_path / 'ref'}", "by_length=true")
    own = _evaluate(checkpoint, "by_length=true")
    assert own == named
    assert len(output.read_text().splitlines()) == len(rows)
    assert json.loads(done.out)["references"] == [str(folder / "test.tsv")]


def test_a_source_on_several_lines_has_several_right_answers(checkpoint: Path, tmp_path: Path) -> None:
    rows = ["one\t1\tN;FEW", "two\t2\tN;FEW", "eins\t1\tN;FEW", "uno\t1\tN;FEW", "one\t1\tN;MANY", "uno\t1\tN;FEW"]
    (tmp_path / "test.tsv").write_text("".join(f"{row}\n" for row in rows))
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    edit_config(copy, lambda config: config["data"].update(dir=str(tmp_path)))
    src = [f"<N> <{row.split(';')[1]}> {row.split(chr(9))[1]}" for row in rows]
    references = [
        ["one", "two", "eins", "uno", "one", "uno"],
        ["eins", "", "one", "one", "", "one"],
        ["uno", "", "uno", "eins", "", "eins"],
    ]
    (tmp_path / "src").write_text("".join(f"{line}\n" for line in src))
    names = []
    for n, lines in enumerate(references):
        names.append(str(tmp_path / f"ref{n}"))
        Path(names[-1]).write_text("".join(f"{line}\n" for line in lines))
    named = json.loads(
        _evaluate(copy, f"source={tmp_path / 'src'}", f"reference=[{','.join(names)}]", "json=true", "metrics=[chrf]")
    )
    done = nmt(
        *("evaluate", f"checkpoints={copy}", "threads=1", "search=greedy", "bootstrap_samples=0"),
        *("json=true", "metrics=[chrf]"),
    )
    assert json.loads(done.out)["systems"] == named["systems"]
    assert '"nrefs:var|' in done.out  # lines without a further answer have fewer
    assert "blank line" not in done.err


def test_the_columns_of_a_run_are_never_overwritten(checkpoint: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"test\.tsv is data\.test\.tsv of the run of .*, which it would overwrite"):
        check_output(str(folder / "test.tsv"), read=[], checkpoints=[str(checkpoint)])


def test_a_line_with_too_few_fields_is_an_error_with_its_number(folder: Path, tmp_path: Path) -> None:
    text = shutil.copytree(folder, tmp_path / "text", ignore=shutil.ignore_patterns("run", "prepared"))
    with (text / "train.tsv").open("a") as file:
        file.write("one\n")
    line = nmt("prepare", *_settings(text)).last_line
    assert re.search(r"^nmt: .*train\.tsv, line 151: must have at least 3 fields separated by tabs, but has 1: ", line)
    (text / "dev.tsv").unlink()
    assert error("prepare", *_settings(text)) == f"nmt: {text / 'dev.tsv'} does not exist: check the path"


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.dev.src=[a]"],
            "data.dev.tsv replaces data.dev.src and data.dev.tgt: give one or the other",
        ),
        (["data.columns=[1]"], "data.columns must be the numbers of two columns, source and target, but is [1]"),
        (["data.columns=[0,1]"], "data.columns must be at least 1, but is 0"),
        (["data.columns=1"], "data.columns must be a list such as [1,2], but is 1"),
        (["data.feature_columns=[-1]"], "data.feature_columns must be at least 1, but is -1"),
        (["data.columns=[a,b]"], "data.columns must be a list such as [1,2], but is [a,b]"),
        (
            ["data.train.tsv=[]", "data.feature_columns=[]"],
            "data.train.src and data.train.tgt must each name at least one file (or data.train.tsv)",
        ),
        (
            ["data.dev.tsv=[]", "data.dev.src=[a]", "data.dev.tgt=[a]"],
            "data.feature_columns needs text in columns: give data.dev.tsv instead of data.dev.src and data.dev.tgt",
        ),
        (
            ["subword.tokenizer=moses"],
            "data.feature_columns needs subword.src.tokenizer=none: Moses would split <V> into < V >",
        ),
        (["subword.joint=true"], "subword.joint=true needs the same kind on both sides, but they are char and token"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder: Path, overrides: list[str], message: str) -> None:
    assert message in error("prepare", *_settings(folder), *overrides)
