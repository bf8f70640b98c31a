"""Draws with matplotlib and makes an SVG to stand inside HTML. Knows no files and not what is drawn.

A figure is drawn in stand-in colours, which become the page's CSS variables, so that one figure serves a light and a
dark page. Text stays text, in the page's own font. Nothing in a figure needs a `style` attribute.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, RULE, FIRST, SECOND = (f"#00000{digit}" for digit in range(1, 6))
_VARIABLES = {INK: "ink", SOFT: "soft", RULE: "rule", FIRST: "first", SECOND: "second"}

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": SOFT,
    "axes.labelpad": 7,
    "axes.labelsize": 12,
    "axes.titlecolor": SOFT,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 12,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 12,
    "grid.color": RULE,
    "grid.linewidth": 1,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.labelcolor": SOFT,
    "lines.linewidth": 2,
    "svg.fonttype": "none",
    "text.color": INK,
    # A label is shown as it is spelled, dollar signs included.
    "text.parse_math": False,
    "xtick.color": RULE,
    "xtick.labelcolor": SOFT,
    "xtick.labelsize": 12,
    "xtick.major.size": 0,
    "xtick.major.pad": 8,
    "xtick.minor.size": 0,
    "ytick.color": RULE,
    "ytick.labelcolor": SOFT,
    "ytick.labelsize": 12,
    "ytick.major.size": 0,
    "ytick.major.pad": 6,
}


def add_axes(figure: Figure, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes at distances in pixels from the edges of the figure."""
    width, height = figure.get_size_inches() * 72
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )


def draw(name: str, width: float, height: float, paint: Callable[[Figure], None], description: str) -> str:
    """`width` and `height` in CSS pixels. The same figure always gives the same text."""
    stream = io.StringIO()
    # A letter that matplotlib's own font lacks is drawn by the browser, in the page's.
    with matplotlib.rc_context(), warnings.catch_warnings(action="ignore"):
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | {"svg.hashsalt": name})
        # One unit of the SVG is 1/72 inch to matplotlib and one pixel to the page.
        figure = Figure(figsize=(width / 72, height / 72))
        paint(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _for_html(stream.getvalue(), name, description)


_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


def _for_html(svg: str, name: str, description: str) -> str:
    """Matplotlib's SVG file as an element of a page: no metadata, style sheet or style attributes, ids of its own."""
    root = ElementTree.fromstring(svg)
    used = {part for element in root.iter() for part in _references(element)}
    ids = {old: f"{name}-{number}" for number, old in enumerate(sorted(used), start=1)}
    for element in root.iter():
        for child in list(element):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                element.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.text, element.tail = (element.text or "").strip() or None, None
        for declaration in element.attrib.pop("style", "").split(";"):
            key, _, value = (part.strip() for part in declaration.partition(":"))
            if key and key != "font-family":
                element.set(key, value)
        found = dict(element.attrib)
        element.attrib.clear()
        for key, value in found.items():
            if key == "id":
                if value in ids:
                    element.set("id", ids[value])
            elif key == _HREF:
                element.set("href", f"#{ids[value[1:]]}")
            elif key == "clip-path":
                element.set(key, f"url(#{ids[value[5:-1]]})")
            elif key == "d":
                element.set(key, " ".join(value.split()))
            elif not value.startswith("rotate(-0 "):
                element.set(key, f"var(--{_VARIABLES[value]})" if value in _VARIABLES else value)
    box = root.get("viewBox", "").split()
    root.attrib.clear()
    root.attrib.update(
        {"class": "plot", "role": "img", "aria-label": description, "width": box[2], "height": box[3]}
        | {"viewBox": " ".join(box)}
    )
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _references(element: ElementTree.Element) -> list[str]:
    clip_path = element.get("clip-path", "")
    return [element.get(_HREF, "#")[1:]] * (_HREF in element.attrib) + [clip_path[5:-1]] * bool(clip_path)
