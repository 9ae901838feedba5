"""The wheel, installed where no checkout is: nmt trains and translates from a foreign folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, stdin: str = "") -> str:
    """Run a command without this process's import path; return its stdout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building without a network needs hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with nmt from the wheel, and every other package from the running one."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    scheme = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    # The wheel's own folder comes before this one; .pth files inside it (of an editable nmt, say) are not read.
    (packages / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    bin_folder = Path(sysconfig.get_path("scripts", "venv", vars=scheme))
    install: list[str | Path] = [
        "-m",
        "pip",
        "--python",
        bin_folder / "python",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        wheel,
    ]
    run(sys.executable, *install, cwd=environment)
    return bin_folder


def test_the_wheel_holds_the_configuration_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"nmt/py.typed", "nmt/conf/train.yaml", "nmt/conf/data/phrasebook.yaml"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"nmt"}


def test_the_installed_wheel_trains_and_translates_from_a_foreign_folder(installed: Path, tmp_path: Path) -> None:
    origin = run(installed / "python", "-c", "import nmt; print(nmt.__file__)", cwd=tmp_path).strip()
    assert Path(origin).is_relative_to(installed.parent)
    small = ["data.generate.train_pairs=200", "data.generate.dev_pairs=20", "data.generate.test_pairs=20"]
    run(
        installed / "nmt",
        "train",
        "data=phrasebook",
        "model=lstm_tiny",
        "training.max_updates=3",
        *small,
        "subword.vocab_size=300",
        "run_dir=run",
        "device=cpu",
        cwd=tmp_path,
    )
    assert (tmp_path / "run" / "checkpoints" / "last" / "model.safetensors").is_file()
    translate: list[str | Path] = [installed / "nmt", "translate", "checkpoints=[run/checkpoints/last]", "device=cpu"]
    translated = run(*translate, cwd=tmp_path, stdin="the cat sees the dog .\nI am here .\n")
    assert translated.count("\n") == 2
