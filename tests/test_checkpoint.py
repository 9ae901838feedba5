"""Checkpoints are loaded as they were saved; damaged ones are refused; a kill leaves a loadable one."""

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from nmt.choices import SourceOrder
from nmt.errors import CheckpointError, DamagedCheckpointError
from nmt.plain import to_plain
from nmt.training import checkpoint as checkpoint_module
from nmt.training import checkpoint_format as format_module
from nmt.training.checkpoint import (
    Validation,
    check_files,
    checkpoint_name,
    load_checkpoint,
    load_samples,
    load_snapshot,
    read_info,
    record_validation,
    restore_checkpoints,
    save_checkpoint,
)
from nmt.training.checkpoint_files import check_hash, load_json
from nmt.training.checkpoint_format import CheckpointInfo
from nmt.training.snapshot import TrainingSnapshot
from tests.checkpoints import (
    FILES,
    SAMPLES,
    SNAPSHOT,
    SRC,
    TGT,
    content_of,
    edit_config,
    info_of,
    model_of_both,
    rehash,
    save,
)
from tests.disks import contents
from tests.models import MODEL

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_a_checkpoint_is_loaded_as_it_was_saved(saved: Path) -> None:
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


def test_scores_are_recorded_in_a_saved_checkpoint(saved: Path) -> None:
    record_validation(saved, Validation({"nats_per_token": 1 / 3, "perplexity": math.inf}, 2.5))
    assert read_info(saved) == replace(info_of(7), scores={"nats_per_token": 1 / 3, "perplexity": math.inf}, wall_s=2.5)
    load_checkpoint(saved)
    load_snapshot(saved)


def test_samples_are_saved_with_a_checkpoint_or_with_its_scores(tmp_path: Path) -> None:
    at_once = save_checkpoint(tmp_path, replace(content_of(info_of(1)), samples=SAMPLES))
    later = save(tmp_path)
    assert load_samples(later) == []
    record_validation(later, Validation({}, 1.0, SAMPLES))
    for checkpoint in (at_once, later):
        assert load_samples(checkpoint) == SAMPLES
        report = check_files(checkpoint)
        assert (report.num_checked, report.problems, report.can_resume) == (len(FILES), [], True)
    assert sorted(contents(later)) == sorted([*FILES, "samples.json"])


