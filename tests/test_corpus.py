"""The corpora of the runs of a report."""

from __future__ import annotations

from pathlib import Path

from nmt.report.corpus import corpus_section, distinct_corpora
from nmt.report.runs import Run, read_run
from tests.commands import nmt, train_settings, write_digits


def figures(run: Run) -> dict[str, list[object]]:
    """Return the rows of the table of figures by their names."""
    [_, table] = corpus_section(run).tables
    return {str(name): list(cells) for name, *cells in table.rows}


def fine_tuned(start: Path, folder: Path) -> Run:
    """Train a run on other text, with subwords that do not have all of its words."""
    write_digits(folder, seed=2)
    for file in folder.glob("*.en"):
        file.write_text(file.read_text("utf-8").replace("one", "eleven"), encoding="utf-8")
    settings = [*train_settings(folder), f"run_dir={folder / 'run'}", f"training.init_from={start}"]
    done = nmt("train", *settings)
    assert done.status == 0, done.err
    return read_run(str(folder / "run"), name="fine-tuned")


def test_a_corpus_has_findings_and_figures(run_dir: Path) -> None:
    section = corpus_section(read_run(str(run_dir), name="first"))
    assert section.title == "The corpus: first"
    [findings, _] = section.tables
    assert {row[0] for row in findings.rows} >= {"alignment", "overlap", "subwords"}
    assert figures(read_run(str(run_dir), name="first"))["pairs"] == ["200", "200", "10", "10"]


def test_a_fine_tuned_run_has_the_subwords_of_its_start(run_dir: Path, tmp_path: Path) -> None:
    run = fine_tuned(run_dir / "checkpoints" / "best", tmp_path)
    before = sorted((tmp_path / "prepared").iterdir())
    src, tgt, *_ = figures(run)["unknown subwords"]
    assert src != "0.00%"
    assert tgt == "0.00%"
    assert sorted((tmp_path / "prepared").iterdir()) == before  # it is the corpus of the run


def test_runs_of_the_same_text_and_subwords_share_a_corpus(run_dir: Path, tmp_path: Path) -> None:
    first, again = (read_run(str(run_dir), name=name) for name in ("first", "again"))
    other = fine_tuned(run_dir / "checkpoints" / "best", tmp_path)
    assert distinct_corpora([first, again, other]) == [first, other]
