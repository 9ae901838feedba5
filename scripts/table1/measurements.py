"""Translates with each system and measures perplexities: one file for each result, written once and then only read."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.choices import TrainingPrecision
from nmt.config import BatchingConfig
from nmt.corpus.binarized import BinarizedCorpus, Ids, id_dtype
from nmt.corpus.manifest import SplitReport
from nmt.device import resolve_device, resolve_search_precision
from nmt.files import atomic_write, remove_abandoned
from nmt.plain import from_plain
from nmt.search.translator import Translator
from nmt.text.subword import SubwordModel
from nmt.training.checkpoint import load_checkpoint, write_checkpoint
from nmt.training.checkpoint_average import average_checkpoints
from nmt.training.checkpoint_files import hash_file
from nmt.training.checkpoint_links import checkpoints_in, resolve_checkpoint
from nmt.training.dev_set import DevSet
from nmt.training.loss import perplexity
from table1.plan import Row


@dataclass(frozen=True)
class EvaluatedText:
    """The sentences that are translated, and their references."""

    sources: list[str]
    references: list[str]

    @property
    def fingerprint(self) -> str:
        """Return a hash of both sides."""
        return hashlib.sha256(json.dumps([self.sources, self.references]).encode()).hexdigest()


@dataclass(frozen=True)
class Machine:
    """What computes: a device by name, and threads on a CPU."""

    device: str
    threads: int


def translations(
    row: Row, checkpoints: Sequence[Path], file: Path, *, test: EvaluatedText, machine: Machine
) -> dict[str, Any]:
    """Translate the test set by one row, unless `file` has it from the same checkpoints; return its content.

    `wall_s` and `cpu_s` are of the search alone, without loading; with several threads, `cpu_s` is their sum.
    """

    def measure() -> dict[str, Any]:
        print(f"translating: {row.label}", file=sys.stderr)
        translator = Translator.load(
            checkpoints, beam_size=row.beam_size, device=machine.device, threads=machine.threads
        )
        begin, begin_cpu = time.perf_counter(), time.process_time()
        lines = [translation.text for translation in translator.translate(test.sources)]
        wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
        device = resolve_device(machine.device)
        precision = resolve_search_precision(translator.config.precision, device)
        computed = {"device": device.type, "precision": precision, "threads": torch.get_num_threads()}
        return {"wall_s": wall_s, "cpu_s": cpu_s, **computed, "translations": lines}

    identity = {
        "beam_size": row.beam_size,
        "test": test.fingerprint,
        "models": [*map(_identity, checkpoints)],
    }
    return _once(file, identity, measure)


def perplexity_of(checkpoint: Path, file: Path, *, test: EvaluatedText, machine: Machine) -> float:
    """Measure the perplexity of the references, in fp32: exp of the loss in nats per subword, EOS included."""

    def measure() -> dict[str, Any]:
        torch.set_num_threads(machine.threads)
        loaded, device = load_checkpoint(resolve_checkpoint(checkpoint)), resolve_device(machine.device)
        corpus = _corpus(test, loaded.src_subword, loaded.tgt_subword)
        dev = DevSet(corpus, from_plain(BatchingConfig, loaded.config["batching"], "batching"))
        model = loaded.model.to(device)
        return {"nats_per_token": dev.nats_per_token(model, device=device, precision=TrainingPrecision.fp32)}

    identity = {"test": test.fingerprint, "models": [_identity(checkpoint)]}
    return perplexity(_once(file, identity, measure)["nats_per_token"])


def average(run_dir: Path, target: Path, *, number: int) -> int:
    """Average the last checkpoints of a run, unless that has been done; return how many there were."""
    newest = list(checkpoints_in(run_dir / "checkpoints").values())[-number:]

    def measure() -> dict[str, Any]:
        write_checkpoint(target, average_checkpoints(newest))
        return {"updates": [path.name for path in newest]}

    _once(target.with_name(f"{target.name}.json"), {"models": [*map(_identity, newest)]}, measure)
    return len(newest)


def _once(file: Path, identity: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds, if it was measured with this identity; otherwise measure and write it."""
    if file.is_file():
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if content["identity"] == identity:
            return content
    content = {"identity": identity, **measure()}
    file.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(file)
    with atomic_write(file) as stream:
        stream.write(json.dumps(content, ensure_ascii=False, indent=1).encode())
    return content


def _identity(checkpoint: Path) -> str:
    return hash_file(resolve_checkpoint(checkpoint) / "model.safetensors")


def _corpus(test: EvaluatedText, src_subword: SubwordModel, tgt_subword: SubwordModel) -> BinarizedCorpus:
    """Make a corpus in memory."""
    src_ids, src_lens, src_offsets = _side(src_subword, test.sources)
    tgt_ids, tgt_lens, tgt_offsets = _side(tgt_subword, test.references)
    number = len(test.sources)
    report = SplitReport(number, number, {}, len(src_ids), len(tgt_ids), 0, 0)
    return BinarizedCorpus(src_ids, tgt_ids, src_lens, tgt_lens, src_offsets, tgt_offsets, report)


def _side(subword: SubwordModel, texts: Sequence[str]) -> tuple[Ids, NDArray[np.int32], NDArray[np.int64]]:
    ids, lens = subword.encode_flat(texts)
    return ids.astype(id_dtype(subword.vocab_size)), lens, np.cumsum(lens, dtype=np.int64) - lens
