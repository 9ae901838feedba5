"""checkpoint.json and config.yaml of a checkpoint, in every format."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
import torch

from nmt import saved_config as saved_config_module
from nmt.command_config import TrainCommand
from nmt.config import ModelConfig
from nmt.errors import CheckpointError, DamagedCheckpointError
from nmt.training import checkpoint_format as format_module
from nmt.training.checkpoint import (
    Validation,
    load_checkpoint,
    load_snapshot,
    read_info,
    read_new_settings,
    record_validation,
)
from nmt.training.checkpoint_format import FORMAT_VERSION, MIGRATIONS, Description, Migration
from nmt.training.snapshot import TrainingSnapshot
from tests.checkpoints import SAMPLES, edit_config, edit_json, info_of, rehash, save
from tests.models import MODEL

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.mark.parametrize(("version", "said"), [(0, "0"), (4, "4"), ("1.0", "'1.0'"), (True, "true"), (None, "null")])
def test_another_format_version_is_refused(saved: Path, version: object, said: str) -> None:
    edit_json(saved / "checkpoint.json", lambda values: values.update(format_version=version))
    with pytest.raises(
        CheckpointError,
        match=rf"update_000007 has checkpoint format {said}, but this nmt reads formats 1 to 3: install a newer nmt",
    ):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", ["", '{"format_version": 2, "upd', "[]", "[1]", "null", "{}", '{"update": 7}'])
def test_damaged_json_is_refused(saved: Path, content: str) -> None:
    (saved / "checkpoint.json").write_text(content)
    with pytest.raises(
        DamagedCheckpointError, match=r"checkpoint\.json (is damaged|cannot be read) .*: use another checkpoint of the"
    ):
        read_info(saved)


def test_json_with_changed_values_is_refused(saved: Path) -> None:
    edit_json(saved / "checkpoint.json", lambda values: values["scores"].update(nats_per_token=1.4))
    with pytest.raises(
        DamagedCheckpointError,
        match=r"checkpoint\.json is damaged \(its hash is not that of its contents\): use another",
    ):
        read_info(saved)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("epochs", None, r"epochs must be a number, but is null"),
        ("update", 7.5, r"update must be a whole number, but is 7\.5"),
        ("update", "7", r"update must be a whole number, but is '7'"),
        ("scores", [1], r"scores must be keys with values, but is \[1\]"),
        ("scores", {"bleu": "high"}, r"scores must be keys with values, but is \{'bleu': 'high'\}"),
        ("src_subword_fingerprint", 3, r"src_subword_fingerprint must be text, but is 3"),
        ("colour", "red", r"colour is not known"),
    ],
)
def test_json_with_invalid_values_is_refused(saved: Path, key: str, value: object, problem: str) -> None:
    edit_json(saved / "checkpoint.json", lambda values: values.update({key: value}))
    rehash(saved, fingerprints=False)
    with pytest.raises(DamagedCheckpointError, match=rf"checkpoint\.json is damaged \({problem}\): use another check"):
        read_info(saved)
    edit_json(saved / "checkpoint.json", lambda values: values.pop(key))
    rehash(saved, fingerprints=False)
    if key == "colour":
        read_info(saved)
    elif key != "scores":
        with pytest.raises(DamagedCheckpointError, match=rf"checkpoint\.json is damaged \({key} is missing\)"):
            read_info(saved)


@pytest.mark.parametrize("files", [None, [], {"config.yaml": 3}, "config.yaml"])
def test_json_with_invalid_hashes_is_refused(saved: Path, files: object) -> None:
    rehash(saved, files=files)
    with pytest.raises(
        DamagedCheckpointError, match=r"checkpoint\.json is damaged \(files must be keys with values, but"
    ):
        read_info(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"config\.yaml is missing: use another checkpoint of the run"),
        ("model: [", r"config\.yaml cannot be read \(.*\): use another checkpoint of the run"),
        ("just words", r"config\.yaml is damaged \(it holds no settings\): use another checkpoint of the run"),
        (
            "seed: 1",
            r"config\.yaml must hold the model's settings, but does not: model must be keys with values, but is",
        ),
        ("model:", r"config\.yaml is invalid: model must be keys with values, but is null"),
        ("model: 3", r"config\.yaml is invalid: model must be keys with values, but is 3"),
        ("model: [lstm]", r"config\.yaml is invalid: model must be keys with values, but is \['lstm'\]"),
        (
            "model: {colour: red}",
            r"config\.yaml is invalid: model\.colour is not known: install the newer nmt that",
        ),
        ("moon: 1", r"config\.yaml is invalid: moon is not known: install the newer nmt that wrote it"),
        ("training: {moon: 1}", r"config\.yaml is invalid: training\.moon is not known: install the newer nmt"),
        (
            "model: {name: tiny}",
            r"must hold the model's settings, but does not: model\.embedding_dim is missing; model",
        ),
        ("model: {hidden_dim: '8'}", r"is invalid: model\.hidden_dim must be a whole number, but is '8'"),
        ("model: {hidden_dim: 1.5}", r"is invalid: model\.hidden_dim must be a whole number, but is 1\.5"),
        ("model: {num_layers: true}", r"is invalid: model\.num_layers must be a whole number, but is true"),
        ("model: {dropout: high}", r"is invalid: model\.dropout must be a number, but is 'high'"),
        ("data: {test: 3}", r"is invalid: data\.test must be keys with values, but is 3"),
        ("data: {test: {src: 3}}", r"is invalid: data\.test\.src must be a list such as \[a,b\], but is 3"),
        ("data: text", r"is invalid: data must be keys with values, but is 'text'"),
        ("model: {source_order: sideways}", r"source_order must be one of reversed, forward, but is 'sideways'"),
    ],
)
def test_a_missing_or_damaged_config_is_refused(saved: Path, content: str | None, message: str) -> None:
    if content is None:
        (saved / "config.yaml").unlink()
    else:
        (saved / "config.yaml").write_text(content)
        rehash(saved)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


@dataclass
class NewerModel(ModelConfig):
    shade: str = "none"


@dataclass
class NewerCommand(TrainCommand):
    model: NewerModel = "???"  # type: ignore[assignment]
    colour: str = "grey"
    extra: list[str] = field(default_factory=list)


def test_a_newer_setting_has_its_default(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_config_module, "TrainCommand", NewerCommand)
    monkeypatch.setattr(saved_config_module, "ModelConfig", NewerModel)
    checkpoint = load_checkpoint(saved)
    assert checkpoint.config == {
        "seed": 1,
        "implementation": "fast",
        "colour": "grey",
        "extra": [],
        "model": {**asdict(MODEL), "shade": "none"},
    }
    assert isinstance(checkpoint.model_config, NewerModel)
    assert checkpoint.model_config.shade == "none"
    new = {"implementation": "fast", "colour": "grey", "extra": [], "model.shade": "none"}
    assert read_new_settings(saved) == new


def test_a_renamed_setting_is_migrated(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_config(saved, lambda config: config["model"].update(cells=config["model"].pop("hidden_dim")))

    def from_3(description: Description) -> None:
        model = description.config["model"]
        model["hidden_dim"] = model.pop("cells")
        description.info["epochs"] += 1

    monkeypatch.setattr(format_module, "MIGRATIONS", {**MIGRATIONS, 3: Migration(from_3)})
    monkeypatch.setattr(format_module, "FORMAT_VERSION", 4)
    checkpoint = load_checkpoint(saved)
    assert checkpoint.model_config == MODEL
    assert checkpoint.info.epochs == info_of(7).epochs + 1


def test_renamed_parameters_are_renamed_wherever_they_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the model, in the optimizer, and in the parameters beside a moving average."""
    one = torch.ones(1)
    snapshot = TrainingSnapshot(optimizer={"a/exp_avg": one}, random={}, state={}, parameters={"a": one})
    saved = save(tmp_path, snapshot=snapshot)
    monkeypatch.setattr(format_module, "MIGRATIONS", {**MIGRATIONS, 3: Migration(name=lambda name: f"new.{name}")})
    monkeypatch.setattr(format_module, "FORMAT_VERSION", 4)
    loaded = load_snapshot(saved)
    assert (list(loaded.optimizer), list(loaded.parameters)) == (["new.a/exp_avg"], ["new.a"])
    with pytest.raises(DamagedCheckpointError, match=r"the settings: decoder\.embedding\.weight is missing"):
        load_checkpoint(saved)


