"""`nmt train`: trains a model; leaves a run directory."""

import itertools
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from nmt.commands.prepare import PreparedCorpus, prepare, split_files
from nmt.commands.streams import LogFileHandler
from nmt.config import BestBy, DataConfig, ModelConfig, SearchConfig, TrainCommand
from nmt.corpus.batching import TrainingBatches
from nmt.device import resolve_device, resolve_inference_precision, resolve_precision
from nmt.errors import CheckpointError, ConfigError
from nmt.evaluation.metrics import corpus_bleu
from nmt.files import atomic_write
from nmt.model.seq2seq import Seq2Seq, initialize
from nmt.search.beam import check_search_config
from nmt.search.scorer import ModelScorer
from nmt.search.translator import Translator
from nmt.text.parallel import read_pairs
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import find_last, load_checkpoint, read_config, read_info
from nmt.training.trainer import RunFiles, Trainer

logger = logging.getLogger(__name__)

# What may differ when a run goes on: limits, the course of the learning rate, logging, device, and where things lie
# (fingerprints guard the contents).
MAY_CHANGE = (
    "optimizer.lr",
    "optimizer.schedule.",
    "training.max_",
    "training.patience",
    "training.log_every",
    "training.keep_last",
    "data.dir",
    "data.prepared_dir",
    "data.test",
    "search.batch_rows",
    "search.window_lines",
    "device",
    "threads",
    "run_dir",
    "resume",
)


def run(settings: TrainCommand, *, config_yaml: str) -> int:
    _check(settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    run_dir = Path(settings.run_dir)
    config_yaml = _with_absolute_data_dir(config_yaml)
    with _sole_user(run_dir):
        last = _checkpoint_to_resume(run_dir, settings, config_yaml)
        with _log_file(run_dir / "train.log"):
            return _train(settings, last, config_yaml=config_yaml)


def _with_absolute_data_dir(config_yaml: str) -> str:
    """Let a run's settings find its text from any folder."""
    config = yaml.safe_load(config_yaml)
    config["data"]["dir"] = os.path.realpath(config["data"]["dir"])
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


def _train(settings: TrainCommand, last: Path | None, *, config_yaml: str) -> int:
    """Prepare, train or go on from the checkpoint `last`, and return the exit status."""
    run_dir = Path(settings.run_dir)
    start = None
    if settings.training.init_from is not None:
        start = last or Path(settings.training.init_from)
        _take_subwords(settings, start)
    corpus = prepare(settings.data, settings.subword)
    with _graceful_stop() as stop_requested:
        trainer = _build_trainer(settings, corpus, config_yaml, stop_requested.is_set)
        if last is not None:
            _load_parameters(trainer.model, last, corpus)
            trainer.resume(last)
            logger.info("resuming %s at update %d", run_dir, trainer.state.update)
            for change in _changes(last, config_yaml).values():
                logger.info("resuming with another setting: %s", change)
        elif start is not None:
            _load_start(trainer.model, start)
        with atomic_write(run_dir / "config.yaml") as stream:  # from here on there is a run
            stream.write(config_yaml.encode())
        reason = trainer.run()
    if reason == "stopped":
        logger.info("training stopped at update %d: add resume=true to go on", trainer.state.update)
        return 128 + stop_requested.signal_number
    logger.info("training ended (%s) at update %d: %s", reason, trainer.state.update, run_dir / "checkpoints")
    return 0


def _check(settings: TrainCommand) -> None:
    """Report all that cannot be, at once."""
    training = settings.training
    problems = []
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


def _checkpoint_to_resume(run_dir: Path, settings: TrainCommand, config_yaml: str) -> Path | None:
    """Find where to go on.

    Raises:
        CheckpointError: where the directory holds a run and `resume` is false.
        ConfigError: where the settings differ from the run's, by key.
    """
    if not settings.resume:
        if (run_dir / "config.yaml").exists():
            raise CheckpointError(
                f"{run_dir} holds a run already: add resume=true to go on with it, or name another run_dir"
            )
        return None
    last = find_last(run_dir / "checkpoints")
    if last is None:
        logger.info("%s holds no checkpoint: starting from the beginning", run_dir)
        return None
    read_info(last)  # explains what is no checkpoint
    may_change = MAY_CHANGE if settings.training.best_by == BestBy.bleu else (*MAY_CHANGE, "search.")
    forbidden = [change for key, change in _changes(last, config_yaml).items() if not key.startswith(may_change)]
    if forbidden:
        raise ConfigError(
            f"{run_dir} cannot be resumed with other settings: {'; '.join(forbidden)} "
            "(repeat the settings that it was started with)"
        )
    return last


def _changes(last: Path, config_yaml: str) -> dict[str, str]:
    """Say of each setting that differs from the checkpoint's what it was and is; `resume` itself does not count."""
    before, now = _flat(read_config(last)), _flat(yaml.safe_load(config_yaml))
    return {
        key: f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key != "resume"
    }


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _take_subwords(settings: TrainCommand, start: Path) -> None:
    """Fine-tuning goes on with the subwords of the checkpoint that it starts from."""
    if settings.subword.src_model is not None or settings.subword.tgt_model is not None:
        raise ConfigError("training.init_from brings its own subwords: leave out subword.src_model and tgt_model")
    read_info(start)  # explains what is no checkpoint
    settings.subword.src_model = str(start / "src.subword")
    settings.subword.tgt_model = str(start / "tgt.subword")


def _load_start(model: Seq2Seq, path: Path) -> None:
    start = load_checkpoint(path)
    shape = ("embedding_dim", "hidden_dim", "num_layers", "source_order")
    differences = [
        f"model.{key}={getattr(start.model_config, key)}"
        for key in shape
        if getattr(start.model_config, key) != getattr(model.config, key)
    ]
    if differences:
        raise ConfigError(f"the model of training.init_from={start.path} is another one: set {' '.join(differences)}")
    model.load_state_dict(start.model.state_dict())
    logger.info("starting from the parameters of %s (update %d)", start.path, start.info.update)


def _load_parameters(model: Seq2Seq, path: Path, corpus: PreparedCorpus) -> None:
    last = load_checkpoint(path)
    if last.info.corpus_fingerprint != corpus.fingerprint:
        raise CheckpointError(
            f"{last.path} was trained on other text (corpus {last.info.corpus_fingerprint[:12]}) than "
            f"{corpus.directory}: restore the text, or start a new run_dir"
        )
    model.load_state_dict(last.model.state_dict())


def _build_trainer(
    settings: TrainCommand, corpus: PreparedCorpus, config_yaml: str, stop_requested: Callable[[], bool]
) -> Trainer:
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.training.precision, device)
    src_subword, tgt_subword = corpus.subwords()
    model = _new_model(settings.model, src_subword, tgt_subword, seed=settings.seed)
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
    search: SearchConfig = settings.search
    precision = resolve_inference_precision(search.precision, device)

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
        return corpus_bleu(hypotheses, [references])

    return measure


