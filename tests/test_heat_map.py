"""Pictures of alignments are XML, complete and self-contained."""

import xml.etree.ElementTree as ET

import numpy as np

from nmt.search.alignment import Alignment
from nmt.search.heat_map import Colours, heat_map

SVG = "{http://www.w3.org/2000/svg}"
WEIGHTS = np.array([[0.25, 0.5, 0.25], [0.125, 0.0, 0.875]], np.float32)
ALIGNMENT = Alignment(WEIGHTS, ('▁<b>&"', "猫\0", "</s>"), ("▁x", "</s>"), ('<b>&"猫\0',), (0, 0), (0,))


def test_it_has_the_title_all_subwords_and_all_numbers() -> None:
    picture = heat_map(ALIGNMENT, title="a < b & c\x1b → d")
    root = ET.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == "a < b & c\ufffd → d"
    assert [text.text for text in root.iter(f"{SVG}text")] == ['▁<b>&"', "猫\ufffd", "</s>", "▁x", "</s>"]
    titles = [title.text or "" for title in root.iter(f"{SVG}title")][1:]
    assert [title.rpartition(": ")[2] for title in titles] == [
        "0.2500",
        "0.5000",
        "0.2500",
        "0.1250",
        "0.0000",
        "0.8750",
    ]
    assert titles[0] == '▁x to ▁<b>&": 0.2500'
    assert titles[5] == "</s> to </s>: 0.8750"
    assert "href" not in picture
    assert picture.isprintable() or "\n" in picture


def test_source_subwords_are_columns_and_target_subwords_rows() -> None:
    root = ET.fromstring(heat_map(ALIGNMENT, title=""))
    cells = [cell for cell in root.iter(f"{SVG}rect") if cell.get("fill-opacity")]
    x, y = ([float(cell.get(name, "")) for cell in cells] for name in ("x", "y"))
    assert x[:3] == x[3:] == sorted(set(x))
    assert y[:3] == [y[0]] * 3
    assert y[3:] == [y[3]] * 3
    assert y[0] < y[3]
    assert [cell.get("fill-opacity") for cell in cells[:2]] == ["0.2500", "0.5000"]
    width, height = (float(root.get(name, "")) for name in ("width", "height"))
    assert max(x) + 26 <= width
    assert max(y) + 26 <= height


def test_labels_have_the_space_that_they_need() -> None:
    def width_of(label: str) -> float:
        alignment = ALIGNMENT._replace(target=(label, "</s>"))
        return float(ET.fromstring(heat_map(alignment, title="")).get("width", ""))

    assert width_of("x" * 20) > width_of("x" * 10) > 0
    assert width_of("猫" * 20) > width_of("x" * 20)


def test_colours_can_be_those_of_a_page() -> None:
    colours = Colours("none", "currentColor", "var(--cell)", "var(--grid)")
    picture = heat_map(ALIGNMENT, title="", colours=colours)
    root = ET.fromstring(picture)
    styles = [element.get("style") for element in root]
    assert styles == [None, "fill: none", "fill: currentColor", "fill: var(--cell); stroke: var(--grid)"]
    assert "#" not in picture
    on_white = [element.get("style") for element in ET.fromstring(heat_map(ALIGNMENT, title=""))]
    assert on_white[1:3] == ["fill: white", "fill: black"]
