"""Imports of libraries that belong to an extra. Where one is missing, the error says how to install it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from subjectwise.errors import SubjectwiseError


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional dependency, or one of this package that needs one.

    Args:
        module: its dotted name.
        extra: the extra of this package that installs it.

    Returns:
        The innermost module of that name.

    Raises:
        SubjectwiseError: it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "subjectwise":
            raise
        raise SubjectwiseError(
            f"This needs {error.name}, which is not installed; run: pip install 'subjectwise[{extra}]'"
        ) from error
