"""`nmt report`: the page has the numbers of `nmt evaluate`, and all forms say the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nmt.report.section import Span, Table
from nmt.report.text import cell_text
from tests.commands import Done, error, nmt, train_settings
from tests.pages import read_page

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def settings(digits: Path, run_dir: Path) -> list[str]:
    """A run, the same run under another name, and both together."""
    (digits / "again").symlink_to(run_dir)
    (digits / "phrases").write_text("Digits\todd\tone three\nDigits\todd\tthree\nDigits\teven\ttwo four\n")
    return [
        f"phrases={digits / 'phrases'}",
        f"runs=[{run_dir},{digits / 'again'}]",
        "ensemble=true",
        "doctor=true",
        f"source={digits / 'test.en'}",
        f"reference={digits / 'test.fr'}",
        "bootstrap_samples=50",
        "search=greedy",
        "examples=3",
        "device=cpu",
        "threads=1",
    ]


@pytest.fixture(scope="module")
def done(settings: list[str], digits: Path) -> Done:
    done = nmt("report", *settings, f"output={digits / 'report.html'}", "json=true")
    assert done.status == 0, done.err
    return done


@pytest.fixture(scope="module")
def sections(done: Done) -> dict[str, Any]:
    return {section["title"]: section for section in json.loads(done.out)["sections"]}


def table_of(values: dict[str, Any]) -> Table:
    rows = tuple(
        tuple(tuple(Span(*span) for span in cell) if isinstance(cell, list) else cell for cell in row)
        for row in values["rows"]
    )
    return Table(values["caption"], tuple(values["columns"]), rows, values["decimals"])


def as_shown(table: Table) -> list[list[str]]:
    return [[cell_text(table, n, cell).replace("*", "") for n, cell in enumerate(row)] for row in table.rows]


def test_the_page_has_all_parts(sections: dict[str, Any]) -> None:
    assert list(sections) == [
        "Scores",
        "Runs",
        "Training curves",
        "BLEU by source length",
        "BLEU by word frequency",
        "Examples",
        "The plane of encoder states: run",
        "Attention: run",
        "Vanishing and exploding gradients: run",
        "Gates over a sentence: run",
        "The corpus: run",
    ]


def test_the_scores_are_those_of_nmt_evaluate(sections: dict[str, Any], settings: list[str], checkpoint: Path) -> None:
    same = [word for word in settings if not word.startswith(("runs", "ensemble", "doctor", "examples", "phrases"))]
    evaluated = nmt(
        "evaluate", f"checkpoints=[{checkpoint}]", *same, "metrics=[bleu,chrf]", "by_length=true", "json=true"
    )
    [system] = json.loads(evaluated.out)["systems"]
    bleu, chrf, signatures = sections["Scores"]["tables"]
    for table, score in zip((bleu, chrf), system["scores"], strict=True):
        assert table["rows"][0][1:4] == [score["value"], *score["interval"]]
    assert [row[1] for row in signatures["rows"]] == [score["signature"] for score in system["scores"]]
    by_length = sections["BLEU by source length"]["figures"][0]["numbers"]["rows"]
    assert [(row[0], row[1], row[3]) for row in by_length if row[2] == "run"] == [
        (group["group"], group["num_sentences"], group["bleu"]) for group in system["by_length"]
    ]


def test_the_same_translations_differ_by_nothing(sections: dict[str, Any]) -> None:
    names, differences, p_values = zip(
        *((row[0], *row[-2:]) for row in sections["Scores"]["tables"][0]["rows"]), strict=True
    )
    assert names == ("run", "again", "ensemble of 2")
    assert differences == (None, 0, 0)
    assert p_values == (None, 1, 1)


def test_page_and_json_say_the_same(done: Done, digits: Path) -> None:
    page = read_page((digits / "report.html").read_text(encoding="utf-8"))
    shown = iter(page.tables)
    figures = []
    for section in json.loads(done.out)["sections"]:
        for values in section["tables"] + [figure["numbers"] for figure in section["figures"]]:
            table, on_page = table_of(values), next(shown)
            assert (on_page.caption, tuple(on_page.columns)) == (table.caption, table.columns)
            assert on_page.rows == as_shown(table)
        figures += section["figures"]
    assert next(shown, None) is None
    assert page.labels == [figure["alt"] for figure in figures]


def test_text_and_json_say_the_same(done: Done, settings: list[str]) -> None:
    text = nmt("report", *settings).out
    for section in json.loads(done.out)["sections"]:
        assert f"{section['title']}\n=" in text
        assert all(paragraph in text for paragraph in section["paragraphs"])
        assert all(figure["alt"] in text for figure in section["figures"])
        if section["title"] != "Runs":  # which has times
            for table in map(table_of, section["tables"]):
                assert all(cell in text for row in as_shown(table) for cell in row)


def test_the_page_loads_nothing(done: Done, digits: Path) -> None:
    page = (digits / "report.html").read_text(encoding="utf-8")
    assert done.status == 0
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page


def test_the_corpus_is_as_nmt_doctor_sees_it(sections: dict[str, Any], digits: Path) -> None:
    findings, figures = sections["The corpus: run"]["tables"]
    data = [word for word in train_settings(digits) if word.startswith(("data", "subword"))]
    diagnosis = json.loads(nmt("doctor", *data, "json=true").out)
    found = {
        (examination, one["severity"], one["summary"], one["advice"] or None)
        for examination, part in diagnosis.items()
        if isinstance(part, dict)
        for one in part.get("findings", ())
    }
    shown = {tuple(row) for row in findings["rows"]}
    assert {one for one in found if one[1] != "ok"} <= shown
    assert {one for one in shown if one[2] != "nothing unusual"} <= found
    assert figures["columns"] == ["figure", "train src", "train tgt", "dev src", "dev tgt"]
    pairs = [f"{diagnosis['alignment']['splits'][split]['num_pairs']}" for split in ("train", "dev")]
    assert figures["rows"][0] == ["pairs", pairs[0], pairs[0], pairs[1], pairs[1]]


def test_translations_need_no_run(digits: Path, tmp_path: Path) -> None:
    lines = (digits / "test.fr").read_text(encoding="utf-8")
    (tmp_path / "out").write_text(lines.replace("un", "deux"), encoding="utf-8")
    done = nmt(
        "report",
        f"hypothesis=[{digits / 'test.fr'},{tmp_path / 'out'}]",
        f"source={digits / 'test.en'}",
        f"reference={digits / 'test.fr'}",
        "metrics=[exact]",
        "bootstrap_samples=20",
        "json=true",
    )
    assert done.status == 0, done.err
    sections = json.loads(done.out)["sections"]
    assert [section["title"] for section in sections] == ["Scores", "BLEU by source length", "Examples"]
    assert sections[0]["tables"][0]["rows"][0][:2] == ["test.fr", 100.0]


def test_a_run_with_a_test_set_needs_no_files(digits: Path, copied_run: Path) -> None:
    from tests.checkpoints import edit_config

    def add_test_set(config: dict[str, Any]) -> None:
        config["data"]["test"] = {"src": ["test.en"], "tgt": ["test.fr"]}

    edit_config(copied_run / "checkpoints" / "update_000006", add_test_set)
    (digits / "train.en").rename(digits / "train.away")
    try:
        done = nmt(
            "report",
            f"runs=[{copied_run}]",
            "doctor=true",
            "search=greedy",
            "examples=0",
            "json=true",
            "device=cpu",
            "threads=1",
        )
    finally:
        (digits / "train.away").rename(digits / "train.en")
    assert done.status == 0, done.err
    titles = [section["title"] for section in json.loads(done.out)["sections"]]
    assert titles[:4] == ["Scores", "Runs", "Training curves", "BLEU by source length"]
    assert "BLEU by word frequency" not in titles
    assert "BLEU by word frequency is left out: " in done.err
    assert "the corpus of copy is left out: " in done.err


def test_a_run_without_its_development_set_has_no_look_inside(digits: Path, run_dir: Path) -> None:
    texts = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}"]
    (digits / "dev.en").rename(digits / "dev.away")
    try:
        done = nmt("report", f"runs=[{run_dir}]", *texts, "search=greedy", "json=true", "device=cpu", "threads=1")
    finally:
        (digits / "dev.away").rename(digits / "dev.en")
    assert done.status == 0, done.err
    assert [section["title"] for section in json.loads(done.out)["sections"]][-1] == "Examples"
    assert "what happens inside the model of run is left out: " in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "runs or hypothesis must be given: runs=[RUN_DIR]"),
        ("runs=[a,a]", "runs and hypothesis name something twice"),
        ("runs=[a] source=b", "source=FILE and reference=FILE belong together"),
        ("runs=[a] reference=[b]", "source=FILE and reference=FILE belong together"),
        ("hypothesis=[a]", "source=FILE and reference=FILE belong together"),
        ("runs=[a] ensemble=true", "ensemble=true needs two runs or more"),
        ("runs=[a,b] bootstrap_samples=0", "paired_test=bootstrap needs bootstrap_samples, which is 0: use paired_te"),
        ("runs=[a] metrics=[x]", "metrics must name some of"),
        ("runs=[a] bleu_tokenize=x", "bleu_tokenize must be one of"),
        ("runs=[a] examples=-1", "examples must be at least 0"),
        ("runs=[nothing] source=s reference=r", "r does not exist"),
    ],
)
def test_mistakes_are_one_line(words: str, message: str) -> None:
    assert message in error("report", *words.split())


def test_a_run_without_a_test_set_needs_files(run_dir: Path) -> None:
    assert "was given no test set" in error("report", f"runs=[{run_dir}]")


def test_a_folder_that_is_no_run_and_missing_phrases_are_named(digits: Path) -> None:
    texts = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}"]
    assert "must name folders of runs" in error("report", f"runs=[{digits}]", *texts, "tgt_lang=fr")
    assert "none does not exist" in error("report", f"runs=[{digits}]", *texts, "tgt_lang=fr", "phrases=none")


def test_the_page_replaces_no_input(digits: Path, settings: list[str]) -> None:
    line = error("report", *settings, f"output={digits / 'test.fr'}")
    assert "reference" in line
    assert "which this command reads and would overwrite" in line
