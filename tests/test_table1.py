"""scripts/reproduce_table1: its plan, its arithmetic by hand, and a tiny experiment that is killed at random."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hydra.core.override_parser.overrides_parser import OverridesParser
from table1.main import _compare, run
from table1.measurements import EvaluatedText, Machine, average, perplexity_of, translations
from table1.plan import AVERAGE, Kind, Model, Plan, Row
from table1.table import ClaimResult, CostClaim, Table, as_text, build_table
from table1.training import divide, has_ended, sweeps, with_changes

from nmt.commands.paths import quote_paths
from nmt.evaluation.metrics import SACREBLEU_DEFAULTS
from nmt.training.checkpoint import load_checkpoint, read_info
from nmt.training.checkpoint_links import checkpoints_in
from tests.commands import DIGITS, data_settings, train_settings
from tests.doctor_text import composed

SCRIPT = Path(__file__).parents[1] / "scripts" / "reproduce_table1"
ON_CPU = Machine("cpu", threads=1)

# --- The plan ---


def test_the_rows_of_the_paper_have_its_scores() -> None:
    papers = {row.label: row.paper for row in Plan().rows() if row.paper is not None}
    assert papers == {  # Table 1; newstest2014
        "single forward, beam 12 (seed 1)": 26.17,
        "single reversed, beam 12 (seed 1)": 30.59,
        "5 reversed, beam 1": 33.00,
        "2 reversed, beam 12": 33.27,
        "5 reversed, beam 2": 34.50,
        "5 reversed, beam 12": 34.81,
        "attention, beam 12 (seed 1)": 28.45,  # Bahdanau et al.
    }


def test_an_ensemble_has_the_first_models() -> None:
    [row] = [row for row in Plan().rows() if row.label == "2 reversed, beam 12"]
    assert (row.systems, row.beam_size) == (("reversed-seed1", "reversed-seed2"), 12)


def test_rows_and_claims_need_their_models() -> None:
    assert Plan(1, 0, 0, with_attention=False).rows() == Plan(1, 0, 0, with_attention=False).singles(Kind.reversed)
    assert Plan(1, 0, 0, with_attention=False).claims() == []
    assert Plan(1, 0, 0, with_attention=False).cheaper() is None
    two = Plan(2, 1, 0, with_attention=False)
    assert [row.label for row in two.ensembles()] == [
        "2 reversed, beam 1",
        "2 reversed, beam 12",
        "2 reversed, beam 2",
    ]
    assert "2 models are better than two" not in [claim.text for claim in two.claims()]
    assert len(two.claims()) == 5
    assert len({row.key for row in Plan().rows()}) == len(Plan().rows()) == 13
    assert len(Plan().claims()) == 8
    assert len(Plan().models()) == 8


# --- Training ---


def test_models_are_divided_evenly_and_each_kind_is_a_sweep(tmp_path: Path) -> None:
    first, second = divide(Plan().models(), 2)
    assert [model.name for model in first] == ["reversed-seed1", "reversed-seed3", "reversed-seed5", "forward-seed2"]
    assert len(second) == 4
    assert divide(Plan(1, 0).models()[:1], 2) == [[Model(Kind.reversed, 1)]]
    reversed_sweep, forward_sweep = sweeps(first, tmp_path, ["experiment=table1", "seed=7"], ["model=x"])
    common = ["train", "-m", "experiment=table1"]
    assert reversed_sweep == [
        *common,
        "model.source_order=reversed",
        "seed=1,3,5",
        f"run_dir='{tmp_path}/reversed-seed${{seed}}'",
        "resume=true",
    ]
    assert forward_sweep[3:5] == ["model.source_order=forward", "seed=2"]
    [attention] = sweeps([Model(Kind.attention, 1)], tmp_path, ["experiment=table1", "device=cpu"], ["experiment=b"])
    assert attention[2:5] == ["device=cpu", "experiment=b", "seed=1"]
    assert attention[5] == f"run_dir='{tmp_path}/attention-seed${{seed}}'"


@pytest.mark.parametrize("folder", ["a, b", "it's, so"])
def test_a_folder_may_have_commas(folder: str) -> None:
    [line] = sweeps([Model(Kind.reversed, 1)], Path(folder), [], [])
    [run_dir] = quote_paths("train", [word for word in line if word.startswith("run_dir=")], in_sweep=True)
    parsed = OverridesParser.create().parse_override(run_dir)
    assert not parsed.is_sweep_override()
    assert str(parsed.value()) == f"{folder}/reversed-seed${{seed}}"


def test_a_change_replaces_the_setting_of_its_key() -> None:
    assert with_changes(["a=1", "b=2", "+c=3"], ["b=4", "c=5"]) == ["a=1", "b=4", "c=5"]


def test_a_run_has_ended_if_its_log_ends_so(run_dir: Path, tmp_path: Path) -> None:
    assert has_ended(run_dir)
    assert not has_ended(tmp_path)
    (tmp_path / "train.log").write_text("00:01 training ended (max_updates) at update 3: x\n00:02 resuming x\n")
    assert not has_ended(tmp_path)


# --- Measurements ---


def digits_test(folder: Path, split: str) -> EvaluatedText:
    return EvaluatedText(*((folder / f"{split}.{lang}").read_text("utf-8").splitlines() for lang in ("en", "fr")))


def test_translations_are_made_once_for_the_same_checkpoints_and_text(
    run_dir: Path, digits: Path, tmp_path: Path
) -> None:
    row, file = Row("x", "x", ("a",), beam_size=2), tmp_path / "below" / "x.json"
    paths, test = [run_dir / "checkpoints" / "best"] * 2, digits_test(digits, "test")
    first = translations(row, paths, file, test=test, machine=ON_CPU)
    assert len(first["translations"]) == len(test.sources)
    assert (first["device"], first["threads"]) == ("cpu", 1)
    assert first["wall_s"] > 0 < first["cpu_s"]
    before = file.stat().st_mtime_ns
    assert translations(row, paths, file, test=test, machine=ON_CPU) == first
    assert file.stat().st_mtime_ns == before
    for other_row, other_paths, other_test in (
        (row._replace(beam_size=1), paths, test),
        (row, [run_dir / "checkpoints" / "update_000004"], test),
        (row, paths, digits_test(digits, "dev")),
    ):
        translations(other_row, other_paths, file, test=other_test, machine=ON_CPU)
        assert file.stat().st_mtime_ns != before
        before = file.stat().st_mtime_ns


def test_the_perplexity_is_that_of_validation(run_dir: Path, digits: Path, tmp_path: Path) -> None:
    best = run_dir / "checkpoints" / "best"
    found = perplexity_of(best, tmp_path / "x.json", test=digits_test(digits, "dev"), machine=ON_CPU)
    assert found == pytest.approx(read_info(best.resolve()).scores["perplexity"], rel=1e-5)


def test_the_newest_checkpoints_are_averaged_once(run_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "mean"
    assert average(run_dir, target, number=2) == 2
    names = ("update_000004", "update_000006")
    parts = [load_checkpoint(run_dir / "checkpoints" / name).model.state_dict() for name in names]
    for name, parameter in load_checkpoint(target).model.state_dict().items():
        assert parameter.flatten()[0] == pytest.approx(sum(float(part[name].flatten()[0]) for part in parts) / 2)
    before = (target / "checkpoint.json").stat().st_mtime_ns
    assert average(run_dir, target, number=2) == 2
    assert (target / "checkpoint.json").stat().st_mtime_ns == before


def test_the_table_says_how_many_checkpoints_were_averaged(
    run_dir: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short training has fewer than were asked for."""
    shutil.copytree(run_dir, tmp_path / "reversed-seed1", symlinks=True)
    number = len(checkpoints_in(run_dir / "checkpoints"))
    settings = composed("train", train_settings(digits))
    _compare(Plan(1, 0, 9, with_attention=False), tmp_path, settings, digits_test(digits, "test"))
    assert f"average of {number} checkpoints, reversed, beam 12 " in capsys.readouterr().out
    assert 1 < number < 9


