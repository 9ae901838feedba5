"""From the bytes of a text file to its lines; errors name the file and the line."""

import io
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from nmt.errors import DataError
from nmt.text.compression import DAMAGED

_BOM = "\ufeff"
_OTHER_BOMS = {  # longer ones first: that of UTF-32 begins with that of UTF-16
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading.

    Raises:
        DataError: if it is missing, a directory, or unreadable.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise does_not_exist(path) from None
    except IsADirectoryError:
        raise DataError(f"{path} must be a text file, but is a directory: name a file in it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def decoded(
    raw_lines: Callable[[], Iterable[bytes]],
    *,
    name: str,
    keep_cr: bool,
    has_start: bool = True,
    lines_before: Callable[[], int] = lambda: 0,
) -> Generator[str]:
    """Yield lines of bytes as text, without their line ends; errors, of `raw_lines` as well, name the line.

    Args:
        has_start: the first line is the first one of the text, and may have a byte order mark.
        lines_before: the number of lines of the text before the first one, for messages.

    Raises:
        DataError: as for `read_lines`.
    """
    line_number = 0
    try:
        for line_number, raw in enumerate(raw_lines(), start=1):
            is_first = line_number == 1 and has_start
            if is_first:
                check_encoding(raw, name)
            line = raw.decode("utf-8").removesuffix("\n")
            if is_first:
                line = line.removeprefix(_BOM)
            yield line if keep_cr else line.removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}, line {lines_before() + line_number}, byte {error.start + 1}: must be UTF-8, but is "
            f"0x{error.object[error.start]:02x}: convert the file first (for example with iconv -f LATIN1 -t UTF-8)"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise DataError(
                f"{name} cannot be read after line {lines_before() + line_number}: {error.strerror or error}"
            ) from None
        raise _damaged(name, line_number, error) from None
    except DAMAGED as error:
        raise _damaged(name, line_number, error) from None


def check_encoding(first_line: bytes, name: str) -> None:
    """Refuse a text whose byte order mark says that it is not UTF-8.

    Raises:
        DataError: if it does.
    """
    for mark, encoding in _OTHER_BOMS.items():
        if first_line.startswith(mark):
            raise DataError(
                f"{name} must be UTF-8, but its byte order mark says {encoding}: "
                f"convert it first (iconv -f {encoding} -t UTF-8)"
            )


def does_not_exist(path: Path) -> DataError:
    return DataError(f"{path} does not exist: check the path")


def _damaged(name: str, line_number: int, error: Exception) -> DataError:
    # a decompressor reads ahead: an error among the first blocks comes before the first line
    place = f" after line {line_number}" if line_number else ""
    return DataError(f"{name} is damaged or truncated{place} ({error}): copy or download it again")
