"""The limits of the machine: matrix products at the model's own shapes, and memory bandwidth.

Shapes: N rows, I inputs, O outputs of a product.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmarks.flops import Flops
from benchmarks.options import Options, Plan, Variant, search_precisions
from benchmarks.report import Row, Table, rate_row
from benchmarks.timing import alternate
from benchmarks.workload import BatchShape, Workload, batch_shape, build_workload, draw_batches, vocab_sizes
from nmt.config import ModelConfig
from nmt.device import InferencePrecision, has_fast_bf16

Precision = InferencePrecision
Action = Callable[[], object]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_MOST_LOGITS = 64_000_000  # of a product that is measured: 256 MiB in fp32
_SQUARE = {"cpu": 2048, "cuda": 8192}
_COPY_BYTES = {"cpu": 256 * 2**20, "cuda": 4 * 2**30}


class Product(NamedTuple):
    """A matrix product, `(N, I) × (I, O)`, and what in the model takes it."""

    use: Literal["input", "recurrent", "output", "gates", "square"]
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> float:
        return 2.0 * self.rows * self.inner * self.columns

    def __str__(self) -> str:
        return f"{self.rows} x {self.inner} x {self.columns}"


def training_products(config: ModelConfig, tgt_vocab_size: int, batch: BatchShape) -> list[Product]:
    """List the products of a forward pass: input products take all time steps at once."""
    hidden = config.hidden_dim
    positions = round(max(batch.src_positions, batch.tgt_positions))
    tokens = min(round(batch.tgt_tokens), _MOST_LOGITS // tgt_vocab_size)
    return [
        Product("input", positions, config.embedding_dim, 4 * hidden),
        Product("recurrent", round(batch.sentences), hidden, 4 * hidden),
        Product("output", max(1, tokens), hidden, tgt_vocab_size),
    ]


def decoding_products(config: ModelConfig, tgt_vocab_size: int, rows: int) -> list[Product]:
    """List the products of a decoder step: the gates of a layer are one product of input and state together."""
    hidden = config.hidden_dim
    return [Product("gates", rows, 2 * hidden, 4 * hidden), Product("output", rows, hidden, tgt_vocab_size)]


# --- ways to multiply ---


def multipliers(product: Product, precision: Precision, device: torch.device) -> dict[str, Action]:
    """Return every way that this device has to make the product; none where it lacks the precision."""
    if precision == "int8":
        return {} if device.type != "cpu" else _if_it_runs({"oneDNN": _int8(product)})
    dtype = _DTYPES[precision]
    input_NI = torch.randn(product.rows, product.inner, device=device).to(dtype)
    weight_OI = torch.randn(product.columns, product.inner, device=device).to(dtype)
    result_NO = torch.empty(product.rows, product.columns, dtype=dtype, device=device)
    ways: dict[str, Action] = {"torch.mm": lambda: torch.mm(input_NI, weight_OI.t(), out=result_NO)}
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        ways["oneDNN"] = _onednn(input_NI, weight_OI)
    return _if_it_runs(ways)


def _onednn(input_NI: Tensor, weight_OI: Tensor) -> Action:
    packed: list[Tensor] = []

    def multiply() -> Tensor:
        if not packed:
            packed.append(torch.ops.mkldnn._reorder_linear_weight(weight_OI, None))
        result: Tensor = torch.ops.mkldnn._linear_pointwise(input_NI, packed[0], None, "none", [], "")
        return result

    return multiply


def _int8(product: Product) -> Action:
    input_NI = torch.randint(0, 255, (product.rows, product.inner), dtype=torch.uint8)
    weight_OI = torch.randint(-127, 127, (product.columns, product.inner), dtype=torch.int8)
    scale_O, zero_point_O = torch.ones(product.columns), torch.zeros(product.columns, dtype=torch.int64)
    packed: list[Tensor] = []

    def multiply() -> Tensor:
        if not packed:
            packed.append(torch.ops.onednn.qlinear_prepack(weight_OI, None))
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            input_NI, 1.0, 128, packed[0], scale_O, zero_point_O, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return result

    return multiply


def _if_it_runs(ways: dict[str, Action]) -> dict[str, Action]:
    """Leave out what this processor, or this build of torch, cannot do."""
    running = {}
    for name, action in ways.items():
        try:
            with torch.inference_mode():
                action()
        except (RuntimeError, AttributeError, NotImplementedError):
            continue
        running[name] = action
    return running


# --- the limit of a piece of work ---


class ProductLimit:
    """The rate of the fastest way to make each product, measured in turn with the work that it limits."""

    def __init__(self, products: Sequence[Product], precision: Precision, device: torch.device) -> None:
        self.device = device
        self._products = {product.use: product for product in products}
        self._ways = {product.use: multipliers(product, precision, device) for product in products}

    @torch.inference_mode()
    def measure(self, slice_s: float) -> dict[str, float]:
        """Return FLOP/s by use; `slice_s` is shared by all ways to make all products."""
        actions = {(use, way): action for use, ways in self._ways.items() for way, action in ways.items()}
        each_s = slice_s / max(1, len(actions))
        named = {f"{use} {way}": action for (use, way), action in actions.items()}
        seconds = alternate(named, repeats=1, slice_s=each_s, device=self.device)
        rates: dict[str, float] = {}
        for use, way in actions:
            rate = self._products[use].flops / seconds[f"{use} {way}"][0]
            rates[use] = max(rates.get(use, 0.0), rate)
        return rates


def least_seconds(flops: Flops, rates: Mapping[str, float]) -> float:
    """Return how long the products of some work take at these rates, if nothing else took any time."""
    gates = rates.get("gates", 0.0)
    return (
        flops.input / (rates.get("input") or gates)
        + flops.recurrent / (rates.get("recurrent") or gates)
        + flops.output / rates["output"]
    )


# --- the subcommand ---


def run(plan: Plan) -> list[Table]:
    tables = []
    for variant in plan.training:
        tables.append(_training_table(variant, build_workload(variant, plan.options), plan.options))
    _, tgt_vocab_size = vocab_sizes(plan.search[0].settings.subword)
    for rows in dict.fromkeys(variant.settings.search.batch_rows for variant in plan.search):
        tables.append(_decoding_table(plan.search[0], tgt_vocab_size, rows, plan.options))
    return [*tables, _bandwidth_table(plan.training[0].device, plan.options)]


def _training_table(variant: Variant, workload: Workload, options: Options) -> Table:
    config, device = variant.settings.model, variant.device
    shape = batch_shape(draw_batches(variant, workload, 100))
    side = _SQUARE[device.type] if not options.quick else 256
    products = [
        Product("square", side, side, side),
        *training_products(config, workload.tgt_vocab_size, shape),
    ]
    precisions: list[Precision] = ["fp32", "bf16"]
    rows = _product_rows(products, precisions, device, options)
    notes = [f"{workload.origin}; batches of {shape.sentences:.0f} sentences, rows x inputs x outputs"]
    if not has_fast_bf16(device):
        notes.append("this processor does not multiply bf16 in hardware: precision=auto takes fp32")
    return Table(f"Products in training, {config.name} {variant.name}".rstrip(), rows, notes)


def _decoding_table(variant: Variant, tgt_vocab_size: int, batch_rows: int, options: Options) -> Table:
    config, device = variant.settings.model, variant.device
    rows = []
    for count in (batch_rows, 1):
        products = decoding_products(config, tgt_vocab_size, count)
        rows += _product_rows(products, search_precisions(device), device, options)
    return Table(f"Products in decoding, {config.name}", rows, ["rows x inputs x outputs"])


def _product_rows(
    products: Sequence[Product], precisions: Sequence[Precision], device: torch.device, options: Options
) -> list[Row]:
    rows = []
    for product in products:
        actions: dict[str, Action] = {}
        for precision in precisions:
            for way, action in multipliers(product, precision, device).items():
                actions[f"{product.use} {product}, {precision}, {way}"] = action
        with torch.inference_mode():
            slice_s = options.slice_s / 5 / max(1, len(actions))
            seconds = alternate(actions, repeats=options.repeats, slice_s=slice_s, device=device)
        for name, samples in seconds.items():
            rows.append(rate_row(name, "GFLOP/s", [product.flops / sample / 1e9 for sample in samples]))
    return rows


def _bandwidth_table(device: torch.device, options: Options) -> Table:
    num_bytes = _COPY_BYTES[device.type] if not options.quick else 16 * 2**20
    source, target = (torch.zeros(num_bytes // 4, device=device) for _ in range(2))
    actions: dict[str, Action] = {"copy (read and written)": lambda: target.copy_(source), "read": lambda: source.sum()}
    seconds = alternate(actions, repeats=options.repeats, slice_s=options.slice_s / 10, device=device)
    moved = {"copy (read and written)": 2 * num_bytes, "read": num_bytes}
    rows = [
        rate_row(name, "GB/s", [moved[name] / sample / 1e9 for sample in samples]) for name, samples in seconds.items()
    ]
    return Table("Memory bandwidth", rows, [f"{num_bytes // 2**20} MiB a buffer; reading sums floats"])
