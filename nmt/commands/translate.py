"""`nmt translate`: file or stdin -> file or stdout, line for line."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nmt.commands.output import check_output, open_output, read_files, read_stdin
from nmt.config import Device, OutputFormat, SearchConfig, TranslateCommand
from nmt.device import choose_tf32, resolve_device, resolve_inference_precision
from nmt.errors import ConfigError
from nmt.search.beam import check_search_config
from nmt.search.scorer import EnsembleScorer, ModelScorer, StepScorer
from nmt.search.translator import Translation, Translator
from nmt.search.workers import num_workers
from nmt.text.parallel import decode_lines, read_lines
from nmt.training.checkpoint import load_checkpoint
from nmt.training.checkpoint_store import read_checkpoint

logger = logging.getLogger(__name__)


def run(settings: TranslateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    read = [read_stdin()] if settings.input is None else read_files(input=settings.input)
    check_output(settings.output, read=read, checkpoints=settings.checkpoints)
    translator = build_translator(
        settings.checkpoints, settings.search, device_name=settings.device, threads=settings.threads
    )
    if settings.input is None:
        lines: Iterable[str] = decode_lines(sys.stdin.buffer, name="stdin", keep_cr=True)
    else:
        lines = read_lines(Path(settings.input), keep_cr=True)
    total = None if settings.input is None else _count_lines(Path(settings.input))
    number, begin = 0, time.perf_counter()
    with open_output(settings.output) as stream, progress_bar(total) as bar:
        for number, translation in enumerate(translator.translate(lines, progress=bar.update), start=1):
            stream.write(_format(translation, settings.format, n_best=settings.search.n_best).encode())
            if number % settings.search.window_lines == 0:
                stream.flush()
    seconds = time.perf_counter() - begin
    logger.info(
        "%s line%s translated in %.1f s, %.0f a second, in %s",
        f"{number:,}",
        "" if number == 1 else "s",
        seconds,
        number / seconds,
        computed_in(settings),
    )
    return 0


def computed_in(settings: TranslateCommand) -> str:
    """Say what `auto` has chosen: precision, device and, on a CPU, threads."""
    device = resolve_device(settings.device)
    precision = resolve_inference_precision(settings.search.precision, device)
    threads = torch.get_num_threads()
    on_cpu = f" with {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    return f"{precision} on {device}{on_cpu}"


def build_translator(
    checkpoints: Sequence[str], search: SearchConfig, *, device_name: Device, threads: int | None
) -> Translator:
    """Load one checkpoint, or an ensemble, for translation.

    Raises:
        ConfigError: where no checkpoint is named, or the search settings cannot be.
        CheckpointError: where a checkpoint cannot be loaded, or the members do not share a target vocabulary.
    """
    if not checkpoints:
        raise ConfigError("checkpoints must name at least one checkpoint: 'checkpoints=[RUN_DIR/checkpoints/best]'")
    check_search_config(search)  # before anything large is read
    if threads is not None:
        torch.set_num_threads(threads)
    device = resolve_device(device_name)
    precision = resolve_inference_precision(search.precision, device)
    choose_tf32(precision, device)
    members = []
    for name in checkpoints:
        checkpoint = read_checkpoint(Path(name), load_checkpoint)
        members.append(
            ModelScorer(
                checkpoint.model,
                src_subword=checkpoint.src_subword,
                tgt_subword=checkpoint.tgt_subword,
                device=device,
                precision=precision,
                name=name,
            )
        )
    scorer: StepScorer[Any] = members[0]
    if len(members) > 1:
        scorer = EnsembleScorer(members, average=search.ensemble_average.value)
    workers = num_workers(search, device=device, num_threads=torch.get_num_threads())
    return Translator(scorer, members[0].tgt_subword, search, workers=workers)


def progress_bar(total: int | None) -> Any:
    """Make a bar that counts lines at a terminal, and nothing elsewhere."""
    return tqdm(desc="translating", total=total, unit=" lines", disable=None)


def _count_lines(path: Path) -> int | None:
    """Count for the bar, where there is one; a pipe can be read but once."""
    return sum(1 for _ in read_lines(path)) if sys.stderr.isatty() and path.is_file() else None


def _format(translation: Translation, output_format: OutputFormat, *, n_best: int) -> str:
    """Write a translation as text, `n_best` lines always, or as one line of JSON with scores.

    Lines of text end as their source does, those of JSON never in "\\r\\n".
    """
    source = translation.source.removesuffix("\r")
    if output_format == OutputFormat.text:
        texts = [hypothesis.text for hypothesis in translation.hypotheses]
        end = "\n" if source == translation.source else "\r\n"
        return "".join(f"{text}{end}" for text in texts + [""] * (n_best - len(texts)))
    content = {
        "source": source,
        "unknown_share": round(translation.unknown_share, 4),
        "hypotheses": [hypothesis._asdict() for hypothesis in translation.hypotheses],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"
