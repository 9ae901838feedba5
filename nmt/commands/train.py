"""`nmt train`: trains a model; leaves a run directory."""

import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from hydra.core.hydra_config import HydraConfig

from nmt.commands.run_dir import RunDirectory, claim_run_dir, log_file
from nmt.commands.stop import graceful_stop
from nmt.config import BestBy, DataConfig, ModelConfig, SearchConfig, TrainCommand
from nmt.corpus.batching import TrainingBatches
from nmt.corpus.prepare import PreparedCorpus, data_problems, prepare, split_files
from nmt.device import choose_tf32, resolve_device, resolve_inference_precision, resolve_precision
from nmt.errors import CheckpointError, ConfigError
from nmt.evaluation.metrics import MetricOptions, bleu_signature, corpus_bleu
from nmt.evaluation.plain_text import warn_of_odd_text
from nmt.evaluation.tokenizer import AUTO, TOKENIZERS, BleuTokenizer, resolve_tokenizer
from nmt.files import atomic_write, is_file_name
from nmt.model.seq2seq import Seq2Seq, initialize
from nmt.plain import flatten
from nmt.search.beam import check_search_config
from nmt.search.scorer import ModelScorer
from nmt.search.translator import Translator
from nmt.text.parallel import read_pairs
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import read_config, read_info
from nmt.training.checkpoint_store import CheckpointStore, Recovery, find_last, resolve_checkpoint
from nmt.training.resume import load_parameters, load_start, settings_to_resume
from nmt.training.saver import RunFiles
from nmt.training.trainer import Trainer

logger = logging.getLogger(__name__)


def run(settings: TrainCommand, *, config_yaml: str) -> int:
    _check(settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    run_dir = Path(settings.run_dir)
    with claim_run_dir(run_dir) as directory:
        recovery = _checkpoint_to_resume(run_dir, settings)
        last = recovery.checkpoint
        if recovery.notes:  # at once: what they tell has happened, whether or not the run goes on
            with log_file(run_dir / "train.log"):
                for note in recovery.notes:
                    logger.warning("%s", note)
        settings.training.bleu_tokenize = _bleu_tokenizer(settings, last)
        config_yaml = _settled(config_yaml, bleu_tokenize=settings.training.bleu_tokenize)
        changes: list[str] = []
        if last is not None:
            settings, config_yaml, changes = settings_to_resume(last, config_yaml, typed=_typed_settings())
        with log_file(run_dir / "train.log"):
            return _train(settings, directory, last, changes, config_yaml=config_yaml)


def _typed_settings() -> set[str]:
    """Return the keys of the command line."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return {override.lstrip("+~").partition("=")[0] for override in overrides}


def _bleu_tokenizer(settings: TrainCommand, last: Path | None) -> str:
    """Resolve `training.bleu_tokenize=auto`: by the target language, on resuming as the run began."""
    name = settings.training.bleu_tokenize
    if name == AUTO and last is not None:
        name = flatten(read_config(last)).get("training.bleu_tokenize", AUTO)
    if settings.training.bleu_every is None and name in (AUTO, *TOKENIZERS):
        return name  # and need not work here
    return resolve_tokenizer(name, lang=settings.data.tgt_lang, setting="training.bleu_tokenize")


def _settled(config_yaml: str, *, bleu_tokenize: str) -> str:
    """Let a run's settings mean the same in any folder, and whatever tokenizers are installed."""
    config = yaml.safe_load(config_yaml)
    config["data"]["dir"] = os.path.realpath(config["data"]["dir"])
    config["training"]["bleu_tokenize"] = bleu_tokenize
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


def _train(
    settings: TrainCommand, directory: RunDirectory, last: Path | None, changes: list[str], *, config_yaml: str
) -> int:
    """Prepare, train or go on from the checkpoint `last`, and return the exit status."""
    run_dir = directory.path
    init_from = settings.training.init_from
    if init_from is not None:
        _take_subwords(settings, last or resolve_checkpoint(Path(init_from)))
    corpus = prepare(settings.data, settings.subword)
    with graceful_stop() as stop_requested:
        trainer = _build_trainer(settings, corpus, config_yaml, stop_requested.is_set)
        if last is not None:
            load_parameters(
                trainer.model,
                last,
                corpus_fingerprint=corpus.fingerprint,
                corpus=corpus.directory,
                subwords=(trainer.files.src_subword, trainer.files.tgt_subword),
            )
            trainer.resume(last)
            logger.info("resuming %s at update %d", run_dir, trainer.state.update)
            for change in changes:
                logger.info("resuming with another setting: %s", change)
        elif init_from is not None:
            load_start(trainer.model, Path(init_from))
        with atomic_write(run_dir / "config.yaml") as stream:  # from here on there is a run
            stream.write(config_yaml.encode())
        try:
            reason = trainer.run()
        finally:
            directory.num_updates = trainer.state.update
    if reason == "stopped":
        logger.info("training stopped at update %d: add resume=true to go on", trainer.state.update)
        return 128 + stop_requested.signal_number
    logger.info("training ended (%s) at update %d: %s", reason, trainer.state.update, run_dir / "checkpoints")
    return 0


def _check(settings: TrainCommand) -> None:
    """Report all that cannot be, at once."""
    training = settings.training
    problems = data_problems(settings.data, settings.subword)
    if not is_file_name(settings.model.name):  # run_dir is named after it
        problems.append(
            f"model.name must be a name without slashes that can be part of a file's, but is {settings.model.name!r}"
        )
    if not settings.run_dir:
        problems.append("run_dir must name a folder, but is empty")
    if (training.max_updates, training.max_epochs, training.max_minutes, training.patience) == (None,) * 4:
        problems.append("one of training.max_updates, max_epochs, max_minutes or patience must be set")
    if training.best_by == BestBy.bleu and training.bleu_every is None:
        problems.append("training.best_by=bleu needs training.bleu_every, which is null")
    try:
        check_search_config(settings.search)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))


