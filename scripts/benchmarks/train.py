"""Speed of training: the trainer's own loop, the parts of an update, and the limit that its products set."""

import contextlib
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import flops
from benchmarks.limits import ProductLimit, least_seconds, training_products
from benchmarks.options import PAPER_MODEL, Options, Plan, Variant
from benchmarks.report import Row, Table, phase_rows, rate_row, time_row
from benchmarks.timing import Laps, synchronize
from benchmarks.update import (
    BACKWARD_PHASES,
    CLIPPING,
    COPY,
    DATA,
    FORWARD_PHASES,
    OPTIMIZER,
    TimedBatches,
    update_phases,
)
from benchmarks.workload import BatchShape, batch_shape, build_trainer, build_workload, draw_batches
from nmt.device import resolve_precision
from nmt.training.metrics_log import MetricsLog

MIB = 2**20
PAPER_EPOCHS, PAPER_WORDS = 7.5, 304e6 + 348e6  # Sutskever et al. 2014, §3.1 and §3.4: both sides of 12M pairs
_LIMIT_SHARE = 0.2  # of a repeat's time goes to measuring the limit
_PARTS_SHARE = 0.3  # and to taking updates apart
_WARM_UP_UPDATES = 3
_SHAPE_BATCHES = 200


class _EnoughError(Exception):
    """Ends the trainer's loop from inside, without the checkpoint that an orderly stop would write."""


class Chunk(NamedTuple):
    """What the trainer did between two looks at the clock; tokens include EOS."""

    seconds: float
    data_s: float
    updates: int
    sentences: int
    src_tokens: int
    tgt_tokens: int
    peak_bytes: int


