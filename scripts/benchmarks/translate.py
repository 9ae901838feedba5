"""Speed of translation: sentences per second of `nmt translate`, compared with the limit of the machine."""

import gzip
import json
import zlib
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders import Contender, key_of, value_of
from benchmarks.limits import least_seconds, measure_rates, search_work, weights_of
from benchmarks.processes import BenchError, Finished, resolved_config, run_commands
from benchmarks.report import Sample, Table, measure_table
from benchmarks.text import RandomText

WARM_UP_SENTENCES = 32
SEARCH_SETTINGS = ("search", "checkpoints", "input", "device", "threads")
# An untrained model does not end its sentences: let them become as long as their sources.
UNTRAINED = ("search.max_len_ratio=1", "search.max_len_extra=0")


class Job(NamedTuple):
    """Settings of `nmt translate` for one contender, with files of one sentence, a few, and all of them."""

    contender: Contender
    settings: list[str]
    one: Path
    few: Path
    all: Path
    num_sentences: int
    output: Path
    beam_size: int
    batch_rows: int

    def command(self, source: Path) -> list[str]:
        return ["translate", *self.settings, f"input={source}", f"output={self.output}", "format=jsonl"]

    @property
    def checkpoints(self) -> list[Path]:
        names = value_of(self.settings, "checkpoints", "[]").removeprefix("[").removesuffix("]")
        return [Path(name.strip()) for name in names.split(",")]


def translate_table(jobs: Sequence[Job], *, repeats: int) -> Table:
    """Translate with all contenders alternately."""
    actions = {job.contender.name: partial(_measure, job) for job in jobs}
    return measure_table("Translation", "sentences/s", actions, repeats)


def translate_profile(job: Job) -> str:
    """Return the table of torch.profiler for the translation of all sentences, with the loading of the model."""
    return run_commands(job.contender.checkout, [job.command(job.few), job.command(job.all)], profile=True).profile


def make_job(contender: Contender, *, text: RandomText, sentences: int, folder: Path) -> Job:
    """Cut the text to translate, and make an untrained model if no checkpoint is given."""
    keys = [key_of(word) for word in contender.settings]
    if ("input" in keys) != ("checkpoints" in keys):
        raise BenchError("checkpoints= and input=, a file to translate, must be given both or neither")
    folder.mkdir(parents=True)
    settings = [word for word in contender.settings if key_of(word).split(".")[0] in SEARCH_SETTINGS]
    source = value_of(settings, "input", "")
    settings = [word for word in settings if key_of(word) != "input"]
    if not source:
        corpus = text.settings(contender)
        source = str(Path(value_of(corpus, "data.dir", "."), "test.src"))
        settings = [*UNTRAINED, *settings, f"checkpoints=[{_untrained(contender, corpus, folder / 'model')}]"]
    search = resolved_config(contender.checkout, ["translate", *settings])["search"]
    lines = first_sentences(source, sentences)
    if len(lines) < 2:
        raise BenchError(f"{source} must have at least two sentences, but has {len(lines)}")
    files = {"one": lines[:1], "few": lines[:WARM_UP_SENTENCES], "all": lines}
    for name, chosen in files.items():
        (folder / name).write_text("\n".join(chosen) + "\n", encoding="utf-8")
    paths = (folder / "one", folder / "few", folder / "all")
    output = folder / "translations.jsonl"
    return Job(contender, settings, *paths, len(lines), output, search["beam_size"], search["batch_rows"])


def first_sentences(source: str, number: int) -> list[str]:
    """Return the first lines of a text, plain or compressed by gzip, that are not empty."""
    opened = gzip.open if source.endswith(".gz") else open
    try:
        with opened(source, "rt", encoding="utf-8") as file:
            return list(islice((line for line in file.read().split("\n") if line.strip()), number))
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise BenchError(f"{source} must be UTF-8 text, plain or .gz, but cannot be read: {error}") from error


def _untrained(contender: Contender, corpus: Sequence[str], run_dir: Path) -> Path:
    """Train for one update that changes nothing."""
    words = ["training.bleu_every=null", *corpus, *contender.settings]
    limits = ["training.max_updates=1", "optimizer.lr=1e-30", f"run_dir={run_dir}"]
    run_commands(contender.checkout, [["train", *words, *limits]])
    return run_dir / "checkpoints" / "last"


def _measure(job: Job) -> Sample:
    """Translate all sentences; the time for a single one, mostly for loading the model, is subtracted."""
    commands = [job.command(source) for source in (job.few, job.one, job.one, job.all)]
    done = run_commands(job.contender.checkout, commands)
    _, *one, all_s = done.seconds
    one_s = min(one)
    if all_s <= one_s:
        raise BenchError("the sentences must take longer than loading the model: raise --sentences")
    return Sample((job.num_sentences - 1) / (all_s - one_s), _limit(job, done), done.peak_bytes)


def _limit(job: Job, done: Finished) -> float | None:
    """Return the limit in sentences/s: one row of one step for each token of a translation and each hypothesis.

    Sources are assumed to be as long as their translations.
    """
    lines = job.output.read_text(encoding="utf-8").splitlines()
    tokens = sum(json.loads(line)["hypotheses"][0]["num_tokens"] for line in lines)
    seconds = 0.0
    for checkpoint in job.checkpoints:
        weights = weights_of(checkpoint.resolve())
        work = search_work(weights, src_tokens=tokens, step_rows=job.beam_size * tokens, batch_rows=job.batch_rows)
        rates = measure_rates(work, done.precision, job.contender)
        if rates is None:
            return None
        seconds += least_seconds(work, rates)
    return len(lines) / seconds
