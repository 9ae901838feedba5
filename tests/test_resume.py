"""Which settings may change between two parts of a run, and what resuming needs from a checkpoint."""

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from nmt import config as config_module
from nmt.choices import OptimizerKind, ScheduleKind
from nmt.config import OptimizerConfig, ScheduleConfig
from nmt.errors import CheckpointError, DamagedCheckpointError
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import PlainError
from nmt.training.checkpoint import load_checkpoint
from nmt.training.optimizer import build_optimizer, state_layout
from nmt.training.resume import read_snapshot, settings_to_resume
from nmt.training.train_state import TrainState
from tests.checkpoints import edit_config, edit_json, rehash
from tests.commands import nmt, train_settings
from tests.models import tiny_model

OPTIMIZER = OptimizerConfig(
    kind=OptimizerKind.adam,
    lr=0.001,
    momentum=0.0,
    beta1=0.9,
    beta2=0.99,
    eps=1e-8,
    weight_decay=0.0,
    schedule=ScheduleConfig(ScheduleKind.constant, 5.0, 0.5, 0, 0.5, 2),
)


@pytest.fixture
def last(run_dir: Path, tmp_path: Path) -> Path:
    """A copy of the last checkpoint of a run with Adam."""
    return shutil.copytree(run_dir / "checkpoints" / "last", tmp_path / "last")


def model_of(checkpoint: Path) -> Seq2Seq:
    return load_checkpoint(checkpoint).model


def change_tensors(file: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    rehash(file.parents[1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_the_layout_of_the_optimizer_is_that_of_its_state(kind: OptimizerKind, momentum: float) -> None:
    config = replace(OPTIMIZER, kind=kind, momentum=momentum)
    model = tiny_model(dtype=torch.float32)
    optimizer = build_optimizer(model.parameters(), config)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = {
        f"{name}/{key}": (value.shape, value.dtype)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }
    layout = state_layout(dict(model.named_parameters()), config)
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in layout.items()} == kept


WEIGHT = "decoder.output.weight/exp_avg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(WEIGHT), rf"{WEIGHT} is missing"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].t()}), rf"{WEIGHT} must be 14 x 8 of float32, but is 8 x 14 of float32"),
        (lambda t: t.update({WEIGHT: torch.tensor(1.0)}), rf"{WEIGHT} must be 14 x 8 .*, but is one number of float32"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].double()}), rf"{WEIGHT} must be 14 x 8 .*, but is 14 x 8 of float64"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].half()}), rf"{WEIGHT} must be 14 x 8 .*, but is 14 x 8 of float16"),
        (lambda t: t.update({"moon/step": torch.ones(())}), r"'moon/step' is not a tensor of this model"),
        (
            lambda t: t.update({"decoder.output.weight/step": torch.ones(2)}),
            r"decoder\.output\.weight/step must be one number of float32, but is 2 of float32",
        ),
        (
            lambda t: t[WEIGHT].fill_(math.nan),
            r"holds values that are not finite, in 'decoder\.output\.weight/exp_avg'",
        ),
        (lambda t: t.clear(), r"decoder\.embedding\.weight/exp_avg is missing"),
    ],
)
def test_optimizer_tensors_that_do_not_fit_are_refused(
    last: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    model = model_of(last)
    read_snapshot(last, model=model, optimizer=OPTIMIZER, ema=0.0)
    change_tensors(last / "training" / "optimizer.safetensors", change)
    with pytest.raises(DamagedCheckpointError, match=rf"optimizer\.safetensors .*{message}"):
        read_snapshot(last, model=model, optimizer=OPTIMIZER, ema=0.0)


def test_tensors_of_another_optimizer_are_refused(last: Path) -> None:
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors does not fit the settings: .*exp_avg' is not a"):
        read_snapshot(last, model=model_of(last), optimizer=replace(OPTIMIZER, kind=OptimizerKind.sgd), ema=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), r"cpu is missing"),
        (lambda t: t.update(cpu=t["cpu"][:-1]), r"cpu must be \d+ of uint8, but is \d+ of uint8"),
        (lambda t: t.update(cpu=t["cpu"].float()), r"cpu must be \d+ of uint8, but is \d+ of float32"),
        (lambda t: t.update(cpu=torch.tensor(1, dtype=torch.uint8)), r"cpu must be .*, but is one number of uint8"),
        (lambda t: t.update(cuda=torch.ones(3)), r"cuda must be 16 of uint8, but is 3 of float32"),
        (lambda t: t.update(moon=torch.ones(3)), r"'moon' is not a tensor"),
    ],
)
def test_random_states_of_another_size_are_refused(
    last: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    change_tensors(last / "training" / "random.safetensors", change)
    with pytest.raises(DamagedCheckpointError, match=rf"random\.safetensors does not fit the settings: {message}"):
        read_snapshot(last, model=model_of(last), optimizer=OPTIMIZER, ema=0.0)


@pytest.mark.parametrize(
    ("key", "value"), [("update", -1), ("scored_at", -4), ("best", math.nan), ("wall_s", math.nan)]
)
def test_counts_below_zero_are_refused(last: Path, key: str, value: float) -> None:
    edit_json(last / "training" / "state.json", lambda values: values.update({key: value}))
    rehash(last)
    with pytest.raises(
        DamagedCheckpointError, match=rf"state\.json is damaged: {key} must be a number at least 0, but is "
    ):
        read_snapshot(last, model=model_of(last), optimizer=OPTIMIZER, ema=0.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"update": "6"}, r"update must be a whole number, but is '6'"),
        ({"update": 6.5}, r"update must be a whole number, but is 6\.5"),
        ({"update": 10**30}, r"update must be a whole number, but is 10000"),
        ({"update": None}, r"update must be a whole number, but is null"),
        ({"position": 3}, r"position must be keys with values, but is 3"),
        ({"position": {"epoch": "one"}}, r"position\.epoch must be a whole number, but is 'one'"),
        ({"interval": []}, r"interval must be keys with values, but is \[\]"),
        ({"interval": {"nll": "much"}}, r"interval\.nll must be a number or keys with values, but is 'much'"),
        ({"plateau": {"best": "low"}}, r"plateau\.best must be a number or null, but is 'low'"),
        ({"scores": {"bleu": "high"}}, r"scores must be keys with values, but is \{'bleu': 'high'\}"),
        ({"best": "good"}, r"best must be a number or null, but is 'good'"),
        ({"moon": "full"}, r"moon is not known"),
    ],
)
def test_an_invalid_training_state_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(PlainError, match=problem):
        TrainState.from_json(TrainState().to_json() | change)


