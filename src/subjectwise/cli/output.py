"""The command as it was typed, for the files that say how they were made."""

from __future__ import annotations

import shlex
import sys

import typer


def typed_command(context: typer.Context) -> str:
    """The running command as a line for the shell."""
    arguments = context.obj if isinstance(context.obj, list) else sys.argv[1:]
    return shlex.join(["subjectwise", *arguments])
