"""From checkpoints to a scorer, and from settings to a search config."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from nmt.choices import EnsembleAverage, SearchPrecision
from nmt.commands.compose import compose_settings, to_settings
from nmt.errors import ConfigError
from nmt.search.loading import default_search_config, load_scorer, with_search_settings
from nmt.search.scorer import EnsembleScorer, ModelScorer

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def test_one_checkpoint_is_a_model_and_several_are_an_ensemble(checkpoint: Path) -> None:
    def load(paths: list[Path]) -> ModelScorer | EnsembleScorer:
        return load_scorer(paths, device=CPU, precision=SearchPrecision.fp32, average=EnsembleAverage.log_prob)

    one = load([checkpoint])
    assert isinstance(one, ModelScorer)
    assert one.name == str(checkpoint)
    twins = load([checkpoint, checkpoint])
    assert isinstance(twins, EnsembleScorer)
    assert (len(twins.members), twins.average) == (2, EnsembleAverage.log_prob)
    assert twins.tgt_subword.fingerprint == one.tgt_subword.fingerprint
    with pytest.raises(ConfigError, match=r"^checkpoints must name at least one checkpoint"):
        load([])


def test_search_settings_default_to_those_of_the_command_line() -> None:
    settings = to_settings(compose_settings("translate", ["checkpoints=[x]"]))[0]
    assert default_search_config() == settings.search


def test_given_settings_replace_those_of_the_config() -> None:
    config = default_search_config()
    assert with_search_settings(config) == config
    changed = with_search_settings(config, beam_size=12, n_best=3, precision="int8")
    assert changed == replace(config, beam_size=12, n_best=3, precision=SearchPrecision.int8)


def test_all_settings_of_a_wrong_type_are_reported_at_once() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^search\.beam_size must be a whole number, but is 1\.5; "
        r"search\.precision must be one of auto, fp32, bf16, int8, but is 'fp16'$",
    ):
        with_search_settings(default_search_config(), beam_size=1.5, precision="fp16")  # type: ignore[arg-type]
