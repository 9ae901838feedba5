"""`nmt translate`: from a file or stdin to a file or stdout, line by line."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nmt.commands.output import check_output, open_output, read_files, read_stdin
from nmt.config import InputFormat, OutputFormat, TranslateCommand
from nmt.device import resolve_device, resolve_search_precision
from nmt.search.translator import Translation, Translator
from nmt.text.columns import Columns
from nmt.text.parallel import decode_lines, read_lines
from nmt.training.run_data import source_columns

log = logging.getLogger(__name__)


def run(settings: TranslateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Translate the input and log the speed; returns the exit status."""
    read = [read_stdin()] if settings.input is None else read_files(input=settings.input)
    check_output(settings.output, read=read, checkpoints=settings.checkpoints)
    columns = source_columns(settings.checkpoints) if settings.input_format == InputFormat.tsv else None
    translator = Translator.load(
        settings.checkpoints,
        search=settings.search,
        device=settings.device,
        threads=settings.threads,
        implementation=settings.implementation,
    )
    lines = _read_input(settings, columns)
    total = None if settings.input is None else _count_lines(Path(settings.input))
    number, begin = 0, time.perf_counter()
    with open_output(settings.output) as stream, progress_bar(total) as bar:
        for number, translation in enumerate(translator.translate(lines, progress=bar.update), start=1):
            stream.write(_format(translation, settings.format, n_best=settings.search.n_best).encode())
            if number % settings.search.window_lines == 0:
                stream.flush()
    seconds = time.perf_counter() - begin
    log.info(
        "%s line%s translated in %.1f s, %.0f per second, in %s",
        f"{number:,}",
        "" if number == 1 else "s",
        seconds,
        number / seconds,
        computed_in(settings),
    )
    return 0


def _read_input(settings: TranslateCommand, columns: Columns | None) -> Iterator[str]:
    """Yield the lines to translate: of text, as they are; of columns, the source with its features in front."""
    keep_cr = columns is None  # of columns, a "\r" would belong to the last one
    if settings.input is None:
        lines = decode_lines(sys.stdin.buffer, name="stdin", keep_cr=keep_cr)
    else:
        lines = read_lines(Path(settings.input), keep_cr=keep_cr)
    with closing(lines):
        yield from lines if columns is None else columns.texts(lines, name=settings.input or "stdin")


def computed_in(settings: TranslateCommand) -> str:
    """Describe what `auto` has resolved to: precision, device and, on a CPU, threads."""
    device = resolve_device(settings.device)
    precision = resolve_search_precision(settings.search.precision, device, settings.implementation)
    threads = torch.get_num_threads()
    on_cpu = f" with {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    return f"{precision} on {device}{on_cpu}"


def progress_bar(total: int | None) -> Any:
    """Make a progress bar that counts lines on a terminal, and shows nothing elsewhere."""
    return tqdm(desc="translating", total=total, unit=" lines", disable=None)


def _count_lines(path: Path) -> int | None:
    """Count lines for the progress bar, if it is shown; a pipe can be read only once."""
    return sum(1 for _ in read_lines(path)) if sys.stderr.isatty() and path.is_file() else None


def _format(translation: Translation, output_format: OutputFormat, *, n_best: int) -> str:
    """Format a translation as text, always `n_best` lines, or as one line of JSON with scores.

    Lines of text end like their source; lines of JSON always end in "\\n".
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
