"""Dataclasses from and to JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from subjectwise.utils.json_records import FieldError, from_json, json_text, to_json


@dataclass(frozen=True)
class Part:
    name: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Whole:
    rows: int
    first: Part
    parts: list[Part] = field(default_factory=list)
    by_name: dict[str, Part] = field(default_factory=dict)
    counts: tuple[int, ...] = ()
    best: float | None = None
    kept: bool = False
    facts: dict[str, object] = field(default_factory=dict)


CONTENT: dict[str, Any] = {
    "rows": 3,
    "first": {"name": "a", "share": 1},
    "parts": [{"name": "b", "share": 0.5}],
    "by_name": {"c": {"name": "c", "share": 0.25}},
    "counts": [1, 2],
    "best": 0.5,
    "kept": True,
    "facts": {"cores": 8, "system": "Linux"},
}


def test_every_kind_of_field_is_read_and_written() -> None:
    whole = from_json(Whole, CONTENT)
    assert whole == Whole(
        rows=3, first=Part("a", 1.0), parts=[Part("b", 0.5)], by_name={"c": Part("c", 0.25)}, counts=(1, 2), best=0.5,
        kept=True, facts={"cores": 8, "system": "Linux"},
    )  # fmt: skip
    assert isinstance(whole.first.share, float)
    assert json.loads(json.dumps(to_json(whole))) == CONTENT
    assert list(to_json(whole)) == list(CONTENT)


def test_fields_with_a_default_may_be_missing_or_null() -> None:
    few = {"rows": 3, "first": {"name": "a", "share": 1.0}}
    assert from_json(Whole, few) == Whole(rows=3, first=Part("a", 1.0))
    assert from_json(Whole, {**few, "parts": None, "kept": None, "best": None}) == from_json(Whole, few)


def test_unknown_keys_are_ignored() -> None:
    assert from_json(Part, {"name": "a", "share": 1, "later": [1]}) == Part("a", 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": None}, "rows is not a whole number"),
        ({"rows": True}, "rows is not a whole number"),
        ({"rows": 1.5}, "rows is not a whole number"),
        ({"first": {"name": "a"}}, "first.share is missing"),
        ({"first": {"name": 1, "share": 1}}, "first.name is not text"),
        ({"first": [1]}, "first is not an object"),
        ({"parts": {}}, "parts is not a list"),
        ({"parts": [{"name": "b", "share": "high"}]}, "parts[0].share is not a number"),
        ({"by_name": {"c": {"name": "c"}}}, "by_name.c.share is missing"),
        ({"by_name": []}, "by_name is not an object"),
        ({"counts": [1, "2"]}, "counts[1] is not a whole number"),
        ({"best": "0.5"}, "best is not a number"),
        ({"kept": 1}, "kept is not true or false"),
    ],
)
def test_an_error_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        from_json(Whole, {**CONTENT, **change})
    assert str(caught.value) == message


def test_the_content_itself_may_be_wrong() -> None:
    with pytest.raises(FieldError, match="the content is not an object"):
        from_json(Part, [1])
    with pytest.raises(FieldError, match="rows is missing"):
        from_json(Whole, {})


def test_numbers_that_json_lacks_are_null() -> None:
    row = {"a": float("nan"), "b": [1.5, float("inf"), {"c": -float("inf")}], "d": (2, "ü"), "e": date(2026, 1, 2)}
    text = json_text(row)
    assert text == '{"a": null, "b": [1.5, null, {"c": null}], "d": [2, "ü"], "e": "2026-01-02"}'
    assert json_text("ü", ensure_ascii=True) == '"\\u00fc"'
