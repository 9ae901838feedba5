"""`nmt translate`: from a file or stdin to a file or stdout, line by line."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nmt.choices import InputFormat, OutputFormat, Side
from nmt.command_config import TranslateCommand
from nmt.commands.formats import draw, format_translation
from nmt.commands.output import check_folder, check_output, open_folder, open_output, read_files, read_stdin
from nmt.device import resolve_device, resolve_search_precision
from nmt.search.alignment import require_attention
from nmt.search.translator import Translator
from nmt.text.columns import Columns
from nmt.text.parallel import decode_lines, read_lines
from nmt.training.run_data import columns_of_runs

log = logging.getLogger(__name__)


def run(settings: TranslateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Translate the input and log the speed; returns the exit status."""
    read = [read_stdin()] if settings.input is None else read_files(input=settings.input)
    read += read_files(**{"search.dictionary": settings.search.dictionary})
    check_output(settings.output, read=read, checkpoints=settings.checkpoints)
    check_folder(settings.alignments, setting="alignments", checkpoints=settings.checkpoints)
    columns = None
    if settings.input_format == InputFormat.tsv:
        columns = columns_of_runs(
            settings.checkpoints, Side.src, needed_by="input_format=tsv", instead="input_format=text"
        )
    translator = Translator.load(
        settings.checkpoints,
        search=settings.search,
        device=settings.device,
        threads=settings.threads,
        implementation=settings.implementation,
    )
    require_attention(translator.scorer.members, needed_by := _needs_alignments(settings))
    lines = _read_input(settings, columns)
    total = None if settings.input is None else _count_lines(Path(settings.input))
    number, begin = 0, time.perf_counter()
    with (
        open_output(settings.output) as stream,
        open_folder(settings.alignments) as folder,
        progress_bar(total) as bar,
    ):
        translations = translator.translate(lines, align=bool(needed_by), progress=bar.update)
        for number, translation in enumerate(translations, start=1):
            stream.write(format_translation(translation, settings.format, n_best=settings.search.n_best).encode())
            if folder is not None:
                draw(translation, folder / f"{number:06}.svg")
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


def _needs_alignments(settings: TranslateCommand) -> list[str]:
    """Name the settings that need the alignments of translations."""
    needed = [] if settings.format in (OutputFormat.text, OutputFormat.jsonl) else [f"format={settings.format}"]
    return needed if settings.alignments is None else [*needed, "alignments"]
