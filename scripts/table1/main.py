"""The command line of scripts/reproduce_table1."""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from nmt.errors import ConfigError, DataError, NmtError
from nmt.files import atomic_write
from nmt.processors import num_processors
from table1.plan import AVERAGE, Kind, Plan

if TYPE_CHECKING:
    from nmt.command_config import TrainCommand
    from nmt.config import DataConfig
    from table1.measurements import EvaluatedText

DESCRIPTION = """\
Train, translate and compare the systems of Table 1 of Sutskever, Vinyals & Le 2014, and some more.

Words KEY=VALUE are settings of nmt train for all models. Without them, the models of conf/experiment/table1.yaml learn
the built-in phrasebook of longer sentences, in about an hour on two slow cores. Everything is kept in --folder: the
command, repeated, does only what is missing, whenever it was stopped or killed. The table goes to stdout, and beside
it to FOLDER/table1.json.
"""
EXAMPLES = """\
examples:
  scripts/reproduce_table1
  scripts/reproduce_table1 data.generate.train_pairs=10000 --folder runs/small --reversed 2 --forward 1
  scripts/reproduce_table1 experiment=multi30k_en_de_2014 training.keep_last=4 --attention experiment=multi30k_en_de
  scripts/reproduce_table1 experiment=tatoeba_en_fr_2014 --source dev.en.gz --reference dev.fr.gz --average 0
"""


def run(arguments: Sequence[str]) -> int:
    """Do what is missing, print the table and write JSON; return the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        with _interruptible():
            _reproduce(options)
    except (NmtError, OSError) as error:
        print(f"reproduce_table1: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce_table1: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block like Ctrl-C, so that the trainings save checkpoints."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:  # nohup
                signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce_table1",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of nmt train")
    parser.add_argument("--folder", type=_path, default=Path("runs/table1"), help="for everything (%(default)s)")
    parser.add_argument("--reversed", type=_count, default=5, metavar="N", help="models with a reversed source (5)")
    parser.add_argument("--forward", type=_count, default=2, metavar="N", help="models with a forward source (2)")
    parser.add_argument("--average", type=_count, default=4, metavar="N", help="checkpoints of a model to average (4)")
    parser.add_argument(
        "--attention",
        metavar="'KEY=VALUE …'",
        help="settings of the model with attention, beside those above; '': no such model (default: "
        "experiment=table1_attention, or '' if an experiment or a setting of the model is given)",
    )
    parser.add_argument("--jobs", type=_count, default=None, metavar="N", help="models trained at a time (one a core)")
    parser.add_argument("--source", type=_path, metavar="FILE", help="test set instead of data.test")
    parser.add_argument("--reference", type=_path, metavar="FILE", help="its translation")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, but is {text!r}")
    return int(text)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _reproduce(options: argparse.Namespace) -> None:
    from table1.training import key_of, train_missing, with_changes

    keys = {*map(key_of, options.settings)}
    words = [*options.settings] if "experiment" in keys else ["experiment=table1", *options.settings]
    is_own_model = any(key == "experiment" or key.partition(".")[0] == "model" for key in keys)
    attention = [] if is_own_model else ["experiment=table1_attention"]
    if options.attention is not None:
        attention = _words(options.attention)
    settings = _composed(words)
    if attention:
        _composed(with_changes(words, attention))
    _check(options, settings)
    if options.source is not None or settings.data.generate is None:
        _read_test_set(options, settings.data)  # finds what is wrong with it
    plan = Plan(options.reversed, options.forward, options.average, with_attention=bool(attention))
    _check_same_settings(options.folder, {"settings": words, "attention": attention})
    jobs = options.jobs or num_processors()
    train_missing(plan.models(), options.folder, words, attention=attention, num_jobs=jobs)
    _compare(plan, options.folder, settings, _read_test_set(options, settings.data))


def _words(attention: str) -> list[str]:
    try:
        return shlex.split(attention)
    except ValueError as error:
        raise ConfigError(
            f"--attention must be settings, quoted as for a shell, but is {attention!r}: {error}"
        ) from error


def _composed(words: Sequence[str]) -> "TrainCommand":
    """Return all settings of models, checked, so that mistakes are found before the first hour."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from nmt.commands.arguments import read_arguments
    from nmt.commands.compose import compose_settings, to_settings
    from nmt.commands.explain import explain
    from nmt.commands.train_conflicts import check_conflicts

    try:
        settings: TrainCommand = to_settings(compose_settings("train", read_arguments("train", words).for_composing))[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, "train", words)) from error
    check_conflicts(settings)
    return settings


