"""`subjectwise compare`: many reports into one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def compare(
    reports: Annotated[list[Path], typer.Argument(help="Folders that 'subjectwise evaluate' wrote; two at least.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .md, .html or .json file to write; else the screen.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank reports on the same rows, with a paired bootstrap and McNemar's test between neighbours.

    Example: `subjectwise compare reports/mine reports/tfidf-svm --output comparison.md`
    """
    from subjectwise.errors import OutputError
    from subjectwise.evaluation import comparison
    from subjectwise.utils.atomic_files import new_file

    writers: dict[str, Callable[[comparison.Comparison], str]] = {
        ".md": comparison.as_markdown,
        ".html": comparison.as_html,
        ".json": comparison.as_json_text,
    }
    if output is not None and output.suffix not in writers:
        raise OutputError(f"{output} is of a kind that cannot be written; use one of {', '.join(writers)}.")
    compared = comparison.compare([comparison.read_measured(folder) for folder in reports])
    if output is not None:
        with new_file(output) as temporary:
            temporary.write_text(writers[output.suffix](compared), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(comparison.as_json(compared)))
    elif output is None:
        typer.echo(comparison.as_markdown(compared), nl=False)
    else:
        typer.echo(f"{len(compared.reports)} reports compared in {output}")
