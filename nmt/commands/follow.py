"""What a process does that torchrun has started beside process 0 of `nmt train`: it follows that one, and is silent."""

import logging
import signal

from nmt.commands.jobs import full_memory_explained
from nmt.commands.stop import graceful_stop
from nmt.commands.streams import fail
from nmt.commands.train import Job, trainer_of, use_processor
from nmt.distributed import join
from nmt.errors import LostProcessError, NmtError, TrainingError
from nmt.place import Place


def follow(place: Place) -> int:
    """Train together with process 0, which sends the settings, and return the exit status."""
    logging.disable(logging.CRITICAL)  # process 0 says everything
    try:
        with full_memory_explained("train"):
            return _follow(place)
    except (LostProcessError, TrainingError):  # of which process 0 gets the same or knows the cause
        return 1
    except (NmtError, OSError) as error:
        fail(f"process {place.rank}: {error}")


def dismiss_followers(place: Place) -> None:
    """Let the other processes end, from process 0, which does not train after all."""
    with join(place) as group:
        group.from_first(None)


def _follow(place: Place) -> int:
    job: Job | None = None
    with join(place) as group:
        job = group.from_first(job)
        if job is None:  # process 0 does not train, but shows its settings
            return 0
        use_processor(job.settings, place)
        with graceful_stop(is_silent=True) as stop_requested:
            trainer = trainer_of(job, group)
            trainer.stop_requested = stop_requested.is_set
            reason = trainer.run()
    return 128 + (stop_requested.signal_number or signal.SIGTERM) if reason == "stopped" else 0
