"""The files of one checkpoint: read within limits, and compared with the hashes that were written with them.

No file is trusted: it may be truncated, have flipped bits, or come from a stranger. Any problem is a
DamagedCheckpointError of one line.
"""

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from nmt.errors import DamagedCheckpointError
from nmt.plain import PlainError, check_regular, read_json, read_yaml, shown

_MAX_HEADER_BYTES = 4 << 20  # of a safetensors file: about 30,000 tensors
# Linux then maps all pages at once, which takes a fifth less time than one after the other.
_MAP_AT_ONCE = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)

T = TypeVar("T")


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors to a file with the permissions of the umask."""
    file.touch()
    mode = file.stat().st_mode
    save_file(dict(tensors), file)
    file.chmod(mode)  # safetensors lets only the owner read


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Map a safetensors file into memory: its bytes are read when they are used.

    Raises:
        DamagedCheckpointError: if it is missing, truncated, or not such a file.
    """
    return _read(file, _map_tensors)


def load_json(file: Path) -> object:
    """Read a JSON file.

    Raises:
        DamagedCheckpointError: if it is missing or damaged.
    """
    return _read(file, read_json)


def load_yaml(file: Path) -> object:
    """Read a YAML file.

    Raises:
        DamagedCheckpointError: if it is missing or damaged.
    """
    return _read(file, read_yaml)


def hash_file(file: Path) -> str:
    """Return the xxh3_128 of a file in hex."""
    check_regular(file)
    with file.open("rb") as stream:
        if stream.seek(0, 2) == 0:  # an empty file has no pages to map
            return xxhash.xxh3_128_hexdigest(b"")
        with mmap.mmap(stream.fileno(), 0, flags=_MAP_AT_ONCE, prot=mmap.PROT_READ) as content:
            return xxhash.xxh3_128_hexdigest(content)


def check_hash(folder: Path, name: str, hashes: Mapping[str, str] | None) -> None:
    """Compare a file with the hash that was written with it.

    Args:
        hashes: of each file by name; None for format 1, which has none.

    Raises:
        DamagedCheckpointError: if the file is missing, or has changed since it was written.
    """
    file = folder / name
    found = _read(file, hash_file)
    if hashes is not None and hashes.get(name) != found:
        raise DamagedCheckpointError(
            f"{file} is damaged or was edited: its hash is not the one in {folder / 'checkpoint.json'}: "
            "use another checkpoint of the run"
        )


def check_same_layout(file: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that tensors have the expected names, shapes and dtypes.

    Raises:
        DamagedCheckpointError: if they differ; it names the first tensor that does.
    """
    for name in sorted(tensors.keys() | expected.keys()):
        if name not in expected:
            raise DamagedCheckpointError(
                f"{file} does not fit the settings: {shown(name)} is not a tensor of this model"
            )
        wanted = expected[name]
        if name not in tensors:
            raise DamagedCheckpointError(f"{file} does not fit the settings: {name} is missing")
        found = tensors[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise DamagedCheckpointError(
                f"{file} does not fit the settings: {name} must be {_describe(wanted)}, but is {_describe(found)}"
            )


def check_finite(file: Path, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Refuse NaN and infinity.

    Args:
        what: the name of the tensors in the message.

    Raises:
        DamagedCheckpointError: if there are any; it names the first tensor that has them.
    """
    if (name := first_not_finite(tensors)) is not None:
        raise DamagedCheckpointError(
            f"{file} holds {what} that are not finite, in {shown(name)}: use another checkpoint of the run"
        )


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name a tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        # aminmax propagates NaN, makes no copy, and reads at the speed of memory
        if tensor.is_floating_point() and tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
            return name
    return None


def _read(file: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(file)
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"{file} is missing: use another checkpoint of the run") from error
    except (OSError, PlainError, SafetensorError, TypeError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]
        raise DamagedCheckpointError(f"{file} cannot be read ({reason}): use another checkpoint of the run") from error


def _map_tensors(file: Path) -> dict[str, Tensor]:
    check_regular(file)
    with file.open("rb") as stream:
        num_header_bytes = int.from_bytes(stream.read(8), "little")
    if num_header_bytes > _MAX_HEADER_BYTES:
        raise PlainError(f"a header of {num_header_bytes:,} bytes")
    try:
        os.fsencode(file).decode("utf-8")
    except UnicodeDecodeError:  # safetensors opens no such path
        return load(file.read_bytes())
    return load_file(file)


def _describe(tensor: Tensor) -> str:
    shape = " x ".join(map(str, tensor.shape)) or "one number"
    return f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"
