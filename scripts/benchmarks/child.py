"""A fresh process that runs commands of nmt one after the other and reports how long each took.

Usage: python -P child.py JOB, where JOB is a JSON file written by `processes.run_commands`.

This is the only module of the benchmarks that imports nmt, and it imports only its entry point, so that it runs with
any checkout.
"""

import json
import resource
import sys
import time
from pathlib import Path

PROFILE_ROWS = 40


def main(job: Path) -> None:
    task = json.loads(job.read_text(encoding="utf-8"))
    import nmt
    from nmt.commands.main import main as nmt_main

    *before, last = task["commands"]
    seconds = [_run(nmt_main, command) for command in before]
    profile = ""
    if task["profile"]:
        import torch

        with torch.profiler.profile(profile_memory=True) as profiler:
            seconds.append(_run(nmt_main, last))
        sort_by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        profile = profiler.key_averages().table(sort_by=sort_by, row_limit=PROFILE_ROWS, max_name_column_width=40)
    else:
        seconds.append(_run(nmt_main, last))
    figures = {
        "package": str(Path(nmt.__file__).resolve().parent),
        "seconds": seconds,
        "peak_bytes": peak_resident_bytes(),
        "profile": profile,
    }
    Path(task["figures"]).write_text(json.dumps(figures), encoding="utf-8")


def _run(nmt_main: object, command: list[str]) -> float:
    sys.argv = ["nmt", *command]
    begin = time.perf_counter()
    try:
        nmt_main()  # type: ignore[operator]
    except SystemExit as end:
        if end.code:
            raise
    return time.perf_counter() - begin


def peak_resident_bytes() -> int:
    """Return the peak memory of this process.

    On Linux getrusage would include the peak of the process that started this one; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main(Path(sys.argv[1]))
