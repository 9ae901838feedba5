"""A report in a real browser: nothing is cut off on a phone or a desktop, and nothing goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import CHROMIUM, Browser, open_browser
from tests.commands import nmt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian, Ubuntu: apt install chromium)"),
]

# Elements that reach beyond the window and are not in a table that scrolls, and text that reaches out of its picture.
CUT_OFF = """
[...document.querySelectorAll("body *")]
  .filter(element => !element.closest(".heard"))
  .filter(element => {
    const picture = element.closest("svg"), box = element.getBoundingClientRect()
    if (picture && element.tagName === "text") {
      const frame = picture.getBoundingClientRect()
      return box.left < frame.left - 2 || box.right > frame.right + 2 ||
             box.top < frame.top - 2 || box.bottom > frame.bottom + 2
    }
    if (picture && element !== picture) return false
    const scrolls = element.parentElement.closest(".scroll")
    return !scrolls && (box.left < 0 || box.right > document.documentElement.clientWidth + 0.5)
  })
  .map(element => element.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="module")
def page(digits: Path, run_dir: Path) -> Path:
    """The page of two runs, one with a long name."""
    output = digits / "browser.html"
    long_name = digits / "a_run_with_a_long_name_of_several_words"
    long_name.symlink_to(run_dir)
    texts = [f"source={digits / 'test.en'}", f"reference={digits / 'test.fr'}"]
    (digits / "phrases").write_text("Digits\todd\tone three\nDigits\todd\tthree\nDigits\teven\ttwo four\n")
    rest = [f"phrases={digits / 'phrases'}", "bootstrap_samples=20", "search=greedy", "device=cpu", "threads=1"]
    done = nmt("report", f"runs=[{run_dir},{long_name}]", *texts, *rest, f"output={output}")
    assert done.status == 0, done.err
    return output


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_cut_off(browser: Browser, page: Path, width: int) -> None:
    browser.emulate()
    browser.open(page, width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(CUT_OFF) == []


def test_the_browser_complains_of_nothing_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page, width=800)
    assert browser.problems == []
    assert {url for url in browser.requests if not url.startswith("file:")} <= {"about:blank"}


def test_the_test_sees_what_is_cut_off(browser: Browser, page: Path) -> None:
    browser.open(page, width=360)
    browser.evaluate("document.querySelector('p').style.width = '500px'")
    browser.evaluate("document.querySelector('svg text').setAttribute('x', '-90')")
    assert len(browser.evaluate(CUT_OFF)) >= 2


@pytest.mark.parametrize(("media", "scheme", "is_dark"), [("screen", "dark", True), ("print", "dark", False)])
def test_text_and_pictures_are_light_in_the_dark_except_in_print(
    browser: Browser, page: Path, media: str, scheme: str, is_dark: bool
) -> None:
    browser.emulate(media=media, scheme=scheme)
    browser.open(page, width=1280)
    for expression, background in (
        ("getComputedStyle(document.body).backgroundColor", True),
        ("getComputedStyle(document.body).color", False),
        ("getComputedStyle(document.querySelector('svg text')).fill", False),
    ):
        colour = browser.evaluate(expression)
        brightness = sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3
        assert (brightness < 128) == (background == is_dark), f"{expression} is {colour}"


def test_a_screen_reader_hears_the_description_of_each_picture(browser: Browser, page: Path) -> None:
    browser.open(page, width=800)
    images = [node for node in browser.accessible() if node.role == "image"]
    assert len(images) == browser.evaluate("document.querySelectorAll('figure').length")
    assert all(len(image.name) > 20 for image in images)
