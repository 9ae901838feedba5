"""One job of a sweep that runs in a process of its own, perhaps on another machine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nmt.commands.arguments import CommandLine

_OF_HYDRA = ("hydra.", "hydra/")
_OF_THE_SWEEP = ("hydra/launcher=", "hydra.launcher.", "hydra/sweeper=", "hydra.sweeper.", "hydra.sweep.")


@dataclass(frozen=True)
class SweepJob:
    """A command line without values to sweep; `label` has the overrides in which it differs from the other jobs."""

    command: str
    line: CommandLine
    label: str
    shows_tracebacks: bool = False

    def run(self) -> int:
        """Run the job in this process, and return its exit status."""
        from nmt.commands.launch import launch

        # a sweep sets it for Hydra, and its processes inherit that
        os.environ["HYDRA_FULL_ERROR"] = str(int(self.shows_tracebacks))
        return launch(self.command, self.line.overrides, line=self.line)

    def resumed(self) -> "SweepJob":
        """Return the job that continues this one; what is not training starts again."""
        if self.command != "train":
            return self
        overrides = [override for override in self.line.overrides if not override.startswith("resume=")]
        return replace(self, line=self.line._replace(overrides=[*overrides, "resume=true"]))


def sweep_jobs(
    command: str, line: CommandLine, job_overrides: Sequence[Sequence[str]], *, shows_tracebacks: bool = False
) -> list[SweepJob]:
    """Make the jobs of a sweep from its command line and the overrides of each."""
    in_all = set.intersection(*map(set, job_overrides))
    options = [word for word in line.options if word not in ("-m", "--multirun")]
    of_hydra = [
        word
        for word in line.overrides
        if (key := word.lstrip("+~")).startswith(_OF_HYDRA) and not key.startswith(_OF_THE_SWEEP)
    ]
    return [
        SweepJob(
            command,
            line._replace(options=options, overrides=[*of_hydra, *overrides], is_sweep=False),
            label=" ".join(override for override in overrides if override not in in_all) or "the only job",
            shows_tracebacks=shows_tracebacks,
        )
        for overrides in job_overrides
    ]