def _checkpoint_to_resume(run_dir: Path, settings: TrainCommand) -> Recovery:
    """Find where to go on.

    Raises:
        CheckpointError: where the directory holds a run and `resume` is false.
    """
    checkpoints_dir = run_dir / "checkpoints"
    if not settings.resume:
        if (run_dir / "config.yaml").exists() or find_last(checkpoints_dir) is not None:
            raise CheckpointError(
                f"{run_dir} holds a run already: add resume=true to go on with it, or name another run_dir"
            )
        return Recovery(None, [])
    recovery = CheckpointStore(checkpoints_dir, settings.training).recover()
    if recovery.checkpoint is None:
        logger.info("%s holds no checkpoint: starting from the beginning", run_dir)
    return recovery


def _take_subwords(settings: TrainCommand, start: Path) -> None:
    """Fine-tuning goes on with the subwords of the checkpoint that it starts from."""
    if settings.subword.src_model is not None or settings.subword.tgt_model is not None:
        raise ConfigError("training.init_from brings its own subwords: leave out subword.src_model and tgt_model")
    read_info(start)  # explains what is no checkpoint
    settings.subword.src_model = str(start / "src.subword")
    settings.subword.tgt_model = str(start / "tgt.subword")


def _build_trainer(
    settings: TrainCommand, corpus: PreparedCorpus, config_yaml: str, stop_requested: Callable[[], bool]
) -> Trainer:
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.training.precision, device)
    choose_tf32(precision, device)
    src_subword, tgt_subword = corpus.subwords()
    model = _new_model(settings.model, src_subword, tgt_subword, seed=settings.seed)
    model.implementation = settings.implementation
    torch.manual_seed(settings.seed)  # dropout alone draws from the global generator
    train = corpus.open("train")
    logger.info(
        "%s, %s: %s parameters on %s in %s, %d CPU threads",
        settings.model.name,
        settings.data.name,
        f"{model.num_parameters():,}",
        device,
        precision,
        torch.get_num_threads(),
    )
    with_bleu = settings.training.bleu_every is not None
    return Trainer(
        model,
        TrainingBatches(train, settings.batching, seed=settings.seed),
        dev=corpus.open("dev"),
        dev_batching=settings.batching,
        training=settings.training,
        optimizer=settings.optimizer,
        precision=precision,
        device=device,
        files=RunFiles(Path(settings.run_dir), config_yaml, corpus.fingerprint, src_subword, tgt_subword),
        dev_bleu=_dev_bleu(settings, device, src_subword, tgt_subword) if with_bleu else None,
        stop_requested=stop_requested,
    )


def _new_model(config: ModelConfig, src_subword: SubwordModel, tgt_subword: SubwordModel, *, seed: int) -> Seq2Seq:
    model = Seq2Seq(config, src_vocab_size=src_subword.vocab_size, tgt_vocab_size=tgt_subword.vocab_size)
    initialize(model, generator=torch.Generator().manual_seed(seed))
    return model


def _dev_bleu(
    settings: TrainCommand, device: torch.device, src_subword: SubwordModel, tgt_subword: SubwordModel
) -> Callable[[Seq2Seq], float]:
    """Make the function that translates the development set and measures BLEU."""
    pairs = _dev_pairs(settings.data, settings.training.bleu_sentences)
    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    tokenizer = cast("BleuTokenizer", settings.training.bleu_tokenize)
    options = MetricOptions(bleu_tokenize=tokenizer, lowercase=False)
    warn_of_odd_text(references, name="the development set", tokenizer=tokenizer, setting="training.bleu_tokenize")
    logger.info("BLEU of %d development sentences: %s", len(pairs), bleu_signature([references], options=options))
    search: SearchConfig = settings.search
    precision = resolve_inference_precision(search.precision, device, settings.implementation)

    def measure(model: Seq2Seq) -> float:
        scorer = ModelScorer(
            model, src_subword=src_subword, tgt_subword=tgt_subword, device=device, precision=precision
        )
        translator = Translator(scorer, tgt_subword, search)
        logging.getLogger("nmt.search").setLevel(logging.ERROR)  # a young model may well run to the maximum length
        try:
            hypotheses = [translation.text for translation in translator.translate(sources)]
        finally:
            logging.getLogger("nmt.search").setLevel(logging.NOTSET)
        return corpus_bleu(hypotheses, [references], options=options)

    return measure


def _dev_pairs(data: DataConfig, limit: int | None) -> list[Any]:
    return list(itertools.islice(read_pairs(split_files(data, data.dev)), limit))