# --- The table ---

REFERENCES = [f"the cat number {word} sat on the old mat" for word in DIGITS * 3]


def measured(num_right: int, *, wall_s: float, cpu_s: float, device: str = "cpu") -> dict[str, Any]:
    lines = [*REFERENCES[:num_right], *["a dog lay under some new rug"] * (len(REFERENCES) - num_right)]
    return {"translations": lines, "wall_s": wall_s, "cpu_s": cpu_s, "device": device}


def small_table(**changes: dict[str, Any]) -> Table:
    plan = Plan(2, 2, 0, with_attention=False)
    rows = {
        "forward-seed1": measured(9, wall_s=3, cpu_s=6),
        "forward-seed2": measured(9, wall_s=3, cpu_s=6),
        "reversed-seed1": measured(20, wall_s=3, cpu_s=6),
        "reversed-seed2": measured(22, wall_s=3, cpu_s=6),
        "reversed-2models-beam1": measured(20, wall_s=1, cpu_s=1.5),
        "reversed-2models-beam2": measured(25, wall_s=2, cpu_s=3),
        "reversed-2models-beam12": measured(3, wall_s=9, cpu_s=12),
    } | changes
    perplexities = {"forward-seed1": 5.0, "forward-seed2": 6.0, "reversed-seed1": 4.0, "reversed-seed2": 4.5}
    test = EvaluatedText(["x"] * len(REFERENCES), REFERENCES)
    run = {"updates": 9, "epochs": 1.5, "wall_s": 90.0, "best_update": 9, "dev_perplexity": 4.25}
    return build_table(
        plan, rows, perplexities, test=test, options=SACREBLEU_DEFAULTS, training={"reversed-seed1": run}
    )


