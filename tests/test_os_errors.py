from __future__ import annotations

import errno
from typing import Any

import pytest

from nmt.commands import evaluate
from nmt.commands.os_errors import explain_os_error
from tests.commands import error


@pytest.mark.parametrize(
    ("error_", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a"),
            "a: No space left on device: free some space, or write",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "a: Disk quota exceeded: free some space, or write elsewh"),
        (OSError(errno.EFBIG, "File too large", "a"), "a: File too large: raise the limit on file sizes (ulimit -f)"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: Read-only file system: write elsewhere"),
        (OSError(errno.EACCES, "Permission denied", "a"), "a: Permission denied: change its permissions, or name anot"),
        (OSError(errno.ELOOP, "Too many levels", "a"), "a: Too many levels: its symbolic links are circular"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "a: Too many open files: raise the limit on open files"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: free some space"),
        (OSError(errno.EBADF, "Bad file descriptor", "stdout"), "stdout is closed: send it to a file or a pipe"),
        (OSError(errno.ENOTSUP, "Not supported", "a"), "a: Not supported"),
        (OSError("odd"), "odd"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(error_: OSError, message: str) -> None:
    assert explain_os_error(error_).startswith(message)


def test_an_error_of_the_system_is_explained_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "a\nb")

    monkeypatch.setattr(evaluate, "run", run)
    assert error("evaluate", "reference=x") == ("nmt: a b: Permission denied: change its permissions, or name another")
