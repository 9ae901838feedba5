"""Checkpoints: what was saved comes back, what is damaged is refused, and a kill leaves a loadable one."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nmt.errors import CheckpointError, DataError
from nmt.model.seq2seq import Seq2Seq
from nmt.training import checkpoint as checkpoint_module
from nmt.training.checkpoint import (
    CheckpointInfo,
    TrainingSnapshot,
    checkpoint_name,
    load_checkpoint,
    load_snapshot,
    read_info,
    record_scores,
    save_checkpoint,
)
from tests.models import MODEL, tiny_model, tiny_subword

SRC = tiny_subword()
TGT = tiny_subword(("a b c d e f", "f e d c b a"), lang="fr")
SNAPSHOT = TrainingSnapshot(
    optimizer={"encoder.embedding.weight/exp_avg": torch.arange(6.0)},
    random={"cpu": torch.get_rng_state()},
    state={"update": 7, "position": {"epoch": 1}, "wall_s": 1.5},
)


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave files to the system's cache: no test pulls the plug, and a busy disk takes long."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def model_of_both(*, seed: int = 1) -> Seq2Seq:
    return tiny_model(
        seed=seed, src_vocab_size=SRC.vocab_size, tgt_vocab_size=TGT.vocab_size, dtype=torch.float32
    ).eval()


def info_of(update: int) -> CheckpointInfo:
    return CheckpointInfo(
        update=update,
        epochs=1.25,
        corpus_fingerprint="c0ffee",
        src_subword_fingerprint=SRC.fingerprint,
        tgt_subword_fingerprint=TGT.fingerprint,
        scores={"nats_per_token": 1.5},
    )


def save(directory: Path, *, update: int = 7, seed: int = 1) -> Path:
    return save_checkpoint(
        directory,
        info_of(update),
        parameters=model_of_both(seed=seed).state_dict(),
        config_yaml=json.dumps({"seed": 1, "model": asdict(MODEL)}),  # JSON is YAML
        src_subword=SRC,
        tgt_subword=TGT,
        snapshot=SNAPSHOT,
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(tmp_path)


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_what_was_saved_comes_back(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    expected = model_of_both()
    assert checkpoint.info == info_of(7)
    assert checkpoint.config["seed"] == 1
    assert checkpoint.model_config == MODEL
    assert (checkpoint.src_subword.fingerprint, checkpoint.tgt_subword.fingerprint) == (
        SRC.fingerprint,
        TGT.fingerprint,
    )
    assert not checkpoint.model.training
    loaded = checkpoint.model.state_dict()
    assert list(loaded) == list(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(loaded[name], tensor)
    assert all(parameter.requires_grad for parameter in checkpoint.model.parameters())


def test_scores_are_recorded_in_what_was_saved(saved: Path) -> None:
    record_scores(saved, {"nats_per_token": 1 / 3, "perplexity": math.inf}, wall_s=2.5)
    assert read_info(saved) == replace(info_of(7), scores={"nats_per_token": 1 / 3, "perplexity": math.inf}, wall_s=2.5)
    load_checkpoint(saved)
    load_snapshot(saved)


def test_what_resuming_needs_comes_back(saved: Path) -> None:
    snapshot = load_snapshot(saved)
    assert snapshot.state == SNAPSHOT.state
    for loaded, expected in ((snapshot.optimizer, SNAPSHOT.optimizer), (snapshot.random, SNAPSHOT.random)):
        assert list(loaded) == list(expected)
        assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_a_checkpoint_stands_alone(saved: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(saved, elsewhere)
    shutil.rmtree(saved)
    assert load_checkpoint(elsewhere).info.update == 7


def test_it_is_written_to_a_name_of_its_update_and_nothing_is_left_aside(saved: Path, tmp_path: Path) -> None:
    assert saved == tmp_path / "update_000007" == tmp_path / checkpoint_name(7)
    save(tmp_path, seed=2)  # again: replaced
    assert [path.name for path in tmp_path.iterdir()] == ["update_000007"]
    expected = model_of_both(seed=2).decoder.output.weight
    assert torch.equal(load_checkpoint(saved).model.decoder.output.weight, expected)


def test_no_pickle_is_read_or_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a pickle")

    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    load_checkpoint(saved)
    load_snapshot(saved)
    files = sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file())
    assert files == [
        "checkpoint.json",
        "config.yaml",
        "model.safetensors",
        "src.subword",
        "tgt.subword",
        "training/optimizer.safetensors",
        "training/random.safetensors",
        "training/state.json",
    ]


@pytest.mark.parametrize("version", [0, 2, "1.0"])
def test_another_format_version_is_refused(saved: Path, version: int | str) -> None:
    edit_json(saved / "checkpoint.json", lambda values: values.update(format_version=version))
    with pytest.raises(CheckpointError, match=rf"checkpoint format {version}, but this nmt reads format 1: install"):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", ["", '{"format_version": 1, "upd', "[]", "[1]", "null", "{}", '{"update": 7}'])
def test_a_damaged_json_is_refused(saved: Path, content: str) -> None:
    (saved / "checkpoint.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged .*: use another checkpoint of the run"):
        read_info(saved)


def test_a_json_with_keys_missing_or_unknown_is_refused(saved: Path) -> None:
    edit_json(saved / "checkpoint.json", lambda values: values.pop("epochs"))
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged .*epochs.*: use another checkpoint"):
        read_info(saved)
    edit_json(saved / "checkpoint.json", lambda values: values.update(epochs=1.0, colour="red"))
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged .*colour.*: use another checkpoint"):
        read_info(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"config\.yaml cannot be read .*: use another checkpoint of the run"),
        ("model: [", r"config\.yaml cannot be read .*: use another checkpoint of the run"),
        ("just words", r"config\.yaml is damaged: use another checkpoint of the run"),
        ("seed: 1", r"config\.yaml must hold the model's settings, but does not: 'model'"),
        ("model:", r"config\.yaml must hold the model's settings, but does not: "),
        ("model: {colour: red}", r"must hold the model's settings, but does not: .*colour"),
        ("model: {name: tiny}", r"must hold the model's settings, but does not: no value for embedding_dim, hidden"),
    ],
)
def test_a_missing_or_damaged_config_is_refused(saved: Path, content: str | None, message: str) -> None:
    (saved / "config.yaml").unlink()
    if content is not None:
        (saved / "config.yaml").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


def test_an_unknown_source_order_is_refused(saved: Path) -> None:
    edit_json(saved / "config.yaml", lambda values: values["model"].update(source_order="sideways"))
    with pytest.raises(CheckpointError, match="must hold the model's settings, but does not: 'sideways'"):
        load_checkpoint(saved)


def test_missing_or_damaged_parameters_are_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read .*: use another checkpoint"):
        load_checkpoint(saved)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read .*: use another checkpoint"):
        load_checkpoint(saved)


def test_parameters_of_another_model_are_refused(saved: Path) -> None:
    edit_json(saved / "config.yaml", lambda values: values["model"].update(hidden_dim=9))
    with pytest.raises(CheckpointError, match=r"model\.safetensors does not fit .*config\.yaml: .*size mismatch"):
        load_checkpoint(saved)
    other = {name: value for name, value in model_of_both().state_dict().items() if name != "decoder.output.bias"}
    save_file(other, saved / "model.safetensors")
    edit_json(saved / "config.yaml", lambda values: values["model"].update(hidden_dim=MODEL.hidden_dim))
    with pytest.raises(CheckpointError, match=r"does not fit .*decoder\.output\.bias"):
        load_checkpoint(saved)


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_a_swapped_subword_model_is_refused(saved: Path, side: str) -> None:
    (TGT if side == "src" else SRC).save(saved / f"{side}.subword")
    with pytest.raises(CheckpointError, match=rf"{side}\.subword is not the subword model that this checkpoint was"):
        load_checkpoint(saved)


def test_a_missing_subword_model_is_refused(saved: Path) -> None:
    (saved / "src.subword").unlink()
    with pytest.raises(DataError, match=r"subword model .*src\.subword cannot be read"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "random.safetensors"])
def test_a_checkpoint_without_its_training_state_translates_but_cannot_be_resumed(saved: Path, name: str) -> None:
    (saved / "training" / name).unlink()
    load_checkpoint(saved)
    with pytest.raises(CheckpointError, match=r"cannot be (resumed from|read) \(.*\): (start a new run_dir|use anoth)"):
        load_snapshot(saved)


def test_a_damaged_training_state_is_refused(saved: Path) -> None:
    (saved / "training" / "state.json").write_text('{"update": ')
    with pytest.raises(CheckpointError, match=r"training cannot be resumed from \(.*\): start a new run_dir"):
        load_snapshot(saved)


def test_what_is_no_checkpoint_is_explained(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match=r"nowhere does not exist: name a checkpoint such as RUN_DIR/checkp"):
        load_checkpoint(tmp_path / "nowhere")
    checkpoints.mkdir()
    with pytest.raises(CheckpointError, match="best does not exist: training has not written its first checkpoint"):
        load_checkpoint(checkpoints / "best")
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no checkpoint\.json"):
        load_checkpoint(checkpoints)
    (checkpoints / "best").symlink_to(save(checkpoints).name)
    for path in (tmp_path, checkpoints):
        with pytest.raises(CheckpointError, match=r"is not a checkpoint, but holds some: name one of them, such as .*"):
            load_checkpoint(path)


def test_a_disk_that_refuses_is_reported_and_earlier_checkpoints_are_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = save(tmp_path, update=7)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "save_file", full)
    with pytest.raises(
        CheckpointError, match=r"update_000008 could not be written \(.*No space.*\); earlier checkpoint"
    ):
        save(tmp_path, update=8)
    assert load_checkpoint(earlier).info.update == 7


def test_parameters_are_saved_bit_by_bit(tmp_path: Path) -> None:
    model = model_of_both()
    with torch.no_grad():
        model.decoder.output.bias[:3] = torch.tensor([-0.0, 1e-42, float("inf")])
    path = save_checkpoint(
        tmp_path,
        replace(info_of(1), scores={}),
        parameters=model.state_dict(),
        config_yaml=json.dumps({"model": asdict(MODEL)}),
        src_subword=SRC,
        tgt_subword=TGT,
        snapshot=SNAPSHOT,
    )
    loaded = load_checkpoint(path).model.decoder.output.bias.detach()
    assert torch.equal(loaded.view(torch.int32), model.decoder.output.bias.detach().view(torch.int32))
