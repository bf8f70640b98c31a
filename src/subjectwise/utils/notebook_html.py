"""Bars and marked text as HTML, which notebooks show. Knows no questions; notebook.html.jinja has the markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A part of a text that speaks for something (a weight above 0) or against it.

    Attributes:
        start, end: character positions in the text.
        weight: how strongly; the strongest is shown in full colour.
    """

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class _Part:
    """A piece of text as the template shows it; `strength` from -1 to 1, 0 for text without a mark."""

    text: str
    weight: float = 0.0
    strength: float = 0.0


def bars_html(title: str, bars: Sequence[tuple[str, float]], notes: Sequence[str] = ()) -> str:
    """Return a title, a table of names with their shares (0 to 1) as bars, and notes below it."""
    return _render(title=title, bars=bars, parts=(), notes=notes)


def marked_html(title: str, text: str, marks: Sequence[Mark], notes: Sequence[str] = ()) -> str:
    """Return a title, a text with marks (of overlapping ones the first), and notes below it."""
    strongest = max((abs(mark.weight) for mark in marks), default=0.0) or 1.0
    parts, position = [], 0
    for mark in sorted(marks, key=lambda mark: mark.start):
        if mark.start < position:
            continue
        parts.append(_Part(text[position : mark.start]))
        parts.append(_Part(text[mark.start : mark.end], mark.weight, mark.weight / strongest))
        position = mark.end
    return _render(title=title, bars=(), parts=[*parts, _Part(text[position:])], notes=notes)


def _render(**values: object) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("subjectwise.utils", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("notebook.html.jinja").render(**values)
