"""Submits the jobs of a sweep to a cluster by submitit, which requeues those that run out of time."""

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from nmt.commands.main import status_of
from nmt.commands.streams import Failed, open_standard_streams
from nmt.commands.sweep_job import SweepJob
from nmt.errors import ConfigError

log = logging.getLogger(__name__)

_IN_EVERY_CLUSTER = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "name")  # submitit's names


class SubmittedJob:
    """What submitit runs, and what it runs after it has requeued the job.

    Before the time is up, Slurm sends SIGUSR2. Training then saves a checkpoint and stops; only after that does
    submitit get the signal and requeue the job.
    """

    def __init__(self, job: SweepJob) -> None:
        self.job = job

    def __call__(self) -> int:
        """Run the job and return its exit status."""
        # a node failed, or the job gave way to another one: Slurm itself has started it again
        was_restarted = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
        open_standard_streams()
        try:
            status = status_of(self.job.resumed().run if was_restarted else self.job.run)
        except Failed:  # not the exit by which submitit requeues
            status = 1
        if status - 128 in (signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(status - 128)
        return status

    def checkpoint(self) -> Any:
        """Return the job that continues this one; submitit asks for it before it requeues."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(SubmittedJob(self.job.resumed()))


def submit(jobs: Sequence[SweepJob], settings: Mapping[str, Any]) -> int:
    """Submit the jobs, wait for them, and return how many failed.

    Args:
        settings: those of conf/hydra/launcher/submitit_*.yaml.

    Raises:
        ConfigError: if submitit is not installed, or cannot submit.
    """
    executor, folder = _executor(settings), settings["submitit_folder"]
    try:
        with executor.batch():
            submitted = [executor.submit(SubmittedJob(job)) for job in jobs]
    except Exception as error:  # submitit's FailedJobError, or an OSError
        raise ConfigError(f"the jobs could not be submitted: {' '.join(str(error).split())}") from error
    ids = " ".join(str(task.job_id) for task in submitted)
    log.info("submitted %d jobs: %s; their logs are in %s", len(jobs), ids, folder)
    try:
        return sum(_has_failed(task, job) for task, job in zip(submitted, jobs, strict=True))
    except BaseException:
        log.warning("the jobs that were submitted continue: %s", ids)
        raise


def _executor(settings: Mapping[str, Any]) -> Any:
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            "this launcher needs submitit, which is not installed: pip install submitit, or install nmt with its "
            "extra 'submitit'"
        ) from None
    cluster = settings["cluster"]
    if type(settings["max_num_timeout"]) is not int:  # submitit would notice when it requeues a job
        raise ConfigError(
            f"hydra.launcher.max_num_timeout must be a whole number, but is {settings['max_num_timeout']!r}"
        )
    more = {key: value for key, value in settings.items() if value is not None}
    for key in ("cluster", "submitit_folder", "max_num_timeout"):
        more.pop(key, None)
    try:
        executor = submitit.AutoExecutor(
            folder=settings["submitit_folder"],
            cluster=cluster,
            **{f"{cluster}_max_num_timeout": settings["max_num_timeout"]},
        )
        executor.update_parameters(
            **{key if key in _IN_EVERY_CLUSTER else f"{cluster}_{key}": value for key, value in more.items()}
        )
    except (AssertionError, RuntimeError, NameError, ValueError, TypeError) as error:  # of submitit's own checks
        raise ConfigError(f"hydra.launcher: {' '.join(str(error).split())}") from error
    return executor


def _has_failed(task: Any, job: SweepJob) -> bool:
    """Wait for a job, and return whether it has failed."""
    error = task.exception()
    status = task.result() if error is None else None
    if status == 0:
        log.info("ended: %s", job.label)
        return False
    how = f"exit status {status}" if error is None else type(error).__name__
    log.error("this job failed, the others continue: %s (%s, see %s)", job.label, how, task.paths.stderr)
    return True