def test_claims_hold_or_not_or_are_not_shown() -> None:
    verdicts = {claim.text: claim.verdict for claim in small_table().claims}
    assert verdicts == {
        "the reversed source is better than the forward one": "holds",
        "two models are better than one": "the opposite holds",
        "2 models with a beam of 1 are better than one with a beam of 12": "not shown",  # the same translations
        "a beam of 2 is better than a beam of 1": "holds",
        "a beam of 12 is better than a beam of 2": "the opposite holds",
    }
    assert ClaimResult("", True, difference=0.5, p_value=0.05).verdict == "not shown"


def test_means_are_of_single_models() -> None:
    table = small_table()
    forward, reversed_ = table.means
    scores = [table.rows[f"reversed-seed{seed}"].bleu for seed in (1, 2)]
    assert (forward.label, forward.deviation, forward.perplexity) == ("mean of 2 single forward", 0.0, 5.5)
    assert reversed_.bleu == pytest.approx(sum(scores) / 2)
    assert reversed_.deviation == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)


def test_cost_is_processor_time_on_a_cpu_and_time_on_a_gpu() -> None:
    table = small_table()
    assert table.rows["reversed-seed1"].sentences_per_s == 10.0
    assert table.rows["reversed-seed1"].cost_s == 0.2
    assert table.cost == CostClaim("2 reversed, beam 2 costs less than one at beam 12", 0.5)
    assert table.cost.verdict == "holds"
    on_gpu = small_table(**{"reversed-2models-beam2": measured(25, wall_s=9, cpu_s=3, device="cuda")})
    assert on_gpu.rows["reversed-2models-beam2"].cost_s == 0.3
    assert on_gpu.cost is not None
    assert on_gpu.cost.verdict == "does not hold"


def test_the_table_as_text() -> None:
    lines = as_text(small_table()).splitlines()
    assert lines[0].split() == ["BLEU", "paper", "perplexity", "sentences/s", "cost"]
    assert lines[3].startswith("single reversed, beam 12 (seed 1)")
    assert lines[3].endswith(" 30.59        4.00         10.0  200.0 ms  1.00")
    assert lines[5].endswith("  0.25")
    assert lines[8].split() == ["mean", "of", "2", "single", "forward", lines[1].split()[6], "±", "0.0", "5.50"]
    assert "the opposite holds: two models are better than one: " in "\n".join(lines)
    assert "reversed-seed1: 9 updates, 1.50 epochs, 1.5 min, development perplexity 4.25" in lines
    assert lines[-1].startswith("nrefs:1|bs:1000|seed:12345|")


