from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.evaluation.metrics import score_corpus
from tests.checkpoints import edit_config
from tests.commands import error, nmt


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four sentences: a source, two references, and three systems, the first of them perfect."""
    monkeypatch.chdir(tmp_path)
    lines = {
        "src": ["one", "two three four", "five six seven eight nine ten", "x"],
        "ref": ["a cat sat here", "the dog is on the mat", "we all live here and now", "it is so"],
        "ref2": ["a cat was here", "a dog lies on the mat", "we live here and now", "so it is"],
        "good": ["a cat sat here", "the dog is on the mat", "we all live here and now", "it is so"],
        "fair": ["a cat sat there", "the dog is on a mat", "we all live here now", "it is so"],
        "poor": ["cat", "dog mat", "we live", "is"],
        "groups": ["pets", "pets,mats", "", "mats"],
    }
    for name, content in lines.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return tmp_path


def _evaluate(*overrides: str) -> str:
    done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", *overrides)
    # after its six updates the model of `checkpoint` translates everything to empty lines
    warnings = [line for line in done.err.splitlines() if "all translations are blank" not in line]
    assert (done.status, warnings) == (0, [])
    return done.out


@pytest.mark.usefixtures("files")
def test_scores_have_signatures() -> None:
    done = nmt("evaluate", "hypothesis=fair", "reference=ref", "bootstrap_samples=10")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"^fair\n  BLEU [\d.]+ \[[\d.]+, [\d.]+\] .*BP = ", done.out)
    for metric in ("BLEU", "chrF2", "TER"):
        assert re.search(
            rf"^  {metric} [\d.]+ \[.*\n    nrefs:1\|bs:10\|seed:12345\|.*version:", done.out, re.MULTILINE
        )


@pytest.mark.usefixtures("files")
def test_every_metric_interval_and_p_value_is_json() -> None:
    options = ("reference=ref", "metrics=[bleu,chrf,chrf++,ter,exact,cer,wer]", "bootstrap_samples=10", "json=true")
    done = nmt("evaluate", "hypothesis=[good,fair]", *options, "paired_test=bootstrap")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert [len(system["scores"]) for system in report["systems"]] == [7, 7]
    assert all(len(score["interval"]) == 2 for system in report["systems"] for score in system["scores"])
    assert len(report["paired_test"]) == 14


@pytest.mark.usefixtures("files")
def test_a_perfect_system_scores_100() -> None:
    assert "  BLEU 100.0 " in _evaluate("hypothesis=good", "reference=ref")


def test_a_second_reference_counts(files: Path) -> None:
    out = json.loads(_evaluate("hypothesis=fair", "reference=[ref,ref2]", "json=true"))
    hypotheses, *references = ((files / name).read_text().splitlines() for name in ("fair", "ref", "ref2"))
    [score] = out["systems"][0]["scores"]
    assert score["value"] == score_corpus(hypotheses, references)[0].value
    assert score["signature"].startswith("nrefs:2|")


def test_chrf_plus_plus_and_lowercase_on_request(files: Path) -> None:
    (files / "loud").write_text((files / "ref").read_text().upper())
    out = _evaluate("hypothesis=loud", "reference=ref", "metrics=[bleu,chrf++]", "lowercase=true")
    assert re.search(r"^  BLEU 100\.0 .*\n    .*\|case:lc\|", out, re.MULTILINE)
    assert re.search(r"^  chrF2\+\+ 100\.0\n    .*\|case:lc\|", out, re.MULTILINE)
    assert "BLEU 100.0" not in _evaluate("hypothesis=loud", "reference=ref")


def test_strings_are_scored_by_exact_match_and_edit_rates(files: Path) -> None:
    _lines(files, "phones", ["a b", "c d", "e f", "g"])
    _lines(files, "answer", ["a b", "c x", "", "g"])
    _lines(files, "other", ["", "c d e f", "e f", ""])
    metrics = ("metrics=[exact,cer,wer]", "bootstrap_samples=0")
    done = nmt("evaluate", "hypothesis=phones", "reference=[answer,other]", *metrics)
    assert re.search(
        r"^phones\n  exact 75\.0\n    nrefs:var\|case:mixed\|.*\n  CER 10\.0\n    .*\n  WER 14\.3\n", done.out
    )


@pytest.mark.usefixtures("files")
def test_warnings_of_text_that_does_not_suit_bleu_are_for_bleu(files: Path) -> None:
    _lines(files, "words", ["hello", "goodbye", "&apos;", "sorry"])
    common = ("hypothesis=words", "reference=words", "bootstrap_samples=0")
    assert nmt("evaluate", *common, "metrics=[exact,cer,wer]").err == ""
    for settings in (["metrics=[exact,bleu]"], ["metrics=[exact]", "groups=groups"]):
        done = nmt("evaluate", *common, *settings)
        assert "words: hardly any spaces, which separate words for BLEU" in done.err
        assert "words: 1 of 4 lines look tokenized" in done.err


@pytest.mark.usefixtures("files")
def test_json_has_one_schema() -> None:
    report = json.loads(
        _evaluate(
            "hypothesis=[good,poor]",
            "reference=ref",
            "source=src",
            "groups=groups",
            "by_length=true",
            "json=true",
            "paired_test=bootstrap",
            "bootstrap_samples=20",
        )
    )
    assert list(report) == ["references", "systems", "paired_test"]
    assert report["references"] == ["ref"]
    assert [system["name"] for system in report["systems"]] == ["good", "poor"]
    system = report["systems"][0]
    assert list(system) == ["name", "num_sentences", "scores", "by_group", "by_length"]
    assert system["num_sentences"] == 4
    assert list(system["scores"][0]) == ["metric", "label", "value", "signature", "interval", "details"]
    assert [(row["group"], row["num_sentences"]) for row in system["by_group"]] == [("pets", 2), ("mats", 2)]
    assert [(row["group"], row["num_sentences"]) for row in system["by_length"]] == [("1-5", 3), ("6-10", 1)]
    assert [(result["system"], result["p_value"] is None) for result in report["paired_test"]] == [
        ("good", True),
        ("poor", False),
    ]


@pytest.mark.usefixtures("files")
def test_unrequested_results_are_empty_lists_in_json() -> None:
    report = json.loads(_evaluate("hypothesis=good", "reference=ref", "json=true"))
    assert (report["paired_test"], report["systems"][0]["by_group"], report["systems"][0]["by_length"]) == ([], [], [])
    assert report["systems"][0]["scores"][0]["interval"] is None


@pytest.mark.usefixtures("files")
def test_bleu_by_group_and_by_length() -> None:
    out = _evaluate("hypothesis=good", "reference=ref", "source=src", "groups=groups", "by_length=true")
    assert "  BLEU by group\n    100.0  pets (2)\n" in out
    assert "  BLEU by source length in words\n" in out
    assert " 6-10 (1)\n" in out


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("test", ["bootstrap", "randomization"])
def test_systems_are_compared_with_the_first(test: str) -> None:
    out = _evaluate("hypothesis=[good,fair,poor]", "reference=ref", f"paired_test={test}", "bootstrap_samples=50")
    assert re.search(
        r"paired test against the first system\n  BLEU .* baseline  good\n  BLEU .* p = 0\.\d+  fair\n", out
    )


@pytest.mark.no_tensors
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "hypothesis or checkpoints must be given, and not both"),
        (["hypothesis=good", "checkpoints=x"], "hypothesis or checkpoints must be given, and not both"),
        (["hypothesis=[good,good]"], "hypothesis names a file twice"),
        (["hypothesis=good", "by_length=true"], "by_length=true needs source=FILE, whose words it counts"),
        (["hypothesis=good", "paired_test=bootstrap"], "paired_test=bootstrap needs two hypothesis files or more"),
        (["hypothesis=good", "output=x"], "output is the file for translations by checkpoints: it needs checkpoints"),
        (
            ["hypothesis=good", "metrics=[bleu,rouge]"],
            "metrics must name some of bleu, chrf, chrf++, ter, exact",
        ),
        (["hypothesis=good", "metrics=[]"], "metrics must name some of bleu, chrf, chrf++, ter"),
        (["hypothesis=good", "bleu_tokenize=x"], "bleu_tokenize must be one of auto, 13a, intl, char, zh,"),
        (["hypothesis=good", "bootstrap_samples=1"], "bootstrap_samples must be 0 (no interval) or from 2 to 100,000"),
        (
            ["hypothesis=[good,fair]", "paired_test=bootstrap", "bootstrap_samples=0"],
            "needs bootstrap_samples, which is 0",
        ),
        (
            ["checkpoints=x"],
            "checkpoints need source=FILE and reference=FILE, or neither for the test set of their run",
        ),
        (["checkpoints=x", "tsv=src"], "tsv replaces source and reference: give one or the other"),
        (["hypothesis=good", "tsv=src"], "tsv needs checkpoints, whose run says which columns are read"),
        (["checkpoints=x", "source=src", "metrics=[rouge]"], "metrics must name some of bleu, chrf, chrf++, ter"),
        (["checkpoints=x", "source=src", "bleu_tokenize=x"], "bleu_tokenize must be one of auto, 13a, intl"),
        (["hypothesis=nothing"], "nothing does not exist: check the path"),
        (["hypothesis=."], ". must be a text file, but is a directory"),
        (["hypothesis=short"], "short and ref must have equally many lines, but have 1 and 4"),
        (
            ["hypothesis=good", "groups=short"],
            "short and ref must have equally many lines, but have 1 and 4",
        ),
        (["hypothesis=good", "source=short", "by_length=true"], "short and ref must have equally many lines"),
        (["checkpoints=x", "source=short"], "short and ref must have equally many lines, but have 1 and 4"),
        (["hypothesis=latin1"], "latin1, line 2, byte 4: must be UTF-8, but is 0xe9"),
    ],
)
def test_a_mistake_is_one_line(files: Path, settings: list[str], message: str) -> None:
    (files / "short").write_text("a\n")
    (files / "latin1").write_bytes(b"a\ncaf\xe9\nb\nc\n")
    assert message in error("evaluate", "reference=ref", *settings)


@pytest.mark.usefixtures("files")
def test_conflicts_are_reported_together() -> None:
    line = error("evaluate", "by_length=true", "output=x", "metrics=[x]")
    assert line.count(";") == 4


def test_checkpoints_are_scored_on_a_test_set(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    test_set = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}", "threads=1", "search=greedy"]
    out = tmp_path / "out.fr"
    scored = json.loads(_evaluate(f"checkpoints=[{checkpoint}]", *test_set, f"output={out}", "json=true"))
    translated = nmt(
        "translate", f"checkpoints={checkpoint}", "search=greedy", f"input={digits / 'test.en'}", "threads=1"
    )
    assert out.read_text() == translated.out
    rescored = json.loads(_evaluate(f"hypothesis={out}", test_set[1], "json=true"))
    assert scored["systems"][0]["scores"] == rescored["systems"][0]["scores"]


@pytest.fixture
def own_test_set(checkpoint: Path, digits: Path, tmp_path: Path) -> Callable[[list[str]], Path]:
    """Copies the checkpoint, with a test set of these source files in its run's settings."""

    def copy(src: list[str]) -> Path:
        path = shutil.copytree(checkpoint, tmp_path / "copy")
        test_set = {"dir": str(digits), "test": {"src": src, "tgt": ["test.fr"]}}
        edit_config(path, lambda config: config["data"].update(test_set))
        return path

    return copy


