from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from nmt.commands import translate
from nmt.commands.compose import compose_settings, to_settings
from nmt.commands.paths import quote_paths
from nmt.model.decoder_state import DecoderState
from nmt.model.fast.cell import FastLSTMCell
from nmt.search.scorer import EncodedSource, ModelScorer
from tests.commands import data_settings, error, nmt, train_settings, write_digits
from tests.copying import save_copying_model


def _translate(checkpoint: Path, *overrides: str, stdin: bytes = b"") -> str:
    done = nmt("translate", f"checkpoints={checkpoint}", "threads=1", "search=greedy", *overrides, stdin=stdin)
    assert done.status == 0, done.err
    return done.out


@pytest.mark.parametrize(
    ("text", "num_lines"),
    [
        ("", 0),
        ("\n", 1),
        ("one\ntwo\n", 2),
        ("one\ntwo", 2),
        ("one\r\n\r\ntwo\r\n", 3),
        ("\none\n\n\n two \n\n", 6),
        ("one\u2028two\u2029three\u0085four\n", 1),
        ("one\x0btwo\x0cthree\x1cfour\n\x00\n", 2),
        ("\ufeffone\n", 1),
        ("été 🥚 未知\n", 1),
    ],
)
def test_n_lines_in_n_lines_out(checkpoint: Path, text: str, num_lines: int) -> None:
    out = _translate(checkpoint, stdin=text.encode())
    assert out.count("\n") == num_lines
    assert out == "" or out.endswith("\n")


def test_a_line_ends_like_its_source(checkpoint: Path, tmp_path: Path) -> None:
    source, plain, output = tmp_path / "in", _translate(checkpoint, stdin=b"one two\nthree\n\nfour"), tmp_path / "out"
    source.write_bytes(b"one two\r\nthree\n\r\nfour\r")
    _translate(checkpoint, f"input={source}", f"output={output}")
    one, three, _, four, _ = plain.split("\n")
    assert output.read_bytes().decode() == f"{one}\r\n{three}\n\r\n{four}\r\n"
    assert _translate(checkpoint, stdin=source.read_bytes()).encode() == output.read_bytes()
    two_best = _translate(checkpoint, "search.beam_size=2", "search.n_best=2", stdin=b"one\r\n")
    assert two_best.count("\r\n") == two_best.count("\n") == 2
    lines = _translate(checkpoint, "format=jsonl", stdin=source.read_bytes()).split("\n")
    assert [json.loads(line)["source"] for line in lines[:-1]] == ["one two", "three", "", "four"]
    assert not any(line.endswith("\r") for line in lines)


def test_compressed_text_is_translated(checkpoint: Path, tmp_path: Path) -> None:
    expected = _translate(checkpoint, stdin=b"one\ntwo\n")
    source = tmp_path / "in"
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        source.write_bytes(compress(b"one\ntwo\n"))
        assert _translate(checkpoint, f"input={source}") == expected
        assert _translate(checkpoint, stdin=source.read_bytes()) == expected


def test_a_warning_names_lines_that_are_unknown_to_the_model(checkpoint: Path) -> None:
    text = "one two\n未知 one\n未知的\n未知 two three\n".encode()
    done = nmt("translate", f"checkpoints={checkpoint}", "threads=1", "format=jsonl", stdin=text)
    assert [json.loads(line)["unknown_share"] for line in done.out.splitlines()] == [0, 0.4, 1, 0.2]
    assert re.search(r" 1 of 4 lines is mostly unknown to the model, .* \(line 3\): is it in the language", done.err)
    done = nmt("translate", f"checkpoints={checkpoint}", "threads=1", stdin=b"one two\n")
    assert "unknown" not in done.err


def test_empty_lines_keep_their_position(checkpoint: Path) -> None:
    lines = _translate(checkpoint, "search.min_len=1", stdin=b"\none two\n\n   \nthree\n").split("\n")
    assert [bool(line) for line in lines] == [False, True, False, False, True, False]


