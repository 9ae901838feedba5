"""The wheel, installed without a checkout: nmt trains and translates from another folder, also from Python."""

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


def test_the_wheel_contains_the_configuration_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"nmt/py.typed", "nmt/conf/train.yaml", "nmt/conf/data/phrasebook.yaml"} <= names
    assert {"hydra_plugins/nmt_launchers.py", "nmt/conf/hydra/launcher/joblib.yaml"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"nmt", "hydra_plugins"}


@pytest.fixture(scope="module")
def run_folder(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside any checkout in which the installed nmt has trained `run`."""
    folder = tmp_path_factory.mktemp("elsewhere")
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
        cwd=folder,
    )
    return folder


def test_the_installed_wheel_trains_and_translates_elsewhere(installed: Path, run_folder: Path) -> None:
    origin = run(installed / "python", "-c", "import nmt; print(nmt.__file__)", cwd=run_folder).strip()
    assert Path(origin).is_relative_to(installed.parent)
    assert (run_folder / "run" / "checkpoints" / "last" / "model.safetensors").is_file()
    translate: list[str | Path] = [installed / "nmt", "translate", "checkpoints=[run/checkpoints/last]", "device=cpu"]
    translated = run(*translate, cwd=run_folder, stdin="the cat sees the dog .\nI am here .\n")
    assert translated.count("\n") == 2


def test_the_python_api_of_the_installed_wheel(installed: Path, run_folder: Path) -> None:
    program = """
import nmt
from nmt import Translator

translator = Translator.load("run/checkpoints/last", beam_size=2, device="cpu")
assert isinstance(translator("A dog runs."), str)
texts = translator(["A dog runs.", "", "I am here."])
assert texts[1] == "" and len(texts) == 3
assert list(translator(line for line in ["A dog runs."])) == texts[:1]
assert nmt.load_checkpoint("run/checkpoints/last").info.update == 3
[bleu] = nmt.score_corpus(["un chien court"], ["un chien court"])
print(bleu.label, bleu.value)
try:
    Translator.load("run")
except nmt.NmtError as error:
    print(error)
"""
    first, second = run(installed / "python", "-c", program, cwd=run_folder).splitlines()
    assert first.startswith("BLEU ")
    assert second == "run is not a checkpoint, but contains some: name one of them, such as run/checkpoints/best"
