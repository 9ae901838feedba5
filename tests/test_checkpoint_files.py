"""The files of a checkpoint: a flipped bit is noticed, and no malicious file makes nmt hang or crash."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nmt.errors import CheckpointError, DamagedCheckpointError
from nmt.training.checkpoint import load_checkpoint, load_snapshot
from nmt.training.checkpoint_files import check_finite, hash_file, load_tensors
from tests.checkpoints import FILES, edit_json, rehash

pytestmark = pytest.mark.usefixtures("no_fsync")


def read_all(checkpoint: Path) -> None:
    load_checkpoint(checkpoint)
    load_snapshot(checkpoint)


@pytest.mark.parametrize("name", [name for name in FILES if name != "checkpoint.json"])
def test_a_flipped_bit_is_noticed_and_named(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[-1] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(
        DamagedCheckpointError,
        match=rf"update_000007/{name} is damaged or was edited: its hash is not the one in .*update_000007/"
        r"checkpoint\.json: use another checkpoint of the run$",
    ):
        read_all(saved)
    content[-1] ^= 1
    (saved / name).write_bytes(content)
    read_all(saved)


@pytest.mark.parametrize("name", [name for name in FILES if name != "checkpoint.json"])
def test_a_file_without_a_hash_is_refused(saved: Path, name: str) -> None:
    files = {other: hash_file(saved / other) for other in FILES if other not in (name, "checkpoint.json")}
    rehash(saved, files=files)
    with pytest.raises(DamagedCheckpointError, match=rf"{name} is damaged or was edited: its hash is not the one in"):
        read_all(saved)


@pytest.mark.parametrize("name", [name for name in FILES if name != "checkpoint.json"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(
        DamagedCheckpointError, match=rf"update_000007/{name} is missing: use another checkpoint of the"
    ):
        read_all(saved)


def test_other_files_in_the_folder_do_not_matter(saved: Path) -> None:
    (saved / "NOTES.txt").write_text("the good one")
    read_all(saved)


def test_a_path_among_the_hashes_is_not_read(saved: Path) -> None:
    def change(values: dict[str, dict[str, str]]) -> None:
        values["files"]["../../../etc/passwd"] = "0" * 32

    edit_json(saved / "checkpoint.json", change)
    values = json.loads((saved / "checkpoint.json").read_text())
    rehash(saved, files=values["files"])
    read_all(saved)


@pytest.mark.parametrize("name", FILES)
def test_links_to_files_are_followed(saved: Path, tmp_path: Path, name: str) -> None:
    (saved / name).rename(tmp_path / "blob")  # as model caches store them
    (saved / name).symlink_to(tmp_path / "blob")
    read_all(saved)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_anything_but_a_regular_file_is_refused_at_once(saved: Path, name: str, kind: str) -> None:
    file = saved / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if kind == "device" else file)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read \(.*\): use another|it has no checkpoint\.json"):
        read_all(saved)


def _header(values: object) -> Callable[[bytes], bytes]:
    def change(_: bytes) -> bytes:
        header = values if isinstance(values, bytes) else json.dumps(values).encode()
        return struct.pack("<Q", len(header)) + header + bytes(64)

    return change


BIAS = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}
INVALID_TENSORS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "seven bytes": lambda _: b"\0" * 7,
    "no header": lambda _: struct.pack("<Q", 0),
    "a header of 2^64 bytes": lambda content: b"\xff" * 8 + content[8:],
    "a header of 100 MB": lambda content: struct.pack("<Q", 100_000_000) + content[8:],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "not JSON": _header(b"{"),
    "a list": _header([]),
    "deep": _header(b'{"a":' * 100_000),
    "not UTF-8": _header(b'{"\xff": 1}'),
    "a surrogate": _header(b'{"\\ud800": 1}'),
    "nothing": _header({}),
    "an unknown dtype": _header({"a": BIAS | {"dtype": "F33"}}),
    "float8": _header({"a": BIAS | {"dtype": "F8_E4M3", "shape": [64]}}),
    "complex": _header({"a": BIAS | {"dtype": "C64", "shape": [8]}}),
    "a shape of another size": _header({"a": BIAS | {"shape": [17]}}),
    "a negative shape": _header({"a": BIAS | {"shape": [-1]}}),
    "a shape that overflows": _header({"a": BIAS | {"shape": [2**63, 2**63]}}),
    "an endless shape of nothing": lambda _: _header({"a": BIAS | {"shape": [0, 2**63], "data_offsets": [0, 0]}})(b"")[
        :-64
    ],
    "tensors that overlap": _header({"a": BIAS, "b": BIAS}),
    "offsets beyond the end": _header({"a": BIAS | {"data_offsets": [64, 128]}}),
    "other tensors": _header({"a": BIAS}),
    "a name that is not printable": _header({"a\n\u202e": BIAS}),
}


@pytest.mark.parametrize("kind", INVALID_TENSORS)
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".safetensors")])
def test_invalid_tensors_are_refused_in_one_line(saved: Path, name: str, kind: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(INVALID_TENSORS[kind](content))
    rehash(saved)
    if name != "model.safetensors":  # here only the trainer knows what must be in it: test_resume.py
        try:
            read_all(saved)
        except DamagedCheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
        return
    with pytest.raises(
        DamagedCheckpointError,
        match=r"model\.safetensors (cannot be read \(.*\): use another|does not fit the settings)",
    ) as caught:
        read_all(saved)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_tensors_are_mapped_not_read(tmp_path: Path) -> None:
    """A malicious file may claim to be of any size: its bytes are read only after its layout has been checked."""
    file = tmp_path / "model.safetensors"
    num_bytes = 1 << 40
    header = json.dumps({"a": {"dtype": "F32", "shape": [num_bytes // 4], "data_offsets": [0, num_bytes]}}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    with file.open("r+b") as stream:
        try:
            stream.truncate(8 + len(header) + num_bytes)  # takes no space
        except OSError:
            pytest.skip("a file system without such large files")
    try:
        assert load_tensors(file)["a"].numel() == num_bytes // 4
    except DamagedCheckpointError as error:  # a machine that maps no more than its memory
        assert "cannot be read" in str(error)  # noqa: PT017


def test_a_header_larger_than_that_of_any_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(_header(b"{" + b" " * (5 << 20) + b"}")(b"")[:-64])
    with pytest.raises(
        DamagedCheckpointError, match=r"cannot be read \(a header of 5,242,882 bytes\): use another check"
    ):
        load_tensors(tmp_path / "file")


def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path) -> None:
    for place in (0, 4999, 9999):
        for value in (float("nan"), float("inf"), -float("inf")):
            tensor = torch.full((100, 100), 3e38)  # whose sum would not be finite
            check_finite(tmp_path, {"good": tensor, "empty": torch.empty(0), "count": torch.tensor(3)}, what="values")
            tensor.view(-1)[place] = value
            with pytest.raises(DamagedCheckpointError, match="holds values that are not finite, in 'bad': use another"):
                check_finite(tmp_path, {"good": torch.ones(3), "bad": tensor}, what="values")


def test_tensors_are_loaded_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([[-0.0, 1e-42], [3e38, 1 / 3]]), "b": torch.tensor(7.0), "c": torch.arange(3)}
    save_file(tensors, tmp_path / "file")
    loaded = load_tensors(tmp_path / "file")
    assert {name: bytes(tensor.numpy().tobytes()) for name, tensor in loaded.items()} == {
        name: bytes(tensor.numpy().tobytes()) for name, tensor in load_file(tmp_path / "file").items()
    }


def test_a_hash_covers_all_bytes(tmp_path: Path) -> None:
    hashes = set()
    for content in (b"", b"\0", b"\0\0", b"\0" * 5000, b"\0" * 4999 + b"\1"):
        (tmp_path / "file").write_bytes(content)
        hashes.add(hash_file(tmp_path / "file"))
    assert len(hashes) == 5
    assert all(len(value) == 32 for value in hashes)
