"""scripts/bench: its arithmetic, worked out by hand, and every subcommand on a tiny model."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import main
from benchmarks.contenders import THIS_CHECKOUT, alternate, contenders, value_of
from benchmarks.limits import (
    Matmul,
    implementations,
    least_seconds,
    parse_shapes,
    search_work,
    training_work,
    weights_of,
)
from benchmarks.processes import BenchError, Finished, seconds_of_process
from benchmarks.report import Sample, Table, format_number, format_table, ratios, share_of_limit
from benchmarks.text import TGT_PER_SRC, random_lengths, random_lines, vocabulary_lines
from benchmarks.train import token_rates
from benchmarks.translate import first_sentences

TINY = ["model=lstm_tiny", "subword.vocab_size=80", "device=cpu", "threads=1", "--pairs", "100", "--repeats", "1"]
# lstm_2x512 with 8,000 subwords: a layer has weights for its input and for its state, of 4 gates each
LAYERS = {f"layer{number}.weight_{kind}": (2048, 512) for number in (0, 1) for kind in ("ih", "hh")}
LSTM_2X512 = {f"{side}.{name}": shape for side in ("encoder", "decoder") for name, shape in LAYERS.items()}
LSTM_2X512 |= {"decoder.output.weight": (8000, 512)}


# --- The work of a model ---


def test_an_update_of_lstm_2x512_takes_75_mflop_per_pair_of_tokens() -> None:
    work = training_work(LSTM_2X512, src_tokens=1, tgt_tokens=1)
    # both sides 2 layers × 2·2048·(512 + 512), output 2·512·8000; three times for forward and backward
    assert sum(work.values()) == 3 * (2 * 8_388_608 + 8_192_000)
    assert work[Matmul(2048, 512, 8000)] == 3 * 8_192_000
    assert work[Matmul(128, 512, 2048)] == work[Matmul(2048, 512, 2048)] == 3 * 8_388_608


def test_the_encoder_reads_source_tokens_and_the_decoder_target_tokens() -> None:
    assert sum(training_work(LSTM_2X512, src_tokens=1, tgt_tokens=0).values()) == 3 * 8_388_608
    assert sum(training_work(LSTM_2X512, src_tokens=0, tgt_tokens=1).values()) == 3 * (8_388_608 + 8_192_000)


def test_a_row_of_a_search_step_of_lstm_2x512_takes_16_6_mflop() -> None:
    work = search_work(LSTM_2X512, src_tokens=0, step_rows=1, batch_rows=500)
    assert work == {Matmul(500, 512, 2048): 8_388_608, Matmul(500, 512, 8000): 8_192_000}
    both = search_work(LSTM_2X512, src_tokens=10, step_rows=1, batch_rows=500)
    assert sum(both.values()) == 11 * 8_388_608 + 8_192_000


def test_the_least_time_divides_each_matmul_by_its_own_rate() -> None:
    first, second = Matmul(1, 2, 3), Matmul(4, 5, 6)
    assert least_seconds({first: 30, second: 20}, {first: 10, second: 5}) == 3 + 4


def test_a_matmul_takes_a_multiplication_and_an_addition_for_each_element() -> None:
    assert Matmul(3, 5, 7).flop == 2 * 3 * 5 * 7


def test_the_weights_of_a_checkpoint_are_those_of_its_matmuls(checkpoint: Path) -> None:
    weights = weights_of(checkpoint)
    gates = [shape for shape in weights.values() if shape == (32, 8)]  # of 8 units, for input and state of both sides
    assert len(gates) == 4
    assert len(weights) == 5  # and the output layer, but no embeddings


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_implementations_multiply(precision: str) -> None:
    results = [action() for action in implementations(Matmul(3, 4, 5), precision, torch.device("cpu")).values()]
    assert {tuple(result.shape) for result in results if isinstance(result, torch.Tensor)} == {(3, 5)}


def test_an_unknown_precision_has_no_implementation() -> None:
    assert implementations(Matmul(1, 1, 1), "", torch.device("cpu")) == {}


def test_shapes_are_read() -> None:
    assert parse_shapes("1x2x3,40x50x60") == [Matmul(1, 2, 3), Matmul(40, 50, 60)]
    with pytest.raises(BenchError, match="--shapes must be ROWSxINPUTSxOUTPUTS,…, but one is '1x2'"):
        parse_shapes("3x3x3,1x2")


# --- Figures ---


def test_training_speed_excludes_warm_up_and_weights_updates_by_time() -> None:
    updates = [(1, 5.0, 1), (2, 6.0, 2), (3, 7.0, 3), (4, 8.0, 10), (5, 11.0, 50)]
    records: list[dict[str, Any]] = [
        {"kind": "train", "update": update, "wall_s": wall_s, "src_tokens_per_s": rate, "tgt_tokens_per_s": 2 * rate}
        for update, wall_s, rate in updates
    ]
    # update 4 took 1 s at 10 tokens/s, update 5 took 3 s at 50
    assert token_rates([*records, {"kind": "valid", "update": 5, "wall_s": 20.0}]) == (40.0, 80.0)
    with pytest.raises(BenchError, match="there must be records of updates after the warm-up, but are none"):
        token_rates(records[:3])


def test_ratios_and_shares_are_computed_per_repeat() -> None:
    assert ratios([1.0, 2.0, 3.0], [4.0, 2.0, 12.0]) == [0.25, 1.0, 0.25]
    samples = [Sample(1.0, limit=4.0), Sample(2.0, limit=2.0), Sample(3.0, limit=12.0)]
    assert share_of_limit(samples) == 0.25
    assert share_of_limit([*samples, Sample(1.0)]) is None


def test_a_table_shows_medians_and_ratios_without_empty_columns() -> None:
    rows = {"before": [Sample(2.0), Sample(1.0), Sample(5.0)], "after": [Sample(4.0), Sample(3.0), Sample(5.0)]}
    assert format_table(Table("Speed", "updates/s", rows)).splitlines() == [
        "Speed, updates/s",
        "          median  least - greatest     ratio to the first",
        "  before    2.00       1.00 - 5.00",
        "  after     4.00       3.00 - 5.00  2.000 (1.000 - 3.000)",
    ]


def test_a_table_shows_the_share_of_the_limit_and_the_peak_memory() -> None:
    row = [Sample(3.0, limit=4.0, peak_bytes=2**20), Sample(3.0, limit=4.0, peak_bytes=2**21)]
    assert format_table(Table("Speed", "/s", {"nmt": row})).splitlines()[-1].split()[-3:] == ["75%", "2", "MiB"]


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert format_number(value) == text


def test_the_precision_is_read_from_the_log() -> None:
    log = "00:01 lstm_tiny, files: 9 parameters on cpu in bf16, 1 CPU threads\n00:02 9 lines in 0.1 s, in fp32 on cpu"
    assert Finished([1.0], 0, log, "").precision == "fp32"
    assert Finished([1.0], 0, "in a word", "").precision is None


# --- Contenders ---


def test_contenders_are_all_checkouts_with_all_values(tmp_path: Path) -> None:
    (tmp_path / "nmt").mkdir()
    (tmp_path / "nmt" / "__init__.py").touch()
    made = contenders(["seed=1"], against=[tmp_path], compare=["a=1,2", "b=x,y"])
    assert [each.name for each in made[:2]] == ["this checkout a=1 b=x", "this checkout a=1 b=y"]
    assert made[-1] == (made[-1].__class__)(f"{tmp_path} a=2 b=y", tmp_path, ("seed=1", "a=2", "b=y"))
    assert len(made) == 8
    [alone] = contenders([], against=[], compare=[])
    assert (alone.name, alone.checkout) == ("nmt", THIS_CHECKOUT)


def test_invalid_contenders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="settings must be KEY=VALUE, but one is 'fast'"):
        contenders(["fast"], against=[], compare=[])
    with pytest.raises(BenchError, match=r"--against must name a checkout of nmt, but .* has no nmt/__init__\.py"):
        contenders([], against=[tmp_path], compare=[])


def test_processes_find_the_checkout_first_and_the_users_packages_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, packages = tmp_path / "checkout", tmp_path / "packages"
    for folder, module in ((checkout, "both"), (packages, "both"), (packages, "package")):
        folder.mkdir(exist_ok=True)
        (folder / f"{module}.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    assert seconds_of_process(checkout, ["-c", f"import both, package; assert {str(checkout)!r} in both.__file__"]) > 0


def test_contenders_alternate_in_both_orders() -> None:
    calls = alternate({"a": lambda: 1, "b": lambda: 2}, 3)
    assert list(calls) == [("a", 1), ("b", 2), ("b", 2), ("a", 1), ("a", 1), ("b", 2)]


def test_the_last_value_of_a_setting_counts() -> None:
    assert value_of(["a=1", "b=2", "a=3=4"], "a", "0") == "3=4"
    assert value_of([], "a", "0") == "0"


# --- Random text ---


@pytest.mark.parametrize("mean", [14.3, 26])
def test_random_lengths_have_the_right_means(mean: float) -> None:
    src, tgt = random_lengths(20_000, mean, np.random.default_rng(1))
    assert np.mean(src) == pytest.approx(mean, rel=0.02)
    assert np.mean(tgt) == pytest.approx(mean * TGT_PER_SRC, rel=0.02)
    assert min(src + tgt) >= 1


def test_random_words_follow_zipfs_law() -> None:
    lines = random_lines([3, 50_000], 1000, np.random.default_rng(1))
    assert [len(line.split()) for line in lines] == [3, 50_000]
    words = lines[1].split()
    # the share of rank r is log((r + 1) / r): log 2 against log 1.5
    assert words.count("w1") / words.count("w2") == pytest.approx(np.log(2) / np.log(1.5), rel=0.1)
    assert {int(word[1:]) for word in words} <= set(range(1, 1001))


def test_every_word_of_a_vocabulary_occurs() -> None:
    longer, shorter = vocabulary_lines(90, 90), vocabulary_lines(20, 90)
    assert [len(line.split()) for line in longer] == [len(line.split()) for line in shorter] == [40, 40, 10]
    assert set(itertools.chain.from_iterable(map(str.split, longer))) == {f"w{number}" for number in range(1, 91)}
    assert set(itertools.chain.from_iterable(map(str.split, shorter))) == {f"w{number}" for number in range(1, 21)}


# --- The command line ---


def test_help_needs_no_torch() -> None:
    script = THIS_CHECKOUT / "scripts" / "bench"
    done = subprocess.run([sys.executable, "-X", "importtime", script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: scripts/bench" in done.stdout
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["train", "fast"]) == 1
    line = capsys.readouterr().err
    assert line == "bench: settings must be KEY=VALUE, but one is 'fast' (scripts/bench --help)\n"
    assert main.run(["limits", "--profile"]) == 1
    assert "bench: --profile is for train and translate, but the subcommand is limits" in capsys.readouterr().err
    assert main.run(["translate", "input=test.en"]) == 1
    assert "checkpoints= and input=, a file to translate, must be given both or neither" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main.run(["train", "--repeats", "0"])
    assert "argument --repeats: must be a whole number of at least 1, but is '0'" in capsys.readouterr().err


def test_the_text_to_translate_may_be_compressed(tmp_path: Path) -> None:
    plain, compressed, cut, bad = (tmp_path / name for name in ("text.en", "text.en.gz", "cut.en.gz", "bad.en.gz"))
    plain.write_text("a\n\nb\u2028c\nd\n", encoding="utf-8")
    compressed.write_bytes(gzip.compress(plain.read_bytes()))
    cut.write_bytes(compressed.read_bytes()[:-9])
    bad.write_bytes(compressed.read_bytes()[:10] + bytes([255] * 20))  # no valid block
    assert first_sentences(str(plain), 2) == first_sentences(str(compressed), 2) == ["a", "b\u2028c"]
    for damaged in (cut, bad):
        with pytest.raises(BenchError, match=rf"{damaged.name} must be UTF-8 text, plain or \.gz, but cannot be read"):
            first_sentences(str(damaged), 2)


def bench(subcommand: str, folder: Path, *words: str) -> dict[str, Any]:
    """Run a subcommand; return its JSON."""
    file = folder / "bench.json"
    assert main.run([subcommand, *words, "--json", str(file)]) == 0
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert content["machine"]["torch"] == torch.__version__
    return content


def test_limits_measures_matmuls_and_bandwidth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matmul, bandwidth = bench("limits", tmp_path, "--shapes", "8x16x32", "--repeats", "2")["tables"]
    assert len(matmul["rows"]["fp32, torch.mm"]) == 2
    assert matmul["rows"]["fp32, torch.mm"][0]["value"] > 0
    assert list(bandwidth["rows"]) == ["copy, read and written"]
    assert "Matmul, 8 rows x 16 inputs x 32 outputs, GFLOP/s" in capsys.readouterr().out


@pytest.mark.slow
def test_train_compares_settings_beside_their_limit(tmp_path: Path) -> None:
    content = bench("train", tmp_path, *TINY, "--updates", "2", "--compare", "training.precision=fp32,bf16")
    [table] = content["tables"]
    assert list(table["rows"]) == ["training.precision=fp32", "training.precision=bf16"]
    for [sample] in table["rows"].values():
        assert 0 < sample["value"] < sample["limit"]
        assert sample["peak_bytes"] > 2**20
    assert content["contenders"][1]["settings"][-1] == "training.precision=bf16"


@pytest.mark.slow
def test_translate_measures_another_checkout_with_an_untrained_model(tmp_path: Path) -> None:
    words = [*TINY, "--sentences", "2000", "search.precision=fp32", "search=beam_2", "--against", str(THIS_CHECKOUT)]
    [table] = bench("translate", tmp_path, *words)["tables"]
    assert list(table["rows"]) == ["this checkout", str(THIS_CHECKOUT)]
    for [sample] in table["rows"].values():
        assert 0 < sample["value"] < sample["limit"]


@pytest.mark.slow
def test_translate_measures_an_ensemble_of_checkpoints_on_text(tmp_path: Path, digits: Path, checkpoint: Path) -> None:
    text = tmp_path / "text.en"
    text.write_text((digits / "test.en").read_text(encoding="utf-8") * 400, encoding="utf-8")
    words = [f"checkpoints=[{checkpoint},{checkpoint}]", f"input={text}", "search.precision=fp32"]
    [table] = bench("translate", tmp_path, *words, "threads=1", "--repeats", "1", "--sentences", "4000")["tables"]
    assert table["rows"]["nmt"][0]["limit"] > 0


@pytest.mark.slow
def test_prepare_measures_time_and_memory(tmp_path: Path) -> None:
    [table] = bench("prepare", tmp_path, "subword.vocab_size=80", "--pairs", "100", "--repeats", "1")["tables"]
    [sample] = table["rows"]["nmt"]
    assert sample["value"] > 0
    assert sample["peak_bytes"] > 2**20


@pytest.mark.slow
def test_startup_measures_whole_processes(tmp_path: Path) -> None:
    tables = bench("startup", tmp_path, *TINY)["tables"]
    seconds = {table["title"]: table["rows"]["nmt"][0]["value"] for table in tables}
    assert seconds["Start-up, python"] < seconds["Start-up, python, import torch"]
    assert seconds["Start-up, nmt --help"] < seconds["Start-up, nmt translate, one line"]


@pytest.mark.slow
@pytest.mark.parametrize("subcommand", ["train", "translate"])
def test_profiles_name_operations(subcommand: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([subcommand, *TINY, "--updates", "2", "--sentences", "10", "--profile"]) == 0
    out = capsys.readouterr().out
    assert "Self CPU time total" in out
    assert "aten::" in out


@pytest.mark.slow
def test_a_failing_command_is_explained_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["train", *TINY, "model.hiden_dim=3"]) == 1
    assert "failed with exit status 1: " in capsys.readouterr().err
