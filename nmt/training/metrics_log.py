"""What training shows: metrics.jsonl, TensorBoard, and a progress bar or a plain log."""

import json
import logging
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

Record = dict[str, int | float | str]


class MetricsLog:
    """One record of a run's metrics, in every form; `close` must be called."""

    def __init__(self, run_dir: Path, *, from_update: int) -> None:
        """Open the logs; what an interrupted run wrote after `from_update`, where it resumes, is taken back."""
        self._file = run_dir / "metrics.jsonl"
        _drop_later_records(self._file, from_update)
        self._jsonl = self._file.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(str(run_dir / "tensorboard"), purge_step=from_update + 1)
        self._bar: Any = None
        self._redirect: Any = None
        if sys.stderr.isatty():
            # a terminal that does not tell its width would get an empty line from tqdm
            width = shutil.get_terminal_size(fallback=(120, 24)).columns
            self._bar = tqdm(total=100, bar_format="{percentage:3.0f}%|{bar:10}|{postfix}", ncols=width)
            self._redirect = logging_redirect_tqdm()
            self._redirect.__enter__()
            for handler in logging.getLogger().handlers:
                if not isinstance(handler, logging.FileHandler):
                    handler.setLevel(logging.INFO)  # the redirection forgets the console's level

    def write(self, record: Record) -> None:
        """Append a record with `kind`, `update` and figures; a perplexity beyond all floats is left out of it."""
        record = {name: value for name, value in record.items() if not (isinstance(value, float) and math.isinf(value))}
        self._jsonl.write(json.dumps(record) + "\n")
        self._jsonl.flush()
        kind, update = record["kind"], int(record["update"])
        for name, value in record.items():
            if isinstance(value, int | float) and name != "update":
                self._tensorboard.add_scalar(f"{kind}/{name}", value, update)

    def show_progress(self, record: Record, *, done: float, left_s: float | None) -> None:
        """Show a training record: on the bar at a terminal, else as a line of the log.

        Args:
            done: the share of the run that is done, 0 to 1.
            left_s: seconds that are left, as far as that can be told.
        """
        left = "" if left_s is None else f", {format_duration(left_s)} left"
        norm = f"{record['grad_norm']:.2f}"
        speed = f"{record['src_tokens_per_s']:.0f} + {record['tgt_tokens_per_s']:.0f} tokens/s{left}"
        # below the console's level where a bar stands there: the line then goes to train.log only
        logger.log(
            logging.INFO if self._bar is None else logging.DEBUG,
            f"update {record['update']} epoch {record['epoch']:.2f}: loss {record['nats_per_token']:.3f}, "
            f"perplexity {record['perplexity']:.1f}, lr {record['lr']:.2g}, grad norm {norm}, {speed}",
        )
        if self._bar is not None:
            self._bar.n = min(100, round(100 * done))
            self._bar.set_postfix_str(
                f"{record['update']}: loss {record['nats_per_token']:.2f}, ppl {record['perplexity']:.1f}, "
                f"lr {record['lr']:.2g}, norm {norm}, {speed}"
            )

    def close(self) -> None:
        self._jsonl.close()
        self._tensorboard.close()
        if self._bar is not None:
            self._redirect.__exit__(None, None, None)
            self._bar.close()


def format_duration(seconds: float) -> str:
    """Write seconds as people say them: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _drop_later_records(file: Path, update: int) -> None:
    if not file.exists():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["update"] <= update:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            break  # a line cut short by a kill
    aside = file.with_suffix(".tmp")
    aside.write_text("".join(kept), encoding="utf-8")
    aside.replace(file)
