"""`subjectwise average`: average adapters that were trained on the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, Device, Dtype


def average(
    models: Annotated[list[Path], typer.Argument(help="Two model folders or more, on one base and one split.")],
    data: Annotated[Path, typer.Option(help="The split folder they were trained on; its validation rows calibrate.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write; it must not exist yet.")],
    rank: Annotated[int, typer.Option(min=0, help="Rank of the new adapter; 0 for the largest of the given.")] = 0,
    other_rows: Annotated[
        bool,
        typer.Option(
            "--other-rows",
            help="Allow models of another split, such as the one that training started from. None may have been "
            "trained on the validation rows.",
        ),
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Average adapters of several training runs into one, which is often better than each and costs no more.

    Example: `subjectwise average run-1 run-2 --data split --output my-model`
    """
    from subjectwise.data.split import open_split
    from subjectwise.models.devices import Compute
    from subjectwise.utils.optional_dependencies import require

    run = require("subjectwise.training.average", "train").average
    config = run(models, open_split(data), output, rank=rank, other_rows=other_rows, compute=Compute(device, dtype))
    measured = config.results["validation"]
    if as_json:
        typer.echo(json.dumps({"folder": str(output), "temperature": config.temperature, **measured}))
        return
    typer.echo(
        f"{output}: validation accuracy {measured['accuracy']:.3f}, macro-F1 {measured['macro_f1']:.3f}, "
        f"NLL {measured['nll']:.3f}, temperature {config.temperature:.2f}; "
        f"rank {config.results['rank']} keeps {config.results['kept']:.1%} of the mean"
    )
