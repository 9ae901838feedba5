from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import nmt.text.subword_process as subword_process_module
from nmt.choices import Normalization
from nmt.errors import DataError
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import learn_subword
from nmt.text.subword_process import SubwordProcess
from tests.models import CHARACTERS

pytestmark = pytest.mark.no_tensors

TEXTS = ["a cab", "", "bad ☃", "a", "cab  a", "▁ab"]


@pytest.fixture(scope="module")
def subword() -> SubwordModel:
    spec = replace(CHARACTERS, normalization=Normalization.identity)
    return learn_subword(["abcd"], spec, lang="en")


def test_ids_are_those_of_the_model(subword: SubwordModel) -> None:
    with SubwordProcess(subword) as process:
        for texts in (TEXTS, [], TEXTS[::-1], ["cab bad"] * 50_000):  # the last fills every pipe
            process.send(texts)
            encoded, expected = process.receive(), subword.encode_flat(texts)
            assert np.array_equal(encoded.ids, expected.ids)
            assert np.array_equal(encoded.lens, expected.lens)


def test_invalid_text_is_not_sent_and_the_process_continues(subword: SubwordModel) -> None:
    with SubwordProcess(subword) as process:
        with pytest.raises(UnicodeEncodeError):
            process.send(["cab", "\ud800"])  # half of a surrogate pair
        with pytest.raises(AssertionError, match="a text holds a line feed"):
            process.send(["a\nb"])
        process.send(["cab"])
        assert process.receive().ids.tolist() == subword.encode("cab")


def test_the_process_ends_with_its_block(subword: SubwordModel) -> None:
    with pytest.raises(KeyboardInterrupt), SubwordProcess(subword) as process:  # noqa: PT012
        process.send(["cab"] * 100_000)
        raise KeyboardInterrupt
    assert process._process.returncode == -signal.SIGKILL


DIED = "the second process that encodes text was stopped by SIGKILL: free memory if there was too little"


def test_a_process_that_died_before_the_texts_were_sent_is_reported(subword: SubwordModel) -> None:
    with SubwordProcess(subword) as process:
        process._process.kill()
        process._process.wait()
        with pytest.raises(DataError, match=DIED):
            process.send(["cab"])


def test_a_process_that_died_while_encoding_is_reported(subword: SubwordModel) -> None:
    with SubwordProcess(subword) as process:
        process.send(["cab"] * 100_000)
        process._process.kill()
        with pytest.raises(DataError, match=DIED):
            process.receive()


def test_a_process_that_cannot_start_is_reported(subword: SubwordModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword_process_module, "_SERVE", "raise SystemExit(3)")
    message = r"text ended with status 3: .* only one CPU \(taskset -c 0 nmt …\)"
    with pytest.raises(DataError, match=message), SubwordProcess(subword) as process:  # noqa: PT012
        process.send(["cab"])
        process.receive()


def test_the_process_imports_little(subword: SubwordModel, monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = ("torch", "hydra", "omegaconf", "multiprocessing", "sacremoses")
    check = f"; import sys; assert not {set(heavy)!r} & set(sys.modules), sys.modules.keys()"
    serve = subword_process_module._SERVE.removesuffix("; serve()")
    monkeypatch.setattr(subword_process_module, "_SERVE", f"{serve}{check}; serve()")
    with SubwordProcess(subword) as process:
        process.send(["cab"])
        assert process.receive().ids.tolist() == subword.encode("cab")


# Without `if __name__ == "__main__"`: a plain script that uses the process must not run twice.
SCRIPT = """
import sys, time
from pathlib import Path
from nmt.text.subword import SubwordModel
from nmt.text.subword_process import SubwordProcess

with SubwordProcess(SubwordModel.load(Path(sys.argv[1]))) as process:
    process.send(["cab"])
    process.receive()
    print(process._process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_does_not_outlive_its_caller(subword: SubwordModel, tmp_path: Path, how: signal.Signals) -> None:
    subword.save(tmp_path / "model")
    (tmp_path / "script.py").write_text(dedent(SCRIPT))
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        os.kill(pid, signal.SIGTERM)  # as if all processes got a signal: the caller must react first
        caller.send_signal(how)
        assert caller.wait(10) == -how
    deadline = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < deadline, "the process outlives its caller"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie has ended, too
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
