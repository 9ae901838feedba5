"""Launchers of Hydra that run the jobs of a sweep of nmt in processes of their own, here or on a cluster.

Hydra finds plugins in the namespace package `hydra_plugins`, and imports all of them at every start. So this module
imports what it needs when a sweep begins.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class _NmtLauncher(Launcher):
    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: "HydraContext", task_function: "TaskFunction", config: "DictConfig") -> None:  # noqa: ARG002
        self.jobs: Any = task_function.__self__  # type: ignore[attr-defined]  # `Jobs`: a job is its method `run`
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> "Sequence[JobReturn]":  # noqa: ARG002
        from hydra.core.utils import JobReturn, JobStatus, configure_log

        from nmt.commands.sweep_job import sweep_jobs

        configure_log(self.config.hydra.job_logging, self.config.hydra.verbose)
        jobs = sweep_jobs(self.jobs.command, self.jobs.line, job_overrides, shows_tracebacks=self.jobs.shows_tracebacks)
        self.jobs.num_started += len(jobs)
        self.jobs.num_failed += self._run(jobs)
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=None) for _ in jobs]

    def _run(self, jobs: Any) -> int:
        """Run `SweepJob`s and return how many failed."""
        raise NotImplementedError


class ProcessLauncher(_NmtLauncher):
    """Runs several jobs at a time on this machine."""

    def _run(self, jobs: Any) -> int:
        from nmt.commands.process_jobs import run_in_processes

        return run_in_processes(jobs, max_at_once=self.settings["n_jobs"])


class SubmititLauncher(_NmtLauncher):
    """Submits the jobs to Slurm, or to processes that stand in for it."""

    def _run(self, jobs: Any) -> int:
        from nmt.commands.submitted_jobs import submit

        return submit(jobs, self.settings)