def test_samples_without_their_hash_do_not_belong_to_a_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be killed after it has written them."""

    def killed(*_args: object, **_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nmt.training.checkpoint.describe_with_scores", killed)
        with pytest.raises(KeyboardInterrupt):
            record_validation(saved, Validation({"nats_per_token": 1.0}, 1.0, SAMPLES[:1]))
    assert (saved / "samples.json").exists()
    assert load_samples(saved) == []
    assert check_files(saved).problems == []
    record_validation(saved, Validation({"nats_per_token": 1.0}, 1.0, SAMPLES))
    assert load_samples(saved) == SAMPLES


def test_a_disk_without_space_for_samples_leaves_a_checkpoint_as_it_was(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = contents(saved)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"/update_000007/samples\.json could not be written \(No space left"):
        record_validation(saved, Validation({"nats_per_token": 1.0}, 1.0, SAMPLES))
    assert contents(saved) == before


def test_damaged_samples_do_not_keep_a_checkpoint_from_translating(saved: Path) -> None:
    record_validation(saved, Validation({}, 1.0, SAMPLES))
    (saved / "samples.json").write_text("{}")
    load_checkpoint(saved)
    load_snapshot(saved)
    with pytest.raises(DamagedCheckpointError, match=r"samples\.json is damaged or was edited: its hash is not"):
        load_samples(saved)


def test_a_snapshot_is_loaded_as_it_was_saved(saved: Path) -> None:
    snapshot = load_snapshot(saved)
    assert snapshot.state == SNAPSHOT.state
    for loaded, expected in ((snapshot.optimizer, SNAPSHOT.optimizer), (snapshot.random, SNAPSHOT.random)):
        assert list(loaded) == list(expected)
        assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


NUMBERS = st.floats(min_value=0, allow_nan=False)
TENSORS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=9).filter(lambda name: name != "__metadata__"),
    st.builds(
        lambda shape, dtype, seed: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8]),
        st.integers(0, 99),
    ),
    max_size=3,
)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    info=st.builds(
        CheckpointInfo,
        update=st.integers(0, 2**63),
        epochs=NUMBERS,
        corpus_fingerprint=st.text(),
        src_subword_fingerprint=st.just(SRC.fingerprint),
        tgt_subword_fingerprint=st.just(TGT.fingerprint),
        scores=st.dictionaries(st.text(), NUMBERS),
    ),
    optimizer=TENSORS,
    random=TENSORS,
    parameters=TENSORS,
    state=st.dictionaries(st.text(), st.recursive(st.none() | NUMBERS, lambda inner: st.lists(inner, max_size=3))),
    seed=st.integers(0, 999),
    name=st.text(),
)
def test_any_checkpoint_survives_saving_and_loading(
    tmp_path_factory: pytest.TempPathFactory,
    info: CheckpointInfo,
    optimizer: dict[str, Tensor],
    random: dict[str, Tensor],
    parameters: dict[str, Tensor],
    state: dict[str, Any],
    seed: int,
    name: str,
) -> None:
    model = model_of_both(seed=seed).state_dict()
    content = replace(
        content_of(info, seed=seed, snapshot=TrainingSnapshot(optimizer, random, state, parameters)),
        config_yaml=yaml.safe_dump({"model": {**to_plain(MODEL), "name": name, "source_order": "forward"}}),
    )
    path = save_checkpoint(tmp_path_factory.mktemp("any"), content)
    loaded, snapshot = load_checkpoint(path), load_snapshot(path)
    assert loaded.info == info
    assert loaded.model_config == replace(MODEL, name=name, source_order=SourceOrder.forward)
    assert snapshot.state == state
    for found, expected in (
        (loaded.model.state_dict(), model),
        (snapshot.optimizer, optimizer),
        (snapshot.random, random),
        (snapshot.parameters, parameters),
    ):
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert (found[key].shape, found[key].dtype) == (tensor.shape, tensor.dtype)
            assert torch.equal(found[key], tensor)


def test_a_checkpoint_is_self_contained(saved: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(saved, elsewhere)
    shutil.rmtree(saved)
    assert load_checkpoint(elsewhere).info.update == 7


def test_it_is_named_after_its_update_and_leaves_no_temporary_files(saved: Path, tmp_path: Path) -> None:
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
    assert sorted(contents(saved)) == FILES


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_layers": 0}, r"model\.num_layers must be "),
        ({"num_layers": -1}, r"model\.num_layers must be "),
        ({"hidden_dim": -1}, r"model\.hidden_dim must be "),
        ({"embedding_dim": 0}, r"model\.embedding_dim must be "),
        ({"dropout": 5}, r"model\.dropout must be "),
        ({"dropout": float("nan")}, r"model\.dropout must be "),
        ({"num_layers": 1_000_000}, r"model\.num_layers (is 1000000, which is more than it holds|must be )"),
        ({"hidden_dim": 2**62}, r"model\.hidden_dim (is 4611686018427387904, which is more than it holds|must be )"),
        ({"hidden_dim": 400}, r"does not fit the settings: decoder\.embedding\.weight|does not fit the settings"),
    ],
)
def test_impossible_settings_are_refused_before_a_model_is_allocated(
    saved: Path, setting: dict[str, object], message: str
) -> None:
    edit_config(saved, lambda config: config["model"].update(setting))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


def test_a_size_that_single_parts_override_may_be_larger_than_the_model(saved: Path) -> None:
    own = {"encoder_dim": MODEL.hidden_dim, "decoder_dim": MODEL.hidden_dim}
    edit_config(saved, lambda config: config["model"].update(own, hidden_dim=100_000))
    assert load_checkpoint(saved).model.num_parameters() < 100_000


def test_parameters_of_another_model_are_refused(saved: Path) -> None:
    edit_config(saved, lambda config: config["model"].update(hidden_dim=9))
    with pytest.raises(
        DamagedCheckpointError,
        match=r"model\.safetensors does not fit the settings: decoder\.output\.weight "
        r"must be 11 x 9 of float32, but is 11 x 7 of float32",
    ):
        load_checkpoint(saved)
    edit_config(saved, lambda config: config["model"].update(hidden_dim=MODEL.hidden_dim))
    parameters = model_of_both().state_dict()
    for change, problem in (
        ({"decoder.output.bias": None}, r"decoder\.output\.bias is missing"),
        ({"moon": torch.ones(1)}, r"'moon' is not a tensor of this model"),
        (
            {"decoder.output.bias": parameters["decoder.output.bias"].half()},
            r"11 of float32, but is 11 of float16",
        ),
        ({"decoder.output.bias": parameters["decoder.output.bias"].double()}, r"but is 11 of float64"),
        ({"decoder.output.bias": torch.tensor(1.0)}, r"but is one number of float32"),
    ):
        changed = {key: value for key, value in {**parameters, **change}.items() if value is not None}
        save_file(changed, saved / "model.safetensors")
        rehash(saved)
        with pytest.raises(DamagedCheckpointError, match=rf"does not fit the settings: .*{problem}"):
            load_checkpoint(saved)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_parameters_that_are_not_finite_are_refused(saved: Path, value: float) -> None:
    parameters = model_of_both().state_dict()
    parameters["decoder.output.bias"][-1] = value
    save_file(parameters, saved / "model.safetensors")
    rehash(saved)
    with pytest.raises(
        DamagedCheckpointError,
        match=r"model\.safetensors holds parameters that are not finite, in 'decoder\.output\.bias': use another",
    ):
        load_checkpoint(saved)


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_a_swapped_subword_model_is_refused(saved: Path, side: str) -> None:
    (TGT if side == "src" else SRC).save(saved / f"{side}.subword")
    rehash(saved, fingerprints=False)
    with pytest.raises(CheckpointError, match=rf"{side}\.subword is not the subword model that this checkpoint was"):
        load_checkpoint(saved)


def test_anything_but_a_subword_model_is_refused(saved: Path) -> None:
    (saved / "src.subword").write_bytes(b"something else")
    rehash(saved)
    with pytest.raises(
        CheckpointError, match=r"src\.subword must be a subword model .*: use another checkpoint of the"
    ):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "random.safetensors"])
def test_without_its_training_state_a_checkpoint_only_translates(saved: Path, name: str) -> None:
    (saved / "training" / name).unlink()
    load_checkpoint(saved)
    with pytest.raises(DamagedCheckpointError, match=rf"training/{name} is missing: use another checkpoint of the run"):
        load_snapshot(saved)


def test_a_moving_average_takes_one_more_file(tmp_path: Path) -> None:
    parameters: dict[str, Tensor] = dict(model_of_both(seed=2).named_parameters())
    saved = save(tmp_path, snapshot=SNAPSHOT._replace(parameters=parameters))
    file = saved / "training" / "parameters.safetensors"
    assert sorted(contents(saved)) == sorted([*FILES, "training/parameters.safetensors"])
    assert load_snapshot(saved).parameters.keys() == parameters.keys()
    file.write_bytes(bytes(file.stat().st_size))
    load_checkpoint(saved)  # translation does not need it
    with pytest.raises(DamagedCheckpointError, match=r"parameters\.safetensors is damaged or was edited: "):
        load_snapshot(saved)
    file.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"parameters\.safetensors is missing: use another checkpoint"):
        load_snapshot(saved)


@pytest.mark.parametrize("content", ['{"update": ', "[]", "3", "null"])
def test_a_damaged_training_state_is_refused(saved: Path, content: str) -> None:
    (saved / "training" / "state.json").write_text(content)
    rehash(saved)
    with pytest.raises(
        DamagedCheckpointError, match=r"state\.json (is damaged|cannot be read) \(.*\): use another check"
    ):
        load_snapshot(saved)


def test_the_permissions_of_every_file_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        saved = save(tmp_path)
    finally:
        os.umask(before)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in saved.rglob("*") if file.is_file()} == (
        {Path(name).name: "0o640" for name in FILES}
    )
    assert {oct(folder.stat().st_mode & 0o777) for folder in (saved, saved / "training")} == {"0o750"}


def test_a_link_in_place_of_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    elsewhere = save(tmp_path / "elsewhere", seed=3)
    before = contents(elsewhere)
    run = tmp_path / "run"
    run.mkdir()
    (run / "update_000007").symlink_to(elsewhere)
    (run / ".update_000007.old").symlink_to(elsewhere)
    assert save(run) == run / "update_000007"
    assert not (run / "update_000007").is_symlink()
    assert [path.name for path in run.iterdir()] == ["update_000007"]
    assert contents(elsewhere) == before


def test_a_reader_never_sees_a_mix_of_two_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of a checkpoint is read while the checkpoint is replaced."""
    expected = {seed: model_of_both(seed=seed).decoder.output.weight for seed in (1, 2)}
    (tmp_path / "best").symlink_to(save(tmp_path).name)
    num_reads, when = 0, 0
    check = check_hash

    def replaced_meanwhile(folder: Path, name: str, hashes: Mapping[str, str] | None) -> None:
        nonlocal num_reads
        num_reads += 1
        if num_reads == when:
            save(tmp_path, seed=2)
        check(folder, name, hashes)

    monkeypatch.setattr(format_module, "check_hash", replaced_meanwhile)
    for when in range(1, 5):  # noqa: B007
        num_reads = 0
        save(tmp_path)
        weight = load_checkpoint(tmp_path / "best").model.decoder.output.weight
        assert torch.equal(weight, expected[2])
        assert num_reads > 4


