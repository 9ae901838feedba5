"""What a user can cause and fix.

Every message is one line that says what must be, what is, where, and what to do about it. The command line
(`nmt.commands.main`) prints it without a traceback and exits with status 1.
"""


class NmtError(Exception):
    """A mistake that the user can fix."""


class ConfigError(NmtError):
    """A setting that is out of its range, or that contradicts another."""


class DataError(NmtError):
    """A text, corpus or subword model that cannot be used as it is."""


class CheckpointError(NmtError):
    """A checkpoint or run directory that is missing, damaged, or does not fit."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files are not as they were written; another one of the same run may be whole."""


class TrainingError(NmtError):
    """A training run that cannot go on."""