def test_checkpoints_are_scored_on_the_test_set_of_their_run(
    own_test_set: Callable[[list[str]], Path], digits: Path
) -> None:
    path = own_test_set(["test.en"])
    common = (f"checkpoints=[{path}]", "threads=1", "search=greedy", "by_length=true")
    named = _evaluate(*common, f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}")
    done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", *common)
    assert (done.status, done.out) == (0, named)
    assert f"test set: {digits / 'test.en'}, {digits / 'test.fr'}" in done.err


def test_runs_with_different_test_sets_are_refused(own_test_set: Callable[[list[str]], Path], tmp_path: Path) -> None:
    path = own_test_set(["test.en"])
    other = shutil.copytree(path, tmp_path / "other")
    edit_config(other, lambda config: config["data"]["test"].update(src=["dev.en"]))
    line = error("evaluate", f"checkpoints=[{path},{other}]")
    assert line.startswith("nmt: the runs of the checkpoints name different test sets: give source=FILE")


@pytest.mark.parametrize("src", [[], ["test.en", "test.fr"]], ids=["none", "two files"])
def test_a_run_without_a_test_set_of_one_file_is_refused(
    own_test_set: Callable[[list[str]], Path], src: list[str]
) -> None:
    path = own_test_set(src)
    line = error("evaluate", f"checkpoints={path}")
    assert line == (
        f"nmt: the run of {path} was given no test set (data.test.src and data.test.tgt, one file each, or "
        "data.test.tsv): give source=FILE and reference=FILE"
    )


