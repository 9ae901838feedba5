"""Figures drawn by matplotlib as SVG: text stays text, and colours are those of the page, light or dark.

    with drawing() as figure:
        axes = figure.subplots()
        axes.plot(updates, losses, color=SERIES[0])
        svg = svg_of(figure)

The same figure gives the same text. Only colours of this module follow the page.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nmt.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 400, 270  # pixels; the page scales a figure to its column

# Wong 2011, "Points of view: Color blindness", without yellow; the page has lighter ones for the dark.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("solid", "dashed", "dashdot", "dotted")  # beside the colours, for print in black and white
INK = "#010203"  # text and axes
FAINT = "#a1a2a3"  # grid

_VARIABLES = {colour: f"var(--series-{n}, {colour})" for n, colour in enumerate(SERIES, start=1)} | {
    INK: "currentColor",
    FAINT: f"var(--faint, {FAINT})",
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nmt",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; the page replaces it by a narrower one
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # names and subwords may have a dollar sign
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "figure.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
_NOT_FOR_THE_PAGE = re.compile(
    r"""<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>|font-family:[^;"]*;\ """
    r"""|(?<=<svg\ )xmlns:xlink="[^"]*"\ width="[^"]*"\ height="[^"]*"\ """,
    re.DOTALL | re.VERBOSE,
)


def check_packages() -> None:
    """Check that what reports are made with is installed; importing nmt does not need it.

    Raises:
        ConfigError: if something is missing.
    """
    if missing := [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]:
        raise ConfigError(
            f"a report needs {' and '.join(missing)}, which is not installed: pip install {' '.join(missing)}, or "
            "install nmt with its extra 'report'"
        )


@contextmanager
def drawing(*, width: int = WIDTH, height: int = HEIGHT) -> Iterator["Figure"]:
    """Give an empty figure of that many pixels, in the style of a report; `svg_of` belongs inside."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", _STYLE]):  # not the user's own style
        yield Figure(figsize=(width / 72, height / 72), layout="constrained")


def svg_of(figure: "Figure") -> str:
    """Return the figure as an SVG element without size, font and date, in the colours of the page."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # matplotlib's font only measures the text
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = _NOT_FOR_THE_PAGE.sub("", svg).replace("xlink:href=", "href=")
    return re.sub("|".join(_VARIABLES), lambda match: _VARIABLES[match[0]], svg)


def shades(colour: str = SERIES[0]) -> "LinearSegmentedColormap":
    """Return a colour map from transparent to a colour, for `pcolormesh`: it is right on any background."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [(colour, 0.0), (colour, 1.0)])


def logarithmic(axes: "Axes") -> None:
    """Make the y axis logarithmic, with plain numbers at its ticks; after plotting."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = range(1, 10) if high < 5 * low else (1, 2, 5) if high < 1000 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