def test_recording_scores_keeps_the_format_of_a_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its config.yaml is not migrated, and must be read in its own format."""
    edit_config(saved, lambda config: config["model"].update(cells=config["model"].pop("hidden_dim")))

    def from_3(description: Description) -> None:
        description.config["model"]["hidden_dim"] = description.config["model"].pop("cells")

    monkeypatch.setattr(format_module, "MIGRATIONS", {**MIGRATIONS, 3: Migration(from_3)})
    monkeypatch.setattr(format_module, "FORMAT_VERSION", 4)
    for score in (2.0, 1.0):
        record_validation(saved, Validation({"nats_per_token": score}, score))
        checkpoint = load_checkpoint(saved)
        assert (checkpoint.info.scores, checkpoint.info.wall_s) == ({"nats_per_token": score}, score)
        assert checkpoint.model_config == MODEL


def test_scores_are_recorded_in_format_1(tmp_path: Path) -> None:
    path = tmp_path / "update_000004"
    shutil.copytree(Path(__file__).parent / "fixtures" / "format_1" / "bpe_adam" / "checkpoints" / "best", path)
    config = (path / "config.yaml").read_bytes()
    record_validation(path, Validation({"nats_per_token": 1.5}, 2.0, SAMPLES))
    assert load_checkpoint(path).info.scores == {"nats_per_token": 1.5}
    assert not (path / "samples.json").exists()  # it has no hashes
    assert json.loads((path / "checkpoint.json").read_bytes())["format_version"] == 1
    assert (path / "config.yaml").read_bytes() == config


def test_there_is_a_migration_and_a_fixture_for_each_older_format() -> None:
    assert list(MIGRATIONS) == list(range(1, FORMAT_VERSION))
    fixtures = Path(__file__).parent / "fixtures"
    assert all((fixtures / f"format_{version}").is_dir() for version in MIGRATIONS)


def test_anything_but_a_checkpoint_is_explained(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match=r"nowhere does not exist: name a checkpoint such as RUN_DIR/checkp"):
        load_checkpoint(tmp_path / "nowhere")
    checkpoints.mkdir()
    with pytest.raises(CheckpointError, match="best does not exist: training has not written its first checkpoint"):
        load_checkpoint(checkpoints / "best")
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no checkpoint\.json"):
        load_checkpoint(checkpoints)
    (checkpoints / "circle").symlink_to("circle")
    with pytest.raises(
        CheckpointError, match=r"circle does not exist: name a checkpoint such as RUN_DIR/checkpoints/b"
    ):
        load_checkpoint(checkpoints / "circle")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file must be the folder of a checkpoint, but is a file: name RUN_DIR"):
        load_checkpoint(tmp_path / "file")
    (checkpoints / "best").symlink_to(save(checkpoints).name)
    for path in (tmp_path, checkpoints):
        with pytest.raises(
            CheckpointError, match=r"is not a checkpoint, but contains some: name one of them, such as .*"
        ):
            load_checkpoint(path)
