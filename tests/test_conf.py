"""conf/: every file composes and fills its dataclass, and the paper's preset is the paper's."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from nmt.choices import (
    BatchUnit,
    LengthPenaltyKind,
    LossPer,
    OptimizerKind,
    ScheduleKind,
    SourceOrder,
    SubwordKind,
    Tokenizer,
)
from nmt.command_config import TrainCommand
from nmt.commands.compose import compose_settings, register_schemas
from nmt.commands.keys import PRESETS
from nmt.commands.keys import SCHEMAS as COMMANDS
from nmt.conf_files import conf_dir, first_comment
from nmt.config import (
    BatchingConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SearchConfig,
    SubwordConfig,
    TrainingConfig,
)
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import MISSING
from nmt.training.schedule import PlateauState, learning_rate

GROUPS = {
    "data": DataConfig,
    "subword": SubwordConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "batching": BatchingConfig,
    "training": TrainingConfig,
    "search": SearchConfig,
}
MANDATORY = {  # what only the user knows
    "prepare": [],
    "train": [],
    "translate": ["checkpoints=[runs/a/checkpoints/best]"],
    "evaluate": [],
    "average": ["checkpoints=[a,b]", "output=c"],
    "embeddings": [],
    "card": [],
    "verify": ["checkpoint=runs/a/checkpoints/best"],
    "report": [],
    "doctor": [],
    "data=files": [
        "data.src_lang=de",
        "data.tgt_lang=en",
        *(f"data.{split}.{side}=[{split}.{side}]" for split in ("train", "dev") for side in ("src", "tgt")),
    ],
    "data=tsv": ["data.src_lang=de", "data.tgt_lang=en", "data.train.tsv=[train.tsv]", "data.dev.tsv=[dev.tsv]"],
    "experiment=g2p": ["data.train.tsv=[train.tsv]", "data.dev.tsv=[dev.tsv]"],
}


def names_in(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def choices() -> Iterator[tuple[str, list[str]]]:
    """Yield command lines that together choose every file of conf/, a file of each group at a time."""
    names = {group: names_in(group) for group in GROUPS}
    for number in range(max(map(len, names.values()))):
        yield "train", [f"{group}={of_group[number % len(of_group)]}" for group, of_group in names.items()]
    for group in PRESETS:
        for name in names_in(group):
            for command in ("prepare", "train"):
                yield command, [f"{group}={name}"]
    yield "prepare", ["data=files", "subword=char"]
    for search in names["search"]:
        yield "translate", [f"search={search}"]
    yield "evaluate", ["search=greedy"]
    yield "average", []
    yield "embeddings", []
    yield "card", []
    yield "verify", []
    yield "doctor", []
    for name in names["model"]:
        yield "doctor", [f"model={name}"]
    for name in names_in("experiment"):
        yield "doctor", [f"experiment={name}"]


def settings_of(command: str, *overrides: str) -> Any:
    mandatory = [*MANDATORY[command], *(value for choice in overrides for value in MANDATORY.get(choice, []))]
    return OmegaConf.to_object(compose_settings(command, [*overrides, *mandatory]))


@cache
def paper() -> TrainCommand:
    settings: TrainCommand = settings_of("train", "experiment=sutskever_2014")
    return settings


def missing(settings: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys that have no value."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from missing(value, f"{prefix}{field.name}.")
        elif value == MISSING:
            yield f"{prefix}{field.name}"


@pytest.mark.no_tensors
@pytest.mark.parametrize(("command", "choice"), list(choices()), ids=str)
def test_every_option_composes_and_fills_the_dataclasses(command: str, choice: list[str]) -> None:
    settings = settings_of(command, *choice)
    assert type(settings) is COMMANDS[command]
    assert list(missing(settings)) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_only_facts_that_the_user_knows_are_mandatory(command: str) -> None:
    composed = compose_settings(command, [])
    without_value = OmegaConf.missing_keys(composed)
    assert without_value == {override.partition("=")[0] for override in MANDATORY[command]}
    if without_value:
        with pytest.raises(MissingMandatoryValue):
            OmegaConf.to_object(composed)


def test_only_the_options_for_users_files_have_mandatory_keys() -> None:
    for name in names_in("data"):
        files = [OmegaConf.load(conf_dir() / "data" / f"{option}.yaml") for option in ("files", name)]
        without_value = {f"data.{key}" for key in OmegaConf.missing_keys(OmegaConf.merge(*files))}
        expected = {override.partition("=")[0] for override in MANDATORY.get(f"data={name}", [])}
        assert without_value == expected


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in names_in(group)])
def test_no_value_is_given_twice(group: str, name: str) -> None:
    """A file does not repeat values of the file that it builds on, which itself builds on no other."""

    def read(option: str) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load((conf_dir() / group / f"{option}.yaml").read_text("utf-8"))
        return values

    values = read(name)
    defaults = values.pop("defaults", None)
    if defaults is None and group == "model":  # short: what is not given is the paper's
        assert {field.name for field in fields(ModelConfig) if field.default is MISSING} <= values.keys()
        return
    if defaults is None:
        assert values.keys() == {field.name for field in fields(GROUPS[group])}
        return
    origin, itself = defaults
    assert itself == "_self_"
    inherited = read(origin)
    assert "defaults" not in inherited
    assert [key for key, value in values.items() if value == inherited[key]] == []


@pytest.mark.parametrize("file", sorted(conf_dir().rglob("*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_starts_with_a_description(file: Path) -> None:
    assert first_comment(file), f"{file} must begin with a comment"
    assert all(len(line) <= 120 for line in file.read_text("utf-8").splitlines())


def test_every_group_is_tested_here() -> None:
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    assert groups == {*GROUPS, *PRESETS, "hydra"}
    assert {path.stem for path in conf_dir().glob("*.yaml")} == COMMANDS.keys()


@pytest.mark.parametrize(
    ("group", "key"), [("data", "name"), ("model", "name"), ("subword", "kind"), ("optimizer", "kind")]
)
def test_a_file_is_named_after_its_contents(group: str, key: str) -> None:
    for name in names_in(group):
        assert yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text("utf-8"))[key] == name


def test_a_run_directory_is_named_after_data_model_and_seed() -> None:
    assert settings_of("train", "model=lstm_tiny", "seed=3").run_dir == "runs/phrasebook-lstm_tiny-seed3"


def test_vocabulary_sizes_of_the_sides_follow_the_common_one() -> None:
    subword = settings_of("prepare", "subword.vocab_size=1234").subword
    assert (subword.src_vocab_size, subword.tgt_vocab_size) == (1234, 1234)


def test_an_experiment_can_be_changed_on_the_command_line() -> None:
    settings = settings_of("train", "experiment=sutskever_2014", "model.hidden_dim=500", "training.max_epochs=1")
    assert settings.model.hidden_dim == 500
    assert settings.training.max_epochs == 1


def test_conf_is_found_beside_or_inside_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (conf_dir() / "train.yaml").is_file()
    monkeypatch.setattr("nmt.conf_files.__file__", str(tmp_path / "nmt" / "conf_files.py"))
    (tmp_path / "conf").mkdir()
    assert conf_dir() == (tmp_path / "conf").resolve()
    (tmp_path / "nmt" / "conf").mkdir(parents=True)
    assert conf_dir() == (tmp_path / "nmt" / "conf").resolve()


def test_schemas_may_be_registered_twice() -> None:
    register_schemas()
    register_schemas()
    assert settings_of("translate").search.beam_size == 5


# The paper's preset against the paper (Sutskever, Vinyals & Le 2014)


def test_the_papers_model() -> None:
    model = paper().model
    assert (model.num_layers, model.hidden_dim, model.embedding_dim) == (4, 1000, 1000)  # §3.4
    assert model.source_order == SourceOrder.reversed  # §3.3
    assert model.init_range == 0.08  # §3.4
    assert (model.dropout, model.forget_bias) == (0.0, 0.0)  # the paper has neither


def test_the_papers_vocabularies() -> None:
    subword = paper().subword
    assert (subword.kind, subword.joint, subword.tokenizer) == (SubwordKind.word, False, Tokenizer.moses)
    assert (subword.src_vocab_size, subword.tgt_vocab_size) == (160_000, 80_000)  # §3.1


def test_the_paper_has_384_million_parameters() -> None:
    settings = paper()
    with torch.device("meta"):
        model = Seq2Seq(
            settings.model,
            src_vocab_size=settings.subword.src_vocab_size,
            tgt_vocab_size=settings.subword.tgt_vocab_size,
        )
    assert model.num_parameters() == 384_144_000
    weights = {name: p.numel() for name, p in model.named_parameters() if "bias" not in name}
    assert sum(weights.values()) == 384_000_000
    assert sum(count for name, count in weights.items() if "rnn" in name) == 64_000_000
    assert weights["encoder.embedding.weight"] == 160_000_000
    assert weights["decoder.embedding.weight"] == weights["decoder.output.weight"] == 80_000_000


def test_the_state_handed_over_has_8000_reals() -> None:
    with torch.device("meta"):
        model = Seq2Seq(paper().model, src_vocab_size=10, tgt_vocab_size=10)
        state = model.decoder.start(model.encode(torch.zeros(1, 3, dtype=torch.int64), torch.tensor([3], device="cpu")))
    assert sum(part.numel() for layer in state.recurrent.layers for part in layer) == 8000


def test_the_papers_optimizer_and_schedule() -> None:
    optimizer = paper().optimizer
    assert (optimizer.kind, optimizer.lr, optimizer.momentum) == (OptimizerKind.sgd, 0.7, 0.0)
    assert (optimizer.weight_decay, optimizer.schedule.warmup_updates) == (0.0, 0)
    assert optimizer.schedule.kind == ScheduleKind.halving
    rates = [
        learning_rate(optimizer, update=10**6, epochs=half_epochs / 2, plateau=PlateauState())
        for half_epochs in range(15)  # 0.0, 0.5, … 7.0
    ]
    assert rates == [0.7] * 10 + [0.7 / 2**n for n in (1, 2, 3, 4, 5)]


def test_the_papers_training() -> None:
    settings = paper()
    training = settings.training
    assert training.max_epochs == 7.5
    assert (training.max_updates, training.max_minutes, training.patience) == (None, None, None)
    assert (training.loss_per, training.clip_norm) == (LossPer.sentence, 5.0)
    assert (training.label_smoothing, training.accumulate) == (0.0, 1)
    assert (settings.batching.unit, settings.batching.size) == (BatchUnit.sentences, 128)


def test_the_papers_data_and_search() -> None:
    settings = paper()
    assert (settings.data.name, settings.data.src_lang, settings.data.tgt_lang) == ("wmt14_en_fr", "en", "fr")
    assert (settings.data.test.src, settings.data.test.tgt) == (["newstest2014.en.gz"], ["newstest2014.fr.gz"])
    assert settings.search.beam_size == 12
    assert settings.search.length_penalty.kind == LengthPenaltyKind.none
    assert [settings_of("translate", f"search={name}").search.beam_size for name in ("greedy", "beam_2")] == [1, 2]
