"""The command line of scripts/bench."""

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Table

SUBCOMMANDS = ("limits", "prepare", "train", "translate", "startup", "memory", "profile")

USAGE = """\
Measure nmt on this machine, beside what the machine can do.

usage: scripts/bench SUBCOMMAND [KEY=VALUE ...]

  limits     matrix products at the model's shapes, in each precision, and memory bandwidth
  prepare    pairs a second and peak memory of encoding text, at three sizes; learning subwords
  train      updates, tokens and FLOP a second, beside the limit of the products; padding; parts of an update
  translate  sentences a second at each beam and precision; a decoder step beside its limit; latency
  startup    seconds until something happens
  memory     bytes of a training update by kind; peak memory of a training process
  profile    where the time of an update, of an encoder or decoder layer, and of search goes
  all        all of them

Options:
  repeats=5            turns; contenders alternate, and the median and the spread of the turns are shown
  seconds=20           for a figure, over all turns
  sentences=500        that `translate` translates in a turn
  pairs=20000          of drawn data; of the built-in corpus in `prepare`
  checkpoints=[A,B]    what `translate`, `profile` and `startup` load, with input=FILE to translate; without them, a
                       model with drawn parameters reads drawn ids; text may be compressed (.gz)
  json=FILE            where samples, settings and machine go; bench/SUBCOMMAND-DATE.json without it
  quick=true           half a minute for a subcommand and a small model, to try it out: figures mean little

All else is a setting of `nmt train` (nmt train --help). A corpus that is named (data=…) is prepared and used; without
one, ids are drawn, with lengths as in Multi30k or, for words, as in the paper. A list for a setting of one value
compares the values:

  scripts/bench train model=lstm_2x512 'training.precision=[fp32,bf16]'
  scripts/bench train data=multi30k_en_de model=lstm_2x512
  scripts/bench train model=sutskever_2014 'batching.size=[128,256,512]'       # words, SGD and loss of the paper too
  scripts/bench translate 'checkpoints=[runs/first/checkpoints/best]' input=test.en 'search.beam_size=[1,12]'
"""


def run(arguments: Sequence[str]) -> int:
    """Measure, print tables and write JSON; returns the exit status."""
    if not arguments or arguments[0] == "help" or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    subcommand, *rest = arguments
    if subcommand not in (*SUBCOMMANDS, "all"):
        print(f"bench: there is no subcommand {subcommand!r}: use {', '.join(SUBCOMMANDS)} or all", file=sys.stderr)
        return 1
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from nmt.commands.explain import explain
    from nmt.errors import NmtError

    try:
        return _measure(subcommand, rest)
    except (NmtError, HydraException, OmegaConfBaseException, OSError) as error:
        print(f"bench: {' '.join(explain(error, 'train', rest).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130


def _measure(subcommand: str, arguments: Sequence[str]) -> int:
    import torch

    from benchmarks.options import Plan, read_arguments, search_variants, train_variants
    from benchmarks.report import describe_machine, format_table, load_average, machine_facts, now, write_json
    from nmt.errors import ConfigError

    line = read_arguments(arguments)
    plan = Plan(train_variants(line.overrides), search_variants(line.overrides), line.options)
    choices = {variant.settings.threads for variant in plan.training}
    if len(choices) > 1:
        raise ConfigError("threads must be one number: run the benchmark once for each, in turns")
    if (threads := choices.pop()) is not None:
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, but is {threads}")
        torch.set_num_threads(threads)
    facts = machine_facts(plan.training[0].device)
    print(describe_machine(facts) + "\n", flush=True)
    tables: list[Table] = []
    for name in SUBCOMMANDS if subcommand == "all" else [subcommand]:
        with _quiet():
            measured = importlib.import_module(f"benchmarks.{name}").run(plan)
        for table in measured:
            print(format_table(table), flush=True)
        tables += measured
    path = line.options.json or Path("bench") / f"{subcommand}-{now()}.json"
    content = {
        "subcommand": subcommand,
        "date": now(),
        "machine": facts,
        "options": {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(line.options).items()
        },
        "settings": [
            {"name": variant.name, "overrides": variant.overrides, "config_yaml": variant.config_yaml}
            for variant in (plan.search if subcommand == "translate" else plan.training)
        ],
    }
    facts["load_average_after"] = load_average()
    write_json(path, content, tables)
    print(f"samples, settings and machine: {path}", file=sys.stderr)
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nmt from warning of translations that reach their maximum length, as those of drawn parameters do."""
    logger = logging.getLogger("nmt")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
