"""The program with all its commands, for typer's own command, which writes docs/cli.md."""

from __future__ import annotations

from subjectwise.cli.app import build_app

app = build_app()
