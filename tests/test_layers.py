"""Holds the import order: a module imports only modules that stand above it."""

from __future__ import annotations

import ast
from pathlib import Path

import subjectwise

ROOT = Path(subjectwise.__file__).parent

# The spine, top first. A folder stands for all of its files, which may import each other.
ORDER = [
    "errors",
    "files",
    "progress",
    "labels",
    "records",
    "perturb",
    "spelling",
    "recipe",
    "data",
    "prompt",
    "metrics",
    "calibration",
    "decision",
    "base_models",
    "engines",
    "scoring",
    "adapter",
    "heads",
    "model_folder",
    "card",
    "training",
    "explain",
    "classifier",
    "baselines",
    "evaluation",
    "learning_curve",
    "comparison",
    "audit",
    "report",
    "hub",
    "batch",
    "serving",
    "cli",
]


def place(module: str) -> int:
    return ORDER.index(module.split(".")[1])


def imported(path: Path) -> set[str]:
    """Modules of the package that `path` imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            # From a folder its files are imported, from a file its names.
            is_folder = (ROOT.parent / node.module.replace(".", "/")).is_dir()
            found.update([f"{node.module}.{alias.name}" for alias in node.names] if is_folder else [node.module])
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name for name in found if name.split(".")[0] == "subjectwise"}


def test_every_file_has_its_place() -> None:
    names = {item.stem for item in ROOT.iterdir() if item.suffix == ".py" or (item / "__init__.py").is_file()}
    assert names - {"__init__"} == set(ORDER)


def test_imports_go_upwards_only() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue
        for name in imported(path):
            file = ROOT.parent / f"{name.replace('.', '/')}.py"
            assert file.is_file(), f"{path} imports {name}, which is not the file that defines it"
            own = ORDER.index(parts[0])
            if place(name) > own:
                wrong.append(f"{'/'.join(parts)} imports {name}")
    assert not wrong, wrong


def test_readme_has_the_same_map() -> None:
    text = (ROOT.parent.parent / "README.md").read_text(encoding="utf-8")
    block = text.split("```text\nsrc/subjectwise/\n")[1].split("```")[0]
    listed = [line.split()[0].removesuffix(".py").rstrip("/") for line in block.splitlines() if line.strip()]
    assert listed == ORDER