def test_files_and_pipes_give_the_same_text(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    source, output = digits / "test.en", tmp_path / "a b=c.fr"
    piped = _translate(checkpoint, stdin=source.read_bytes())
    assert _translate(checkpoint, f"input={source}", f"output={output}") == ""
    assert output.read_text() == piped
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_the_log_gives_lines_speed_and_precision(checkpoint: Path) -> None:
    done = nmt("translate", f"checkpoints={checkpoint}", "threads=1", "search=greedy", "device=cpu", stdin=b"one\n\n")
    assert re.search(
        r" 2 lines translated in \d+\.\d s, \d+ per second, in (fp32|bf16) on cpu with 1 thread$", done.err
    )


@pytest.mark.parametrize(("threads", "expected"), [(1, [1]), (2, [1, 1]), (5, [2, 3])])
def test_threads_are_divided_among_parallel_searches(
    checkpoint: Path, threads: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """512 rows make two searches, if there are threads for them."""
    threads_by_search: dict[int, int] = {}
    start = ModelScorer.start

    def spy(scorer: ModelScorer, sources: Sequence[EncodedSource]) -> DecoderState:
        threads_by_search[threading.get_ident()] = torch.get_num_threads()
        both.wait(timeout=20)  # so that no search takes all sources before another has started
        return start(scorer, sources)

    both = threading.Barrier(len(expected))
    monkeypatch.setattr(ModelScorer, "start", spy)
    settings = ["search=greedy", "search.batch_rows=512", f"threads={threads}", "device=cpu"]
    done = nmt("translate", f"checkpoints={checkpoint}", *settings, stdin=b"one two\n" * 32)
    assert done.status == 0, done.err
    assert sorted(threads_by_search.values()) == expected
    assert done.err.rstrip().endswith(f" on cpu with {threads} thread{'s' if threads > 1 else ''}")


def test_a_failure_keeps_the_earlier_output(checkpoint: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"one\ntwo\nbad \xff\n")
    output.write_text("earlier\n")
    line = error(
        "translate", f"checkpoints={checkpoint}", f"input={source}", f"output={output}", "search.window_lines=1"
    )
    assert line.startswith(f"nmt: {source}, line 3, byte 5: must be UTF-8, but is 0xff")
    assert output.read_text() == "earlier\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_error_gives_the_position_of_bytes_that_are_not_utf8(checkpoint: Path) -> None:
    assert error("translate", f"checkpoints={checkpoint}", stdin=b"one\n\xff\n").startswith(
        "nmt: stdin, line 2, byte 1: must be UTF-8"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input=nothing.txt"], "nothing.txt does not exist: check the path"),
        (["search.beam_size=0"], "search.beam_size must be at least 1, but is 0"),
        (["threads=0"], "threads must be at least 1, but is 0"),
        (["checkpoints=nothing", "search.n_best=6"], "search.n_best must be at most search.beam_size (5), but is 6"),
    ],
)
def test_a_mistake_is_one_line(
    checkpoint: Path, settings: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error("translate", f"checkpoints={checkpoint}", *settings)


def test_a_path_that_is_not_a_checkpoint_is_explained(run_dir: Path, digits: Path, tmp_path: Path) -> None:
    def refusal(checkpoints: object) -> str:
        return error("translate", f"checkpoints={checkpoints}")

    best = run_dir / "checkpoints" / "best"
    assert f"{run_dir} is not a checkpoint, but contains some: name one of them, such as {best}" in refusal(run_dir)
    assert f"contains some: name one of them, such as {best}" in refusal(run_dir / "checkpoints")
    assert f"{digits} is not a checkpoint: it has no checkpoint.json" in refusal(digits)
    assert "does not exist: name a checkpoint such as RUN_DIR/checkpoints/best" in refusal(tmp_path / "nothing")
    assert "checkpoints must name at least one checkpoint" in refusal("[]")


def test_an_ensemble_of_twins_translates_like_one(checkpoint: Path, digits: Path) -> None:
    source = f"input={digits / 'test.en'}"
    assert _translate(checkpoint, source) == _translate(Path(f"[{checkpoint},{checkpoint}]"), source)


def test_members_with_different_vocabularies_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    text = write_digits(tmp_path / "text", num_train=60)
    other = tmp_path / "run"
    done = nmt("train", *train_settings(text), "subword.vocab_size=12", "training.max_updates=1", f"run_dir={other}")
    assert done.status == 0, done.err
    line = error("translate", f"checkpoints=[{checkpoint},{other}/checkpoints/best]")
    assert re.search(r"target (vocabulary|subwords)", line)
    assert str(other) in line


def test_n_best_gives_n_lines_per_sentence(checkpoint: Path) -> None:
    settings = ["search.beam_size=3", "search.n_best=3"]
    lines = _translate(checkpoint, *settings, stdin=b"one two\n\nthree\n").splitlines()
    assert len(lines) == 9
    assert lines[3:6] == ["", "", ""]


def test_json_lines_carry_scores_best_first(checkpoint: Path) -> None:
    settings = ["search.beam_size=3", "search.n_best=3", "format=jsonl"]
    out = _translate(checkpoint, *settings, stdin="one\u2028two é\n\n".encode())
    first, second = (json.loads(line) for line in out.removesuffix("\n").split("\n"))
    assert first["source"] == "one\u2028two é"
    scores = [hypothesis["score"] for hypothesis in first["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    assert {frozenset(hypothesis) for hypothesis in first["hypotheses"]} == {
        frozenset({"text", "score", "log_prob", "num_tokens", "finished"})
    }
    assert all(isinstance(hypothesis["finished"], bool) for hypothesis in first["hypotheses"])
    assert [hypothesis["text"] for hypothesis in second["hypotheses"]] == [""]


def test_each_window_is_written_before_the_next_is_read(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    seen: list[int] = []

    def lines(*_: object, **__: object) -> object:
        for number in range(6):
            if number % 2 == 0:
                seen.append(out.getvalue().count(b"\n"))
            yield f"one {number}"

    monkeypatch.setattr(translate, "decode_lines", lines)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(out)))
    overrides = [f"checkpoints={checkpoint}", "search=greedy", "search.window_lines=2", "threads=1"]
    settings = to_settings(compose_settings("translate", quote_paths("translate", overrides)))[0]
    assert translate.run(settings, config_yaml="") == 0
    assert seen == [0, 2, 4]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_is_read_only_once(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"one\ntwo\n"], daemon=True)
    writer.start()
    monkeypatch.setattr(sys, "stderr", Terminal())  # shows a bar, for which lines are counted
    overrides = [f"checkpoints={checkpoint}", f"input={pipe}", f"output={out}", "search=greedy", "threads=1"]
    settings = to_settings(compose_settings("translate", quote_paths("translate", overrides)))[0]
    assert translate.run(settings, config_yaml="") == 0
    assert out.read_bytes().count(b"\n") == 2
    writer.join()


def test_data_settings_are_unknown_to_translate(digits: Path) -> None:
    assert "there is no setting 'data' for nmt translate" in error("translate", *data_settings(digits)[:1])


def test_the_reference_implementation_translates_the_same(
    checkpoint: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"input={digits / 'dev.en'}"
    expected = _translate(checkpoint, source)
    monkeypatch.setattr(FastLSTMCell, "step", None)
    assert _translate(checkpoint, source, "implementation=reference") == expected
    files = [source.replace("input", "source"), f"reference={digits / 'dev.fr'}", f"output={tmp_path / 'out'}"]
    settings = ["search=greedy", "bootstrap_samples=0", "implementation=reference"]
    assert nmt("evaluate", f"checkpoints={checkpoint}", *files, *settings).status == 0
    assert (tmp_path / "out").read_text() == expected


def test_the_reference_implementation_has_no_int8(checkpoint: Path) -> None:
    message = error("translate", f"checkpoints={checkpoint}", "implementation=reference", "search.precision=int8")
    assert "search.precision=int8 needs implementation=fast" in message


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a model with attention that copies digits counting up. Read only."""
    return save_copying_model(tmp_path_factory.mktemp("copying"))


def test_pharaoh_puts_the_alignment_behind_the_text(copying: Path) -> None:
    stdin = b"0 1 2\n\n0  x\r\n"
    assert _translate(copying, "format=pharaoh", stdin=stdin) == "0 1 2 ||| 0-0 1-1 2-2\n ||| \n0 ⁇ ||| 0-0 1-1\r\n"
    two_best = ["format=pharaoh_subwords", "search.beam_size=2", "search.n_best=2"]
    first, second, *_ = _translate(copying, *two_best, stdin=stdin).splitlines()
    assert first == "0 1 2 ||| 0-0 1-1 2-2"
    text, _, alignment = second.partition(" ||| ")
    assert [point.partition("-")[2] for point in alignment.split()] == [str(k) for k in range(len(text.split()))]


def test_json_has_the_weights_on_request(copying: Path) -> None:
    plain, empty = map(json.loads, _translate(copying, "format=jsonl", stdin=b"0 x\n\n").splitlines())
    assert "alignment" not in plain["hypotheses"][0]
    done, empty = map(json.loads, _translate(copying, "format=jsonl_attention", stdin=b"0 x\n\n").splitlines())
    assert done["hypotheses"][0]["alignment"] == {
        "words": "0-0 1-1",
        "source": ["▁0", "<unk>", "</s>"],
        "target": ["▁0", "<unk>", "</s>"],
        "weights": [
            [1.0, pytest.approx(0, abs=1e-3), 0.0],
            [0.0, 1.0, pytest.approx(0, abs=1e-3)],
            [pytest.approx(0, abs=1e-3)] * 2 + [pytest.approx(1, abs=1e-3)],
        ],
    }
    assert empty["hypotheses"][0]["alignment"] is None
    del done["hypotheses"][0]["alignment"]
    assert done == plain


def test_every_line_has_a_heat_map(copying: Path, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    assert _translate(copying, f"alignments={folder}", stdin=b"0 1\n\n0 <\n") == "0 1\n\n0 ⁇\n"
    assert sorted(path.name for path in folder.iterdir()) == ["000001.svg", "000003.svg"]
    assert "<title>0 &lt; → 0 ⁇</title>" in (folder / "000003.svg").read_text(encoding="utf-8")


def test_a_failure_leaves_no_heat_maps(copying: Path, tmp_path: Path) -> None:
    error("translate", f"checkpoints={copying}", f"alignments={tmp_path / 'maps'}", stdin=b"0 1\n\xff\n")
    assert list(tmp_path.iterdir()) == []


def test_unknown_words_are_replaced(copying: Path, tmp_path: Path) -> None:
    dictionary = tmp_path / "a=b, c.tsv"
    dictionary.write_text("x\tξ\n", encoding="utf-8")
    stdin = b"0 x\n0 y\r\n\n"
    assert _translate(copying, "search.replace_unk=source", stdin=stdin) == "0 x\n0 y\r\n\n"
    settings = ["search.replace_unk=dictionary", f"search.dictionary={dictionary}"]
    assert _translate(copying, *settings, stdin=stdin) == "0 ξ\n0 y\r\n\n"
    line = error("translate", f"checkpoints={copying}", *settings, f"output={dictionary}", stdin=stdin)
    assert f"is search.dictionary={dictionary}, which this command reads and would overwrite" in line


def test_the_coverage_penalty_lowers_scores(copying: Path) -> None:
    settings = ["format=jsonl", "search.beam_size=3", "search.n_best=2", "search.min_len=3"]
    penalized, plain = (
        [json.loads(line) for line in _translate(copying, *settings, *more, stdin=b"0 x\n0 1\n").splitlines()]
        for more in (["search.coverage_penalty=0.5"], [])
    )
    for with_penalty, without in zip(penalized, plain, strict=True):
        assert with_penalty["hypotheses"][0]["log_prob"] == without["hypotheses"][0]["log_prob"]
        assert with_penalty["hypotheses"][0]["score"] <= without["hypotheses"][0]["score"]


@pytest.mark.parametrize(
    ("settings", "needed_by"),
    [
        (["format=pharaoh", "alignments=maps"], "format=pharaoh and alignments need"),
        (["format=jsonl_attention"], "format=jsonl_attention needs"),
        (["search.coverage_penalty=0.1"], "search.coverage_penalty needs"),
        (["search.replace_unk=source"], "search.replace_unk needs"),
    ],
)
def test_what_needs_attention_is_refused_without_it(
    checkpoint: Path, settings: list[str], needed_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = error("translate", f"checkpoints={checkpoint}", *settings, stdin=b"one\n")
    assert line.startswith(f"nmt: {needed_by} attention, but {checkpoint} has none: name a checkpoint trained with ")
    assert list(tmp_path.iterdir()) == []


SHARDED = b"0 1 2\n\n0 x y z 0 1\r\n0\n0  1\n\n\n0 1 2 3 4 5"


def _translate_shards(checkpoint: Path, source: Path, output: Path, count: int, *settings: str) -> list[Path]:
    for number in range(1, count + 1):
        shard = [f"input={source}", f"output={output}", f"shard={number}/{count}"]
        assert _translate(checkpoint, *shard, *settings) == ""
    return sorted(path for path in output.parent.iterdir() if path != source)


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["format=jsonl", "search.beam_size=2", "search.n_best=2"],
        ["format=pharaoh", "search.beam_size=3", "search.n_best=2"],
        ["search.replace_unk=source", "search.window_lines=2"],
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_shards_one_after_the_other_are_the_translation(
    copying: Path, tmp_path: Path, settings: list[str], compress: Callable[[bytes], bytes]
) -> None:
    source, whole = tmp_path / "in", tmp_path / "whole"
    source.write_bytes(compress(SHARDED))
    _translate(copying, f"input={source}", f"output={whole}", *settings)
    expected = whole.read_bytes()
    whole.unlink()
    for count in (3, 11):  # 11 are more than there are lines
        shards = _translate_shards(copying, source, tmp_path / "out", count, *settings)
        assert [path.name for path in shards] == [
            f"out.{number:0{len(str(count))}}-of-{count}" for number in range(1, count + 1)
        ]
        assert b"".join(path.read_bytes() for path in shards) == expected
        for path in shards:
            path.unlink()


def test_shards_of_a_compressed_output_are_compressed(copying: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"0 1\n0 1 2\n")
    first, second = _translate_shards(copying, source, tmp_path / "out.GZ", 2)
    assert (first.name, second.name) == ("out.1-of-2.GZ", "out.2-of-2.GZ")
    assert gzip.decompress(first.read_bytes() + second.read_bytes()) == b"0 1\n0 1 2\n"


def test_a_shard_goes_to_stdout_without_an_output(copying: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"0 1\n\n0 1 2\n")
    assert _translate(copying, f"input={source}", "shard=2/2") == "0 1 2\n"
    assert _translate(copying, f"input={source}", "shard=1/1") == "0 1\n\n0 1 2\n"


def test_the_warning_of_a_shard_names_lines_of_the_whole_file(copying: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"0 1 2\n" * 9 + b"x y\n")
    done = nmt("translate", f"checkpoints={copying}", "threads=1", f"input={source}", "shard=3/3")
    assert re.search(r" 1 of \d lines is mostly unknown to the model, .* \(line 10\): is it", done.err)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["shard=1/2"], "shard=1/2 needs a file, since stdin cannot be divided: give input=FILE"),
        (["shard=3/2", "input=in"], "shard must be I/N with I from 1 to N, such as 2/8, but is '3/2'"),
        (["shard=1/2", "input=in", "output=out.zst"], "output=out.zst must end in .gz, .bz2 or .xz to be compressed"),
        (
            ["shard=1/2", "input=in", "alignments=maps"],
            "shard=1/2 divides the input, but alignments=maps draws a whole file: leave it out, or translate in one",
        ),
        (["shard=1/2", "input=out.1-of-2", "output=out"], "output=out.1-of-2 is input=out.1-of-2, which this command"),
    ],
)
def test_a_shard_that_cannot_be_translated_is_refused(
    copying: Path, settings: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in", "out.1-of-2"):
        (tmp_path / name).write_bytes(b"0 1\n")
    assert message in error("translate", f"checkpoints={copying}", *settings)
