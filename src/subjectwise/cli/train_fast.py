"""`subjectwise train-fast`: train the fast model of a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import AsJson, BaseName, Device, Dtype, Engine

if TYPE_CHECKING:
    from subjectwise.training.train_fast import FastResult
    from subjectwise.types import JsonObject


def train_fast(
    model: Annotated[str, typer.Argument(help="A model folder, or shipped; it stays as it is.")],
    data: Annotated[Path, typer.Option(help="A split folder with the model's labels.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write; it must not exist yet.")],
    validation_rows: Annotated[
        int, typer.Option(min=100, help="Validation rows that the language model scores, as many of each kind.")
    ] = 2000,
    base: BaseName = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a fast model, which answers the questions that it is sure of before the language model reads them.

    Example: `subjectwise train-fast my-model --data split --output my-fast-model`

    It is a linear model over words and characters, trained on the training rows. When it answers alone, and how its
    opinion is combined with the language model's elsewhere, is chosen on validation rows that both have scored.
    """
    from subjectwise.data.split import open_split
    from subjectwise.models.devices import Compute
    from subjectwise.models.model_folder import shipped_folder
    from subjectwise.predictors import SHIPPED
    from subjectwise.utils.optional_dependencies import require

    require("sklearn", "train")
    training = require("subjectwise.training.train_fast", "train")
    folder = shipped_folder() if model == SHIPPED else Path(model)
    result: FastResult = training.train_fast(
        folder, open_split(data), output, validation_rows=validation_rows, base=base or None,
        compute=Compute(device, dtype, engine),
    )  # fmt: skip
    if as_json:
        typer.echo(
            json.dumps({"folder": str(output), "bytes": result.bytes, "seconds": result.seconds,
                        **result.config.results})
        )  # fmt: skip
        return
    typer.echo(_summary(result))
    typer.echo(f'Next: subjectwise classify --model {output} --fast "your question"')


def _summary(result: FastResult) -> str:
    """Return what was measured as lines of text: a mean over kinds of every way to answer."""
    lines = [
        f"{result.folder}: {result.rows:,} training rows in {result.seconds:.0f} s, {result.bytes / 1e6:.1f} MB; "
        f"on {result.validation_rows:,} validation rows, each kind weighing the same:"
    ]
    results: JsonObject = result.config.results
    for which, title in (("known", "as they are"), ("novel", "kinds that the fast model was not trained on")):
        if measured := results.get(which):
            lines.append(f"  {title}")
            ways = {"language model": measured["model"], "fast model": measured["fast"]}
            ways |= {f"cascade, loss {loss}": way for loss, way in measured["cascade"].items()}
            lines += [f"    {name:<20} {_measured(way)}" for name, way in ways.items()]
    return "\n".join(lines)


def _measured(way: JsonObject) -> str:
    fast = f", {way['fast']:.0%} by the fast model" if "fast" in way else ""
    return f"accuracy {way['accuracy']:.1%}, ECE {way['ece']:.3f}{fast}"
