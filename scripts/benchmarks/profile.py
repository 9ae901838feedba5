"""Where the time of an update and of search goes, part by part; and one recurrent layer, ours and torch's."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from nmt.model.lstm_layer import lstm_layer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks import flops, translate
from benchmarks.options import Options, Plan, Variant
from benchmarks.report import Row, Table, phase_rows, time_row
from benchmarks.timing import alternate, seconds_of, spread
from benchmarks.update import TimedBatches, update_phases
from benchmarks.workload import batch_shape, build_trainer, build_workload, draw_batches
from nmt.corpus.batching import plan_epoch
from nmt.device import has_fast_bf16

_SHORTEST = 0.5  # of the longest sentence, in a packed batch


def run(plan: Plan) -> list[Table]:
    tables = []
    for variant in plan.training:
        tables.append(_update_table(variant, plan.options))
        tables.append(_layer_table(variant, plan.options))
    for contender in translate.build_contenders(plan.search, plan.options):
        contender.warm_up()
        for _ in range(plan.options.repeats):
            contender.measure_phases()
        tables.append(contender.phase_table())
    return tables


def _update_table(variant: Variant, options: Options) -> Table:
    workload, settings = build_workload(variant, options), variant.settings
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        batches = TimedBatches(workload.corpus, settings.batching, seed=settings.seed)
        trainer = build_trainer(variant, workload, batches=batches, run_dir=Path(folder), stop_requested=lambda: False)
        trainer.model.train()
        update_phases(trainer, 1)
        warm_s = sum(update_phases(trainer, 1).values())
        count = max(1, int(options.slice_s / warm_s))
        samples = [update_phases(trainer, count) for _ in range(options.repeats)]
    corpus = workload.corpus
    lengths = np.asarray(corpus.src_len_P), np.asarray(corpus.tgt_len_P)

    def plan_one() -> int:
        return len(plan_epoch(*lengths, settings.batching, seed=1, epoch=0))  # type: ignore[arg-type]

    num_batches = plan_one()
    planning = [1e3 * seconds_of(plan_one, torch.device("cpu")) / num_batches for _ in range(options.repeats)]
    rows = phase_rows(samples, per=[count] * options.repeats)
    rows.append(time_row("planning an epoch, for each of its batches", "ms", planning))
    name = f"{settings.model.name} in {trainer.precision} {variant.name}".rstrip()
    notes = [
        f"{workload.origin}; each part waits for the one before it",
        "planned once an epoch, as part of the wait",
    ]
    return Table(f"An update, {name} (ms an update; share of all parts)", rows, notes)


# --- one layer ---


def _layer_table(variant: Variant, options: Options) -> Table:
    workload, config, device = build_workload(variant, options), variant.settings.model, variant.device
    shape = batch_shape(draw_batches(variant, workload, 100))
    hidden, rows = config.hidden_dim, max(1, round(shape.sentences))
    steps = max(2, round(shape.src_positions / shape.sentences))
    layer = nn.LSTM(hidden, hidden).to(device)
    input_TBE = torch.randn(steps, rows, hidden, device=device, requires_grad=True)
    lengths_B = torch.linspace(_SHORTEST * steps, steps, rows).round().long().clamp(1, steps)
    lengths_B[-1] = steps
    per_position = flops.recurrent_position(replace(config, num_layers=1, embedding_dim=hidden))
    actions: dict[str, Callable[[], object]] = {}
    positions: dict[str, int] = {}
    for lengths, label in ((None, "equal lengths"), (lengths_B, "packed")):
        num = rows * steps if lengths is None else int(lengths.sum())
        ways = {"torch's, fp32": _torch_layer(layer, input_TBE, lengths, bf16=False)}
        if has_fast_bf16(device):
            ways["torch's, bf16"] = _torch_layer(layer, input_TBE, lengths, bf16=True)
        if device.type == "cpu":
            ways["ours, fp32"] = _own_layer(layer, input_TBE, lengths)
        for way, action in ways.items():
            actions[f"{way}, {label}"] = action
            positions[f"{way}, {label}"] = num
    seconds = alternate(actions, repeats=options.repeats, slice_s=options.slice_s / 10, device=device)
    table_rows: list[Row] = []
    for name, samples in seconds.items():
        work = per_position.times((1 + flops.BACKWARD_PER_FORWARD) * positions[name])
        rate = work.total / spread(samples).median / 1e9
        table_rows.append(time_row(name, "ms", [1e3 * each for each in samples], note=f"{rate:.0f} GFLOP/s"))
    note = f"{rows} sentences, {steps} steps, {hidden} inputs and units"
    return Table(f"A recurrent layer, forward and backward, {config.name} {variant.name}".rstrip(), table_rows, [note])


def _torch_layer(layer: nn.LSTM, input_TBE: Tensor, lengths_B: Tensor | None, *, bf16: bool) -> Callable[[], object]:
    def both_ways() -> None:
        layer.zero_grad(set_to_none=True)
        input_TBE.grad = None
        with torch.autocast(input_TBE.device.type, torch.bfloat16, enabled=bf16):
            if lengths_B is None:
                output = layer(input_TBE)[0]
            else:
                output = layer(pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False))[0].data
        output.sum().backward()

    return both_ways


def _own_layer(layer: nn.LSTM, input_TBE: Tensor, lengths_B: Tensor | None) -> Callable[[], object]:
    num_steps, num_rows, hidden_dim = input_TBE.shape
    weight_ih_GE, weight_hh_GH, bias_ih_G, bias_hh_G = layer.all_weights[0]
    zeros_BH = torch.zeros(num_rows, hidden_dim)

    def both_ways() -> None:
        layer.zero_grad(set_to_none=True)
        input_TBE.grad = None
        values, sizes = input_TBE.flatten(0, 1), [num_rows] * num_steps
        if lengths_B is not None:
            packed = pack_padded_sequence(input_TBE, lengths_B, enforce_sorted=False)
            values, sizes = packed.data, packed.batch_sizes.tolist()
        output = lstm_layer(
            values,
            zeros_BH,
            zeros_BH,
            weight_ih_GE=weight_ih_GE,
            weight_hh_GH=weight_hh_GH,
            bias_G=bias_ih_G + bias_hh_G,
            batch_sizes=sizes,
        )
        output.h_PH.sum().backward()  # type: ignore[no-untyped-call]

    return both_ways