def _dev_pairs(data: DataConfig, limit: int | None) -> list[Any]:
    return list(itertools.islice(read_pairs(split_files(data, data.dev)), limit))


class _StopFlag:
    """Set by the first Ctrl-C or SIGTERM; the second one does what it did before."""

    def __init__(self) -> None:
        self.signal_number = 0
        self.previous = {number: signal.signal(number, self.set) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def is_set(self) -> bool:
        return self.signal_number != 0

    def set(self, signal_number: int, _frame: object) -> None:
        if self.signal_number:
            self.restore()
            signal.raise_signal(signal_number)
        self.signal_number = signal_number
        # not by the logger: the signal may have come while it was writing
        with suppress(OSError):  # nobody may be listening
            os.write(2, f"{signal.Signals(signal_number).name}: saving a checkpoint, then stopping\n".encode())


@contextmanager
def _graceful_stop() -> Iterator[_StopFlag]:
    flag = _StopFlag()
    try:
        yield flag
    finally:
        flag.restore()


@contextmanager
def _sole_user(run_dir: Path) -> Iterator[None]:
    """Keep a second job from training in the same run directory at the same time."""
    lock = FileLock(run_dir / ".lock", timeout=0)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise CheckpointError(f"another job trains in {run_dir} right now: name another run_dir") from error
    except OSError as error:
        raise CheckpointError(
            f"{run_dir} must be writable, but is not ({error.strerror}): name another run_dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Write the log to a file as well."""
    handler = LogFileHandler(path)
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception as error:  # the console gets it from the door
        handler.handle(logging.makeLogRecord({"msg": f"training failed: {error}"}))
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
