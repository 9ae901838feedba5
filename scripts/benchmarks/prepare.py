"""Speed of preparation: encoding text at three sizes, with the memory that each takes, and learning subwords."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.isolated import Work, encode_pairs, in_child, learn
from benchmarks.options import Options, Plan, Variant
from benchmarks.report import Row, Table, rate_row, time_row
from nmt.corpus.binarized import PairLimits
from nmt.corpus.prepare import normalizations, num_processes, prepare, split_files, subword_spec
from nmt.phrasebook.pairs import generate
from nmt.text.parallel import ParallelFiles, read_pairs

MIB = 2**20
_BUILT_IN_VOCAB_SIZE = 1500  # conf/experiment/quickstart.yaml: the built-in corpus is too uniform for many subwords
_VOCAB_SIZES = ("vocab_size", "src_vocab_size", "tgt_vocab_size")
_SIZES = {"a quarter": 0.25, "half": 0.5, "all": 1.0}


def run(plan: Plan) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as name:
        return [table for variant in plan.training for table in _tables(variant, plan.options, Path(name))]


def _tables(variant: Variant, options: Options, folder: Path) -> list[Table]:
    files, origin = _text(variant, options, folder)
    num_pairs = sum(1 for _ in read_pairs(files))
    src_model, tgt_model, learned = _subwords(variant, files, num_pairs, options, folder)
    if options.quick:
        num_pairs = min(num_pairs, options.pairs)
    data = variant.settings.data
    limits = PairLimits(data.max_len_subwords, data.max_len_ratio)

    def encoder(count: int) -> Callable[[], Work]:
        return lambda: in_child(
            encode_pairs,
            files,
            count,
            src_model=src_model,
            tgt_model=tgt_model,
            limits=limits,
            num_processes=num_processes(),
            folder=folder / "split",
        )

    counts = {name: max(1, round(share * num_pairs)) for name, share in _SIZES.items()}
    works = _in_turn({name: encoder(count) for name, count in counts.items()}, options)
    rows = []
    for name, done in works.items():
        label = f"{name}: {counts[name]:,} pairs"
        rows.append(rate_row(label, "pairs/s", [counts[name] / work.seconds for work in done]))
        rows.append(time_row(f"{label}, peak memory", "MiB", [work.peak_bytes / MIB for work in done]))
    rows.append(time_row("memory before", "MiB", [work.before_bytes / MIB for done in works.values() for work in done]))
    processes = "in two processes where the text is long" if num_processes() == 2 else "in one process"
    notes = [f"{origin}; {variant.settings.subword.kind}; reading, segmenting, filtering and writing, {processes}"]
    encoding = Table(f"Encoding text {variant.name}".rstrip(), rows, notes)
    return [encoding, *learned]


def _text(variant: Variant, options: Options, folder: Path) -> tuple[ParallelFiles, str]:
    """Find the training text of the settings, or write the built-in corpus to `folder`."""
    data = variant.settings.data
    if variant.has_data:
        if data.generate is not None:
            prepare(data, variant.settings.subword)  # writes the text
        return split_files(data, data.train), data.name
    src, tgt = folder / "train.en", folder / "train.fr"
    with src.open("w", encoding="utf-8") as src_stream, tgt.open("w", encoding="utf-8") as tgt_stream:
        for pair in generate("train", options.pairs, seed=variant.settings.seed):
            src_stream.write(pair.src + "\n")
            tgt_stream.write(pair.tgt + "\n")
    return ParallelFiles((src,), (tgt,)), "the built-in corpus"


def _subwords(
    variant: Variant, files: ParallelFiles, num_pairs: int, options: Options, folder: Path
) -> tuple[Path, Path, list[Table]]:
    """Learn the subword models of the settings, with a clock, unless they name some."""
    config, data = variant.settings.subword, variant.settings.data
    if not variant.has_data:
        sizes = {key: min(getattr(config, key), _BUILT_IN_VOCAB_SIZE) for key in _VOCAB_SIZES}
        config = replace(config, **sizes)
    if config.src_model is not None and config.tgt_model is not None:
        return Path(config.src_model), Path(config.tgt_model), []
    target = {side: folder / f"{side}.subword" for side in ("both", "source", "target")}

    src_rule, tgt_rule = normalizations(config)

    def learner(paths: tuple[Path, ...], vocab_size: int, lang: str, side: str) -> Callable[[], Work]:
        spec = subword_spec(config, vocab_size, src_rule if side == "source" else tgt_rule)
        return lambda: in_child(learn, paths, spec, lang=lang, target=target[side])

    if config.joint:
        learners = {"both": learner(files.src + files.tgt, config.vocab_size, data.tgt_lang, "both")}
    else:
        learners = {
            "source": learner(files.src, config.src_vocab_size, data.src_lang, "source"),
            "target": learner(files.tgt, config.tgt_vocab_size, data.tgt_lang, "target"),
        }
    rows: list[Row] = []
    for side, done in _in_turn(learners, options).items():
        rows.append(time_row(f"{side}", "s", [work.seconds for work in done]))
        rows.append(time_row(f"{side}, peak memory", "MiB", [work.peak_bytes / MIB for work in done]))
    table = Table(f"Learning subwords {variant.name}".rstrip(), rows, [f"{config.kind}, {num_pairs:,} pairs"])
    ends = ("both", "both") if config.joint else ("source", "target")
    return target[ends[0]], target[ends[1]], [table]


def _in_turn(actions: dict[str, Callable[[], Work]], options: Options) -> dict[str, list[Work]]:
    """Work in turn, `repeats` times over, or until the seconds of all are spent."""
    deadline = time.perf_counter() + options.seconds * len(actions)
    works: dict[str, list[Work]] = {name: [] for name in actions}
    for _ in range(options.repeats):
        for name, action in actions.items():
            works[name].append(action())
        if time.perf_counter() > deadline:
            break
    return works