@pytest.mark.parametrize("position", [(0, 10**6, 0), (0, 2, 1), (0, 0, 5), (1, 10**6, 200)])
def test_a_position_that_the_corpus_does_not_have_is_one_line(
    digits: Path, run_dir: Path, tmp_path: Path, position: tuple[int, int, int]
) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "run", symlinks=True)
    last = (copy / "checkpoints" / "last").resolve()
    values = dict(zip(("epoch", "batch", "pairs"), position, strict=True))
    edit_json(last / "training" / "state.json", lambda state: state.update(position=values))
    rehash(last)
    done = nmt("train", *train_settings(digits), f"run_dir={copy}", "resume=true", "training.max_updates=8")
    assert done.status == 1
    assert re.search(
        rf"cannot resume from \S+/training \(ValueError: no epoch of this corpus begins with {position[1]} batches "
        rf"of {position[2]} pairs\): start a new run_dir with training\.init_from=",
        done.last_line,
    )


def test_a_run_resumes_without_newer_settings(
    digits: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if label smoothing were newer than the run: off by default, but on in conf/."""
    copy = shutil.copytree(run_dir, tmp_path / "run", symlinks=True)
    last = (copy / "checkpoints" / "last").resolve()
    edit_config(last, lambda config: config["training"].pop("label_smoothing"))
    field = config_module.TrainingConfig.__dataclass_fields__["label_smoothing"]
    monkeypatch.setattr(field, "default", 0.0)
    command = ("train", *train_settings(digits), f"run_dir={copy}", "resume=true", "training.max_updates=8")
    refused = nmt(*command, "training.label_smoothing=0.2")
    assert (refused.status, "training.label_smoothing was 0.0 and is 0.2" in refused.last_line) == (1, True)
    done = nmt(*command)
    assert done.status == 0, done.err
    assert yaml.safe_load((copy / "config.yaml").read_text())["training"]["label_smoothing"] == 0.0
    assert load_checkpoint(copy / "checkpoints" / "last").config["training"]["label_smoothing"] == 0.0


def test_a_setting_that_is_unknown_is_named(last: Path) -> None:
    config_yaml = (last / "config.yaml").read_text()
    assert settings_to_resume(last, config_yaml, typed=()).changes == []
    edit_config(last, lambda config: config["optimizer"].update(moon=1))
    with pytest.raises(CheckpointError, match=r"config\.yaml is invalid: optimizer\.moon is not known: install the"):
        settings_to_resume(last, config_yaml, typed=())


def test_a_run_whose_prepared_corpus_has_other_subwords_is_refused(digits: Path, run_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "run", symlinks=True)
    prepared = shutil.copytree(digits / "prepared", tmp_path / "prepared")
    for src in prepared.glob("*/src.subword"):
        shutil.copy(src.with_name("tgt.subword"), src)
    settings = [*train_settings(digits), f"data.prepared_dir={prepared}", f"run_dir={copy}", "resume=true"]
    done = nmt("train", *settings, "training.max_updates=8")
    assert done.status == 1
    assert "subword" in done.last_line
