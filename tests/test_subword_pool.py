from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nmt.text.subword_pool as subword_pool_module
from nmt.choices import Normalization
from nmt.errors import DataError, ProcessDiedError
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import learn_subword
from nmt.text.subword_pool import SubwordPool, encode_blocks
from tests.models import CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.no_tensors

TEXTS = ["a cab", "", "bad ☃", "a", "cab  a", "▁ab"]


@pytest.fixture(scope="module")
def subword() -> SubwordModel:
    spec = replace(CHARACTERS, normalization=Normalization.identity)
    return learn_subword(["abcd"], spec, lang="en")


def test_blocks_are_encoded_in_order_as_by_the_models(subword: SubwordModel) -> None:
    other = learn_subword(["dcba xyz"], replace(CHARACTERS, normalization=Normalization.identity), lang="fr")
    blocks = [(TEXTS[n % 5 :], TEXTS[: 1 + n % 6]) for n in range(20)] + [(["cab bad"] * 50_000, ["dab"] * 50_000)]
    for num_processes in (1, 4):
        encoded = list(encode_blocks(iter(blocks), [subword, other], num_processes=num_processes))
        assert len(encoded) == len(blocks)
        for texts, found in zip(blocks, encoded, strict=True):
            for model, of_model, result in zip((subword, other), texts, found, strict=True):
                expected = model.encode_flat(of_model)
                assert np.array_equal(result.ids, expected.ids)
                assert np.array_equal(result.lens, expected.lens)


def test_a_bounded_number_of_blocks_is_read_ahead(subword: SubwordModel) -> None:
    num_read = 0

    def blocks() -> Iterator[list[list[str]]]:
        nonlocal num_read
        for _ in range(100):
            num_read += 1
            yield [["cab"]]

    for num_encoded, _ in enumerate(encode_blocks(blocks(), [subword], num_processes=2)):
        assert num_read <= num_encoded + 5


def test_texts_are_lines(subword: SubwordModel) -> None:
    with SubwordPool(subword, num_processes=1) as pool:
        for texts in (["a\nb"], []):
            with pytest.raises(AssertionError, match="there is no text, or one holds a line feed"):
                pool.submit(texts)
        assert pool.submit(["cab", ""]).result().lens.tolist() == [4, 0]


def test_an_error_of_the_blocks_ends_the_processes(subword: SubwordModel, pids: list[int]) -> None:
    def blocks() -> Iterator[list[list[str]]]:
        yield from [[["cab"] * 1000] * 2] * 10
        raise DataError("train.en ends at line 35")

    with pytest.raises(DataError, match=r"^train\.en ends at line 35$"):
        list(encode_blocks(blocks(), [subword, subword], num_processes=2))
    assert len(pids) == 2
    assert not any(map(_is_alive, pids))


