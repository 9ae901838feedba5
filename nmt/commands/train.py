"""`nmt train`: trains a model and writes a run directory."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from hydra.core.hydra_config import HydraConfig

from nmt.command_config import TrainCommand
from nmt.commands.run_dir import RunDirectory, claim_run_dir, log_file
from nmt.commands.stop import graceful_stop
from nmt.commands.train_conflicts import check_conflicts
from nmt.corpus.prepare import PreparedCorpus, prepare
from nmt.device import limit_kernels_kept, resolve_device, resolve_search_precision, resolve_training_precision
from nmt.distributed import Group, choose_gpu, join
from nmt.errors import NmtError
from nmt.evaluation.dev_scores import build_dev_scores, resolve_dev_tokenizer
from nmt.files import atomic_write
from nmt.place import Place, find_place
from nmt.search.greedy_samples import build_dev_samples
from nmt.training.pretrained_embeddings import check_vector_files
from nmt.training.resume import ResumedSettings, find_start, settings_to_resume
from nmt.training.run import build_trainer, run_files, use_subwords_of_start
from nmt.training.trainer import Trainer

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A training run whose corpus is prepared.

    Attributes:
        last: the checkpoint to resume from; None for a new run.
    """

    settings: TrainCommand
    config_yaml: str
    corpus: PreparedCorpus
    last: Path | None


def run(settings: TrainCommand, *, config_yaml: str) -> int:
    check_conflicts(settings)
    place = find_place()
    use_processor(settings, place)
    run_dir = Path(settings.run_dir)
    with join(place) as group, claim_run_dir(run_dir) as directory, _failures_come_through(group):
        last, notes = find_start(run_dir, resume=settings.resume)
        if notes:  # logged at once: the repairs have been made, whether or not the run continues
            with log_file(run_dir / "train.log"):
                for note in notes:
                    log.warning("%s", note)
        settings.training.bleu_tokenize = resolve_dev_tokenizer(settings, last)
        config_yaml = _resolved(config_yaml, bleu_tokenize=settings.training.bleu_tokenize)
        resumed = ResumedSettings(settings, config_yaml, [])
        if last is not None:
            resumed = settings_to_resume(last, config_yaml, typed=_typed_settings())
        with log_file(run_dir / "train.log"):
            return _train(resumed, directory, last, group)


@contextmanager
def _failures_come_through(group: Group) -> Iterator[None]:
    """Let this process say why training failed: when another one has ended, torchrun sends all others SIGTERM."""
    try:
        yield
    except NmtError:
        if group.size > 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise


def use_processor(settings: TrainCommand, place: Place) -> None:
    """Choose the threads, the memory for compiled kernels and the GPU of this process."""
    limit_kernels_kept()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    elif place.size > 1:
        torch.set_num_threads(place.threads)
    if place.size > 1 and resolve_device(settings.device).type == "cuda":
        choose_gpu(place)


def _check_precisions(settings: TrainCommand) -> None:
    """Check that the machine computes as requested; warnings go to the run's log."""
    device = resolve_device(settings.device)
    resolve_training_precision(settings.training.precision, device)
    if settings.training.bleu_every is not None:
        resolve_search_precision(settings.search.precision, device, settings.implementation)


def _typed_settings() -> set[str]:
    """Return the keys given on the command line."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return {override.lstrip("+~").partition("=")[0] for override in overrides}


def _resolved(config_yaml: str, *, bleu_tokenize: str) -> str:
    """Make a run's settings independent of the current folder and of the installed tokenizers."""
    config = yaml.safe_load(config_yaml)
    config["data"]["dir"] = os.path.realpath(config["data"]["dir"])
    config["training"]["bleu_tokenize"] = bleu_tokenize
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


def _train(resumed: ResumedSettings, directory: RunDirectory, last: Path | None, group: Group) -> int:
    """Prepare the corpus, train, and return the exit status."""
    settings, config_yaml, changes = resumed
    _check_precisions(settings)
    use_subwords_of_start(settings, last)
    if last is None:
        check_vector_files(settings.training, settings.model)
    corpus = prepare(settings.data, settings.subword, needs_test=last is None)
    job = group.from_first(Job(settings, config_yaml, corpus, last))
    with graceful_stop() as stop_requested:
        trainer = trainer_of(job, group)
        trainer.stop_requested = stop_requested.is_set
        files = trainer.files
        for change in changes:
            log.info("resuming with a changed setting: %s", change)
        with atomic_write(files.run_dir / "config.yaml") as stream:  # from here on the directory is a run
            stream.write(config_yaml.encode())
        try:
            reason = trainer.run()
        finally:
            directory.num_updates = trainer.state.update
    if reason == "stopped":
        log.info("training stopped at update %d: add resume=true to continue", trainer.state.update)
        return 128 + (stop_requested.signal_number or signal.SIGTERM)  # only another process may have got a signal
    log.info("training ended (%s) at update %d: %s", reason, trainer.state.update, files.checkpoints_dir)
    return 0


def trainer_of(job: Job, group: Group) -> Trainer:
    """Make the trainer of a run, in each of the processes that train together."""
    settings = job.settings
    files = run_files(settings, job.corpus, config_yaml=job.config_yaml)
    return build_trainer(
        settings,
        job.corpus,
        files,
        text_scores=build_dev_scores(settings, files, group=group),
        samples=build_dev_samples(settings, files) if group.is_first else None,
        last=job.last,
        group=group,
    )
