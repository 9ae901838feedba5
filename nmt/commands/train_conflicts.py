"""Conflicts between the settings of `nmt train`, found before anything is read or written."""

import os
from collections.abc import Iterator
from pathlib import Path

from nmt.choices import AttentionScore, TiedEmbeddings
from nmt.command_config import TrainCommand
from nmt.corpus.prepare import data_problems
from nmt.corpus.sampling import sampling_problems
from nmt.device import resolve_device
from nmt.errors import ConfigError, config_problems
from nmt.files import is_file_name
from nmt.model.checks import check_model
from nmt.search.alignment import settings_with_attention
from nmt.search.beam import check_search_config
from nmt.training.dev_set import decisive_text_measures
from nmt.training.schedule import check_sampling


def check_conflicts(settings: TrainCommand) -> None:
    """Check everything about the settings that types and ranges do not cover.

    Raises:
        ConfigError: if there are problems; it lists all of them.
    """
    problems = [
        *data_problems(settings.data, settings.subword),
        *sampling_problems(settings.subword, settings.training),
        *_problems_of_names(settings),
        *_problems_of_training(settings),
        *_problems_of_model(settings),
        *config_problems(
            lambda: check_model(settings.model),
            lambda: check_sampling(settings.training),
            lambda: check_search_config(settings.search),
            lambda: resolve_device(settings.device),
        ),
    ]
    if problems:
        raise ConfigError("; ".join(problems))


def _problems_of_names(settings: TrainCommand) -> Iterator[str]:
    if not is_file_name(settings.model.name):  # run_dir is named after it
        yield f"model.name must be usable in a file name (no slashes, not too long), but is {settings.model.name!r}"
    if not settings.run_dir:
        yield "run_dir must name a folder, but is empty"
    run_dir = Path(settings.run_dir)
    if files := [path for path in (run_dir, *run_dir.parents) if os.path.isfile(path)]:  # noqa: PTH113
        yield f"run_dir must be a folder, but {files[0]} is a file"


def _problems_of_training(settings: TrainCommand) -> Iterator[str]:
    training = settings.training
    if (training.max_updates, training.max_epochs, training.max_minutes, training.patience) == (None,) * 4:
        yield "one of training.max_updates, max_epochs, max_minutes or patience must be set"
    if training.init_from is not None and (training.src_embeddings, training.tgt_embeddings) != (None, None):
        yield "training.init_from brings its own embeddings: leave out training.src_embeddings and tgt_embeddings"
    if training.bleu_every is None:
        for key, measure in decisive_text_measures(settings).items():
            yield f"{key}={measure} needs training.bleu_every, which is null"


def _problems_of_model(settings: TrainCommand) -> Iterator[str]:
    """Yield what the model does not fit; `check_model` finds what is wrong within it."""
    if settings.model.tied_embeddings == TiedEmbeddings.both and not settings.subword.joint:
        yield "model.tied_embeddings=both needs one vocabulary of both sides: set subword.joint=true"
    if settings.model.attention == AttentionScore.none:
        for name in settings_with_attention(settings.search):
            yield f"{name} needs model.attention, which is none"
