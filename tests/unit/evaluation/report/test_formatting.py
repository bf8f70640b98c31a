from __future__ import annotations

import math

import pytest

from subjectwise.evaluation.report.formatting import (
    Bar,
    breakable_parts,
    clip,
    fixed,
    interval_bar,
    marked_bar,
    percent,
    percent_name,
    percent_range,
    rate,
)
from subjectwise.statistics.intervals import Interval


def test_numbers() -> None:
    assert percent(0.8734) == "87.3\u202f%" and percent(None) == percent(math.nan) == "–"
    assert fixed(0.12345) == "0.123" and fixed(1.5, 1) == "1.5" and fixed(None) == "–"
    assert percent_range(Interval(0.5, 0.4, 0.6), 0) == "40 to 60\u202f%"
    assert percent_name("0.95") == "95\u202f%" and percent_name("0.995") == "99.5\u202f%"
    assert percent_name("high") == "high"
    assert rate(5.44) == "5.4" and rate(88139.1) == "88,139" and rate(None) == "–"


@pytest.mark.parametrize(
    ("text", "longest", "clipped"),
    [
        ("short  text\n", 20, "short text"),
        ("several words in a row", 15, "several words…"),
        ("unbreakable" * 4, 10, "unbreakab…"),
        ("turned \u202e and \x0b odd", 40, "turned and odd"),
    ],
)
def test_text_is_clipped_between_words(text: str, longest: int, clipped: str) -> None:
    assert clip(text, longest) == clipped


def test_long_names_break_where_they_can() -> None:
    assert breakable_parts("ori_mmlu-highSchool") == ["ori_", "mmlu-", "high", "School"]
    assert "".join(breakable_parts("baseline:tfidf/x")) == "baseline:tfidf/x"


def test_bars() -> None:
    assert interval_bar(Interval(0.5, 0.25, 0.75)) == Bar(50.0, 25.0, 75.0)
    assert interval_bar(Interval(math.nan, 0.0, 1.0)) is None
    assert marked_bar(0.01, 0.03, last=0.04) == Bar(25.0, mark=75.0)
    assert marked_bar(0.05, None, last=0.04) == Bar(100.0)
