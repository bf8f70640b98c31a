"""`subjectwise card`: write the model card from the results in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    model: Annotated[Path, typer.Argument(help="A model folder; its README.md is replaced.")],
    report: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that 'subjectwise evaluate' wrote for this model; added to it. May be repeated."),
    ] = None,
) -> None:
    """Write the model card: results with intervals, prompt, data, training curve, limits, how to reproduce.

    Example: `subjectwise card my-model --report reports/mine`
    """
    from subjectwise.evaluation.add_report import add_report
    from subjectwise.publish.model_card import write_card

    for folder in report or []:
        add_report(model, folder)
    write_card(model)
    typer.echo(f"{model / 'README.md'} written")
