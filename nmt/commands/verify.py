"""`nmt verify`: compares a checkpoint with its hashes and with the translations stored in it."""

from pathlib import Path

import torch

from nmt.command_config import VerifyCommand
from nmt.commands.output import open_output
from nmt.device import choose_tf32, resolve_device, resolve_search_precision
from nmt.verification import Computation, verify


def run(settings: VerifyCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Print a line for each difference, and what was checked; return 1 if there are differences."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = resolve_device(settings.device)
    precision = resolve_search_precision(settings.precision, device, settings.implementation)
    choose_tf32(precision, device)
    verification = verify(Path(settings.checkpoint), Computation(device, precision, settings.implementation))
    number = len(verification.differences)
    verdict = f"{number or 'no'} difference{'' if number == 1 else 's'}"
    with open_output(None) as stream:
        for line in (*verification.differences, *verification.notes, verdict):
            stream.write(f"{line}\n".encode())
    return 1 if verification.differences else 0
