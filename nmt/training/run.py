"""A run: from settings and a prepared corpus to a trainer of a new, fine-tuned or resumed model."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from nmt.choices import Side
from nmt.command_config import TrainCommand
from nmt.corpus.batching import TrainingBatches
from nmt.corpus.epoch import epochs_of
from nmt.corpus.prepare import PreparedCorpus
from nmt.corpus.sampling import build_sampler
from nmt.device import choose_tf32, resolve_device, resolve_training_precision
from nmt.distributed import ALONE, Group
from nmt.errors import ConfigError
from nmt.model.initialization import initialize
from nmt.model.seq2seq import Seq2Seq
from nmt.training.checkpoint import read_info
from nmt.training.checkpoint_links import resolve_checkpoint
from nmt.training.dev_set import DevSet, Scores
from nmt.training.pretrained_embeddings import freeze_embeddings, load_embeddings
from nmt.training.resume import load_parameters, load_start
from nmt.training.samples import Sample
from nmt.training.saver import RunFiles
from nmt.training.trainer import Hardware, Trainer

log = logging.getLogger(__name__)


def use_subwords_of_start(settings: TrainCommand, last: Path | None) -> None:
    """Let fine-tuning use the subword models of the checkpoint that it starts from.

    Args:
        last: the checkpoint that the run resumes from, which has the same ones.

    Raises:
        ConfigError: if the settings name other subword models.
        CheckpointError: if there is no such checkpoint.
    """
    if settings.training.init_from is None:
        return
    start = last or resolve_checkpoint(Path(settings.training.init_from))
    if settings.subword.src_model is not None or settings.subword.tgt_model is not None:
        raise ConfigError("training.init_from brings its own subwords: leave out subword.src_model and tgt_model")
    read_info(start)  # explains if it is not a checkpoint
    settings.subword.src_model = str(start / "src.subword")
    settings.subword.tgt_model = str(start / "tgt.subword")


def run_files(settings: TrainCommand, corpus: PreparedCorpus, *, config_yaml: str) -> RunFiles:
    """Collect what all checkpoints of a run have in common."""
    return RunFiles(Path(settings.run_dir), config_yaml, corpus.fingerprint, *corpus.subwords())


def build_trainer(
    settings: TrainCommand,
    corpus: PreparedCorpus,
    files: RunFiles,
    *,
    text_scores: Callable[[Seq2Seq], Scores] | None,
    samples: Callable[[Seq2Seq], Sequence[Sample]] | None,
    last: Path | None,
    group: Group = ALONE,
) -> Trainer:
    """Make the trainer of a run.

    Args:
        text_scores: of the development set; see `DevSet`, also for `samples`.
        last: the checkpoint to resume from; None for a new run.
        group: the processes that train together.

    Raises:
        CheckpointError: if a checkpoint is damaged, or was trained on other text.
        ConfigError: if the model of `training.init_from` is a different one, a subword model cannot be sampled, or word
            vectors do not fit the model.
    """
    trainer = _new_trainer(settings, corpus, files, group)
    trainer.dev.text_scores, trainer.dev.samples = text_scores, samples
    if last is not None:
        load_parameters(
            trainer.model,
            last,
            corpus_fingerprint=corpus.fingerprint,
            corpus=corpus.directory,
            subwords=(files.src_subword, files.tgt_subword),
        )
        trainer.resume(last)
        log.info("resuming %s at update %d", files.run_dir, trainer.state.update)
    elif settings.training.init_from is not None:
        load_start(trainer.model, Path(settings.training.init_from))
    else:
        subwords = {Side.src: files.src_subword, Side.tgt: files.tgt_subword}
        load_embeddings(trainer.model, settings.training, subwords=subwords, corpus=corpus.open("train"))
    return trainer


def _new_trainer(settings: TrainCommand, corpus: PreparedCorpus, files: RunFiles, group: Group) -> Trainer:
    device = resolve_device(settings.device)
    precision = resolve_training_precision(settings.training.precision, device)
    found = group.gather(f"{device.type} in {precision}")
    if group.is_first:  # who speaks for all
        check_hardware(found)
    choose_tf32(precision, device)
    batches = _training_batches(settings, corpus, files, group)
    model = Seq2Seq(
        settings.model, src_vocab_size=files.src_subword.vocab_size, tgt_vocab_size=files.tgt_subword.vocab_size
    )
    model.implementation = settings.implementation
    initialize(model, generator=torch.Generator().manual_seed(settings.seed))
    freeze_embeddings(model, settings.training.freeze_embeddings)
    torch.manual_seed(settings.seed)  # only dropout uses the global generator
    log.info(
        "%s, %s: %s parameters on %s in %s, %d CPU threads%s",
        settings.model.name,
        settings.data.name,
        f"{model.num_parameters():,}",
        device,
        precision,
        torch.get_num_threads(),
        f" in each of {group.size} processes" if group.size > 1 else "",
    )
    return Trainer(
        model,
        batches,
        dev=DevSet(corpus.open("dev"), settings.batching),
        training=settings.training,
        optimizer=settings.optimizer,
        hardware=Hardware(device, precision, group),
        files=files,
    )


def check_hardware(found: Sequence[str]) -> None:
    """Check that all processes compute alike: sums of what they compute would mix precisions otherwise.

    Args:
        found: device and precision of each process.

    Raises:
        ConfigError: if they differ.
    """
    if different := [number for number, hardware in enumerate(found) if hardware != found[0]]:
        raise ConfigError(
            f"the processes must compute alike, but process 0 would on {found[0]} and process {different[0]} on "
            f"{found[different[0]]}: set device= and training.precision= to what all of them have"
        )


def _training_batches(settings: TrainCommand, corpus: PreparedCorpus, files: RunFiles, group: Group) -> TrainingBatches:
    sampler = build_sampler(
        settings.training,
        files.src_subword,
        files.tgt_subword,
        max_len=settings.data.max_len_subwords,
        seed=settings.seed,
    )
    train = corpus.open("train")
    return TrainingBatches(
        train,
        settings.batching,
        seed=settings.seed,
        sampler=sampler,
        epochs=epochs_of(train.report, settings.data.train.weights, seed=settings.seed, directory=corpus.directory),
        rank=group.rank,
        num_ranks=group.size,
    )
