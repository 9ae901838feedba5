"""Find a Python that has what a script needs; standard library only."""

import importlib.util
import os
import sys
from pathlib import Path

VENV_PYTHON = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"


def require(*modules: str, install: str) -> None:
    """Continue if this Python has the modules; otherwise restart the script with that of .venv, or exit with advice."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    if VENV_PYTHON.exists() and Path(sys.prefix) != VENV_PYTHON.parents[1]:
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), *sys.argv])
    sys.exit(f"{Path(sys.argv[0]).name}: {missing[0]} is not installed for this Python: run {install} first")
