"""What is on a disk, and simulated full disks."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Limit the size of files of this process, which interrupts a write like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
