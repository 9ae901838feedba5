"""The checkpoints of a run: which is the best, which the last, which are no longer needed."""

import shutil
from pathlib import Path


def point_link(checkpoints_dir: Path, name: str, target: Path) -> None:
    """Let the link `name` (`best` or `last`) point to a checkpoint beside it, in one step."""
    aside = checkpoints_dir / f".{name}.tmp"
    aside.unlink(missing_ok=True)
    aside.symlink_to(target.name)
    aside.replace(checkpoints_dir / name)


def prune_checkpoints(checkpoints_dir: Path, *, keep_last: int) -> None:
    """Delete the checkpoints that no link points to and that are not among the newest `keep_last`."""
    needed = {(checkpoints_dir / name).resolve() for name in ("best", "last")}
    by_age = _by_age(checkpoints_dir)
    for path in by_age[: max(0, len(by_age) - keep_last)]:
        if path.resolve() not in needed:
            shutil.rmtree(path)


def find_last(checkpoints_dir: Path) -> Path | None:
    """Find where a run goes on: `last`, or the newest checkpoint where a kill or a copy has lost that link."""
    last = checkpoints_dir / "last"
    if last.exists():
        return last
    return next(reversed(_by_age(checkpoints_dir)), None)


def _by_age(checkpoints_dir: Path) -> list[Path]:
    found = (path for path in checkpoints_dir.glob("update_*") if path.is_dir())
    return sorted(found, key=lambda path: (len(path.name), path.name))  # a name grows at a million updates
