"""`subjectwise calibrate`: fit temperature and thresholds of a trained model on validation rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from subjectwise.cli.options import AsJson, BaseName, Device, Dtype


def calibrate(
    model: Annotated[Path, typer.Argument(help="A model folder; its calibration is replaced.")],
    data: Annotated[Path, typer.Option(help="A folder that 'subjectwise data split' wrote, with the same labels.")],
    spelling: Annotated[
        str, typer.Option(help="Correct spelling from now on: en or another language; or none.", show_default=False)
    ] = "",
    base: BaseName = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Fit temperature and thresholds of a trained model on validation rows, and keep them in its folder.

    Training ends with this; run it again where your questions are unlike those that the model was trained on.

    Example: `subjectwise calibrate my-model --data split`
    """
    from subjectwise.data.split import open_split
    from subjectwise.models.devices import Compute
    from subjectwise.statistics.thresholds import TARGETS
    from subjectwise.training.calibrate_model import calibrate as run
    from subjectwise.training.calibrate_model import calibration_warning

    fitted = run(model, open_split(data), base=base or None, compute=Compute(device, dtype), spelling=spelling or None)
    if warning := calibration_warning(fitted):
        typer.echo(f"Warning: {warning}", err=True)
    measured = fitted.results["validation"]
    result = {"temperature": fitted.temperature, "thresholds": dict(fitted.thresholds), **measured}
    if as_json:
        typer.echo(json.dumps(result))
        return
    rows = f"{measured['rows']:,} validation rows"
    typer.echo(f"{model}: temperature {fitted.temperature:.3f}, ECE {measured['ece']:.3f} on {rows}")
    for target, threshold in fitted.thresholds.items():
        typer.echo(f"  {float(target):.0%} right from a probability of {threshold:.3f} on")
    if not fitted.thresholds:
        typer.echo(f"  no threshold for {TARGETS[0]:.0%}: too few validation rows, or too few of them right")
