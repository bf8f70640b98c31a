"""HTML for notebooks: what is in it, and that no text becomes markup."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from subjectwise.utils.notebook_html import Mark, bars_html, marked_html


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html)  # noqa: S314  # of our own template; it fails where a tag is left open


def test_bars() -> None:
    page = parsed(bars_html("Is <b>2</b> > 1 & so?", [("math", 0.975), ("law <i>", 0.025)], ["a & b"]))
    assert page.findtext("p/strong") == "Is <b>2</b> > 1 & so?"
    assert [row.findtext("th") for row in page.iter("tr")] == ["math", "law <i>"]
    assert [row.findtext("td") for row in page.iter("tr")] == ["97.5 %", "2.5 %"]
    widths = [re.search(r"[; ]width: ([\d.]+)%", bar.get("style", "")) for bar in page.iterfind(".//td/div")]
    assert [match and match[1] for match in widths] == ["97.5", "2.5"]
    assert [note.text for note in page.findall("p")[1:]] == ["a & b"]


def test_marked_text_is_the_text() -> None:
    text = "  What is <torque>\n& force?"
    page = parsed(marked_html("physics", text, [Mark(10, 18, 2.0), Mark(2, 6, -1.0), Mark(12, 20, 9.0)]))
    paragraph = page.findall("p")[1]
    assert "".join(paragraph.itertext()) == text, "whitespace too"
    marks = list(paragraph.iter("mark"))
    assert [mark.text for mark in marks] == ["What", "<torque>"], (
        "in the order of the text; an overlapping one is left out"
    )
    assert [mark.get("title") for mark in marks] == ["-1.00", "+2.00"]
    assert "underline" in marks[0].get("style", "") and "underline" not in marks[1].get("style", "")


def test_a_text_without_marks() -> None:
    assert parsed(marked_html("t", "plain", [])).findall("p")[1].text == "plain"
    assert parsed(marked_html("t", "plain", [Mark(0, 5, 0.0)])).findall("p")[1].text == "plain"
