"""Write docs/reference/recipe-keys.md, or the named file: every key of a recipe, with its comment in the code."""

from __future__ import annotations

import ast
import inspect
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from subjectwise.recipe import Recipe, load_recipe, shipped_recipes

_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}

_HEAD = """\
<!-- Written by `make docs` from src/subjectwise/recipe.py and src/subjectwise/recipes/; edit those. -->
# Recipe keys

A recipe is a YAML file with all settings of a training run. `subjectwise train NAME` takes a shipped recipe by its name
or your own by its path, and `--set section.key=value` changes any key of it:

<!-- not run: the tutorial on training runs such a command -->
```sh
subjectwise train small --data split --output my-model --set training.epochs=12 --set lora.r=32
```

A key that a recipe leaves out has the default below. An unknown key, and a value out of range, is refused with a
sentence that names it.
"""


def comments(cls: type[Any]) -> dict[str, str]:
    """Return the comment beside each field of a dataclass, by the field's name; fields without one are left out."""
    source = inspect.getsource(cls)
    by_line = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno:
            texts = [by_line[line] for line in range(node.lineno, node.end_lineno + 1) if line in by_line]
            if texts:
                found[node.target.id] = " ".join(texts)
    return found


def page() -> str:
    """Return the page."""
    hints = get_type_hints(Recipe)
    sections = [item.name for item in fields(Recipe) if is_dataclass(hints[item.name])]
    parts = [_HEAD, "## The recipe itself\n", *_table(Recipe, "")]
    for name in sections:
        parts += [f"\n## `{name}`\n", f"{_summary(hints[name])}\n", *_table(hints[name], f"{name}.")]
    return "\n".join([*parts, *_recipes()]) + "\n"


def _summary(cls: type[Any]) -> str:
    return (cls.__doc__ or "").splitlines()[0]


def _table(cls: type[Any], start: str) -> Iterator[str]:
    yield "| key | type | default | what it is |"
    yield "| --- | --- | --- | --- |"
    hints, known = get_type_hints(cls), comments(cls)
    for item in fields(cls):
        if not is_dataclass(hints[item.name]):
            kind = _TYPES.get(hints[item.name], "list of names")
            yield f"| `{start}{item.name}` | {kind} | {_shown(_default(item))} | {known[item.name]} |"


def _default(item: Field[Any]) -> object:
    return item.default if item.default is not MISSING else None


def _shown(value: object) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{name}`" for name in value)
    return f"`{value}`" if value != "" else ""


def _recipes() -> Iterator[str]:
    """Yield the section that shows where the shipped recipes differ from the defaults and from each other."""
    recipes = {name: load_recipe(name) for name in shipped_recipes()}
    yield "\n## The shipped recipes\n"
    yield "| recipe | what it is for |"
    yield "| --- | --- |"
    for name, recipe in recipes.items():
        yield f"| `{name}` | {recipe.description} |"
    yield "\nWhere they differ:\n"
    yield "| key | " + " | ".join(f"`{name}`" for name in recipes) + " |"
    yield "| --- |" + " --- |" * len(recipes)
    values = {name: dict(_flat(recipe)) for name, recipe in recipes.items()}
    for key in values["small"]:
        row = [values[name][key] for name in recipes]
        if key not in ("name", "description") and len(set(map(str, row))) > 1:
            yield f"| `{key}` | " + " | ".join(_shown(value) for value in row) + " |"


def _flat(settings: Any, start: str = "") -> Iterator[tuple[str, object]]:
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from _flat(value, f"{start}{item.name}.")
        else:
            yield f"{start}{item.name}", value


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
