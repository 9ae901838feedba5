"""README and docs/: links are valid, command lines work, and lines are not too long."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from tests.commands import nmt

pytestmark = pytest.mark.no_tensors

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
WIDTH = 100
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def without_code(text: str) -> str:
    """Blank code blocks, line by line, so that line numbers stay."""
    return FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """List the relative links of a page to missing files or headings."""
    prose = re.sub(r"`[^`\n]*`", "", without_code(text))
    broken = []
    for link in LINK.findall(prose):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def long_lines(text: str) -> list[int]:
    """List the numbers of lines of prose that are too long; tables, code and single long words are excepted."""
    return [
        number
        for number, line in enumerate(without_code(text).split("\n"), start=1)
        if len(line) > WIDTH and not line.startswith("|") and " " in line.strip()
    ]


def command_lines(text: str) -> list[str]:
    """List the nmt commands in the code blocks of a page, each on one line, without the shell's syntax.

    Those with `…` are left out, since they are not meant to be typed; so are options that only print. The variable of
    a loop has its first value, any other its name.
    """
    found = []
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").split("\n"):
            if match := re.search(r"(?:^|\| )\s*(?:\.venv/bin/)?nmt (\w+ .*|\w+)$", line):
                command = re.split(r" #| [<>|] ?", match[1])[0]
                if "…" not in command and "KEY" not in command and not re.search(r" --\w", command):
                    found.append(" ".join(without_variables(command, block).split()))
    return found


def without_variables(command: str, block: str) -> str:
    loops: dict[str, str] = dict(re.findall(r"for (\w+) in (\S+)", block))
    return re.sub(r"\$(\w+)", lambda match: loops.get(str(match[1]), str(match[1])), command)


def as_one_job(command: str) -> list[str]:
    """Split a command into words; of a sweep, take the first job."""
    words = shlex.split(command)
    if "-m" not in words:
        return words
    return [re.sub(r"^([\w.]+=)([^,\[]+),.*", r"\1\2", word) for word in words if word != "-m"]


COMMANDS = sorted({command for page in PAGES for command in command_lines(page.read_text("utf-8"))})


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_are_valid(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_prose_wraps_at_100_columns(page: Path) -> None:
    assert long_lines(page.read_text("utf-8")) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_in_the_docs_are_valid(command: str) -> None:
    done = nmt(*as_one_job(command), "--help")
    assert done.status == 0, done.err


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in seen:
            continue
        seen.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(without_code(page.read_text("utf-8")))]
        targets = [(page.parent / link).resolve() for link in links if link.endswith(".md") and ":" not in link]
        pending += [target for target in targets if target.exists()]
    assert set(PAGES) - seen == set()


# Tests of the checks


def test_a_broken_link_is_found() -> None:
    text = "[a](nowhere.md) [b](README.md#nothing) [c](#quick-start) [d](https://example.org/x) `[e](x)`\n"
    assert broken_links(ROOT / "README.md", text) == ["nowhere.md", "README.md#nothing"]


def test_a_long_line_is_found() -> None:
    long = "word " * 30
    assert long_lines(f"short\n{long}\n| {long} |\n```\n{long}\n```\n{'x' * 200}\n") == [2]


def test_commands_are_found() -> None:
    text = (
        "```\n"
        "nmt train data=files \\\n  seed=2  # a comment\n"
        "echo 'a | b' | .venv/bin/nmt translate 'checkpoints=[a]' > out\n"
        "nmt train data=…\n"
        'for beam in 1 2; do\n  nmt translate "checkpoints=[$best]" search.beam_size=$beam < in\ndone\n'
        "```\nnmt prose is no command\n"
    )
    assert command_lines(text) == [
        "train data=files seed=2",
        "translate 'checkpoints=[a]'",
        'translate "checkpoints=[best]" search.beam_size=1',
    ]
    assert as_one_job("train -m seed=1,2 'data.train.src=[a,b]'") == ["train", "seed=1", "data.train.src=[a,b]"]


def test_a_wrong_setting_is_noticed() -> None:
    assert nmt("train", "model.layers=2", "--help").status == 1
