"""No public function or method of the package has `Any` in its signature, alone or within another type.

Names that begin with an underscore, methods of such classes, and functions within functions are private. What is
JSON or a table row is named so in `types.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import subjectwise

PACKAGE = Path(subjectwise.__file__).parent

# Protocols of other libraries, and values that a user hands in and gets back.
ALLOWED = {
    ("types.py", "Tokenizer.__call__"),  # ids, nested as the texts are
    ("types.py", "LanguageModel.__call__"),
    ("types.py", "LanguageModel.eval"),
    ("types.py", "LanguageModel.train"),
    ("types.py", "LanguageModel.parameters"),
    ("types.py", "LanguageModel.save_pretrained"),
    ("types.py", "LanguageModel.__getattr__"),
    ("__init__.py", "__getattr__"),  # names that are loaded when first used
    ("classifier.py", "Classifier.fit"),  # scikit-learn: labels of any type
    ("classifier.py", "Classifier.score"),
    ("training/loss_module.py", "LossModule.__init__"),  # a batch has rows of the task's own type
    ("training/loss_module.py", "LossModule.forward"),
}
# Classes of transformers and typer whose methods are overridden with their own signatures.
OVERRIDDEN = ("Trainer", "TrainerCallback", "TyperCommand")
# Arrays of labels, of whatever type the user's labels are.
ALLOWED_TYPES = ("npt.NDArray[Any]",)


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield public functions and methods with qualified names: `__init__` too, no overrides of other libraries."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_public(node.name):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and _is_public(node.name):
            if any(isinstance(base, ast.Name) and base.id in OVERRIDDEN for base in node.bases):
                continue
            for item in node.body:
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_public(item.name):
                    yield f"{node.name}.{item.name}", item


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def any_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the parts of a signature that have `Any`, such as "row: dict[str, Any]"."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    named = [(argument.arg, argument.annotation) for argument in arguments if argument and argument.annotation]
    if function.returns:
        named.append(("return", function.returns))
    return [
        f"{name}: {ast.unparse(annotation)}"
        for name, annotation in named
        if ast.unparse(annotation) not in ALLOWED_TYPES
        if any(isinstance(part, ast.Name) and part.id == "Any" for part in ast.walk(annotation))
    ]


def hits(path: Path) -> list[str]:
    """Return the public functions of a file with `Any` in their signature."""
    name = path.relative_to(PACKAGE).as_posix()
    return [
        f"{name}:{function.lineno}: {qualified}({part})"
        for qualified, function in public_functions(ast.parse(path.read_text(encoding="utf-8")))
        if (name, qualified) not in ALLOWED
        for part in any_annotations(function)
    ]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_public_signature_has_any(path: Path) -> None:
    wrong = hits(path)
    assert not wrong, "\n" + "\n".join(wrong)


def test_any_is_seen_wherever_it_stands() -> None:
    source = """
class Public:
    def method(self, a: int, *more: Any) -> list[Any]: ...
    def _private(self, a: Any) -> Any: ...
class Console(TrainerCallback):
    def on_log(self, logs: Any) -> None: ...
class _Hidden:
    def method(self, a: Any) -> None: ...
async def function(a: Mapping[str, Any] | None = None, *, b: str = "Any", c: npt.NDArray[Any]) -> None: ...
"""
    functions = dict(public_functions(ast.parse(source)))
    assert {name: any_annotations(function) for name, function in functions.items()} == {
        "Public.method": ["more: Any", "return: list[Any]"],
        "function": ["a: Mapping[str, Any] | None"],
    }