# --- The command ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reversed", "0", "--forward", "0"], "--reversed or --forward must be at least 1, but both are 0"),
        (["--source", "a"], "--source and --reference must be given both or neither"),
        (["training.keep_last=2"], r"training.keep_last must be at least --average \(4\), but is 2: add"),
        (["experiment=tatoeba_en_fr_2014"], "data=tatoeba_en_fr has no test set: give --source FILE and --reference"),
        (["data.generate.test_pairs=0"], "data=phrasebook_long has no test set: give --source FILE and --reference"),
        (["modle.hidden_dim=8"], "no setting 'modle.hidden_dim' for nmt train: did you mean model.hidden_dim"),
        (["experiment=nothing"], "nothing"),
        (
            ["--attention", "modle.hidden_dim=8"],
            "no setting 'modle.hidden_dim' for nmt train: did you mean model.hidden",
        ),
        (["--attention", "model.tied_embeddings=both subword.joint=false"], "model.tied_embeddings=both needs one voc"),
        (["--attention", "it's"], r"--attention must be settings, quoted as for a shell, but is \"it's\": No closing"),
        (
            ["--source", "nothing.en", "--reference", "nothing.fr"],
            "nothing.en, nothing.fr do not exist: check the paths",
        ),
        (["--source", "/dev/null", "--reference", "/dev/null"], "the test set must have at least one sentence pair"),
    ],
)
def test_mistakes_are_found_before_training(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("table1.training.train_missing", lambda *_, **__: pytest.fail("it trains"))
    assert run([*words, "--folder", str(tmp_path / "x")]) == 1
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith("reproduce_table1: ")
    assert re.search(message, line), line
    assert (captured.out, list(tmp_path.iterdir())) == ("", [])


def test_a_table_without_an_average_needs_no_checkpoints_for_it(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []
    monkeypatch.setattr("table1.training.train_missing", lambda models, *_, **__: trained.extend(models))
    monkeypatch.setattr("table1.main._compare", lambda *_: None)
    words = [*data_settings(digits), "data.test.src=[test.en]", "data.test.tgt=[test.fr]", "training.keep_last=1"]
    assert run([*words, "--reversed", "0", "--forward", "1", "--attention", "", "--folder", str(tmp_path)]) == 0
    assert trained == [Model(Kind.forward, 1)]


def test_a_folder_belongs_to_one_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {"settings": ["experiment=table1", "data.generate.seed=2"], "attention": []}
    (tmp_path / "settings.json").write_text(json.dumps(before))
    assert run(["--folder", str(tmp_path)]) == 1
    assert "was begun with experiment=table1 data.generate.seed=2, but the settings are experiment=table1: name" in (
        capsys.readouterr().err
    )


def test_attention_may_be_added_to_a_table_without_it_but_not_changed(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[Any] = []
    monkeypatch.setattr("table1.training.train_missing", lambda models, *_, **__: trained.append(models[-1].kind))
    monkeypatch.setattr("table1.main._compare", lambda *_: None)
    words = [*data_settings(digits), "data.test.src=[test.en]", "data.test.tgt=[test.fr]", "training.keep_last=4"]
    words += ["--folder", str(tmp_path), "--attention"]
    for attention in ("", "model=attention_phrasebook", ""):
        assert run([*words, attention]) == 0
    assert trained == [Kind.forward, Kind.attention, Kind.forward]
    assert run([*words, "model=attention_2x512"]) == 1
    assert "was begun with --attention model=attention_phrasebook: name another" in capsys.readouterr().err


def command(digits: Path, folder: Path, *, updates: int = 60) -> list[str]:
    changes = [f"data.prepared_dir={folder}/prepared", "model.dropout=0.0", f"training.max_updates={updates}"]
    changes += ["training.checkpoint_every=10", "training.validate_every=20", "training.keep_last=2"]
    return [
        *(sys.executable, str(SCRIPT), *with_changes(train_settings(digits), changes)),
        *("--reversed", "2", "--forward", "1", "--average", "2", "--jobs", "2", "--folder", f"{folder}/table1"),
        *("--source", f"{digits}/test.en", "--reference", f"{digits}/test.fr"),
        *("--attention", "model=attention_phrasebook model.hidden_dim=8 model.encoder_dim=4 model.readout_dim=8"),
    ]


def without_times(file: Path) -> Any:
    table = json.loads(file.read_text("utf-8"))
    for row in table["rows"].values():
        del row["sentences_per_s"], row["cost_s"]
    for about in table["training"].values():
        del about["wall_s"]
    del table["cost"]["ratio"]
    return table


@pytest.mark.slow
def test_an_experiment_killed_at_random_gives_the_same_table(digits: Path, tmp_path: Path) -> None:
    moments, expected = random.Random(1), tmp_path / "expected"
    done = subprocess.run(command(digits, expected), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("single forward, beam 12 (seed 1)")
    killed = tmp_path / "killed"
    killed.mkdir()
    kills = 0
    while True:
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command(digits, killed), stdout=log, stderr=log)
        try:
            status = process.wait(timeout=moments.uniform(1, 8) if kills < 6 else 600)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL if kills % 2 else signal.SIGTERM)
            process.wait()
            kills += 1
            continue
        assert status == 0, (tmp_path / "log").read_text()
        break
    assert kills >= 3
    assert without_times(killed / "table1" / "table1.json") == without_times(expected / "table1" / "table1.json")
    again = subprocess.run(command(digits, killed), capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")  # nothing is trained or translated any more
    assert AVERAGE in without_times(killed / "table1" / "table1.json")["rows"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_killed_script_leaves_no_training_behind(digits: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(digits, tmp_path, updates=1_000_000), stderr=subprocess.DEVNULL)
    run_dir = tmp_path / "table1" / "reversed-seed1"
    deadline = time.monotonic() + 120
    while not (run_dir / "checkpoints" / "last").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    with FileLock(run_dir / ".lock", timeout=20):
        pass
