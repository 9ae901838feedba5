"""scripts/bench: FLOP counts by hand, drawn data, and every subcommand on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import flops, main
from benchmarks.flops import Flops
from benchmarks.limits import least_seconds
from benchmarks.options import Options, read_arguments, search_variants, train_variants
from benchmarks.report import Row, Table, format_number, format_table, phase_rows, rate_row, time_row
from benchmarks.timing import alternate, spread
from benchmarks.train import PAPER_EPOCHS, PAPER_WORDS
from benchmarks.workload import SUBWORD_LENGTHS, Lengths, batch_shape, draw_corpus

from nmt.config import ModelConfig, SourceOrder
from nmt.corpus.batching import collate
from nmt.device import has_fast_int8
from nmt.errors import ConfigError
from nmt.text.subword import EOS_ID
from tests.commands import data_settings

CPU = torch.device("cpu")
QUICK = ["quick=true", "model=lstm_tiny", "subword.vocab_size=80", "device=cpu", "threads=1", "search.batch_rows=24"]


def model(*, embedding_dim: int = 512, hidden_dim: int = 512, num_layers: int = 2) -> ModelConfig:
    return ModelConfig(
        name="test",
        embedding_dim=embedding_dim,
        hidden_dim=hidden_dim,
        num_layers=num_layers,
        dropout=0.0,
        source_order=SourceOrder.reversed,
        init_range=0.08,
        forget_bias=0.0,
    )


# --- FLOPs, by hand ---


def test_a_layer_takes_2_times_4h_times_e_plus_h_a_position() -> None:
    counted = flops.recurrent_position(model(embedding_dim=3, hidden_dim=5, num_layers=1))
    assert counted == Flops(input=2 * 4 * 5 * 3, recurrent=2 * 4 * 5 * 5)
    two_layers = flops.recurrent_position(model(embedding_dim=3, hidden_dim=5, num_layers=2))
    assert two_layers.total == 2 * 4 * 5 * (3 + 5) + 2 * 4 * 5 * (5 + 5)


def test_lstm_2x512_takes_25_mflop_forward_for_a_target_token_with_its_source_token() -> None:
    # a position: 2 layers × 2·4·512·(512 + 512) = 8,388,608; both sides 16,777,216; output 2·512·8000 = 8,192,000
    counted = flops.forward(model(), 8000, src_tokens=1, tgt_tokens=1)
    assert counted.total == 16_777_216 + 8_192_000
    assert flops.update(model(), 8000, src_tokens=1, tgt_tokens=1).total == 3 * (16_777_216 + 8_192_000)


def test_a_decode_step_of_lstm_2x512_takes_16_6_mflop_a_row() -> None:
    assert flops.decode_step(model(), 8000).total == 8_388_608 + 8_192_000


def test_least_seconds_divide_each_kind_of_product_by_its_own_rate() -> None:
    work = Flops(input=10, recurrent=20, output=30)
    assert least_seconds(work, {"input": 10, "recurrent": 5, "output": 15}) == 1 + 4 + 2
    assert least_seconds(work, {"gates": 10, "output": 15}) == 1 + 2 + 2


def test_the_paper_took_nine_days_at_its_own_speed() -> None:
    # Sutskever et al. 2014, §3.5: 6,300 words a second, "about ten days"
    assert pytest.approx(8.98, abs=0.01) == PAPER_EPOCHS * PAPER_WORDS / 6300 / 86_400


# --- data ---


def test_drawn_data_has_the_lengths_it_is_asked_for_and_one_seed_gives_one_corpus() -> None:
    def draw(seed: int) -> Any:
        return draw_corpus(20_000, SUBWORD_LENGTHS, src_vocab_size=50, tgt_vocab_size=60, max_len=100, seed=seed)

    corpus = draw(1)
    assert corpus.src_len_P.mean() == pytest.approx(SUBWORD_LENGTHS.src_mean, rel=0.02)
    assert corpus.tgt_len_P.mean() == pytest.approx(SUBWORD_LENGTHS.tgt_mean, rel=0.02)
    assert np.log(corpus.src_len_P).std() == pytest.approx(SUBWORD_LENGTHS.src_log_deviation, rel=0.1)
    assert np.array_equal(corpus.tgt_ids, draw(1).tgt_ids)
    assert not np.array_equal(corpus.src_len_P, draw(2).src_len_P)


def test_drawn_ids_are_words_of_the_vocabulary_and_the_first_is_twice_as_frequent_as_the_second() -> None:
    corpus = draw_corpus(2000, Lengths(20, 20, 0.1, 0.1), src_vocab_size=1000, tgt_vocab_size=5, max_len=99, seed=1)
    count = np.bincount(corpus.src_ids, minlength=1000)
    assert count[: EOS_ID + 1].sum() == 0
    assert len(count) == 1000
    # rank r has the share log((r + 1) / r): log 2 against log 1.5
    assert count[EOS_ID + 1] / count[EOS_ID + 2] == pytest.approx(np.log(2) / np.log(1.5), rel=0.1)
    assert set(corpus.tgt_ids.tolist()) == {EOS_ID + 1}
    assert corpus.src(3).tolist() == corpus.src_ids[corpus.src_offset_P[3] :][: corpus.src_len_P[3]].tolist()


def test_padding_is_counted_on_both_sides() -> None:
    shape = batch_shape([collate([[5, 5, 5], [5]], [[6], [6, 6, 6, 6]])])
    # with EOS: source 4 + 2 of 8 positions, target 2 + 5 of 10
    assert shape.sentences == 2
    assert (shape.src_tokens, shape.tgt_tokens) == (6, 7)
    assert shape.src_padding_share == pytest.approx(0.25)
    assert shape.tgt_padding_share == pytest.approx(0.3)
    # computed: 6 source positions and 10 target positions, of which 3 are padding
    assert shape.computed_padding_share == pytest.approx(3 / 16)
    assert shape.packed_share == 1
    assert batch_shape([collate([[5], [5]], [[6], [6]])]).packed_share == 0


# --- clocks and tables ---


def test_spread_interpolates_quartiles() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == (1, 2, 3, 4, 5)
    assert spread([7.0]) == (7, 7, 7, 7, 7)


def test_contenders_alternate() -> None:
    calls: list[str] = []
    samples = alternate(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, slice_s=0.0, device=CPU
    )
    assert "".join(calls).endswith("ababab")
    assert [len(each) for each in samples.values()] == [3, 3]


def test_the_share_of_the_limit_is_taken_turn_by_turn() -> None:
    # a rate: 1/4, 2/2 and 3/12; a time: 4/8, 1/2 and 9/10
    rate = rate_row("", "/s", [1.0, 2.0, 3.0], limits=[4.0, 2.0, 12.0])
    assert (rate.median, rate.limit, rate.share) == (2, 4, 0.25)
    time = time_row("", "ms", [8.0, 2.0, 10.0], limits=[4.0, 1.0, 9.0])
    assert (time.median, time.limit, time.share) == (8, 4, 0.5)


def test_phases_share_the_sum_of_their_medians() -> None:
    rows = phase_rows([{"a": 0.003, "b": 0.001}, {"a": 0.006, "b": 0.002}], per=[1, 2])
    assert [(row.name, row.samples, row.share) for row in rows] == [("a", [3, 3], 0.75), ("b", [1, 1], 0.25)]


def test_a_table_shows_only_columns_that_hold_something() -> None:
    text = format_table(Table("Speed", [Row("updates", "/s", [1.0, 2.0, 4.0])], ["a note"]))
    assert text.splitlines() == [
        "Speed",
        "            median   min  quartiles   max",
        "  updates  2.00 /s  1.00  1.50-3.00  4.00",
        "  a note",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert format_number(value) == text


# --- the command line ---


def test_options_are_told_from_settings() -> None:
    line = read_arguments(["repeats=3", "model=lstm_tiny", "seconds=1.5", "data.dir=some/where"])
    assert line.options == Options(repeats=3, seconds=1.5)
    assert line.overrides == ["model=lstm_tiny", "data.dir=some/where"]
    assert read_arguments(["quick=true", "repeats=4"]).options.repeats == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fast"], "'fast' is neither an option nor a setting: write KEY=VALUE"),
        (["--fast=1"], "'--fast=1' is neither an option nor a setting"),
        (["repeats=0"], "repeats must be a whole number of at least 1, but is 0"),
        (["seconds=0"], "seconds must be a number above 0, but is 0"),
        (["seconds="], "seconds must be a number above 0, but is empty"),
        (["seconds=x"], "seconds must be a number above 0, but is x"),
        (["quick=yes"], "quick must be true or false, but is yes"),
        (["checkpoints=[a]"], "add input=FILE"),
        (["input=a"], "input needs a model that translates it"),
    ],
)
def test_options_that_cannot_be_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        read_arguments(words)


def test_a_list_for_a_setting_of_one_value_compares_the_values() -> None:
    variants = train_variants(["model=lstm_tiny", "batching.size=[1,2]", "training.precision=[fp32,bf16]"])
    assert [variant.name for variant in variants] == [
        "batching.size=1 training.precision=fp32",
        "batching.size=1 training.precision=bf16",
        "batching.size=2 training.precision=fp32",
        "batching.size=2 training.precision=bf16",
    ]
    assert [variant.settings.batching.size for variant in variants] == [1, 1, 2, 2]


def test_a_list_without_values_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision must have at least one value to measure"):
        train_variants(["training.precision=[]"])


def test_search_is_compared_over_the_papers_beams_and_over_all_precisions_by_default() -> None:
    variants = search_variants(["device=cpu"])
    assert {variant.settings.search.beam_size for variant in variants} == {1, 5, 12}
    assert ("int8" in {variant.settings.search.precision for variant in variants}) == has_fast_int8(CPU)
    only = search_variants(["search=beam_2", "search.precision=fp32", "batching.size=[1,2]"])
    assert [(variant.settings.search.beam_size, variant.settings.search.precision) for variant in only] == [(2, "fp32")]


def test_the_papers_model_brings_the_papers_vocabularies_batches_and_optimizer() -> None:
    (variant,) = train_variants(["model=sutskever_2014", "batching.size=256"])
    settings = variant.settings
    assert (settings.subword.src_vocab_size, settings.subword.tgt_vocab_size) == (160_000, 80_000)
    assert (settings.optimizer.kind, settings.batching.unit, settings.batching.size) == ("sgd", "sentences", 256)
    assert not variant.has_data


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["sprint"]) == 1
    assert "there is no subcommand 'sprint': use limits" in capsys.readouterr().err
    assert main.run(["train", "model.hiden_dim=3"]) == 1
    assert capsys.readouterr().err.startswith("bench: there is no setting 'model.hiden_dim'")
    assert main.run(["train", "threads=0"]) == 1
    assert capsys.readouterr().err == "bench: threads must be at least 1, but is 0\n"
    assert main.run(["train", "threads=[1,2]"]) == 1
    assert capsys.readouterr().err.startswith("bench: threads must be one number")


def test_help_needs_no_torch() -> None:
    script = Path(__file__).parents[1] / "scripts" / "bench"
    done = subprocess.run([sys.executable, "-X", "importtime", script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: scripts/bench" in done.stdout
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


# --- the subcommands ---


def bench(subcommand: str, folder: Path, *words: str) -> dict[str, Any]:
    """Run a subcommand on a tiny model; return its JSON."""
    file = folder / "bench.json"
    assert main.run([subcommand, *QUICK, f"json={file}", *words]) == 0
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert content["subcommand"] == subcommand
    assert content["machine"]["torch"] == torch.__version__
    assert content["options"]["quick"] is True
    assert "model" in content["settings"][0]["config_yaml"]
    for table in content["tables"]:
        for row in table["rows"]:
            assert row["samples"], row
            assert row["min"] <= row["q1"] <= row["median"] <= row["q3"] <= row["max"]
    return content


def rows_of(content: dict[str, Any], title: str) -> dict[str, Any]:
    """Return the rows of the table whose title begins with `title`, by name."""
    (table,) = [table for table in content["tables"] if table["title"].startswith(title)]
    return {row["name"]: row for row in table["rows"]}


def test_limits_measure_products_and_bandwidth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bench("limits", tmp_path)
    assert any(", fp32, torch.mm" in name for name in rows_of(content, "Products in training"))
    assert "gates 24 x 128 x 256, fp32, torch.mm" in rows_of(content, "Products in decoding")
    assert set(rows_of(content, "Memory bandwidth")) == {"copy (read and written)", "read"}
    assert "Memory bandwidth" in capsys.readouterr().out


def test_train_sets_speed_beside_its_limit(tmp_path: Path) -> None:
    content = bench("train", tmp_path, "training.precision=fp32")
    rows = rows_of(content, "Training, lstm_tiny in fp32")
    for name in ("updates", "target tokens", "source + target tokens", "products"):
        assert rows[name]["limit"] > 0
        assert rows[name]["share"] > 0
    assert 0 <= rows["of it making batches"]["median"] < 100
    assert 0 < rows["padding, target positions"]["median"] < 100
    parts = rows_of(content, "Parts of an update")
    assert sum(row["share"] for row in parts.values()) == pytest.approx(1)


def test_train_measures_a_named_corpus(tmp_path: Path, digits: Path) -> None:
    words = [*data_settings(digits), f"data.prepared_dir={tmp_path}", "subword.vocab_size=14"]
    content = bench("train", tmp_path, *words, "batching=sentences", "batching.size=8", "batching.min_sentences=4")
    (speed, _) = content["tables"]
    assert "files, 200 pairs" in speed["notes"][0]


def test_translate_measures_drawn_ids_that_all_reach_their_maximum_length(tmp_path: Path) -> None:
    content = bench("translate", tmp_path, "search.beam_size=[1,2]", "search.precision=fp32")
    rows = rows_of(content, "Translation")
    assert set(rows) == {"beam 1, fp32", "beam 2, fp32"}
    phases = rows_of(content, "Where the time goes, lstm_tiny, beam 2")
    assert {"encoder", "decoder step", "softmax and top k", "bookkeeping of search"} <= set(phases)
    assert sum(row["share"] for row in phases.values()) == pytest.approx(1)
    assert set(rows_of(content, "A decoder step")) == {"24 rows, fp32", "1 row, fp32"}
    assert rows_of(content, "Latency")["one sentence, greedy, fp32"]["median"] > 0


def test_translate_measures_an_ensemble_of_checkpoints_on_text(tmp_path: Path, digits: Path, checkpoint: Path) -> None:
    words = [f"checkpoints=[{checkpoint},{checkpoint}]", f"input={digits / 'test.en'}"]
    content = bench("translate", tmp_path, *words, "search=beam_2", "search.precision=fp32")
    assert "text in, text out" in content["tables"][0]["notes"][0]
    phases = rows_of(content, "Where the time goes, lstm_tiny, beam 2")
    assert {"segmentation", "spelling"} <= set(phases)


@pytest.mark.slow
def test_memory_accounts_for_parameters_gradients_and_state(tmp_path: Path) -> None:
    rows = rows_of(bench("memory", tmp_path, "optimizer=adam"), "Memory of training")
    # lstm_tiny: E = H = 64, one layer a side: 2·(4·64·(64 + 64) + 2·4·64) + 2·80·64 + 80·64 + 80
    num_bytes = 4 * (2 * (4 * 64 * 128 + 2 * 4 * 64) + 2 * 80 * 64 + 80 * 64 + 80)
    assert rows["parameters"]["median"] * 2**20 == num_bytes
    assert rows["gradients"]["median"] * 2**20 == num_bytes
    # two moments of each parameter, and a counter for each of the 12 tensors
    assert rows["optimizer state"]["median"] * 2**20 == pytest.approx(2 * num_bytes, abs=100)
    assert rows["kept for the backward pass: network"]["median"] > 0
    assert rows["kept for the backward pass: gradient by the loss's states"]["median"] > 0
    assert rows["its peak, resident"]["median"] >= rows["a training process before its model"]["median"]


def test_profile_takes_an_update_apart(tmp_path: Path) -> None:
    content = bench("profile", tmp_path, "search=beam_2", "search.precision=fp32", "training.precision=fp32")
    rows = rows_of(content, "An update")
    expected = {"waiting for data", "encoder", "decoder", "clipping", "optimizer", "decoder, backward"}
    assert expected <= set(rows)
    assert {"ours, fp32, packed", "torch's, fp32, packed"} <= set(rows_of(content, "A recurrent layer"))
    assert "bookkeeping of search" in rows_of(content, "Where the time goes, lstm_tiny, beam 2")


def test_prepare_measures_three_sizes_each_in_its_own_process(tmp_path: Path) -> None:
    content = bench("prepare", tmp_path)
    rows = rows_of(content, "Encoding text")
    assert {"a quarter: 128 pairs", "half: 256 pairs", "all: 512 pairs, peak memory"} <= set(rows)
    # this process, with torch in it, is larger
    assert 1 < rows["all: 512 pairs, peak memory"]["median"] < 150
    assert rows_of(content, "Learning subwords")["both"]["median"] > 0


@pytest.mark.slow
def test_startup_measures_whole_processes(tmp_path: Path) -> None:
    rows = rows_of(bench("startup", tmp_path), "Start-up")
    assert rows["python"]["median"] < rows['python -c "import torch"']["median"]
    assert rows["nmt --help"]["median"] < rows["nmt translate, one line"]["median"]


@pytest.mark.slow
def test_all_measures_everything(tmp_path: Path) -> None:
    content = bench("all", tmp_path, "search=beam_2", "search.precision=fp32")
    titles = " ".join(table["title"] for table in content["tables"])
    for part in ("Products", "Encoding", "Training", "Translation", "Start-up", "Memory of training", "An update"):
        assert part in titles
