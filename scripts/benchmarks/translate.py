"""Speed of translation: sentences a second, where the time goes, a decoder step beside its limit, and latency."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from benchmarks import flops
from benchmarks.limits import Precision, ProductLimit, decoding_products, least_seconds
from benchmarks.options import Options, Plan, Variant
from benchmarks.report import Row, Table, phase_rows, rate_row, time_row
from benchmarks.searching import (
    BOOKKEEPING,
    Counts,
    TimedEnsemble,
    TimedScorer,
    TimedSpelling,
    drawn_sources,
    scorers_of,
    without_end,
)
from benchmarks.timing import Laps, seconds_of, synchronize
from benchmarks.workload import drawn_lengths, ids_only, new_model, vocab_sizes
from nmt.config import ModelConfig, SearchConfig
from nmt.device import resolve_inference_precision
from nmt.errors import DataError
from nmt.search.beam import beam_search, check_search_config
from nmt.search.scorer import EncodedSource, EnsembleScorer, ModelScorer, StepScorer
from nmt.search.threads import choose_num_searches
from nmt.search.translator import Translator
from nmt.text.parallel import read_lines
from nmt.text.subword import BOS_ID, SubwordModel

_LATENCY_SENTENCES = 20
_STEP_SHARE = 0.05  # of a repeat's time, for decoder steps and for their limit


@dataclass(frozen=True)
class Models:
    """The models to translate with, or one with drawn parameters that reads drawn ids, and the same with clocks."""

    device: torch.device
    scorer: StepScorer[Any]
    timed: TimedScorer
    timed_scorer: StepScorer[Any]
    configs: list[ModelConfig]
    tgt_subword: SubwordModel
    lines: list[str]  # empty where ids are drawn
    sources: list[EncodedSource]
    origin: str

    def translate(
        self, search: SearchConfig, count: int, *, with_clocks: bool = False, spelling: Any = None
    ) -> list[Any]:
        """Translate the first `count` sentences; clocks see one search that has all threads."""
        scorer = self.timed_scorer if with_clocks else self.scorer
        num_searches = 1 if with_clocks else self.num_searches(search)
        if self.lines:
            translator = Translator(scorer, spelling or self.tgt_subword, search, num_searches=num_searches)
            return list(translator.translate(self.lines[:count]))
        return beam_search(scorer, self.sources[:count], search, num_searches=num_searches)

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(config.name for config in self.configs))

    def num_searches(self, search: SearchConfig) -> int:
        """Return how many searches nmt translate runs side by side."""
        return choose_num_searches(search, device=self.device, num_threads=torch.get_num_threads())


def build_models(variant: Variant, options: Options, precision: Precision) -> Models:
    """Load the checkpoints, or draw a model whose translations end at their maximum length alone."""
    device, laps, counts = variant.device, Laps(variant.device), Counts()
    if options.checkpoints:
        assert options.input is not None
        lines = [line for line in islice(read_lines(options.input), options.sentences) if line.strip()]
        if not lines:
            raise DataError(f"{options.input} must have at least one sentence, but has none")
        plain, timed = scorers_of(options.checkpoints, device=device, precision=precision, laps=laps, counts=counts)
        scorer: StepScorer[Any] = plain[0]
        timed_scorer: StepScorer[Any] = timed[0]
        if len(plain) > 1:
            average = variant.settings.search.ensemble_average
            scorer, timed_scorer = EnsembleScorer(plain, average=average), TimedEnsemble(timed, average=average)
        configs = [member.model.config for member in plain]
        origin = f"{options.input}, {len(lines)} lines; text in, text out"
        sources = scorer.encode_sources(lines)
        return Models(device, scorer, timed[0], timed_scorer, configs, plain[0].tgt_subword, lines, sources, origin)
    src_vocab_size, tgt_vocab_size = vocab_sizes(variant.settings.subword)
    model = without_end(new_model(variant, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size)).eval()
    src_subword, tgt_subword = ids_only(src_vocab_size), ids_only(tgt_vocab_size)

    def scorer_of(kind: Callable[..., ModelScorer]) -> ModelScorer:
        return kind(model, src_subword=src_subword, tgt_subword=tgt_subword, device=device, precision=precision)

    timed_one = scorer_of(lambda *args, **kwargs: TimedScorer(*args, laps=laps, counts=counts, **kwargs))
    assert isinstance(timed_one, TimedScorer)
    sources = drawn_sources(options.sentences, variant.settings.subword, src_vocab_size, seed=variant.settings.seed)
    origin = f"{len(sources)} drawn sentences; ids in, ids out; drawn parameters, no translation ends before its length"
    return Models(
        device, scorer_of(ModelScorer), timed_one, timed_one, [model.config], tgt_subword, [], sources, origin
    )


class Contender:
    """One beam, one precision."""

    def __init__(self, variant: Variant, options: Options, models: Models, precision: Precision) -> None:
        self.variant = variant
        self.options = options
        self.models = models
        self.precision = precision
        self.device = variant.device
        self.search = variant.settings.search
        if not models.lines:  # as long as a target sentence is on average
            lengths = drawn_lengths(variant.settings.subword)
            ratio = lengths.tgt_mean / lengths.src_mean
            self.search = replace(self.search, max_len_ratio=ratio, max_len_extra=0)
        check_search_config(self.search)
        self.name = f"beam {self.search.beam_size}, {precision}"
        self.num_sentences = len(models.sources)
        self.limit = ProductLimit(self._products(), precision, self.device)
        self.seconds: list[float] = []
        self.least: list[float] = []
        self.rates: list[dict[str, float]] = []
        self.phases: list[dict[str, float]] = []
        self.counts = Counts()

    def _products(self) -> list[Any]:
        rows = self.search.batch_rows
        return decoding_products(self.models.configs[0], self.models.scorer.tgt_vocab_size, rows)

    def warm_up(self) -> None:
        self.models.translate(self.search, min(8, self.num_sentences))

    def measure(self) -> None:
        """Measure the limit, then translate all sentences."""
        rates = self.limit.measure(_STEP_SHARE * self.options.slice_s)
        self.rates.append(rates)
        self.seconds.append(seconds_of(lambda: self.models.translate(self.search, self.num_sentences), self.device))
        self.least.append(self._least_seconds(rates))

    def measure_phases(self) -> None:
        """Translate with clocks."""
        timed = self.models.timed
        timed.laps.take()
        before = replace(timed.counts)
        spelling = TimedSpelling(self.models.tgt_subword, timed.laps)
        synchronize(self.device)
        begin = time.perf_counter()
        self.models.translate(self.search, self.num_sentences, with_clocks=True, spelling=spelling)
        synchronize(self.device)
        whole = time.perf_counter() - begin
        phases = timed.laps.take()
        self.phases.append({**phases, BOOKKEEPING: max(0.0, whole - sum(phases.values()))})
        self.counts = timed.counts.minus(before)

    def _least_seconds(self, rates: dict[str, float]) -> float:
        vocab_size, seconds = self.models.scorer.tgt_vocab_size, 0.0
        for config in self.models.configs:
            encoder = flops.recurrent_position(config).times(self._source_tokens())
            steps = flops.decode_step(config, vocab_size).times(self.counts.step_rows / len(self.models.configs))
            seconds += encoder.total / rates["gates"] + least_seconds(steps, rates)
        return seconds

    def _source_tokens(self) -> int:
        return sum(source.num_subwords + 1 for source in self.models.sources)

    # --- telling ---

    def speed_rows(self) -> list[Row]:
        count = self.num_sentences
        limits = [count / seconds for seconds in self.least]
        rows_per_step = self.counts.step_rows / max(1, self.counts.steps)
        note = f"{rows_per_step:.0f} rows a step, {self.counts.steps} steps"
        return [rate_row(self.name, "sentences/s", [count / s for s in self.seconds], limits=limits, note=note)]

    def phase_table(self) -> Table:
        rows = phase_rows(self.phases, per=[self.num_sentences] * len(self.phases))
        return Table(f"Where the time goes, {self.models.name}, {self.name} (share of the time; ms a sentence)", rows)


def step_rows(contender: Contender) -> list[Row]:
    """Time a decoder step of `batch_rows` rows and of one, network alone and with the ranking of candidates."""
    models, options, search = contender.models, contender.options, contender.search
    scorer, config = models.scorer, models.configs
    rows = []
    for num_rows in (search.batch_rows, 1):
        sources = [models.sources[index % len(models.sources)] for index in range(num_rows)]
        state, prev_N = scorer.start(sources), torch.full((num_rows,), BOS_ID)
        products = decoding_products(config[0], scorer.tgt_vocab_size, num_rows)
        limit = ProductLimit(products, contender.precision, contender.device)
        samples, least = [], []
        scorer.step(prev_N, state, search.beam_size + 1)
        for _ in range(options.repeats):
            rates = limit.measure(_STEP_SHARE * options.slice_s)
            count = 1 if options.quick else 10
            seconds = seconds_of(partial(_step, scorer, prev_N, state, search.beam_size + 1, count), contender.device)
            samples.append(1e3 * seconds / count)
            per_row = [flops.decode_step(each, scorer.tgt_vocab_size) for each in config]
            least.append(1e3 * sum(least_seconds(each.times(num_rows), rates) for each in per_row))
        mflop = sum(each.total for each in per_row) / 1e6
        rows.append(
            time_row(
                f"{num_rows} rows, {contender.precision}" if num_rows > 1 else f"1 row, {contender.precision}",
                "ms",
                samples,
                limits=least,
                note=f"{mflop:.1f} MFLOP a row",
            )
        )
    return rows


def _step(scorer: StepScorer[Any], prev_N: Tensor, state: Any, num_candidates: int, count: int) -> None:
    for _ in range(count):
        scorer.step(prev_N, state, num_candidates)


def latency_row(contender: Contender) -> Row:
    """Time one sentence at a time, greedily."""
    models, search = contender.models, replace(contender.search, beam_size=1, n_best=1)
    samples = []
    for index in range(min(_LATENCY_SENTENCES, contender.num_sentences)):
        one = replace(models, lines=models.lines[index : index + 1], sources=models.sources[index : index + 1])
        samples.append(1e3 * seconds_of(partial(one.translate, search, 1), contender.device))
    return time_row(f"one sentence, greedy, {contender.precision}", "ms", samples)


def build_contenders(variants: Sequence[Variant], options: Options) -> list[Contender]:
    """Make all contenders; those of one model and precision share it."""
    built: dict[str, Models] = {}
    contenders = []
    for variant in variants:
        precision = resolve_inference_precision(variant.settings.search.precision, variant.device)
        key = f"{precision} {variant.device} {variant.settings.model} {variant.settings.subword}"
        if key not in built:
            built[key] = build_models(variant, options, precision)
        contenders.append(Contender(variant, options, built[key], precision))
    return contenders


def run(plan: Plan) -> list[Table]:
    """Translate with all beams and precisions in turn."""
    contenders = build_contenders(plan.search, plan.options)
    several = {contender.precision: contender for contender in contenders}
    latency = [latency_row(each) for each in several.values()]
    for contender in contenders:
        contender.warm_up()
        contender.measure_phases()
    for _ in range(plan.options.repeats):
        for contender in contenders:
            contender.measure()
    first = contenders[0]
    notes = [
        f"{first.models.origin}; loading models not counted",
        "as many searches side by side as nmt translate makes; steps, rows and parts are those of one with all threads",
        "limit: what the products take at the fastest rates for search.batch_rows rows, measured in turn",
    ]
    step_note = "with softmax and top k; limit: the products alone, the input's too, which search looks up in a table"
    return [
        Table(
            f"Translation, {first.models.name}",
            [row for contender in contenders for row in contender.speed_rows()],
            notes,
        ),
        *(contender.phase_table() for contender in contenders),
        Table("A decoder step", [row for each in several.values() for row in step_rows(each)], [step_note]),
        Table("Latency", latency, ["one sentence after the other"]),
    ]