class Contender:
    """One variant, made ready to train."""

    def __init__(self, variant: Variant, options: Options, run_dir: Path) -> None:
        settings, self.device = variant.settings, variant.device
        self.variant = variant
        self.options = options
        self.run_dir = run_dir
        self.workload = build_workload(variant, options)
        self.shape: BatchShape = batch_shape(draw_batches(variant, self.workload, _SHAPE_BATCHES))
        self.precision = resolve_precision(settings.training.precision, self.device)
        self.batches = TimedBatches(self.workload.corpus, settings.batching, seed=settings.seed)
        self.trainer = build_trainer(
            variant, self.workload, batches=self.batches, run_dir=run_dir, stop_requested=self._stop_requested
        )
        products = training_products(settings.model, self.workload.tgt_vocab_size, self.shape)
        self.limit = ProductLimit(products, self.precision, self.device)
        self.chunks: list[Chunk] = []
        self.rates: list[dict[str, float]] = []
        self.phases: list[dict[str, float]] = []
        self.phase_updates: list[float] = []
        self._asked = 0
        self._enough_after = 0
        self._deadline = 0.0

    # --- measuring ---

    def warm_up(self) -> None:
        self.train_for(0.0, at_least=1 if self.options.quick else _WARM_UP_UPDATES)

    def measure(self) -> None:
        """Measure the limit, the trainer and the parts of an update, one after the other."""
        slice_s = self.options.slice_s
        self.rates.append(self.limit.measure(_LIMIT_SHARE * slice_s))
        chunk = self.train_for((1 - _LIMIT_SHARE - _PARTS_SHARE) * slice_s, at_least=2)
        self.chunks.append(chunk)
        count = max(1, round(_PARTS_SHARE * slice_s * chunk.updates / chunk.seconds))
        self.trainer.model.train()
        self.phases.append(update_phases(self.trainer, count))
        self.phase_updates.append(count)

    def train_for(self, seconds: float, *, at_least: int) -> Chunk:
        """Let the trainer run its loop."""
        batches, laps = self.batches, Laps(torch.device("cpu"))  # handing out a batch does not wait for the GPU
        before = (batches.num_batches, batches.num_sentences, batches.src_tokens, batches.tgt_tokens)
        batches.laps = laps
        self._asked, self._enough_after = -1, at_least
        others_bytes = self._start_counting_memory()
        synchronize(self.device)
        begin = time.perf_counter()
        self._deadline = begin + seconds
        # no progress bar, whose lines would stand between the tables
        with contextlib.suppress(_EnoughError), contextlib.redirect_stderr(io.StringIO()):
            self.trainer.run()
        synchronize(self.device)
        took = time.perf_counter() - begin
        batches.laps = None
        after = (batches.num_batches, batches.num_sentences, batches.src_tokens, batches.tgt_tokens)
        num_batches, sentences, src_tokens, tgt_tokens = (b - a for a, b in zip(before, after, strict=True))
        updates = num_batches // self.trainer.config.accumulate
        peak = 0 if self.device.type == "cpu" else torch.cuda.max_memory_allocated(self.device) - others_bytes
        return Chunk(took, laps.take()[DATA], updates, sentences, src_tokens, tgt_tokens, peak)

    def _stop_requested(self) -> bool:
        self._asked += 1
        if self._asked >= self._enough_after and time.perf_counter() >= self._deadline:
            raise _EnoughError
        return False

    def _start_counting_memory(self) -> int:
        """Return what other contenders, and the products of the limit, hold on the GPU."""
        if self.device.type == "cpu":
            return 0
        torch.cuda.reset_peak_memory_stats(self.device)
        states = [value for state in self.trainer.optimizer.state.values() for value in state.values()]
        own = [*self.trainer.model.parameters(), *(value for value in states if isinstance(value, torch.Tensor))]
        own_bytes = sum(tensor.numel() * tensor.element_size() for tensor in own if tensor.is_cuda)
        return torch.cuda.memory_allocated(self.device) - own_bytes

    # --- telling ---

    def tables(self) -> list[Table]:
        title = f"Training, {self.variant.settings.model.name} in {self.precision} {self.variant.name}".rstrip()
        shape = self.shape
        notes = [
            f"{self.trainer.model.num_parameters():,} parameters on {self.device}; {self.workload.origin}; batches of "
            f"{shape.sentences:.0f} sentences, {shape.src_tokens:.0f} + {shape.tgt_tokens:.0f} tokens",
            "limit: what the products of the real tokens take at the fastest rates, measured in turn with the work",
        ]
        parts = Table(
            f"Parts of an update, {title.removeprefix('Training, ')} (share of all parts)",
            self._part_rows(),
            ["each part waits for the one before it"],
        )
        return [Table(title, [*self._speed_rows(), *self._size_rows()], notes), parts]

    def _speed_rows(self) -> list[Row]:
        chunks = self.chunks
        work = [self._flops(chunk) for chunk in chunks]
        least_s = [least_seconds(each, rates) for each, rates in zip(work, self.rates, strict=True)]

        def row(name: str, unit: str, amounts: Sequence[float]) -> Row:
            samples = [amount / chunk.seconds for amount, chunk in zip(amounts, chunks, strict=True)]
            limits = [amount / seconds for amount, seconds in zip(amounts, least_s, strict=True)]
            return rate_row(name, unit, samples, limits=limits)

        words = [chunk.src_tokens + chunk.tgt_tokens - 2 * chunk.sentences for chunk in chunks]
        rows = [
            row("updates", "/s", [chunk.updates for chunk in chunks]),
            row("target tokens", "/s", [chunk.tgt_tokens for chunk in chunks]),
            row("source + target tokens", "/s", [chunk.src_tokens + chunk.tgt_tokens for chunk in chunks]),
            row("source + target, without EOS", "/s", words),
            row("products", "GFLOP/s", [each.total / 1e9 for each in work]),
        ]
        if self.variant.settings.model.name == PAPER_MODEL:
            days = [PAPER_EPOCHS * PAPER_WORDS / words_per_s / 86_400 for words_per_s in rows[3].samples]
            rows.append(Row("7.5 epochs of the paper's 12M pairs", "days", days, note="652M words an epoch"))
        return rows

    def _flops(self, chunk: Chunk) -> flops.Flops:
        return flops.update(
            self.variant.settings.model,
            self.workload.tgt_vocab_size,
            src_tokens=chunk.src_tokens,
            tgt_tokens=chunk.tgt_tokens,
        )

    def _size_rows(self) -> list[Row]:
        chunks, shape = self.chunks, self.shape
        per_token = [self._flops(chunk).total / chunk.tgt_tokens / 1e6 for chunk in chunks]
        logging = log_seconds(self.run_dir, 3 if self.options.quick else 20) / self.trainer.config.log_every
        data = [chunk.data_s / chunk.seconds for chunk in chunks]
        update_s = [chunk.seconds / chunk.updates for chunk in chunks]
        rows = [
            Row("products of an update per target token", "MFLOP", per_token, note="forward a third"),
            time_row("an update", "ms", [1e3 * seconds for seconds in update_s]),
            Row("of it making batches", "%", [100 * share for share in data]),
            Row("of it logging", "%", [100 * logging / seconds for seconds in update_s]),
            Row("padding, source positions", "%", [100 * shape.src_padding_share], note="packed, not computed"),
            Row("padding, target positions", "%", [100 * shape.tgt_padding_share]),
            Row("padding, positions computed on both sides", "%", [100 * shape.computed_padding_share]),
            Row("batches of unequal source lengths", "%", [100 * shape.packed_share], note="packed"),
        ]
        if self.device.type == "cuda":
            rows.append(Row("peak GPU memory", "MiB", [chunk.peak_bytes / MIB for chunk in chunks]))
        return rows

    def _part_rows(self) -> list[Row]:
        groups = {
            "forward, and the gradient of softmax and loss": FORWARD_PHASES,
            "backward": BACKWARD_PHASES,
            "clipping": (CLIPPING,),
            "optimizer": (OPTIMIZER,),
            "batches": (DATA,),
            "copying to the device": (COPY,),
        }
        grouped = [
            {name: sum(phases.get(part, 0.0) for part in parts) for name, parts in groups.items() if parts[0] in phases}
            for phases in self.phases
        ]
        return phase_rows(grouped, per=self.phase_updates)


def log_seconds(folder: Path, count: int) -> float:
    """Time a line of the log in all its forms; it waits for no device."""
    record: dict[str, int | float | str] = {"kind": "train", "update": 1, "epoch": 0.1}
    figures = ("nats_per_token", "perplexity", "lr", "grad_norm", "src_tokens_per_s", "tgt_tokens_per_s", "wall_s")
    record |= dict.fromkeys(figures, 1.0)
    with contextlib.redirect_stderr(io.StringIO()):
        log = MetricsLog(folder, from_update=0)
        begin = time.perf_counter()
        for _ in range(count):
            log.write(record)
            log.show_progress(record, done=0.5, left_s=1.0)
        seconds = time.perf_counter() - begin
        log.close()
    return seconds / count


def run(plan: Plan) -> list[Table]:
    """Train all variants in turn, so that a slow minute hurts all alike."""
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        contenders = []
        for number, variant in enumerate(plan.training):
            run_dir = Path(folder) / str(number)
            run_dir.mkdir()
            contenders.append(Contender(variant, plan.options, run_dir))
        for contender in contenders:
            contender.warm_up()
        for _ in range(plan.options.repeats):
            for contender in contenders:
                contender.measure()
        return [table for contender in contenders for table in contender.tables()]