def _check(options: argparse.Namespace, settings: "TrainCommand") -> None:
    if options.reversed + options.forward == 0:
        raise ConfigError("--reversed or --forward must be at least 1, but both are 0: there is nothing to train")
    if (options.source is None) != (options.reference is None):
        raise ConfigError("--source and --reference must be given both or neither")
    data = settings.data
    has_test_set = bool(data.test.src or data.test.tsv) and (data.generate is None or data.generate.test_pairs > 0)
    if options.source is None and not has_test_set:
        raise ConfigError(f"data={data.name} has no test set: give --source FILE and --reference FILE")
    if options.reversed and options.average > max(1, settings.training.keep_last):
        raise ConfigError(
            f"training.keep_last must be at least --average ({options.average}), but is {settings.training.keep_last}: "
            f"add training.keep_last={options.average}"
        )


def _check_same_settings(folder: Path, settings: Mapping[str, list[str]]) -> None:
    """Compare the settings with those of earlier starts; the numbers of models may change, attention may be added.

    Raises:
        ConfigError: if they differ.
    """
    file = folder / "settings.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {**settings, "attention": []}
    if before["settings"] != settings["settings"]:
        raise ConfigError(
            f"{folder} was begun with {shlex.join(before['settings'])}, but the settings are "
            f"{shlex.join(settings['settings'])}: name another --folder"
        )
    if settings["attention"] and before["attention"] not in ([], settings["attention"]):
        raise ConfigError(
            f"{folder} was begun with --attention {shlex.quote(shlex.join(before['attention']))}: name another --folder"
        )
    if not file.is_file() or (settings["attention"] and not before["attention"]):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            stream.write(json.dumps(settings, indent=1).encode())


def _read_test_set(options: argparse.Namespace, data: "DataConfig") -> "EvaluatedText":
    """Read the test set.

    Raises:
        DataError: if it cannot be read, or is empty.
    """
    from nmt.corpus.prepare import split_files
    from nmt.text.parallel import ParallelFiles, TextFiles, check_files_exist, read_pairs
    from table1.measurements import EvaluatedText

    if options.source is None:
        files = split_files(data, data.test)
    else:
        files = ParallelFiles(TextFiles((options.source,)), TextFiles((options.reference,)))
    check_files_exist([files])
    pairs = [*read_pairs(files)]
    if not pairs:
        raise DataError(f"the test set must have at least one sentence pair, but {files.src.paths[0]} has none")
    return EvaluatedText([pair.src for pair in pairs], [pair.tgt for pair in pairs])


def _compare(plan: Plan, folder: Path, settings: "TrainCommand", test: "EvaluatedText") -> None:
    from nmt.evaluation.metrics import MetricOptions
    from nmt.evaluation.tokenizer import AUTO, resolve_tokenizer
    from table1.measurements import Machine, average, perplexity_of, translations
    from table1.table import as_text, build_table

    machine = Machine(settings.device, settings.threads or num_processors())
    systems = {model.name: folder / model.name / "checkpoints" / "best" for model in plan.models()}
    if any(row.key == AVERAGE for row in plan.rows()):
        systems[AVERAGE] = folder / AVERAGE
        number = average(folder / f"{Kind.reversed}-seed1", systems[AVERAGE], number=plan.num_averaged)
        plan = replace(plan, num_averaged=number)  # a short training has fewer
    measured, perplexities = {}, {}
    for row in plan.rows():
        checkpoints = [systems[name] for name in row.systems]
        file = folder / "translations" / f"{row.key}.json"
        measured[row.key] = translations(row, checkpoints, file, test=test, machine=machine)
        if len(checkpoints) == 1:
            file = folder / "perplexities" / f"{row.key}.json"
            perplexities[row.key] = perplexity_of(checkpoints[0], file, test=test, machine=machine)
    tokenizer = resolve_tokenizer(AUTO, lang=settings.data.tgt_lang)
    table = build_table(
        plan,
        measured,
        perplexities,
        test=test,
        options=MetricOptions(bleu_tokenize=tokenizer, lowercase=False),
        training={model.name: _about_run(folder / model.name) for model in plan.models()},
    )
    with atomic_write(folder / "table1.json") as stream:
        stream.write(json.dumps(asdict(table), ensure_ascii=False, indent=1).encode())
    print(as_text(table), end="")


def _about_run(run_dir: Path) -> dict[str, Any]:
    from nmt.training.checkpoint import read_info
    from nmt.training.checkpoint_links import read_checkpoint

    last = read_checkpoint(run_dir / "checkpoints" / "last", read_info)
    best = read_checkpoint(run_dir / "checkpoints" / "best", read_info)
    return {
        "updates": last.update,
        "epochs": last.epochs,
        "wall_s": last.wall_s,
        "best_update": best.update,
        "dev_perplexity": best.scores["perplexity"],
    }
