"""Memory of training: the bytes of an update by kind, and the peak of a training process."""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.isolated import Work, in_child, peak_rss_bytes
from benchmarks.options import Options, Plan, Variant
from benchmarks.report import Row, Table, time_row
from benchmarks.timing import Laps
from benchmarks.update import TimedBatches, take_update
from benchmarks.workload import Workload, build_trainer, build_workload, draw_batches
from nmt.corpus.batching import Batch
from nmt.training.loss import token_loss
from nmt.training.trainer import Trainer

MIB = 2**20
_SAMPLED_BATCHES = 200
_CHILD_UPDATES = 20


def run(plan: Plan) -> list[Table]:
    return [_table(variant, plan.options) for variant in plan.training]


def _table(variant: Variant, options: Options) -> Table:
    workload = build_workload(variant, options)
    largest = max(draw_batches(variant, workload, _SAMPLED_BATCHES), key=_positions)
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        trainer = _trainer(variant, workload, Path(folder))
        kinds = account(trainer, largest)
    rows = [Row(name, "MiB", [count / MIB]) for name, count in kinds.items()]
    rows.append(Row("together", "MiB", [sum(kinds.values()) / MIB]))
    if trainer.device.type == "cuda":
        rows.append(Row("peak GPU memory of updates", "MiB", [_gpu_peak(trainer) / MIB]))
    count = 2 if options.quick else _CHILD_UPDATES
    works = [
        in_child(train_in_child, variant, options, count, threads=torch.get_num_threads())
        for _ in range(1 if options.quick else options.repeats)
    ]
    rows.append(time_row("a training process before its model", "MiB", [work.before_bytes / MIB for work in works]))
    rows.append(time_row("its peak, resident", "MiB", [work.peak_bytes / MIB for work in works]))
    notes = [
        f"{trainer.model.num_parameters():,} parameters on {trainer.device} in {trainer.precision}; {workload.origin}",
        f"largest of {_SAMPLED_BATCHES} batches: {largest.num_sentences} sentences, {_positions(largest):,} positions",
    ]
    return Table(f"Memory of training, {variant.settings.model.name} {variant.name}".rstrip(), rows, notes)


def _positions(batch: Batch) -> int:
    return batch.src_BS.numel() + batch.tgt_in_BT.numel()


def _trainer(variant: Variant, workload: Workload, run_dir: Path) -> Trainer:
    batches = TimedBatches(workload.corpus, variant.settings.batching, seed=variant.settings.seed)
    return build_trainer(variant, workload, batches=batches, run_dir=run_dir, stop_requested=lambda: False)


def account(trainer: Trainer, batch: Batch) -> dict[str, int]:
    """Count bytes by kind: tensors, not what the allocator or the libraries take besides."""
    model, device = trainer.model, trainer.device
    model.train()
    take_update(trainer, Laps(device))  # now the optimizer has its state
    batch = batch.to(device)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    own |= {tensor.untyped_storage().data_ptr() for tensor in batch}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast(device.type, torch.bfloat16, enabled=trainer.precision == "bf16"),
    ):
        hidden_MH = model(batch)
        loss = token_loss(hidden_MH, model.decoder.output, batch.tgt_token_M, label_smoothing=0.0, scale=1.0)
    # the loss has taken its gradients already; those by parameters become the parameters' own
    loss_gradients = loss.objective.grad_fn.gradients  # type: ignore[union-attr]
    kept_s = {
        "kept for the backward pass: network": sum(kept.values()),
        "kept for the backward pass: gradient by the loss's states": _bytes([loss_gradients.hidden_MH]),
    }
    loss.objective.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    states = [value for state in trainer.optimizer.state.values() for value in state.values()]
    return {
        "parameters": _bytes(list(model.parameters())),
        "gradients": _bytes(gradients),
        "optimizer state": _bytes([value for value in states if isinstance(value, Tensor)]),
        **kept_s,
    }


def _bytes(tensors: list[Tensor] | list[nn.Parameter]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _gpu_peak(trainer: Trainer) -> int:
    trainer.optimizer.zero_grad(set_to_none=True)
    torch.cuda.reset_peak_memory_stats(trainer.device)
    for _ in range(_CHILD_UPDATES):
        take_update(trainer, Laps(trainer.device))
    return torch.cuda.max_memory_allocated(trainer.device)


def train_in_child(variant: Variant, options: Options, updates: int, *, threads: int) -> Work:
    """Make updates in this process, which does nothing else."""
    torch.set_num_threads(threads)
    before, begin = peak_rss_bytes(), time.perf_counter()
    workload = build_workload(variant, options)
    with tempfile.TemporaryDirectory(prefix="nmt-bench-") as folder:
        trainer = _trainer(variant, workload, Path(folder))
        trainer.model.train()
        laps = Laps(trainer.device)
        for _ in range(updates):
            take_update(trainer, laps)
    return Work(time.perf_counter() - begin, before, peak_rss_bytes())
