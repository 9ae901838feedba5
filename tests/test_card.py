"""`nmt card`: beside a run's checkpoint, without overwriting what was edited."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.commands import error, nmt

FORMAT_1 = Path(__file__).parent / "fixtures" / "format_1" / "words_sgd"


def test_the_card_of_a_run_is_beside_its_best_checkpoint(copied_run: Path, digits: Path, tmp_path: Path) -> None:
    best = copied_run / "checkpoints" / "best"
    scores = tmp_path / "scores.json"
    texts = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}"]
    scores.write_text(nmt("evaluate", f"checkpoints=[{best}]", *texts, "json=true", "search=greedy").out)
    done = nmt("card", f"run_dir={copied_run}", f"scores=[{scores}]", "license=mit", "name=Digits")
    assert done.status == 0, done.err
    assert done.out == f"{best.resolve() / 'README.md'}\n"
    text = (best / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "mit"
    assert [len(result["metrics"]) for result in front["model-index"][0]["results"]] == [1, 3]
    assert "\n# Digits\n" in text
    assert nmt("verify", f"checkpoint={best}").status == 0  # the card changes nothing


def test_a_card_that_may_have_been_edited_is_kept(copied_run: Path) -> None:
    card = (copied_run / "checkpoints" / "best").resolve() / "README.md"
    card.write_text("mine\n")
    assert error("card", f"run_dir={copied_run}") == (
        f"nmt: {card} exists, and may have been edited: add replace=true, or name another output"
    )
    assert card.read_text() == "mine\n"
    assert nmt("card", f"run_dir={copied_run}", "replace=true").status == 0
    assert card.read_text() != "mine\n"


def test_a_copied_checkpoint_has_a_card_without_its_run(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    assert nmt("card", f"checkpoint={copy}").out == f"{copy / 'README.md'}\n"
    assert "| target subwords a second | not known |" in (copy / "README.md").read_text()


def test_the_card_may_be_written_elsewhere(checkpoint: Path, tmp_path: Path) -> None:
    assert nmt("card", f"checkpoint={checkpoint}", f"output={tmp_path / 'card.md'}").status == 0
    assert (tmp_path / "card.md").read_text().startswith("---\nlanguage:\n- en\n- fr\nlicense: unknown\n")
    assert not (checkpoint / "README.md").exists()


def test_an_old_checkpoint_has_a_card(tmp_path: Path) -> None:
    assert nmt("card", f"run_dir={FORMAT_1}", f"output={tmp_path / 'card.md'}").status == 0
    assert "| machine | not known |" in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "run_dir or checkpoint must be given: say which model the card is of"),
        (["run_dir={folder}"], "best does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"),
        (["checkpoint={best}", "scores=[{folder}/x]"], "/x does not exist: write it by nmt evaluate json=true"),
        (["checkpoint={best}", "output={best}/x.md"], "which it would damage: name another file"),
    ],
)
def test_mistakes_are_one_line(checkpoint: Path, tmp_path: Path, settings: list[str], message: str) -> None:
    given = [setting.format(folder=tmp_path, best=checkpoint.resolve()) for setting in settings]
    assert message in error("card", *given)
