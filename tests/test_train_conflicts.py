"""Settings of `nmt train` that do not fit together are refused before anything is read or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.commands import error, train_settings

if TYPE_CHECKING:
    from pathlib import Path


def _refusal(digits: Path, run_dir: Path, *overrides: str) -> str:
    return error("train", *train_settings(digits), f"run_dir={run_dir}", *overrides)


def test_a_run_directory_must_not_be_in_a_file(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = _refusal(digits, tmp_path / "file" / "run")
    assert line == f"nmt: run_dir must be a folder, but {tmp_path / 'file'} is a file"


def test_a_run_without_a_limit_is_refused(digits: Path, tmp_path: Path) -> None:
    assert "one of training.max_updates, max_epochs, max_minutes or patience must be set" in _refusal(
        digits, tmp_path / "run", "training.max_updates=null"
    )


def test_search_settings_that_need_attention_are_refused_without_it(digits: Path, tmp_path: Path) -> None:
    line = _refusal(digits, tmp_path / "run", "search.coverage_penalty=0.2", "search.replace_unk=source")
    assert line == (
        "nmt: search.coverage_penalty needs model.attention, which is none; "
        "search.replace_unk needs model.attention, which is none"
    )


def test_one_embedding_for_all_needs_one_vocabulary(digits: Path, tmp_path: Path) -> None:
    line = _refusal(digits, tmp_path / "run", "model.tied_embeddings=both", "subword.joint=false", "model.name=a/b")
    assert line == (
        "nmt: model.name must be usable in a file name (no slashes, not too long), but is 'a/b'; "
        "model.tied_embeddings=both needs one vocabulary of both sides: set subword.joint=true"
    )


def test_settings_that_contradict_each_other_are_reported_together(digits: Path) -> None:
    line = error(
        "train",
        *train_settings(digits),
        "run_dir=",
        "training.max_updates=null",
        "training.best_by=exact",
        "optimizer.schedule.kind=plateau",
        "optimizer.schedule.plateau_by=chrf",
        "training.tgt_subword_alpha=0.1",
        "search.n_best=9",
    )
    assert line == (
        "nmt: training.tgt_subword_alpha must be 0 for subword=word, which has only one segmentation of a text, but is "
        "0.1: leave it out, or use BPE or unigram subwords; "
        "run_dir must name a folder, but is empty; "
        "one of training.max_updates, max_epochs, max_minutes or patience must be set; "
        "training.best_by=exact needs training.bleu_every, which is null; "
        "optimizer.schedule.plateau_by=chrf needs training.bleu_every, which is null; "
        "search.n_best must be at most search.beam_size (1), but is 9"
    )
