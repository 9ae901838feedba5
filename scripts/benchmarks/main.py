"""The command line of scripts/bench."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.report import Table
    from benchmarks.text import RandomText
    from benchmarks.translate import Job

DESCRIPTION = """\
Measure the speed of nmt on this machine, beside what the machine can do.

  limits     matmuls of some shapes in each precision, and memory bandwidth
  prepare    seconds and memory of `nmt prepare`
  train      target tokens per second of `nmt train`, share of the limit, and memory
  translate  sentences per second of `nmt translate`, share of the limit, and memory
  startup    seconds until something happens
"""
EXAMPLES = """\
Words KEY=VALUE are settings of nmt. Without data=…, the text is random; without checkpoints=… and input=…, an untrained
model translates. Every measurement is a fresh process, and the contenders alternate.

examples:
  scripts/bench limits
  scripts/bench train data=multi30k_en_de model=lstm_2x512 subword.vocab_size=8000
  scripts/bench train --against ../before --repeats 7
  scripts/bench train --compare training.precision=fp32,bf16
  scripts/bench train experiment=sutskever_2014 --length 26 --updates 3
  scripts/bench translate 'checkpoints=[runs/first/checkpoints/best]' input=test.en --compare search=greedy,beam_5
  scripts/bench translate search=greedy search.batch_rows=1 --sentences 50        # latency
  scripts/bench train --profile                                                   # time and memory of each operation
"""
# input, recurrent and output matmuls of lstm_2x512 in training; gates and output in search, of 512 rows and of one
SHAPES = "2048x512x2048,128x512x2048,2048x512x8000,512x512x2048,512x512x8000,1x512x2048,1x512x8000"


def run(arguments: Sequence[str]) -> int:
    """Measure, print tables and write JSON; return the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    from benchmarks.processes import BenchError

    try:
        return _measure(options)
    except (BenchError, OSError, UnicodeDecodeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subcommand", choices=["limits", "prepare", "train", "translate", "startup"])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of nmt")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], metavar="PATH", help="another checkout to compare with"
    )
    parser.add_argument(
        "--compare", action="append", default=[], metavar="KEY=A,B", help="settings to compare with each other"
    )
    parser.add_argument("--repeats", type=_count, default=5, help="processes of each contender (default: 5)")
    parser.add_argument("--updates", type=_count, default=20, help="that a process trains after 3 of warm-up (20)")
    parser.add_argument("--sentences", type=_count, default=500, help="that a process translates (500)")
    parser.add_argument("--pairs", type=_count, default=20_000, help="of random text (20,000)")
    parser.add_argument("--length", type=_count, help="mean number of words of its sources (14.3)")
    parser.add_argument("--shapes", default=SHAPES, help="of `limits`: rows x inputs x outputs (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="show torch.profiler's table of one process instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, contenders and samples to a file")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r}")
    return int(text)


def _measure(options: argparse.Namespace) -> int:
    from benchmarks.contenders import contenders
    from benchmarks.report import NOTES, describe_machine, format_table, write_json

    compared = contenders(options.settings, against=options.against, compare=options.compare)
    machine = describe_machine(compared)
    print("\n".join(f"{name}: {value}" for name, value in machine.items() if value is not None) + "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        if options.profile:
            print(_profile(options, compared[0], Path(folder)))
            return 0
        tables = _tables(options, compared, Path(folder))
    print("\n".join([*map(format_table, tables), NOTES]), end="")
    if options.json:
        write_json(options.json, machine, compared, tables)
    return 0


def _tables(options: argparse.Namespace, compared: "list[Contender]", folder: Path) -> "list[Table]":
    """Run a subcommand; modules are imported here, so that --help needs no torch."""
    from benchmarks.limits import limits_tables, parse_shapes
    from benchmarks.prepare import prepare_table
    from benchmarks.startup import startup_tables
    from benchmarks.train import train_table
    from benchmarks.translate import translate_table

    repeats, data = options.repeats, _corpus(options, folder)
    match options.subcommand:
        case "limits":
            return limits_tables(compared[0], shapes=parse_shapes(options.shapes), repeats=repeats)
        case "prepare":
            return [prepare_table(compared, data=data, repeats=repeats, folder=folder)]
        case "train":
            return [train_table(compared, data=data, updates=options.updates, repeats=repeats, folder=folder)]
        case "translate":
            return [translate_table(_jobs(options, compared, folder), repeats=repeats)]
        case _:
            return startup_tables(_jobs(options, compared, folder), repeats=repeats)


def _profile(options: argparse.Namespace, contender: "Contender", folder: Path) -> str:
    from benchmarks.processes import BenchError
    from benchmarks.train import train_profile
    from benchmarks.translate import translate_profile

    match options.subcommand:
        case "train":
            data = _corpus(options, folder)
            return train_profile(contender, data=data, updates=options.updates, folder=folder)
        case "translate":
            return translate_profile(_jobs(options, [contender], folder)[0])
    raise BenchError(f"--profile is for train and translate, but the subcommand is {options.subcommand}")


def _text(options: argparse.Namespace, folder: Path) -> "RandomText":
    from benchmarks.text import MEAN_LENGTH, RandomText

    num_pairs = max(options.pairs, options.sentences)
    return RandomText(folder / "text", num_pairs, mean_length=options.length or MEAN_LENGTH)


def _corpus(options: argparse.Namespace, folder: Path) -> "Callable[[Contender], list[str]]":
    """Return the function that gives the settings of a contender's corpus: none if data=… is given."""
    from benchmarks.contenders import key_of

    if "data" in map(key_of, [*options.settings, *options.compare]):
        return lambda _: []
    return _text(options, folder).settings


def _jobs(options: argparse.Namespace, compared: "list[Contender]", folder: Path) -> "list[Job]":
    from benchmarks.translate import make_job

    text = _text(options, folder)
    return [
        make_job(contender, text=text, sentences=options.sentences, folder=folder / f"job{number}")
        for number, contender in enumerate(compared)
    ]
