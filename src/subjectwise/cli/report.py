"""`subjectwise report`: show a folder of reports as one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder that 'subjectwise evaluate' wrote, or one that holds several of them."
        ),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page. [default: DIR/report.html]")] = None,
    main: Annotated[
        str, typer.Option(help="The sub-folder to show in full; without it the first measured on 'grouped' 'test'.")
    ] = "",
    title: Annotated[str, typer.Option(help="The heading of the page.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the page's path and the number of reports.")] = False,
) -> None:
    """Show the reports of a folder, up to three levels deep, and its learning curves as one HTML page.

    The page is one file: no network, no script. A `source-held-out` report is set beside the main one if it is of the
    same predictor, or else if it is the only one whose folder's name begins as the main one's does, up to `grouped`.

    Example: `subjectwise report reports --main shipped-grouped --output page.html`
    """
    from subjectwise.evaluation.report.render_page import write_page

    written = write_page(folder, output, main=main, title=title)
    typer.echo(json.dumps({"page": str(written.page), "reports": written.reports}) if as_json else str(written.page))
