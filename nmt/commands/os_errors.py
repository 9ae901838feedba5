"""Explains errors of the operating system in one line that says what to do."""

import errno

STDOUT_IS_CLOSED = "stdout is closed: send it to a file or a pipe, or to /dev/null"

_ADVICE = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "change its permissions, or name another",
    errno.EPERM: "change its permissions, or name another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its symbolic links are circular, name another",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file in it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the system's limit on open files",
    errno.EIO: "check the disk",
}


def explain_os_error(error: OSError) -> str:
    """Return which file caused an error, why, and what to do."""
    name, reason = error.filename, error.strerror or str(error)
    if error.errno == errno.EBADF and name == "stdout":
        return STDOUT_IS_CLOSED
    parts = ("" if name is None else str(name), reason, _ADVICE.get(error.errno or 0, ""))
    return ": ".join(part for part in parts if part)
