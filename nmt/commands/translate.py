"""`nmt translate`: from a file or stdin to a file or stdout, line by line."""

import logging
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nmt.choices import InputFormat, OutputFormat, Side
from nmt.command_config import TranslateCommand
from nmt.commands.formats import draw, format_translation
from nmt.commands.output import (
    check_folder,
    check_output,
    open_folder,
    open_output,
    output_of_shard,
    read_files,
    read_stdin,
)
from nmt.commands.output_parts import write_in_parts
from nmt.device import resolve_device, resolve_search_precision
from nmt.distributed import choose_gpu
from nmt.errors import ConfigError
from nmt.files import is_stream
from nmt.place import Place, find_place
from nmt.search.alignment import require_attention
from nmt.search.translator import Translator
from nmt.text.columns import Columns
from nmt.text.parallel import decode_lines
from nmt.text.shard import WHOLE, Shard, ShardLines, parse_shard, read_shard
from nmt.training.run_data import columns_of_runs

log = logging.getLogger(__name__)


def run(settings: TranslateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Translate the input and log the speed; returns the exit status."""
    place = find_place()
    shard = WHOLE if settings.shard is None else parse_shard(settings.shard)
    whole_output, settings.output = settings.output, output_of_shard(settings.output, settings.shard)
    _check_files(settings, whole_output, place)
    begin = time.perf_counter()
    number = _translate(settings, shard) if place.size == 1 else _translate_together(settings, shard, place)
    if number is None:  # the first process says how many
        return 0
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


def _check_files(settings: TranslateCommand, whole_output: str | None, place: Place) -> None:
    """Refuse outputs that cannot be written, and what cannot be divided."""
    by = "torchrun" if place.size > 1 else f"shard={settings.shard}"
    if place.size > 1 and (settings.output is None or is_stream(Path(settings.output))):
        raise ConfigError(f"{by} needs a file for the joined parts: give output=FILE")
    if place.size > 1 or settings.shard is not None:
        if settings.input is None:
            raise ConfigError(f"{by} needs a file, since stdin cannot be divided: give input=FILE")
        if settings.alignments is not None:
            raise ConfigError(
                f"{by} divides the input, but alignments={settings.alignments} draws a whole file: leave "
                "it out, or translate in one process"
            )
    read = [read_stdin()] if settings.input is None else read_files(input=settings.input)
    read += read_files(**{"search.dictionary": settings.search.dictionary})
    for output in dict.fromkeys([whole_output, settings.output]):
        check_output(output, read=read, checkpoints=settings.checkpoints)
    check_folder(settings.alignments, setting="alignments", checkpoints=settings.checkpoints)


def _translate_together(settings: TranslateCommand, shard: Shard, place: Place) -> int | None:
    """Translate a part of the shard in each of the processes that torchrun has started."""
    if place.rank > 0:
        logging.disable(logging.INFO)  # one process says enough, unless something is wrong
    if resolve_device(settings.device).type == "cuda":
        choose_gpu(place)
    assert settings.output is not None

    def write(path: Path) -> int:
        own = replace(settings, output=str(path), threads=settings.threads or place.threads)
        return _translate(own, shard.part(place.rank + 1, place.size), shows_progress=place.rank == 0)

    return write_in_parts(place, settings.output, write)


def _translate(settings: TranslateCommand, shard: Shard, *, shows_progress: bool = True) -> int:
    """Translate a shard of the input, and return the number of lines."""
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
    lines, lines_before = _read_input(settings, shard, columns)
    number = 0
    with (
        closing(lines),
        open_output(settings.output) as stream,
        open_folder(settings.alignments) as folder,
        progress_bar(_count_lines(settings, shard) if shows_progress else None, is_shown=shows_progress) as bar,
    ):
        translations = translator.translate(
            lines, align=bool(needed_by), progress=bar.update, lines_before=lines_before
        )
        for number, translation in enumerate(translations, start=1):
            stream.write(format_translation(translation, settings.format, n_best=settings.search.n_best).encode())
            if folder is not None:
                draw(translation, folder / f"{number:06}.svg")
            if number % settings.search.window_lines == 0:
                stream.flush()
    return number


def _read_input(settings: TranslateCommand, shard: Shard, columns: Columns | None) -> ShardLines:
    """Read the lines to translate: of text, as they are; of columns, the source with its features in front."""
    keep_cr = columns is None  # of columns, a "\r" would belong to the last one
    if settings.input is None:
        read = ShardLines(decode_lines(sys.stdin.buffer, name="stdin", keep_cr=keep_cr), lambda: 0)
    else:
        read = read_shard(Path(settings.input), shard, keep_cr=keep_cr)
    if columns is None:
        return read
    return read._replace(lines=_texts(columns, read, name=settings.input or "stdin"))


def _texts(columns: Columns, read: ShardLines, *, name: str) -> Generator[str]:
    with closing(read.lines) as lines:
        yield from columns.texts(lines, name=name, lines_before=read.lines_before)


def computed_in(settings: TranslateCommand) -> str:
    """Describe what `auto` has resolved to: precision, device and, on a CPU, threads."""
    device = resolve_device(settings.device)
    precision = resolve_search_precision(settings.search.precision, device, settings.implementation)
    threads = torch.get_num_threads()
    on_cpu = f" with {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    return f"{precision} on {device}{on_cpu}"


def progress_bar(total: int | None, *, is_shown: bool = True) -> Any:
    """Make a progress bar that counts lines on a terminal, and shows nothing elsewhere."""
    return tqdm(desc="translating", total=total, unit=" lines", disable=None if is_shown else True)


def _count_lines(settings: TranslateCommand, shard: Shard) -> int | None:
    """Count lines for the progress bar, if it is shown; a pipe can be read only once."""
    if settings.input is None or not sys.stderr.isatty() or not Path(settings.input).is_file():
        return None
    return sum(1 for _ in read_shard(Path(settings.input), shard).lines)


def _needs_alignments(settings: TranslateCommand) -> list[str]:
    """Name the settings that need the alignments of translations."""
    needed = [] if settings.format in (OutputFormat.text, OutputFormat.jsonl) else [f"format={settings.format}"]
    return needed if settings.alignments is None else [*needed, "alignments"]
