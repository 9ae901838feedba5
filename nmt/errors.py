"""Errors that a user can cause and fix.

Every message is one line: what is required, what was found and where, and what to do about it. The command line
(`nmt.commands.main`) prints it without a traceback and exits with status 1.
"""

from collections.abc import Callable


class NmtError(Exception):
    """A mistake that the user can fix."""


class ConfigError(NmtError):
    """A setting that is out of its range, or that contradicts another."""


class DataError(NmtError):
    """A text, corpus or subword model that is invalid or unreadable."""


class ProcessDiedError(NmtError):
    """Another process of ours has died, probably for want of memory."""


class UnequalFilesError(DataError):
    """Aligned files that have different numbers of lines."""


class CheckpointError(NmtError):
    """A checkpoint or run directory that is missing, damaged, or does not fit."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files have changed since they were written; others of the same run may be intact."""


class TrainingError(NmtError):
    """A training run that cannot continue."""


class LostProcessError(NmtError):
    """Another one of the processes that train together has ended."""


def config_problems(*checks: Callable[[], object]) -> list[str]:
    """Run all checks and return the messages of those that raise a ConfigError, to report them together."""
    problems = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    return problems
