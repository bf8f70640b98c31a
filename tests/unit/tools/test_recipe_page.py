"""docs/reference/recipe-keys.md as it is written."""

from __future__ import annotations

from dataclasses import dataclass

from recipe_page import comments, page

from subjectwise.recipe import shipped_recipes


@dataclass
class Settings:
    """Of this test."""

    rank: int = 16  # of the adapter
    scope: bool = (
        False  # on two lines
    )  # fmt: skip
    bare: int = 1


def test_the_comment_beside_a_field_is_read_also_over_lines() -> None:
    assert comments(Settings) == {"rank": "of the adapter", "scope": "on two lines fmt: skip"}


def test_every_key_has_a_row_with_its_type_default_and_comment() -> None:
    rows = [row for row in page().splitlines() if row.startswith("| `training.") and row.count("|") == 5]
    assert len(rows) > 15 and all(cell.strip() for row in rows for cell in row.split("|")[1:-1])
    assert "| `lora.r` | whole number | `16` | rank |" in page()


def test_every_shipped_recipe_is_described() -> None:
    for name in shipped_recipes():
        assert f"\n| `{name}` | " in page()
