from __future__ import annotations

import json
from pathlib import Path

import pytest

from nmt.choices import Severity
from nmt.doctor.diagnosis import Diagnosis, diagnose
from nmt.doctor.diagnosis_text import as_json, as_text, figures
from nmt.doctor.finding import Finding
from tests.test_subword_text import settings


@pytest.fixture(scope="module")
def diagnosis(digits: Path) -> Diagnosis:
    given = settings(digits)
    return diagnose(given.data, given.subword)[0]


def test_json_has_everything(diagnosis: Diagnosis) -> None:
    content = json.loads(as_json(diagnosis))
    assert content["severity"] == diagnosis.severity
    assert content["alignment"]["splits"]["train"]["num_pairs"] == 200
    names = {name for name, _ in diagnosis.findings()}
    assert {name for name, part in content.items() if isinstance(part, dict) and part["findings"]} == names


def test_text_has_every_serious_finding_with_its_advice(diagnosis: Diagnosis) -> None:
    lines = as_text(diagnosis).splitlines()
    assert lines[0] == "files, en to fr"
    for name, found in diagnosis.findings():
        if found.severity != Severity.ok:
            row = next(number for number, line in enumerate(lines) if line.endswith(found.summary))
            assert lines[row].split()[:2] == [found.severity, name]
            assert lines[row + 1].strip() == f"-> {found.advice}"


def test_many_lines_that_are_ok_are_one(diagnosis: Diagnosis) -> None:
    of_case = [found.severity for name, found in diagnosis.findings() if name == "case"]
    assert of_case == [Severity.ok] * 4
    [line] = [line for line in as_text(diagnosis).splitlines() if " case " in line]
    assert line.endswith("  nothing unusual")


def test_findings_are_counted(diagnosis: Diagnosis) -> None:
    counts = [sum(found.severity == severity for _, found in diagnosis.findings()) for severity in Severity]
    last = as_text(diagnosis).splitlines()[-1]
    assert last.startswith(f"{counts[2]} warning")
    assert f"{counts[1]} notice" in last


def test_a_table_has_figures_of_each_side(diagnosis: Diagnosis) -> None:
    table = figures(diagnosis)
    assert table.columns == ["train src", "train tgt", "dev src", "dev tgt", "test src", "test tgt"]
    rows = dict(table.rows)
    assert rows["pairs"] == ["200", "200", "10", "10", "8", "8"]
    assert set(rows["letters"]) == {"Latin"}
    assert set(rows["subwords a word"]) == {"1.00"}
    assert all(len(cells) == 6 for cells in rows.values())


def test_a_finding_that_is_ok_has_no_advice(diagnosis: Diagnosis) -> None:
    assert all(bool(found.advice) == (found.severity != Severity.ok) for _, found in diagnosis.findings())
    assert isinstance(next(iter(diagnosis.findings()))[1], Finding)
