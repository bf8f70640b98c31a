"""Measure the structure of the package: modules, import arrows, cycles and lines, at a revision and in this tree.

    python benchmarks/structure.py [--revision 00ccd04]

Reads source text alone and prints one table. An arrow is a pair of modules of which one imports the other, at any depth
of its code, also by name (`require("subjectwise.…", extra)`). A cycle is a set of modules that reach each other.
`tests/test_layers.py` reads the arrows and the cycles of this file.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "subjectwise"
SOURCE = f"src/{PACKAGE}"

# Texts that people wrote; the shipped model and other data are not counted.
TEXT = (".py", ".css", ".html", ".jinja", ".js", ".yaml")

# Functions that import a module by its name.
IMPORTERS = ("import_module", "require")


@dataclass(frozen=True)
class Arrow:
    """An import of one module of the package by another.

    Attributes:
        importer: dotted name of the module that imports.
        imported: dotted name of the module that is imported.
        line: of the import statement.
        deferred: whether the import runs when a function is called.
    """

    importer: str
    imported: str
    line: int
    deferred: bool


def read_tree(folder: Path) -> dict[str, str]:
    """Return the source texts below `folder`, by their path relative to it."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in TEXT and _is_source(file.relative_to(folder)))
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}


def read_revision(revision: str) -> dict[str, str]:
    """Return the source texts of the package at a git revision, by their path relative to the package."""
    command = ["git", "-C", str(ROOT), "archive", revision, SOURCE]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    texts: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            content = tar.extractfile(member) if member.isfile() and path.suffix in TEXT else None
            if content and _is_source(path.relative_to(SOURCE)):
                texts[path.relative_to(SOURCE).as_posix()] = content.read().decode("utf-8")
    return texts


def _is_source(path: PurePosixPath | Path) -> bool:
    return path.parts[0] not in ("model", "shipped")  # the shipped model folder, before and after its renaming


def module_name(path: str) -> str:
    """Return the dotted name of a module by its path relative to the package; a folder's is that of `__init__.py`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def import_arrows(texts: Mapping[str, str]) -> list[Arrow]:
    """Return every import among the modules of the package; imports within functions and by name included.

    Args:
        texts: source texts by their path relative to the package.
    """
    modules = {module_name(path): path for path in texts if path.endswith(".py")}
    arrows = set()
    for name, path in modules.items():
        for imported, line, deferred in _imports(ast.parse(texts[path]), deferred=False):
            # From a folder its modules are imported, from a module its names.
            nearest = imported if imported in modules else imported.rpartition(".")[0]
            if nearest in modules and nearest != name:
                arrows.add(Arrow(name, nearest, line, deferred))
    return sorted(arrows, key=lambda arrow: (arrow.importer, arrow.line, arrow.imported))


def _imports(node: ast.AST, deferred: bool) -> Iterator[tuple[str, int, bool]]:
    """Yield what is imported below `node`: a dotted name, the line, and whether it runs in a function."""
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: relative imports are not used in this package"
        yield from ((f"{node.module}.{alias.name}", node.lineno, deferred) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno, deferred) for alias in node.names)
    elif isinstance(node, ast.Call) and _called(node.func) in IMPORTERS and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value, node.lineno, deferred
    deferred = deferred or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, deferred)


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def import_cycles(arrows: list[Arrow]) -> list[list[str]]:
    """Return the cycles: each a set of modules that reach each other (a strongly connected component), sorted."""
    direct: dict[str, set[str]] = {}
    for arrow in arrows:
        direct.setdefault(arrow.importer, set()).add(arrow.imported)
    reach = {name: _reachable(name, direct) for name in direct}
    groups = {tuple(sorted(other for other in reach[name] if name in reach.get(other, ()))) for name in direct}
    return [list(group) for group in sorted(groups) if group]


def _reachable(start: str, direct: Mapping[str, set[str]]) -> set[str]:
    """Return what `start` imports, directly or through others; `start` itself only where a cycle leads back to it."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for name in direct.get(waiting.pop(), set()) - reached:
            reached.add(name)
            waiting.append(name)
    return reached


def code_lines(text: str) -> int:
    """Count the lines of Python that have code: without blank lines, comments and docstrings."""
    strings = {
        statement.value.lineno
        for statement in ast.walk(ast.parse(text))
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if isinstance(statement.value.value, str)
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        blank = token.type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        docstring = token.type == tokenize.STRING and token.start[0] in strings
        if not blank and not docstring and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def measure(texts: Mapping[str, str]) -> dict[str, str]:
    """Return each figure of the table."""
    python = {path: text for path, text in texts.items() if path.endswith(".py")}
    # An __init__.py with a docstring alone is not counted as a module.
    modules = [path for path, text in python.items() if not path.endswith("__init__.py") or code_lines(text)]
    arrows = import_arrows(texts)
    pairs = {(arrow.importer, arrow.imported) for arrow in arrows}
    at_import = {(arrow.importer, arrow.imported) for arrow in arrows if not arrow.deferred}
    cycles = import_cycles(arrows)
    longest = max(texts, key=lambda path: texts[path].count("\n"))
    code_of_root = [path for path in modules if "/" not in path]
    return {
        "modules": f"{len(modules)}",
        "modules in the package's root": f"{len(code_of_root)}",
        "folders with modules": f"{len({path.rpartition('/')[0] for path in modules} - {''})}",
        "import arrows": f"{len(pairs)}",
        "of these only within functions": f"{len(pairs - at_import)}",
        "levels (modules on the longest way)": f"{_levels(pairs, cycles)}",
        "cycles": f"{len(cycles)}" + "".join(f"; {' and '.join(group)}" for group in cycles),
        "lines of Python": f"{sum(text.count(chr(10)) for text in python.values()):,}",
        "lines of Python with code": f"{sum(map(code_lines, python.values())):,}",
        "lines of templates, page and recipes": (
            f"{sum(text.count(chr(10)) for path, text in texts.items() if path not in python):,}"
        ),
        "longest file": f"{longest}, {texts[longest].count(chr(10))} lines",
    }


def _levels(pairs: set[tuple[str, str]], cycles: list[list[str]]) -> int:
    """Return the number of modules on the longest way along the arrows; a cycle counts as one."""
    one = {name: group[0] for group in cycles for name in group}
    direct: dict[str, set[str]] = {}
    for pair in pairs:
        importer, imported = (one.get(name, name) for name in pair)
        if importer != imported:
            direct.setdefault(importer, set()).add(imported)
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max(map(depth, direct.get(name, ())), default=0)
        return depths[name]

    return max(map(depth, direct), default=0)


def root_entries(folder: Path) -> int:
    """Count files and folders of the package's root in this tree."""
    return sum(item.name != "__pycache__" for item in folder.iterdir())


def _root_entries_at(revision: str) -> int:
    command = ["git", "-C", str(ROOT), "ls-tree", "--name-only", revision, f"{SOURCE}/"]
    return len(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revision", default="00ccd04", help="to compare with")
    revision = parser.parse_args().revision
    entries = "entries of the package's root"
    before = {entries: f"{_root_entries_at(revision)}", **measure(read_revision(revision))}
    after = {entries: f"{root_entries(ROOT / SOURCE)}", **measure(read_tree(ROOT / SOURCE))}
    print(f"| {SOURCE} | {revision} | this tree |\n| --- | --- | --- |")
    for name, value in after.items():
        print(f"| {name} | {before[name]} | {value} |")


if __name__ == "__main__":
    main()