def test_an_ensemble_is_one_system(checkpoint: Path, digits: Path) -> None:
    test_set = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}", "threads=1", "search=greedy"]
    report = json.loads(_evaluate(f"checkpoints=[{checkpoint},{checkpoint}]", *test_set, "json=true"))
    assert [system["name"] for system in report["systems"]] == [f"{checkpoint}+{checkpoint}"]


# --- what is scored ---


def _lines(folder: Path, name: str, lines: list[str]) -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


CHINESE = ["猫坐在垫子上", "红车旁边有一只狗", "她读了一本长长的书", "我们晚上走路回家"]


def test_the_target_language_chooses_the_tokenizer(files: Path) -> None:
    _lines(files, "猫.zh", CHINESE)
    texts = ("hypothesis=猫.zh", "reference=猫.zh")
    for lang in ("zh", "ZH-cn"):
        done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", *texts, f"tgt_lang={lang}")
        assert done.status == 0
        assert re.search(rf"^\d\d:\d\d:\d\d BLEU with bleu_tokenize=zh, for tgt_lang={lang}\n$", done.err)
        assert re.search(r"^猫.zh\n  BLEU 100.0 .*\n.*\|tok:zh\|", done.out)
    done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", *texts)
    assert re.search(r"^猫.zh\n  BLEU 0.0 .*\n.*\|tok:13a\|", done.out)
    assert (
        "猫.zh: hardly any spaces, which separate words for BLEU with bleu_tokenize=13a: set bleu_tokenize=" in done.err
    )
    assert "|tok:char|" in _evaluate(*texts, "bleu_tokenize=char", "tgt_lang=zh")


