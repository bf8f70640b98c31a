"""`subjectwise compare`: rank reports in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def compare(
    reports: Annotated[list[Path], typer.Argument(help="Folders that 'subjectwise evaluate' wrote; at least two.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .md, .html or .json file to write; without it the table is printed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank reports on the same rows, each against the next with a paired interval and McNemar's test.

    Example: `subjectwise compare reports/mine reports/tfidf-svm --output comparison.md`
    """
    from subjectwise.errors import OutputError
    from subjectwise.evaluation.comparison import Comparison, read_measured
    from subjectwise.evaluation.comparison import compare as run
    from subjectwise.evaluation.comparison_table import as_markdown
    from subjectwise.utils.atomic_files import new_file

    def as_html(compared: Comparison) -> str:
        from subjectwise.evaluation.report.render_page import render_comparison

        return render_comparison(compared)

    writers: dict[str, Callable[[Comparison], str]] = {
        ".md": as_markdown,
        ".html": as_html,
        ".json": lambda compared: json.dumps(compared.to_dict(), indent=2) + "\n",
    }
    if output is not None and output.suffix not in writers:
        raise OutputError(f"Cannot write {output}: unknown format. Use one of {', '.join(writers)}.")
    compared = run([read_measured(folder) for folder in reports])
    if output is not None:
        with new_file(output) as temporary:
            temporary.write_text(writers[output.suffix](compared), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(compared.to_dict()))
    elif output is None:
        typer.echo(as_markdown(compared), nl=False)
    else:
        typer.echo(f"{len(compared.reports)} reports compared in {output}")