def test_the_processes_end_if_the_caller_stops(subword: SubwordModel, pids: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        encoded = encode_blocks([[["cab"]]] * 100, [subword], num_processes=2)
        next(encoded)
        try:
            raise KeyboardInterrupt
        finally:
            encoded.close()
    assert pids
    assert not any(map(_is_alive, pids))


def test_a_signal_to_the_group_of_the_caller_does_not_reach_the_processes(
    subword: SubwordModel, pids: list[int]
) -> None:
    with SubwordPool(subword, num_processes=1) as pool:
        pool.submit(["cab"]).result()
        assert [os.getpgid(pid) for pid in pids] == pids


def test_a_dead_process_is_reported(subword: SubwordModel, pids: list[int]) -> None:
    def blocks() -> Iterator[list[list[str]]]:
        for _ in range(100):
            yield [["cab"] * 1000]
            os.kill(pids[0], signal.SIGKILL)

    message = (
        r"^a process that encodes text has died: free memory if there was too little, or allow only one CPU "
        r"\(taskset -c 0 nmt …\), for which no process is started$"
    )
    with pytest.raises(ProcessDiedError, match=message):
        list(encode_blocks(blocks(), [subword], num_processes=2))
    assert not any(map(_is_alive, pids))


def test_a_process_that_dies_while_others_start_is_reported(
    subword: SubwordModel, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = SubwordPool.submit

    def killing(pool: SubwordPool, texts: list[str]) -> object:
        future = submit(pool, texts)
        os.kill(pids[0], signal.SIGKILL)
        time.sleep(0.1)
        return future

    monkeypatch.setattr(SubwordPool, "submit", killing)
    with pytest.raises(ProcessDiedError):
        list(encode_blocks([[["cab"]]], [subword], num_processes=4))
    assert not any(map(_is_alive, pids))


def test_the_processes_end_if_the_caller_stops_while_they_start(
    subword: SubwordModel, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = SubwordPool.submit

    def stopping(pool: SubwordPool, texts: list[str]) -> object:
        if pids:
            raise KeyboardInterrupt
        return submit(pool, texts)

    monkeypatch.setattr(SubwordPool, "submit", stopping)
    with pytest.raises(KeyboardInterrupt):
        list(encode_blocks([[["cab"]]], [subword], num_processes=4))
    assert len(pids) == 1
    assert not any(map(_is_alive, pids))


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes of all pools."""
    found: list[int] = []
    submit = SubwordPool.submit

    def recorded(pool: SubwordPool, texts: list[str]) -> object:
        future = submit(pool, texts)
        found.extend(pid for pid in pool._executor._processes if pid not in found)
        return future

    monkeypatch.setattr(subword_pool_module.SubwordPool, "submit", recorded)
    return found


# A plain script, whose processes print what they import.
IMPORTS = """
import sys
from pathlib import Path
from nmt.text.subword import SubwordModel
from nmt.text.subword_pool import SubwordPool

if __name__ == "__main__":
    with SubwordPool(SubwordModel.load(Path(sys.argv[1])), num_processes=1) as pool:
        pool.submit(["cab"]).result()
        print(pool._executor.submit(eval, "sorted(__import__('sys').modules)").result())
"""


def test_the_processes_import_little(subword: SubwordModel, tmp_path: Path) -> None:
    done = subprocess.run(_script(tmp_path, IMPORTS, subword), capture_output=True, text=True, check=True)
    modules = set(eval(done.stdout))
    assert "nmt.text.subword" in modules
    assert not {"torch", "hydra", "omegaconf", "sacremoses"} & modules


WAITS = """
import sys, time
from pathlib import Path
from nmt.text.subword import SubwordModel
from nmt.text.subword_pool import SubwordPool

if __name__ == "__main__":
    with SubwordPool(SubwordModel.load(Path(sys.argv[1])), num_processes=2) as pool:
        first, second = (pool.submit(["cab"] * 100_000) for _ in range(2))
        first.result(), second.result()
        print(*pool._executor._processes, flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_caller(subword: SubwordModel, tmp_path: Path, how: signal.Signals) -> None:
    command = _script(tmp_path, WAITS, subword)
    with (
        (tmp_path / "err").open("w+") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as caller,
    ):
        assert caller.stdout is not None
        pids = list(map(int, caller.stdout.readline().split()))
        assert len(pids) == 2
        if how == signal.SIGINT:  # a terminal sends it to all: the caller must react first
            for pid in pids:
                os.kill(pid, how)
        caller.send_signal(how)
        assert caller.wait(10) == -how
    deadline = time.monotonic() + 10
    while any(map(_is_alive, pids)):
        assert time.monotonic() < deadline, "a process outlives its caller"
        time.sleep(0.02)
    assert (tmp_path / "err").read_text().count("Traceback") == (how == signal.SIGINT)  # that of the caller


def _script(folder: Path, content: str, subword: SubwordModel) -> list[str]:
    subword.save(folder / "model")
    (folder / "script.py").write_text(dedent(content))
    return [sys.executable, str(folder / "script.py"), str(folder / "model")]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie has ended, too
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