def test_the_language_of_the_run_chooses_the_tokenizer(
    own_test_set: Callable[[list[str] | None], Path], digits: Path
) -> None:
    path = own_test_set(["test.en"])
    edit_config(path, lambda config: config["data"].update(tgt_lang="zh"))
    scoring = ("metrics=[bleu]", "bootstrap_samples=0")
    common = (f"checkpoints={path}", *scoring, "threads=1", "search=greedy", "search.precision=fp32")
    for test_set in ((), (f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}")):
        done = nmt("evaluate", *common, *test_set)
        assert "|tok:zh|" in done.out
        assert "BLEU with bleu_tokenize=zh, for tgt_lang=zh" in done.err
    assert "|tok:13a|" in nmt("evaluate", *common, "tgt_lang=fr").out
    assert "|tok:intl|" in nmt("evaluate", *common, "bleu_tokenize=intl").out


def test_blank_lines_of_a_second_reference_change_nothing(files: Path) -> None:
    _lines(files, "blank", ["", " ", "", ""])
    _lines(files, "lazy", ["a cat sat here", "", "", ""])
    for references in ("[ref,blank]", "[blank,ref]"):
        done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", "hypothesis=lazy", f"reference={references}")
        assert done.err.endswith(" blank: 4 blank lines, treated as missing references\n")
        assert done.out == _evaluate("hypothesis=lazy", "reference=ref")


def test_a_blank_line_of_the_only_reference_is_counted(files: Path) -> None:
    _lines(files, "blank", ["a cat sat here", "", "x", ""])
    done = nmt("evaluate", "metrics=[ter]", "bootstrap_samples=0", "hypothesis=blank", "reference=blank")
    assert done.err.endswith(" blank: 2 blank lines, matched only by blank lines\n")
    assert "  TER 0.0" in done.out


@pytest.mark.parametrize("setting", ["hypothesis", "reference", "source"])
def test_markup_is_refused_in_every_input(files: Path, setting: str) -> None:
    _lines(files, "x.sgm", ["<refset>", *["<seg>a</seg>"] * 3])
    names = {"reference": "ref", "source": "src"} | {setting: "x.sgm"}
    if setting != "hypothesis":
        names["checkpoints"] = "nothing"
    line = error(
        "evaluate", *(f"{key}={value}" for key, value in names.items() if setting != "hypothesis" or key != "source")
    )
    assert line.startswith("nmt: x.sgm must be plain text, one sentence a line, but is SGML or XML: take the text out")


def test_blank_translations_are_noticed(files: Path) -> None:
    (files / "blank").write_text("\n" * 4)
    done = nmt("evaluate", "hypothesis=blank", "reference=ref", "bootstrap_samples=0")
    assert done.status == 0
    assert "blank: all translations are blank (4): is it the right file or checkpoint?" in done.err


def test_tokenized_text_is_noticed_on_both_sides(files: Path) -> None:
    _lines(files, "tokenized", ["it &apos;s a cat here", "a well @-@ known dog", "a b c d", "e f g h"])
    done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", "hypothesis=good", "reference=tokenized")
    assert " tokenized: 2 of 4 lines look tokenized ('&apos;', for example): detokenize them, or the score" in done.err
    done = nmt("evaluate", "metrics=[bleu]", "bootstrap_samples=0", "hypothesis=tokenized", "reference=ref")
    assert " tokenized: 2 of 4 lines look tokenized" in done.err


def test_labels_mean_the_same_with_spaces_and_carriage_returns(files: Path) -> None:
    (files / "odd").write_bytes(b"pets\r\n pets , mats\r\n\r\nmats ,\r\n")
    plain, odd = (_evaluate("hypothesis=good", "reference=ref", f"groups={name}") for name in ("groups", "odd"))
    assert odd == plain


def test_file_names_with_any_bytes_are_printed(files: Path) -> None:
    name = "caf\udce9"  # as Python reads the byte e9 of Latin-1
    try:
        (files / name).write_text((files / "ref").read_text())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert _evaluate(f"hypothesis={name}", "reference=ref").startswith("caf\\xe9\n  BLEU 100.0 ")
    report = json.loads(_evaluate(f"hypothesis={name}", "reference=ref", "json=true"))
    assert report["systems"][0]["name"] == "caf\\xe9"


@pytest.mark.usefixtures("files")
def test_columns_that_are_read_as_text_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "columns").write_text("".join(f"{n}\ta cat\n" for n in range(4)), encoding="utf-8")
    done = nmt("evaluate", "hypothesis=fair", "reference=columns", "metrics=[exact]", "bootstrap_samples=0")
    assert done.status == 0
    assert "columns: 4 of 4 lines contain tabs, which are read as text" in done.err
