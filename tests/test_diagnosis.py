from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from nmt.choices import Severity
from nmt.doctor import blocks, training_cost
from nmt.doctor.diagnosis import Diagnosis, diagnose, diagnose_model
from nmt.errors import TrainingError
from tests.commands import train_settings
from tests.doctor_text import composed
from tests.test_subword_text import settings


def examined(digits: Path) -> Diagnosis:
    given = settings(digits)
    return diagnose(given.data, given.subword)[0]


def test_every_examination_has_findings_and_a_severity(digits: Path) -> None:
    found = examined(digits)
    assert (found.corpus, found.src_lang, found.tgt_lang) == ("files", "en", "fr")
    assert {name for name, _ in found.findings()} <= {part.name for part in fields(Diagnosis)}
    order = list(Severity)
    assert order.index(found.severity) == max(order.index(line.severity) for _, line in found.findings())


def test_the_result_does_not_depend_on_the_blocks(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = examined(digits)
    monkeypatch.setattr(blocks, "_PAIRS_A_BLOCK", 64)
    parts = examined(digits)
    for name in ("alignment", "duplicates", "overlap", "characters", "case", "lengths", "normalization"):
        assert getattr(parts, name) == getattr(whole, name)


def test_text_is_examined_without_torch() -> None:
    script = "import sys, nmt.doctor.diagnosis\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_loss_that_is_not_finite_is_a_finding(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TrainingError("not finite")

    monkeypatch.setattr(training_cost, "training_cost", fail)
    given = composed("train", train_settings(digits))
    text, corpus = diagnose(given.data, given.subword)
    assert corpus is not None
    found = diagnose_model(text, given, corpus, updates=3, overfit_updates=0)
    assert [line.summary for name, line in found.findings() if name == "cost"] == [
        "the loss is not finite after a few updates"
    ]
    assert found.severity == Severity.warning
