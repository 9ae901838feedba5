"""The commands as processes: signals, pipes, and several at once."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nmt.training.checkpoint import load_checkpoint
from tests.commands import data_settings, train_settings, write_digits

pytestmark = pytest.mark.slow

NMT = [sys.executable, "-m", "nmt"]


def start(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*NMT, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def long_run(digits: Path, run_dir: Path) -> list[str]:
    return [*train_settings(digits), f"run_dir={run_dir}", "training.max_updates=100000"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_ended_by_a_signal_resumes_bitwise(digits: Path, tmp_path: Path, number: int, status: int) -> None:
    run_dir = tmp_path / "run"
    process = start("train", *long_run(digits, run_dir))
    wait_for(run_dir / "checkpoints" / "last", process)
    process.send_signal(number)
    returned, out, err = finish(process)
    assert (returned, out) == (status, "")
    assert err.splitlines()[-1] == f"nmt: stopped by {signal.Signals(number).name}"
    stopped_at = load_checkpoint(run_dir / "checkpoints" / "last").info.update
    limit = f"training.max_updates={stopped_at + 5}"
    assert finish(start("train", *long_run(digits, run_dir), limit, "resume=true"))[0] == 0
    assert finish(start("train", *long_run(digits, tmp_path / "whole"), limit))[0] == 0
    cut, whole = (folder / "checkpoints" / "last" / "model.safetensors" for folder in (run_dir, tmp_path / "whole"))
    assert cut.read_bytes() == whole.read_bytes()


def test_a_run_whose_terminal_is_closed_saves_and_stops(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    terminal, stderr = pty.openpty()
    settings = [*long_run(digits, run_dir), "training.checkpoint_every=100000", "training.validate_every=100000"]
    command = [*NMT, "train", *settings, "training.log_every=1"]  # with a bar that moves at every update
    process = subprocess.Popen(command, stdin=stderr, stdout=stderr, stderr=stderr, start_new_session=True)
    os.close(stderr)
    seen, metrics = b"", run_dir / "metrics.jsonl"
    while b"%|" not in seen or not (metrics.exists() and metrics.stat().st_size):  # there is an update to save
        assert select.select([terminal], [], [], 120)[0], seen
        seen += os.read(terminal, 1000)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.wait(120) == 129  # though the messages, and the bar, go nowhere
    assert load_checkpoint(run_dir / "checkpoints" / "last").info.update >= 1
    log = (run_dir / "train.log").read_text()
    assert "add resume=true to continue" in log
    assert "Traceback" not in log


def test_a_kill_leaves_a_checkpoint_to_resume(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    settings = [*long_run(digits, run_dir), "training.checkpoint_every=1", "resume=true"]
    last = run_dir / "checkpoints" / "last"
    for delay_s in (0.0, 0.13, 0.31):
        process = start("train", *settings)
        wait_for(last, process)
        time.sleep(delay_s)
        process.kill()
        finish(process)
        assert load_checkpoint(last).info.update >= 1
    update = load_checkpoint(last).info.update
    assert finish(start("train", *settings, f"training.max_updates={update + 1}"))[0] == 0
    assert load_checkpoint(last).info.update == update + 1


def test_a_run_killed_before_its_first_checkpoint_restarts(digits: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = start("train", *long_run(digits, run_dir), "training.checkpoint_every=100000")
    wait_for(run_dir / "config.yaml", process)
    process.kill()
    finish(process)
    assert finish(start("train", *train_settings(digits), f"run_dir={run_dir}"))[0] == 1
    status, _, err = finish(start("train", *train_settings(digits), f"run_dir={run_dir}", "resume=true"))
    assert status == 0, err


def test_a_second_job_in_a_run_directory_is_refused(digits: Path, tmp_path: Path) -> None:
    first = start("train", *long_run(digits, tmp_path / "run"))
    wait_for(tmp_path / "run" / "checkpoints" / "last", first)
    status, _, err = finish(start("train", *long_run(digits, tmp_path / "run"), "resume=true"))
    first.kill()
    finish(first)
    assert status == 1
    assert err == f"nmt: another job is training in {tmp_path / 'run'}: name another run_dir\n"


def test_two_jobs_prepare_a_corpus_at_the_same_time(tmp_path: Path) -> None:
    text = write_digits(tmp_path / "text", num_train=3000)
    jobs = [start("prepare", *data_settings(text)) for _ in range(2)]
    (first, out, err), (second, other_out, other_err) = (finish(job) for job in jobs)
    assert (first, second) == (0, 0), (err, other_err)
    assert out == other_out
    assert (Path(out.strip()) / "manifest.json").is_file()
    assert (err + other_err).count("learning") == 1


def test_a_pipe_closed_downstream_is_not_an_error(checkpoint: Path) -> None:
    shell = f"yes one | head -n 20000 | {' '.join(NMT)} translate checkpoints={checkpoint} search=greedy threads=1 "
    shell += "search.window_lines=50 | head -n 1; echo ${PIPESTATUS[2]} ${PIPESTATUS[3]}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[1:] == ["141 0"]
    assert done.stderr == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_earlier_output(checkpoint: Path, tmp_path: Path, number: int, status: int) -> None:
    output = tmp_path / "out"
    output.write_text("earlier\n")
    process = start("translate", f"checkpoints={checkpoint}", f"output={output}", stdin=subprocess.PIPE)
    end = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2:  # the temporary file
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    returned, out, err = finish(process)
    assert (returned, out, err) == (status, "", f"nmt: stopped by {signal.Signals(number).name}\n")
    assert output.read_text() == "earlier\n"
    assert list(tmp_path.iterdir()) == [output]


def test_the_next_translation_removes_the_temporary_file_of_a_kill(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("earlier\n")
    command = ["translate", f"checkpoints={checkpoint}", f"output={output}"]
    killed, living = (start(*command, stdin=subprocess.PIPE) for _ in range(2))
    end = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    killed.kill()
    finish(killed)
    assert output.read_text() == "earlier\n"
    status, _, err = finish(start(*command))
    assert status == 0
    assert err.count(", left by a command that was killed") == 1
    assert output.read_text() == ""
    assert len(list(tmp_path.iterdir())) == 2
    assert living.communicate("one\n", timeout=300)[0] == ""
    assert living.returncode == 0
    assert output.read_text().count("\n") == 1
    assert list(tmp_path.iterdir()) == [output]


def test_windows_stream(checkpoint: Path) -> None:
    process = start(
        "translate", f"checkpoints={checkpoint}", "search.window_lines=2", "format=jsonl", stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("one\ntwo\n")
    process.stdin.flush()
    assert [json.loads(process.stdout.readline())["source"] for _ in range(2)] == ["one", "two"]
    status, out, err = finish(process)
    assert (status, out) == (0, "")
    assert " 2 lines translated in " in err


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_text_is_utf8_in_any_locale(checkpoint: Path, locale: str) -> None:
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*NMT, "translate", f"checkpoints={checkpoint}", "format=jsonl"],
        input="été 🥚\n".encode(),
        env=environment,
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert json.loads(done.stdout)["source"] == "été 🥚"


def test_the_installed_command_is_the_module(checkpoint: Path, digits: Path) -> None:
    arguments = ["translate", f"checkpoints={checkpoint}", f"input={digits / 'test.en'}", "threads=1"]
    script = Path(sys.executable).with_name("nmt")
    if not script.exists():
        pytest.skip("nmt is not installed as a command")
    done = subprocess.run([str(script), *arguments], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == finish(start(*arguments))[1]
