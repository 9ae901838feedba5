"""`nmt doctor`: examines a corpus before training, and with a model what training will take."""

from dataclasses import fields
from typing import Any

from nmt.choices import FailOn, Severity
from nmt.command_config import DoctorCommand, TrainCommand
from nmt.commands.output import check_output, open_output, read_files
from nmt.config import ModelConfig
from nmt.corpus.prepare import data_problems, split_files
from nmt.doctor.blocks import SPLITS
from nmt.doctor.diagnosis import diagnose, diagnose_model
from nmt.doctor.diagnosis_text import as_json, as_text
from nmt.errors import ConfigError
from nmt.protected_files import Source


def run(settings: DoctorCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Print the diagnosis; return 1 if a finding is as severe as `fail_on`."""
    if problems := data_problems(settings.data, settings.subword):
        raise ConfigError("; ".join(problems))
    start = settings.training.init_from
    check_output(settings.output, read=_read(settings), checkpoints=[] if start is None else [start])
    training = None if settings.model is None else _training_settings(settings, settings.model)
    diagnosis, corpus = diagnose(settings.data, settings.subword)
    if training is not None and corpus is not None:
        diagnosis = diagnose_model(
            diagnosis, training, corpus, updates=settings.updates, overfit_updates=settings.overfit_updates
        )
    with open_output(settings.output) as stream:
        text = as_json(diagnosis) if settings.json else as_text(diagnosis)
        stream.write(text.encode(errors="backslashreplace"))  # names of files may be no UTF-8
    return int(_fails(diagnosis.severity, settings.fail_on))


def _read(settings: DoctorCommand) -> list[Source]:
    """List the files of the corpus, and others that are read, which the output must not overwrite."""
    data, subword, training = settings.data, settings.subword, settings.training
    paths = {
        f"data.{split}": [str(path) for side in (files.src, files.tgt) for path in side.paths]
        for split in SPLITS
        for files in [split_files(data, getattr(data, split))]
    }
    models = {"subword.src_model": subword.src_model, "subword.tgt_model": subword.tgt_model}
    vectors = {"training.src_embeddings": training.src_embeddings, "training.tgt_embeddings": training.tgt_embeddings}
    return read_files(**paths, **models, **vectors)


def _training_settings(settings: DoctorCommand, model: ModelConfig) -> TrainCommand:
    """Return the settings of `nmt train`, checked, and make torch use as many threads as they say."""
    # imported here since the text needs no torch
    import torch

    from nmt.commands.train_conflicts import check_conflicts
    from nmt.training.run import use_subwords_of_start

    same = {part.name for part in fields(TrainCommand)} & {part.name for part in fields(DoctorCommand)}
    values: dict[str, Any] = {name: getattr(settings, name) for name in same}
    training = TrainCommand(**{**values, "model": model, "run_dir": ".", "resume": False})
    check_conflicts(training)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    use_subwords_of_start(training, None)
    return training


def _fails(severity: Severity, fail_on: FailOn) -> bool:
    order = list(Severity)
    return fail_on != FailOn.none and order.index(severity) >= order.index(Severity(fail_on))
