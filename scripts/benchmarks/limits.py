"""The limits of the machine: how fast it multiplies matrices, and how long the matmuls of a model take at that rate.

The work of a model is counted from the shapes of its weights in a checkpoint: a weight of I inputs and O outputs takes
2·I·O FLOP for each token. Element-wise operations, padding, clipping and the optimizer count as overhead, so that 100%
of the limit is out of reach.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.contenders import Contender, value_of
from benchmarks.processes import BenchError
from benchmarks.report import Sample, Table, measure_table

Action = Callable[[], object]

SENTENCES = 128  # rows of a recurrent matmul in training: a batch, one time step at a time
TOKENS = 2048  # rows of all other matmuls in training: a batch, all time steps at once
BACKWARD_PER_FORWARD = 2  # the gradients by the input and by the weight are matmuls of the same size
SECONDS_PER_RATE = 0.2
COPY_BYTES = 2**28


class Matmul(NamedTuple):
    rows: int
    inputs: int
    outputs: int

    @property
    def flop(self) -> float:
        return 2.0 * self.rows * self.inputs * self.outputs


Work = dict[Matmul, float]  # FLOP by the shape of the matmuls that they belong to


# --- The work of a model ---


def weights_of(checkpoint: Path) -> dict[str, tuple[int, int]]:
    """Return the shapes, outputs × inputs, of the weights that a checkpoint multiplies with: not of embeddings."""
    with safe_open(checkpoint / "model.safetensors", "pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # not a mapping
    return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2 and "embedding" not in name}


def training_work(weights: dict[str, tuple[int, int]], *, src_tokens: float, tgt_tokens: float) -> Work:
    """Count forward and backward passes over real tokens, EOS included."""
    work: Work = defaultdict(float)
    for name, (outputs, inputs) in weights.items():
        tokens = src_tokens if name.startswith("encoder") else tgt_tokens
        rows = SENTENCES if "weight_hh" in name else TOKENS
        work[Matmul(rows, inputs, outputs)] += (1 + BACKWARD_PER_FORWARD) * 2 * inputs * outputs * tokens
    return work


def search_work(weights: dict[str, tuple[int, int]], *, src_tokens: float, step_rows: float, batch_rows: int) -> Work:
    """Count the encoder's pass over the source, and the decoder's steps: one row is one hypothesis at one position."""
    work: Work = defaultdict(float)
    for name, (outputs, inputs) in weights.items():
        tokens = src_tokens if name.startswith("encoder") else step_rows
        work[Matmul(batch_rows, inputs, outputs)] += 2 * inputs * outputs * tokens
    return work


def least_seconds(work: Work, rates: dict[Matmul, float]) -> float:
    """Return how long some work takes at these rates (FLOP/s), if nothing else takes any time."""
    return sum(flop / rates[matmul] for matmul, flop in work.items())


# --- The rates of the machine ---


def device_of(contender: Contender) -> torch.device:
    """Return the device of a contender's settings, and let torch use as many threads as they say."""
    if threads := value_of(contender.settings, "threads", ""):
        torch.set_num_threads(int(threads))
    name = value_of(contender.settings, "device", "auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def measure_rates(work: Work, precision: str | None, contender: Contender) -> dict[Matmul, float] | None:
    """Return the FLOP/s of each matmul, by its fastest implementation; None for a precision the device lacks."""
    device = device_of(contender)
    rates = {}
    for matmul in work:
        actions = implementations(matmul, precision or "", device)
        if not actions:
            return None
        seconds = [seconds_per_call(action, device) for action in actions.values()]
        rates[matmul] = matmul.flop / min(seconds)
    return rates


@torch.inference_mode()
def seconds_per_call(action: Action, device: torch.device, *, seconds: float = SECONDS_PER_RATE) -> float:
    """Return the mean time of as many calls as fit in `seconds`, after a warm-up."""
    action()
    action()
    _synchronize(device)
    begin, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - begin < seconds:
        action()
        _synchronize(device)
        calls += 1
    return (time.perf_counter() - begin) / calls


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def implementations(matmul: Matmul, precision: str, device: torch.device) -> dict[str, Action]:
    """Return the implementations of a matmul that this device and this build of torch have, ready to call."""
    found: dict[str, Action] = {}
    for name, make in IMPLEMENTATIONS.get(precision, {}).items():
        try:
            action = make(matmul, device)
            action()
        except (RuntimeError, AttributeError, NotImplementedError):
            continue
        found[name] = action
    return found


def _operands(matmul: Matmul, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    input_NI = torch.randn(matmul.rows, matmul.inputs, device=device)
    weight_OI = torch.randn(matmul.outputs, matmul.inputs, device=device)
    return input_NI.to(dtype), weight_OI.to(dtype)


def _torch_mm(matmul: Matmul, device: torch.device, *, dtype: torch.dtype) -> Action:
    input_NI, weight_OI = _operands(matmul, dtype, device)
    return lambda: torch.mm(input_NI, weight_OI.t())


def _onednn(matmul: Matmul, device: torch.device, *, dtype: torch.dtype) -> Action:
    input_NI, weight_OI = _operands(matmul, dtype, device)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, None)
    return lambda: torch.ops.mkldnn._linear_pointwise(input_NI, packed, None, "none", [], "")


def _onednn_int8(matmul: Matmul, device: torch.device) -> Action:
    input_NI = torch.randint(0, 255, (matmul.rows, matmul.inputs), dtype=torch.uint8, device=device)
    weight_OI = torch.randint(-127, 127, (matmul.outputs, matmul.inputs), dtype=torch.int8, device=device)
    packed = torch.ops.onednn.qlinear_prepack(weight_OI, None)
    scale_O, zero_point_O = torch.ones(matmul.outputs), torch.zeros(matmul.outputs, dtype=torch.int64)
    return lambda: torch.ops.onednn.qlinear_pointwise(
        input_NI, 1.0, 128, packed, scale_O, zero_point_O, None, 1.0, 0, torch.float32, "none", [], ""
    )


IMPLEMENTATIONS: dict[str, dict[str, Callable[[Matmul, torch.device], Action]]] = {
    **{
        name: {"torch.mm": partial(_torch_mm, dtype=dtype), "oneDNN": partial(_onednn, dtype=dtype)}
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    },
    "int8": {"oneDNN": _onednn_int8},
}


# --- The subcommand ---


def parse_shapes(text: str) -> list[Matmul]:
    """Read shapes such as 128x512x2048,1x512x8000."""
    shapes = []
    for word in text.split(","):
        numbers = word.split("x")
        if len(numbers) != 3 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
            raise BenchError(f"--shapes must be ROWSxINPUTSxOUTPUTS,…, but one is {word!r}")
        shapes.append(Matmul(*map(int, numbers)))
    return shapes


def limits_tables(contender: Contender, *, shapes: Sequence[Matmul], repeats: int) -> list[Table]:
    """Measure matmuls of some shapes in every precision, and memory bandwidth."""
    device = device_of(contender)

    def table(title: str, unit: str, actions: Mapping[str, Action], amount: float) -> Table:
        rates = {name: partial(_rate, action, amount, device) for name, action in actions.items()}
        return measure_table(title, unit, rates, repeats)

    tables = []
    for matmul in shapes:
        actions = {
            f"{precision}, {name}": action
            for precision in IMPLEMENTATIONS
            for name, action in implementations(matmul, precision, device).items()
        }
        title = f"Matmul, {matmul.rows} rows x {matmul.inputs} inputs x {matmul.outputs} outputs"
        tables.append(table(title, "GFLOP/s", actions, matmul.flop / 1e9))
    source, target = (torch.zeros(COPY_BYTES // 4, device=device) for _ in range(2))
    copying = {"copy, read and written": lambda: target.copy_(source)}
    return [*tables, table("Memory bandwidth", "GB/s", copying, 2 * COPY_BYTES / 1e9)]


def _rate(action: Action, amount: float, device: torch.device) -> Sample:
    return Sample(amount / seconds_per_call(action, device))
