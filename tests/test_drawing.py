"""Pictures are SVG with text, in the colours of the page, and the same each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from nmt.errors import ConfigError
from nmt.report import drawing as module
from nmt.report.drawing import DASHES, FAINT, INK, SERIES, check_packages, drawing, logarithmic, shades, svg_of

LABEL = "run <a> & 中文 $1$"


def picture(label: str = LABEL) -> str:
    with drawing() as figure:
        axes = figure.subplots()
        for colour, dash in zip(SERIES, [*DASHES, *DASHES], strict=False):
            axes.plot([1, 2, 3], [0.5, 30, 1200], color=colour, linestyle=dash, label=label)
        axes.pcolormesh([[0.0, 0.5], [1.0, 0.2]], cmap=shades(SERIES[1]))
        logarithmic(axes)
        axes.legend()
        return svg_of(figure)


def test_the_same_figure_gives_the_same_text() -> None:
    assert picture() == picture()


def test_a_picture_is_one_element_without_size_date_and_font() -> None:
    svg = picture()
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert set(root.attrib) == {"viewBox", "version"}
    assert not re.search("font-family|<style|<metadata|<!", svg)


def test_text_stays_text() -> None:
    texts = [element.text for element in ET.fromstring(picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert LABEL in texts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.6, 1), {"0.6", "0.8", "1"}),
        ((2, 30), {"2", "5", "10", "20"}),
        ((0.5, 1200), {"1", "10", "100", "1000"}),
        ((1e-9, 50), {"1e−08", "0.01"}),
    ],
)
def test_logarithmic_ticks_are_plain_numbers(values: tuple[float, float], expected: set[str]) -> None:
    with drawing() as figure:
        axes = figure.subplots()
        axes.plot([1, 2], values)
        logarithmic(axes)
        svg = svg_of(figure)
    assert expected <= {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_colours_are_those_of_the_page() -> None:
    svg = picture()
    for colour in (*SERIES, FAINT):
        assert re.search(rf"var\(--[\w-]+, {colour}\)", svg), f"{colour} must be used as a variable"
    assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", svg), "a colour does not follow the page"
    assert "currentColor" in svg
    assert INK not in svg


def test_shades_differ_in_opacity_alone() -> None:
    svg = picture()
    assert re.search(r"fill: var\(--series-2, #d55e00\); fill-opacity: 0\.2\b", svg)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages()
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(ConfigError, match=r"needs matplotlib, which is not installed: pip install matplotlib, or"):
        check_packages()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs matplotlib and jinja2, .*: pip install matplotlib jinja2, or"):
        check_packages()