def test_a_training_state_is_never_a_mix_of_two_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is replaced after its last file was checked and before it is read."""
    saved = save(tmp_path)
    other = TrainingSnapshot({"a": torch.ones(1)}, {}, {"update": 7, "other": True}, {})
    load, num_loads = load_json, 0

    def replaced_meanwhile(file: Path) -> object:
        nonlocal num_loads
        num_loads += file.name == "state.json"
        if num_loads == 1 and file.name == "state.json":
            save(tmp_path, snapshot=other)
        return load(file)

    monkeypatch.setattr(checkpoint_module, "load_json", replaced_meanwhile)
    snapshot = load_snapshot(saved)
    assert (list(snapshot.optimizer), snapshot.state) == (["a"], other.state)
    assert num_loads == 2


def test_a_reader_finds_the_old_checkpoint_while_it_is_replaced(tmp_path: Path) -> None:
    saved = save(tmp_path)
    (tmp_path / "best").symlink_to(saved.name)
    saved.rename(tmp_path / ".update_000007.old")  # as a kill here leaves it
    for path in (saved, tmp_path / "best"):
        assert load_checkpoint(path).info.update == 7
    restore_checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "update_000007"}
    shutil.copytree(saved, tmp_path / ".update_000007.old")  # or here, after the new one was renamed
    restore_checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "update_000007"}


def test_a_link_may_move_during_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = tmp_path / "best"
    best.symlink_to(save(tmp_path, update=7).name)
    save(tmp_path, update=8, seed=2)
    check = check_hash

    def pruned_meanwhile(folder: Path, name: str, hashes: Mapping[str, str] | None) -> None:
        if name == "model.safetensors" and folder.name == "update_000007":
            best.unlink()
            best.symlink_to("update_000008")
            shutil.rmtree(folder)
        check(folder, name, hashes)

    monkeypatch.setattr(format_module, "check_hash", pruned_meanwhile)
    assert load_checkpoint(best).info.update == 8


def test_a_full_disk_is_reported_and_earlier_checkpoints_are_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = save(tmp_path, update=7)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "save_tensors", full)
    with pytest.raises(
        CheckpointError, match=r"update_000008 could not be written \(No space left on device\); earlier checkpoint"
    ):
        save(tmp_path, update=8)
    assert load_checkpoint(earlier).info.update == 7


def test_parameters_are_saved_exactly(tmp_path: Path) -> None:
    model = model_of_both()
    with torch.no_grad():
        model.decoder.output.bias[:3] = torch.tensor([-0.0, 1e-42, 3e38])
    path = save_checkpoint(tmp_path, replace(content_of(info_of(1)), parameters=model.state_dict()))
    loaded = load_checkpoint(path).model.decoder.output.bias.detach()
    assert torch.equal(loaded.view(torch.int32), model.decoder.output.bias.detach().view(torch.int32))


def test_the_first_checkpoint_makes_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    assert load_checkpoint(save(folder)).path == folder / "update_000007"


def test_a_failure_to_record_scores_names_the_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = contents(saved)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"/update_000007/checkpoint\.json could not be written \(No space left"):
        record_validation(saved, Validation({"nats_per_token": 1.0}, 1.0))
    assert contents(saved) == before
