"""Nothing is overwritten by accident, and an unwritable output is found before anything starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nmt.commands.output import check_output, read_files
from nmt.errors import ConfigError
from nmt.protected_files import Source
from tests.commands import error
from tests.disks import contents

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(output: object, *, read: list[Source] | None = None, checkpoints: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        check_output(str(output), read=read or [], checkpoints=checkpoints or [])
    message = str(refused.value)
    assert message.startswith(f"output={output} ")
    return message


def test_a_translation_never_overwrites_its_source(checkpoint: Path, digits: Path, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes((digits / "test.en").read_bytes())
    (tmp_path / "link").symlink_to(file)
    line = error("translate", f"checkpoints={checkpoint}", f"input={file}", f"output={tmp_path / 'link'}")
    assert line.endswith(f"is input={file}, which this command reads and would overwrite: name another file")
    assert file.read_bytes() == (digits / "test.en").read_bytes()


@pytest.mark.parametrize("setting", ["source", "reference", "groups"])
def test_evaluation_never_overwrites_what_it_reads(
    checkpoint: Path, digits: Path, tmp_path: Path, setting: str
) -> None:
    files = {"source": tmp_path / "a", "reference": tmp_path / "b", "groups": tmp_path / "c"}
    for name, text in (("a", "test.en"), ("b", "test.fr"), ("c", "test.en")):
        shutil.copy(digits / text, tmp_path / name)
    before = contents(tmp_path)
    settings = [f"{name}={file}" for name, file in files.items()]
    line = error("evaluate", f"checkpoints={checkpoint}", *settings, f"output={files[setting]}")
    assert f"is {setting}={files[setting]}, which this command reads and would overwrite" in line
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["a", "sub/../a", "./a", "symbolic", "hard", "folder/a"], ids=lambda name: name.replace("/", " ")
)
def test_a_file_is_the_same_under_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("x")
    Path("sub").mkdir()
    Path("symbolic").symlink_to("a")
    Path("hard").hardlink_to("a")
    Path("folder").symlink_to(".")
    for output, read in ((name, "a"), ("a", name)):
        assert refusal(output, read=read_files(input=read)).startswith(f"output={output} is input={read}, which")


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "train.log",
        "metrics.jsonl",
        ".lock",
        "tensorboard/events",
        "checkpoints/new",
        "checkpoints/best/test.fr",
        "checkpoints/best/model.safetensors",
        "checkpoints/last/training/state.json",
    ],
)
def test_files_of_a_run_are_safe(copied_run: Path, name: str) -> None:
    before = contents(copied_run)
    line = error("translate", "checkpoints=nothing", f"output={copied_run / name}")
    owner = "checkpoint" if "best" in name or "last" in name else "run"
    assert f"output={copied_run / name} belongs to the {owner} {copied_run}" in line
    assert line.endswith(", which it would damage: name another file")
    assert contents(copied_run) == before


def test_a_hard_link_to_a_file_of_a_checkpoint_is_safe(copied_run: Path, tmp_path: Path) -> None:
    best = copied_run / "checkpoints" / "best"
    (tmp_path / "hard").hardlink_to(best / "model.safetensors")
    message = refusal(tmp_path / "hard", checkpoints=[str(best)])
    assert f"is model.safetensors of the checkpoint {best}, which it would overwrite: name another file" in message
    (tmp_path / "link").symlink_to(best / "config.yaml")
    assert "belongs to the checkpoint" in refusal(tmp_path / "link")


def test_a_prepared_corpus_is_safe(digits: Path) -> None:
    manifest = next((digits / "prepared").rglob("manifest.json"))
    for file in (manifest, manifest.with_name("new")):
        assert f"belongs to the prepared corpus {manifest.parent}, which it would damage" in refusal(file)


def test_the_text_of_a_run_is_safe(checkpoint: Path, digits: Path) -> None:
    for split, side, lang in (("train", "src", "en"), ("dev", "tgt", "fr")):
        output = digits / f"{split}.{lang}"
        message = refusal(output, checkpoints=[str(checkpoint)])
        assert f"is data.{split}.{side} of the run of {checkpoint}, which it would overwrite: name another" in message


def test_a_folder_that_is_not_a_checkpoint_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    message = error("translate", f"checkpoints=[{tmp_path}]", f"output={tmp_path / 'out'}")
    assert f"{tmp_path} is not a checkpoint" in message


def test_other_files_in_a_run_directory_may_be_written(copied_run: Path, tmp_path: Path) -> None:
    for file in (copied_run / "test.fr", copied_run / "out" / "config.yaml", tmp_path / "config.yaml"):
        file.parent.mkdir(exist_ok=True)
        for _ in range(2):
            check_output(str(file), read=[], checkpoints=["nothing"])
            file.write_text("x")


def test_a_file_that_stdin_comes_from_is_safe(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x\n")
    with file.open() as stream:
        assert refusal(file, read=[Source("stdin", stream.fileno())]).startswith(f"output={file} is stdin, which")


def make_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda _: "", "is empty: name a file"),
        (lambda folder: folder, "must be a file, but is a directory: name a file in it"),
        (lambda folder: folder / "no/such/out", "is in a folder that does not exist: make it first (mkdir -p /"),
        (lambda folder: folder / "file/out", "cannot be written: Not a directory"),
        (lambda folder: folder / ("x" * 300), "cannot be written: File name too long"),
        (make_loop, "cannot be written: Too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_an_unwritable_output_is_found_before_anything_starts(
    tmp_path: Path, command: str, place: Callable[[Path], object], message: str
) -> None:
    (tmp_path / "file").write_text("a\n")
    texts = [] if command == "translate" else [f"source={tmp_path / 'file'}", f"reference={tmp_path / 'file'}"]
    output = place(tmp_path)
    line = error(command, "checkpoints=nothing", *texts, f"output={output}")  # before nothing is loaded
    assert line.startswith(f"nmt: output={output} {message}")


def test_a_link_into_a_missing_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("no/out")
    assert f"is in a folder that does not exist: make it first (mkdir -p {tmp_path / 'no'})" in refusal(
        tmp_path / "link"
    )


def test_write_protection_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out"
    file.write_text("x")
    protected = file
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != protected)  # root may write anywhere
    assert refusal(file).endswith("is write-protected: name another file, or permit writing (chmod u+w)")
    protected = tmp_path
    assert refusal(file).endswith(f"write-protected: name another file, or permit writing in {tmp_path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_write_protection_is_found(tmp_path: Path) -> None:
    (tmp_path / "out").touch(0o400)
    assert "is write-protected" in refusal(tmp_path / "out")
    (tmp_path / "folder").mkdir(0o500)
    assert "is in a folder that is write-protected" in refusal(tmp_path / "folder" / "out")
