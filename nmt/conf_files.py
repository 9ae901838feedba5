"""The files of conf/: their location, the options of a group, and the comment that describes each file."""

from pathlib import Path

from nmt.errors import ConfigError


def conf_dir() -> Path:
    """Find conf/: inside the package (an installed wheel), else beside it (a checkout, an editable install).

    Raises:
        ConfigError: if neither exists.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"conf/ must be in {package} or beside it, but is not: install nmt again")


def group_options(group: str) -> list[str]:
    """List the options of a group of conf/; none if there is no such group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def first_comment(file: Path) -> list[str]:
    """Return the comment at the top of a file, line by line, without Hydra's `# @package`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:end] if not line.startswith("# @")]


def about_option(group: str, option: str) -> str:
    """Return the first line of an option's comment."""
    return "".join(first_comment(conf_dir() / group / f"{option}.yaml")[:1])
