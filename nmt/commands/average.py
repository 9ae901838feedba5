"""`nmt average`: several checkpoints of a run to one, whose parameters are their means."""

import logging
from pathlib import Path

from nmt.command_config import AverageCommand
from nmt.commands.output import check_folder
from nmt.errors import ConfigError

log = logging.getLogger(__name__)


def run(settings: AverageCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Write the average."""
    if not settings.checkpoints:
        raise ConfigError("checkpoints must name at least one checkpoint: 'checkpoints=[RUN_DIR/checkpoints/last]'")
    check_folder(settings.output, setting="output", checkpoints=settings.checkpoints)
    # imported here, after the settings have been checked, since torch takes seconds
    from nmt.training.checkpoint import write_checkpoint
    from nmt.training.checkpoint_average import average_checkpoints

    written = write_checkpoint(Path(settings.output), average_checkpoints([*map(Path, settings.checkpoints)]))
    number = len(settings.checkpoints)
    log.info("%s: the average of %d checkpoint%s", written, number, "" if number == 1 else "s")
    return 0
