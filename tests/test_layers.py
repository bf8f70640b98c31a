"""Holds the order of the modules: one imports only modules that stand above it in the map of docs/architecture.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from structure import Arrow, import_arrows, import_cycles, module_name, read_tree, root_entries

import subjectwise

PACKAGE = Path(subjectwise.__file__).parent
PROJECT = PACKAGE.parents[1]
MAP = "docs/architecture.md"

MOST_ENTRIES = 26
MOST_LINES = 320


def read_map() -> list[str]:
    """Return the paths of the map in their order, relative to the package; folders end with a slash."""
    text = (PROJECT / MAP).read_text(encoding="utf-8")
    block = text.split("```text\nsrc/subjectwise/\n")[1].split("```")[0]
    paths: list[str] = []
    folders: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        del folders[depth:]
        name = line.split()[0]
        paths.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def broken_order(arrows: list[Arrow], order: list[str]) -> list[str]:
    """Return the imports that do not go upwards in `order`, a list of dotted names."""
    position = {name: index for index, name in enumerate(order)}
    return [
        f"{arrow.importer}, line {arrow.line}: imports {arrow.imported}, which stands below it in {MAP}"
        for arrow in arrows
        if arrow.imported in position and arrow.importer in position
        if position[arrow.imported] > position[arrow.importer]
    ]


TEXTS = read_tree(PACKAGE)
ARROWS = import_arrows(TEXTS)


def test_the_map_has_every_module_once_and_nothing_else() -> None:
    listed = read_map()
    modules = [path for path in listed if path.endswith(".py")]
    existing = {path for path in TEXTS if path.endswith(".py") and not path.endswith("__init__.py")}
    missing = sorted(existing - set(modules))
    gone = [path for path in listed if not (PACKAGE / path).exists()]
    assert not missing, f"add to the map in {MAP}, each below what it imports: {', '.join(missing)}"
    assert not gone, f"remove from the map in {MAP}: {', '.join(gone)}"
    assert len(set(listed)) == len(listed)


def test_imports_go_upwards_in_the_map() -> None:
    order = [module_name(path) for path in read_map() if path.endswith(".py")]
    # The package's own __init__ hands on names of any layer, and no module imports it.
    arrows = [arrow for arrow in ARROWS if arrow.importer != "subjectwise"]
    folders = {module_name(path) for path in TEXTS if path.endswith("__init__.py")}
    assert [arrow for arrow in arrows if arrow.imported in folders or arrow.importer in folders] == []
    wrong = broken_order(arrows, order)
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_modules_import_each_other() -> None:
    cycles = import_cycles(ARROWS)
    assert not cycles, cycles


def test_the_root_is_short() -> None:
    assert root_entries(PACKAGE) <= MOST_ENTRIES


def test_no_file_is_long() -> None:
    long = {path: text.count("\n") for path, text in TEXTS.items() if text.count("\n") > MOST_LINES}
    assert not long, f"more than {MOST_LINES} lines, split by what it does: {long}"


# How imports are read: these would otherwise pass unseen.


def test_imports_within_functions_and_by_name_are_seen() -> None:
    texts = {
        "low.py": "",
        "middle.py": "def work() -> None:\n    from subjectwise.low import thing\n",
        "folder/__init__.py": "",
        "folder/high.py": 'page = require("subjectwise.middle", "report")\nimport subjectwise.low\n',
    }
    seen = {(arrow.importer, arrow.imported, arrow.deferred) for arrow in import_arrows(texts)}
    assert seen == {
        ("subjectwise.middle", "subjectwise.low", True),
        ("subjectwise.folder.high", "subjectwise.middle", False),
        ("subjectwise.folder.high", "subjectwise.low", False),
    }


@pytest.mark.parametrize("indirect", [False, True])
def test_a_cycle_in_a_folder_is_seen(indirect: bool) -> None:
    texts = {
        "cli/a.py": "from subjectwise.cli import b\n",
        "cli/b.py": "def f() -> None:\n    from subjectwise.cli.c import run\n",
        "cli/c.py": "from subjectwise.cli.a import x\n" if indirect else "from subjectwise.cli.b import x\n",
        "cli/d.py": "from subjectwise.cli.a import x\n",
    }
    names = ["a", "b", "c"] if indirect else ["b", "c"]
    assert import_cycles(import_arrows(texts)) == [[f"subjectwise.cli.{name}" for name in names]]


def test_an_import_from_below_is_named() -> None:
    arrows = import_arrows({"low.py": "from subjectwise.high import x\n", "high.py": ""})
    assert broken_order(arrows, ["subjectwise.low", "subjectwise.high"]) == [
        f"subjectwise.low, line 1: imports subjectwise.high, which stands below it in {MAP}"
    ]
    assert broken_order(arrows, ["subjectwise.high", "subjectwise.low"]) == []
