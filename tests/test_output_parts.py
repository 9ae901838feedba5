from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import torch.distributed as dist

from nmt.commands.output_parts import write_in_parts
from nmt.place import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dist.HashStore:
    """Meet in the memory of this process instead of under torchrun."""
    store = dist.HashStore()
    monkeypatch.setattr(dist, "rendezvous", lambda *_, **__: iter([(store, 0, 0)]))
    return store


def _write(part: Path) -> int:
    part.write_text(f"part {part.name}\n" * 2)
    return 2


@pytest.mark.no_tensors
def test_the_first_process_joins_the_parts_in_order(tmp_path: Path) -> None:
    output = tmp_path / "out.gz"
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda rank: write_in_parts(Place(rank, 3), str(output), _write), [2, 1, 0]))
    assert ends == [None, None, 6]
    assert gzip.decompress(output.read_bytes()).decode() == "".join(f"part {rank}\n" * 2 for rank in range(3))
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.no_tensors
def test_a_process_that_fails_leaves_nothing(tmp_path: Path, store: dist.HashStore) -> None:
    def fail(part: Path) -> int:
        _write(part)
        raise KeyboardInterrupt

    store.set("lines/1", "2")
    with pytest.raises(KeyboardInterrupt):
        write_in_parts(Place(0, 2), str(tmp_path / "out"), fail)
    assert list(tmp_path.iterdir()) == []
